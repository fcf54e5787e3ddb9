"""What a Markdown page of the project shows: its commands, its files and programs in fenced blocks; tiny studies."""

import re
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
CONDITIONS = ("as-measured", "dim", "wide", "bright-background")
# The study of a movie, as it was written but for its size.
TINY = ["models=[{name: fid_storm, blocks: 1, width: 0.25}]", "training.samples=480", "training.lr=3e-3",
        "training.validations=1", "data.0.val.simulate.frames=20",
        *(f"data.0.test.{name}.simulate.frames=12" for name in CONDITIONS),
        "references=[blank, peaks_gaussian]", "log_models=none"]  # fmt: skip


class Block(NamedTuple):
    """A fenced block."""

    kind: str
    title: str
    text: str


def blocks(page: str, kind: str) -> list[Block]:
    return [block for block in (Block(*found) for found in BLOCK.findall(page)) if block.kind == kind]


def commands(page: str, *, inline: bool = True) -> list[str]:
    """Commands of `smlmbench` in the order of the page: those of blocks, then those within the text, each once."""
    fenced = [line for block in blocks(page, "") for line in block.text.splitlines()]
    within = re.findall(r"`(smlmbench [^`]+)`", BLOCK.sub("", page)) if inline else []
    found = [" ".join(line.split()) for line in [*fenced, *within] if line.startswith("smlmbench ")]
    return list(dict.fromkeys(found))


def sets(settings: list[str]) -> list[str]:
    return [word for text in settings for word in ("--set", text)]


def tiny_quickstart(path: Path) -> None:
    study = yaml.safe_load((ROOT / "experiments" / "quickstart.yaml").read_text(encoding="utf-8"))
    study["data"][0]["train"]["simulate"]["field_px"] = 16
    study["data"][0]["val"] = {"simulate": {"frames": 12}}
    study["data"][0]["test"]["density-1"]["simulate"]["frames"] = 12
    study["models"] = [{"name": "fid_storm", "blocks": 1, "width": 0.25}]
    study["losses"] = [{"name": "l1l2", "lambda": 200}]
    del study["distill"]
    study["training"] = {"samples": 320, "batch_size": 8, "validations": 1, "lr": 3e-3}
    study["timing"] = {"sizes_px": [16]}
    study["log_models"] = "none"
    study["references"] = ["truth", "blank"]
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
