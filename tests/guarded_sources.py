"""Data of every further source for studies whose test set is exchanged: how it is described, and two small networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

CAMERA = {"pixel_size_nm": 100, "camera": {"kind": "ideal"}}
Described = Callable[[Path, bool], dict[str, Any]]


def drawn(kind: str, train: dict[str, Any], other: dict[str, Any]) -> Described:
    """A simulated source; the other test set differs in some of its settings."""

    def made(folder: Path, changed: bool) -> dict[str, Any]:
        del folder
        test = {kind: {"frames": 10, **(other if changed else {})}}
        return {"train": {kind: train}, "val": {kind: {"frames": 12}}, "test": {"t": test}}

    return made


def filed(kind: str, write: Callable[[Path, int, float], dict[str, Any]]) -> Described:
    """A source of files, each role of its own; the other test set has another seed, and other light."""

    def made(folder: Path, changed: bool) -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"train": (1, 2000.0), "val": (2, 2000.0), "test": (14, 300.0) if changed else (3, 2000.0)}
        sources = {role: {kind: write(folder / role, *what)} for role, what in parts.items()}
        return {"train": sources["train"], "val": sources["val"], "test": {"t": sources["test"]}}

    return made


def spots(path: Path, seed: int, photons: float, sigma_px: float = 1.3) -> dict[str, str]:
    """A movie with one spot in the middle of each frame, and its table."""
    rng, side, n_frames = np.random.default_rng(seed), 24, 120
    places = rng.uniform(10, 14, (n_frames, 2))
    pixels = np.arange(side) + 0.5
    bells = [np.exp(-((pixels - places[:, axis, None]) ** 2) / (2 * sigma_px**2)) for axis in (0, 1)]
    light = photons / (2 * np.pi * sigma_px**2) * np.einsum("fx,fy->fyx", *bells)
    movie, table = path.with_suffix(".tif"), path.with_suffix(".csv")
    tifffile.imwrite(movie, rng.poisson(light + 10).astype(np.uint16), photometric="minisblack")
    rows = [f"{f},{x * 100:.3f},{y * 100:.3f},0,{photons},10" for f, (x, y) in enumerate(places)]
    table.write_text("\n".join(["frame,x_nm,y_nm,z_nm,photons,background_photons", *rows]) + "\n", encoding="utf-8")
    return {"movie": str(movie), "table": str(table)}


def crops(path: Path, seed: int, photons: float) -> dict[str, Any]:
    """Crops of such a movie."""
    return {**spots(path, seed, photons), "field_px": 9, "parameters": "x_nm", **CAMERA}


def classes(path: Path, seed: int, photons: float) -> dict[str, Any]:
    """Crops of two such movies of another width each."""
    made: dict[str, Any] = {"field_px": 9, "gap_frames": 0, **CAMERA}
    for number, sigma_px in ((1, 1.0), (2, 1.8)):
        one = spots(path.with_name(f"{path.name}{number}"), 100 * number + seed, photons, sigma_px)
        made |= {f"{key}_{number}": value for key, value in one.items()}
    return made


def beads(path: Path, seed: int, photons: float) -> dict[str, Any]:
    """A scan of two beads that widen away from focus."""
    rng, side, planes = np.random.default_rng(seed), 40, 31
    pixels = np.arange(side) + 0.5
    frames = np.empty((planes, side, side), dtype=np.uint16)
    for plane in range(planes):
        wide, high = (1.3 * np.hypot(1, (plane - 15 + shift) / 8) for shift in (-4, 4))
        bell = sum(
            np.outer(np.exp(-((pixels - y) ** 2) / (2 * high**2)), np.exp(-((pixels - x) ** 2) / (2 * wide**2)))
            for x, y in ((10.3, 11.1), (28.4, 27.7))
        )
        frames[plane] = rng.poisson(20 * photons / (2 * np.pi * wide * high) * bell + 10)
    stack = path.with_suffix(".tif")
    tifffile.imwrite(stack, frames, photometric="minisblack")
    return {"stack": str(stack), "z_step_nm": 50, "field_px": 13, **CAMERA}


def lines(path: Path, seed: int, photons: float) -> dict[str, Any]:
    """A table of spectra of two dyes."""
    rng, bins = np.random.default_rng(seed), np.arange(24)
    rows = ["class," + ",".join(f"bin{place}" for place in bins)]
    for number in range(60):
        light = photons / 60 * np.exp(-((bins - (9 if number % 2 else 14)) ** 2) / 8)
        rows.append(",".join(["red" if number % 2 else "far_red", *map(str, rng.poisson(2 + light))]))
    table = path.with_suffix(".csv")
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {"spectra": str(table)}


def structure(path: Path, seed: int, photons: float) -> dict[str, Any]:
    """A table of localizations on lines."""
    rng, n = np.random.default_rng(seed), 12000
    line, along = rng.integers(0, 16, n), rng.uniform(0, 6400, n)
    x, y = along, 200 + 400 * line + (300 if photons > 1000 else 900) * np.sin(along / 800) + rng.normal(0, 10, n)
    table = path.with_suffix(".csv")
    rows = [f"{frame},{a:.1f},{b:.1f}" for frame, a, b in zip(np.sort(rng.integers(0, 2000, n)), x, y, strict=True)]
    table.write_text("\n".join(["frame,x_nm,y_nm", *rows]) + "\n", encoding="utf-8")
    return {"table": str(table), "frames": 4, "field_px": 32, "sparse_frames": 200}


NARROW = {"width": 4, "blocks": 1}
PUPIL = {"name": "scalar_pupil", "z_min_nm": -300, "z_max_nm": 300, "reach_nm": 700}
ZELGER = {"models": [{"name": "zelger", "width": [4, 8], "hidden": 16}]}
COLOUR = {"models": [{"name": "hershko_color", "width": [4, 8], "side_px": 9}]}
SPECTRA = {"models": [{"name": "zhang_spectra", "dropout": [0.0, 0.2], "widths": [16, 8]}]}
GAIRE = {"models": [{"name": "gaire", "width": [4, 8], "blocks": 1, "last": 4}]}
FURTHER: dict[str, tuple[Described, dict[str, Any]]] = {
    "psf_crops": (drawn("psf_crops", {"field_px": 9, "parameters": "z_nm"}, {"photons": 400}), ZELGER),
    "movie_crops": (filed("movie_crops", crops), ZELGER),
    "bead_crops": (filed("bead_crops", beads), ZELGER),
    "dye_spectra": (drawn("dye_spectra", {"bins": 24}, {"photons": 60}), SPECTRA),
    "labelled_spectra": (filed("labelled_spectra", lines), SPECTRA),
    "color_crops": (drawn("color_crops", {"field_px": 9}, {"photons": 300}), COLOUR),
    "labelled_crops": (filed("labelled_crops", classes), COLOUR),
    "background_crops": (
        drawn("background_crops", {"side_px": 12}, {"octaves": 1, "photons": 700}),
        {"models": [{"name": "bgnet", "width": [0.1, 0.2]}]},
    ),
    "renderings": (
        drawn("renderings", {"field_px": 32, "dense_frames": 1000, "widefield": False}, {"sparse_frames": 20}),
        GAIRE,
    ),
    "table_renderings": (filed("table_renderings", structure), GAIRE),
    "scenes": (
        drawn("scenes", {"field_px": 16, "emitters": 2, "psf": PUPIL}, {"emitters": 5, "photons": 900}),
        {
            "models": [
                {"name": "deepstorm3d_mask", "mask": ["learned", "flat"], "pupil_px": 16, "width": 4, "blocks": 1}
            ],
            "output": {"upsampling": 1, "planes": 3, "amplitude": 100},
            "losses": [{"name": "kde_overlap", "padding": "same"}],
            "training": {"samples": 96, "batch_size": 8, "validations": 4, "patience": 1, "lr": 0.05},
        },
    ),
    "color_scenes": (
        drawn("color_scenes", {"field_px": 9, "psf": PUPIL}, {"photons": 300}),
        {"models": [{"name": "hershko_slm", "mask": ["learned", "flat"], "pupil_px": 16, "width": 4, "side_px": 9}]},
    ),
    "colour_frames": (
        drawn("colour_frames", {"field_px": 16, "psf": PUPIL}, {"photons": {"min": 200, "max": 300}}),
        {
            "models": [{"name": "fid_storm", "blocks": 1, "width": 0.25}],
            "losses": [{"name": "l1l2", "lambda": [9000, 4000]}],
            "output": {"upsampling": 2, "colours": 2},
        },
    ),
}
