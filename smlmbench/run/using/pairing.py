"""Write a study's simulated frames as two folders of images, input and target, for training on image pairs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smlmbench.errors import ConfigError, FormatError
from smlmbench.psf import build
from smlmbench.registry import Catalog
from smlmbench.render import blur, rasterise
from smlmbench.run.using.drawing import blocks
from smlmbench.run.using.replacing import INSTEAD, check_free, make_folder
from smlmbench.study.sources import SimulateSource

RATIOS = (1, 2, 4, 8)
SPREAD_PX = 1.0  # of a target's spots, in its own pixels: the heat map that Deep-STORM learns


@dataclass(frozen=True, slots=True)
class Paired:
    """Folders that were written."""

    inputs: Path
    targets: Path
    emitters: int


def draw_pairs(
    source: SimulateSource,
    frames: int,
    seed: int,
    ratio: int,
    output: Path,
    catalog: Catalog,
    *,
    overwrite: bool = False,
) -> Paired:
    """Write `input/<n>.tif` (16-bit ADU) and `target/<n>.tif` (float32, a spot of mass 1 per emitter) into `output`.

    `ratio` is that of target pixels to camera pixels along one axis: 1, 2, 4 or 8.

    Raises:
        ConfigError: Another ratio, or a PSF of several channels.
        FormatError: The folders cannot be made, or hold other images, or such ones and `overwrite` is not set.
    """
    if ratio not in RATIOS:
        raise ConfigError(f"--pairs {ratio}: a ratio is 1, 2, 4 or 8")
    if build(source.psf, catalog).channels > 1:
        raise ConfigError("--pairs: the PSF has several channels, and image pairs have one; choose another PSF")
    import tifffile

    inputs, targets = output / "input", output / "target"
    digits, found = len(str(frames - 1)), 0
    names = [f"{number:0{digits}d}.tif" for number in range(frames)]
    for folder in (inputs, targets):
        make_folder(folder)
        _check_others(folder, names)
        if not overwrite:
            check_free((folder / name for name in names), INSTEAD)
    side, fine_nm = source.field_px * ratio, source.pixel_size_nm / ratio
    drawn = ((page, table) for pages, table in blocks(source, frames, seed, catalog) for page in pages)
    for number, (page, table) in enumerate(drawn):
        here = table.select(table.frame == number)
        found += len(here)
        spikes = rasterise(here.x_nm, here.y_nm, (side, side), fine_nm)
        tifffile.imwrite(inputs / names[number], page)
        tifffile.imwrite(targets / names[number], blur(spikes, SPREAD_PX).astype(np.float32))
    return Paired(inputs, targets, found)


def _check_others(folder: Path, names: list[str]) -> None:
    """Refuse a folder with images that would stay beside the new ones and be trained on with them."""
    others = sorted({file.name for file in folder.iterdir() if file.suffix == ".tif"} - set(names))
    if others:
        raise FormatError(f"'{folder}' holds other images, such as {others[0]}; give an empty folder with --output")
