"""Write a study's simulated frames as a movie with its truth, for other programs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smlmbench import psf
from smlmbench.camera import Camera
from smlmbench.errors import ConfigError, FormatError, unknown_name
from smlmbench.formats import TableOptions, write_table
from smlmbench.predictions import Localizations, concatenate
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate import draw
from smlmbench.study.load import Loaded
from smlmbench.study.sources import SimulateSource

BLOCK = 64


@dataclass(frozen=True, slots=True)
class Drawn:
    """Files that were written."""

    movie: Path
    truth: Path
    emitters: int


def find_source(loaded: Loaded, data: str | None, condition: str | None) -> SimulateSource:
    """The simulated source of a data entry: its training source, or the named test condition.

    Raises:
        UserError: No such data or condition, or one that is not simulated.
    """
    entries = {entry.name: entry for entry in loaded.study.data}
    name = data or next(iter(entries))
    if name not in entries:
        raise unknown_name("data", name, entries)
    entry = entries[name]
    if condition is not None and condition not in entry.test:
        raise unknown_name("test condition", condition, entry.test)
    source = entry.train if condition is None else entry.test[condition]
    if not isinstance(source, SimulateSource):
        raise ConfigError(f"data '{name}' comes from files; nothing is simulated there")
    return source


def draw_movie(source: SimulateSource, frames: int, seed: int, output: Path, catalog: Catalog) -> Drawn:
    """Write `frames.tif` (16-bit ADU) and `truth.csv` (ThunderSTORM) of one structure.

    Args:
        source: Description.
        frames: Number of frames.
        seed: Seed of this movie.
        output: Folder, made if absent.
        catalog: Where PSF and formats are registered.

    Raises:
        FormatError: The folder cannot be made.
    """
    import tifffile

    optics = psf.build(source.psf, catalog)
    make_folder(output)
    side_nm = source.field_px * source.pixel_size_nm
    tables: list[Localizations] = []
    movie, truth = output / "frames.tif", output / "truth.csv"
    with tifffile.TiffWriter(movie, bigtiff=frames * source.field_px**2 * 2 > 2**32 - 2**25) as writer:
        for start in range(0, frames, BLOCK):
            count = min(BLOCK, frames - start)
            block, emitters = draw(source, optics, derive_seed(seed, "movie", str(start)), count, seed)
            for page in adu(block.numpy(), source.camera):
                writer.write(page, contiguous=True)
            table = emitters.localizations(n_frames=count, field_nm=(side_nm, side_nm))
            tables.append(table.shifted(start, n_frames=frames))
    joined = concatenate(tables, n_frames=frames, field_nm=(side_nm, side_nm))
    options = TableOptions(pixel_size_nm=source.pixel_size_nm, camera=source.camera)
    write_table(joined, truth, catalog=catalog, format="thunderstorm_csv", options=options)
    return Drawn(movie, truth, len(joined))


def make_folder(folder: Path) -> None:
    """Make a folder for what is written, where it is not there yet.

    Raises:
        FormatError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"--output '{folder}' cannot be made: {error.strerror}; give a folder") from None


def adu(
    photons: np.ndarray[tuple[int, ...], np.dtype[np.float32]], camera: Camera
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """Photons back to the whole counts that a camera stores."""
    # The frames came from whole ADU, so rounding gives these back.
    adu = (photons + camera.spurious_e) * camera.adu_per_photon + camera.baseline_adu
    clipped: np.ndarray[tuple[int, ...], np.dtype[np.uint16]] = np.clip(np.rint(adu), 0, 65535).astype(np.uint16)
    return clipped
