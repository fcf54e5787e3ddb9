"""A study of a few seconds: real networks at their smallest, a plug-in, and rows that end in every way."""

import textwrap
from pathlib import Path
from typing import Any

import yaml

from smlmbench.run.progress import Reporter
from smlmbench.run.studies.asked import Finished, Options
from smlmbench.run.studies.study import run_study
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking.store import Store

MY_NET = '''
"""Two convolutions and a pixel shuffle."""
import os

import torch
from torch import nn

CARD = {
    "version": 1, "summary": "Two convolutions and a pixel shuffle.", "output": "raster", "upsamples": "inside",
    "settings": {"channels": {"default": 8, "min": 1}}, "tiny": {"channels": 4},
    "parameters": {"upsampling=2": 372, "upsampling=4": 1248}, "receptive_field_px": 5.0,
}


class MyNet(nn.Module):
    def __init__(self, channels, given):
        super().__init__()
        self.register_buffer("scale", torch.tensor([given.statistics.mean, given.statistics.std]))
        self.first = nn.Conv2d(given.channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, given.upsampling**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(given.upsampling)

    def forward(self, frames):
        return self.shuffle(self.last(self.first((frames - self.scale[0]) / self.scale[1]).relu()))


def build(settings, given):
    """Build the network from its settings and what it is told about the data."""
    return MyNet(settings["channels"], given)
'''

BREAKING = "SMLMBENCH_TEST_BREAKS"
BREAKS = f"""
    def forward(self, frames):
        if os.environ.get({BREAKING!r}):
            raise RuntimeError("<script>alert(1)</script> broken & bent")
"""

ODD = """
CARD = {"version": 1, "summary": "For another output kind.", "accepts": ["dotlist"]}
"""

STUDY = """
study: tiny
seed: 3
repeats: 1
data:
  - name: sim
    train:
      simulate:
        density_per_um2: 1.0
        photons: 2000
        field_px: 16
        camera: {kind: scmos, baseline_adu: 100, e_per_adu: 0.5, read_noise_e: 1.6}
    val: {simulate: {frames: 12}}
    test:
      low: {simulate: {frames: 8, density_per_um2: 0.5}}
      high: {simulate: {frames: 8}}
output: {upsampling: 2}
references: [truth, blank, peaks_gaussian]
models:
  - {name: fid_storm, blocks: 1, width: 0.25}
  - {name: srcnn, kernels: 3-1-3, width: 0.25}
losses: [{name: l1l2, lambda: 400}]
training: {samples: 80, batch_size: 8, validations: 2, lr: 0.003}
timing: {sizes_px: [16]}
log_models: none
"""


def write_plugins(folder: Path) -> dict[str, Path]:
    """Write the files of a network, of one that can be made to break, and of a loss for other output kinds."""
    (folder / "losses").mkdir(parents=True)
    texts = {
        "my_net.py": MY_NET,
        "breaks.py": MY_NET.replace("\n    def forward(self, frames):\n", BREAKS),
        "losses/odd.py": ODD,
    }
    for name, text in texts.items():
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return {Path(name).stem: folder / name for name in texts}


def models() -> list[dict[str, Any]]:
    """Networks whose rows end as done, collapsed (lambda 0), skipped and, where it is made to, failed."""
    loss = {"name": "l1l2", "lambda": 400}
    return [
        {"name": "fid_storm", "blocks": 1, "width": 0.25, "losses": [loss]},
        {"name": "srcnn", "kernels": "3-1-3", "width": 0.25, "losses": [loss | {"lambda": [400, 0]}]},
        {"name": "my_net", "losses": [loss, {"name": "odd"}]},
        {"name": "breaks"},
    ]


def write(folder: Path, name: str = "tiny", **blocks: Any) -> Path:
    """Write the study; `blocks` replace top-level keys."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(STUDY) | blocks, sort_keys=False), encoding="utf-8")
    return path


class Listener(Reporter):
    """Keeps what a user would read."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def run(path: Path, store: Store, *, sets: tuple[str, ...] = (), **options: Any) -> tuple[Finished, list[str]]:
    """Run a study in this process as the command does."""
    loaded, listener = load_study(path, sets=sets), Listener()
    return run_study(loaded, make_plan(loaded), store, listener, Options(**options)), listener.lines
