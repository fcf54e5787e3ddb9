"""Small registered things, a study and a movie for tests of load and plan; none of them is ever trained."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import yaml

CARDS: dict[str, dict[str, Any]] = {
    "tasks/dots": {"version": 2, "summary": "Dots", "facts": {"truths": ["emitters"]}},
    "tasks/weigh": {
        "version": 1,
        "summary": "Weigh",
        "facts": {"truths": ["weights", "emitters"], "default_for": ["weights"]},
    },
    "data/scale": {
        "version": 4,
        "summary": "A pair of scales",
        "settings": {
            "load": {"default": 2.0, "min": 0.0, "max": 9.0},
            "frames": {"default": None, "min": 1},
            "law": {"default": "even", "choices": ["even", "odd"]},
        },
        "facts": {"truth": "weights", "form": "{scale: {load: 3}}", "knows": ["load"], "fixes": {"upsampling": 1}},
    },
    "outputs/dotgrid": {
        "version": 1,
        "summary": "A grid",
        "facts": {"tasks": ["dots", "weigh"]},
        "settings": {
            "upsampling": {"default": 8, "choices": [1, 2, 4, 8]},
            "amplitude": {"default": 100.0, "min": 0.001},
        },
    },
    "outputs/dotlist": {"version": 1, "summary": "A list", "settings": {"slots": {"default": 50, "min": 1}}},
    "models/tiny_net": {
        "version": 3,
        "summary": "A net",
        "task": "dots",
        "output": "dotgrid",
        "upsamples": "inside",
        "settings": {
            "blocks": {"default": 2, "min": 1, "max": 20},
            "variant": {"default": "plain", "choices": ["plain", "published"]},
            "widths": {"default": [8, 16]},
        },
        "training": {"lr": 0.002, "batch_size": 8},
        "parameters": {"upsampling=8": 10},
        "receptive_field_px": 25.0,
    },
    "models/fid_tiny": {
        "version": 1,
        "summary": "Another net",
        "task": "dots",
        "output": "dotgrid",
        "upsamples": "inside",
        "parameters": {},
        "receptive_field_px": 9.0,
        "losses": [{"name": "pull", "lambda": [30, 60]}],
    },
    "models/weigher": {
        "version": 1,
        "summary": "A net that weighs",
        "output": "dotgrid",
        "upsamples": "none",
        "parameters": {},
        "receptive_field_px": 9.0,
    },
    "models/list_net": {
        "version": 1,
        "summary": "A net that lists",
        "task": "dots",
        "output": "dotlist",
        "upsamples": "none",
        "parameters": {},
        "receptive_field_px": 9.0,
    },
    "losses/pull": {
        "version": 1,
        "summary": "Pulls",
        "settings": {"weight": {"default": 100.0, "min": 0.0}, "rim": {"default": 1, "min": 0, "max": 4}},
        "accepts": ["dotgrid"],
        "facts": {"collapse_lambda": 12.55},
    },
    "losses/push": {"version": 1, "summary": "Pushes", "accepts": ["dotlist"]},
    "references/dot_guess": {"version": 1, "summary": "Guess", "facts": {"task": "dots"}},
    "references/dot_file": {
        "version": 1,
        "summary": "A file",
        "settings": {"path": {"default": ""}, "pixel_nm": {"default": 12.5, "min": 0.1}},
        "facts": {"task": "dots", "default": False},
    },
    "references/heavy": {
        "version": 1,
        "summary": "The heaviest",
        "facts": {"tasks": {"weigh": {"gives": "number", "knows": ["load"]}}},
    },
    "references/other_guess": {"version": 1, "summary": "Of another task", "facts": {"task": "others"}},
    "psf/blob": {
        "version": 1,
        "summary": "A blob",
        "settings": {"sigma_nm": {"default": 130.0, "min": 20.0, "max": 1000.0, "ranged": True}},
    },
}

STUDY = """
study: dots-2d
seed: 7
repeats: 3
task: dots
data:
  - name: sim
    train: {simulate: {density_per_um2: 1.0, pixel_size_nm: 100, field_px: 32, psf: {name: blob, sigma_nm: 120}}}
    test:
      low: {simulate: {density_per_um2: 0.3}}
      high: {simulate: {density_per_um2: 3.0, frames: 50}}
models: [tiny_net]
losses: [{name: pull, lambda: [50, 200]}]
timing: null
"""


def write_rooms(folder: Path) -> list[Path]:
    """Write the cards as plug-in files, one folder per room."""
    paths = []
    for name, card in CARDS.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"CARD = {card!r}\n")
        paths.append(path)
    return paths


def write_study(folder: Path, text: str = STUDY, **blocks: Any) -> Path:
    """Write a study that uses the fakes; `blocks` replace top-level keys."""
    raw = yaml.safe_load(textwrap.dedent(text)) | blocks
    raw["plugins"] = [str(path) for path in write_rooms(folder / "rooms")]
    path = folder / "dots.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def write_movie(
    folder: Path, name: str = "a", *, frames: int = 40, height: int = 32, width: int = 200
) -> dict[str, Any]:
    """Write a movie and its table; return the source as a study names it."""
    import tifffile

    seed = sum(name.encode())
    noise = np.random.default_rng(seed).integers(90, 110, (frames, height, width)).astype(np.uint16)
    tifffile.imwrite(folder / f"{name}.tif", noise)
    rows = "".join(f"{frame},{500 + frame},{700}\n" for frame in range(frames))
    (folder / f"{name}.csv").write_text("frame,x_nm,y_nm\n" + rows)
    return {
        "movie": f"{name}.tif",
        "truth": f"{name}.csv",
        "pixel_size_nm": 100,
        "camera": "uncalibrated",
        "psf": {"name": "blob", "sigma_nm": 120},
    }
