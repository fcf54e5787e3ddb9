"""Write a study's simulated frames as a movie with its truth, for other programs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench import psf
from smlmbench.errors import ConfigError, SizeError, unknown_name
from smlmbench.formats import TableOptions, write_table
from smlmbench.predictions import Localizations, concatenate
from smlmbench.psf.contracts import Psf
from smlmbench.registry import Catalog
from smlmbench.run.using.replacing import INSTEAD, check_free, make_folder
from smlmbench.seeds import derive_seed
from smlmbench.simulate import Movie
from smlmbench.simulate.beads import Beads, bead_stack
from smlmbench.study.load import Loaded
from smlmbench.study.reading.choices import Choices
from smlmbench.study.reading.entries import Entries
from smlmbench.study.reading.problems import Problems
from smlmbench.study.sources import SimulateSource

BLOCK = 64


@dataclass(frozen=True, slots=True)
class Drawn:
    """Files that were written."""

    movie: Path
    truth: Path
    emitters: int
    beads: Path | None = None


def find_source(loaded: Loaded, data: str | None, condition: str | None) -> SimulateSource:
    """The simulated source of a data entry: its training source, or the named test condition.

    Raises:
        UserError: No such data or condition, or one that is not simulated.
    """
    entries = {entry.name: entry for entry in loaded.study.data}
    name = data or next(iter(entries))
    entry = entries.get(name)
    if entry is None:
        raise unknown_name("data", name, entries)
    if condition is not None and condition not in entry.test:
        raise unknown_name("test condition", condition, entry.test)
    source = entry.train if condition is None else entry.test[condition]
    if not isinstance(source, SimulateSource):
        raise ConfigError(f"data '{name}' comes from files; nothing is simulated there")
    return source


def described(description: SimulateSource | Mapping[str, Any]) -> SimulateSource:
    """A description that stands in no study, read as if it stood in one.

    Raises:
        ConfigError: One line per problem.
    """
    if isinstance(description, SimulateSource):
        return description
    problems = Problems("description")
    block = {"name": "data", "train": {"simulate": description}}
    found = Entries(Choices(Catalog(), problems), Path(), {}).read([block])
    problems.raise_if_any()
    source = found[0][1].train
    assert isinstance(source, SimulateSource)  # noqa: S101 (its kind is named above)
    return source


def draw_frames(
    source: SimulateSource, frames: int, seed: int, catalog: Catalog
) -> tuple[NDArray[np.uint16], Localizations]:
    """Draw a movie of one structure into memory: ADU (frames, height, width), and its truth.

    Of a PSF with channels ADU (frames, channels, height, width).

    Raises:
        SizeError: No frames.
    """
    if frames < 1:
        raise SizeError(f"{frames} frames are no movie; give 1 or more")
    pages, tables = zip(*blocks(source, frames, seed, catalog), strict=True)
    return np.concatenate(pages), _joined(tables, source, frames)


def draw_movie(
    source: SimulateSource,
    frames: int,
    seed: int,
    output: Path,
    catalog: Catalog,
    *,
    beads: Beads | None = None,
    overwrite: bool = False,
) -> Drawn:
    """Write `frames.tif` (16-bit ADU) and `truth.csv` of one structure into a folder, made if absent.

    The truth is a table of ThunderSTORM, of molecules that persist one of ours, with their column `molecule`. Further
    channels of a PSF become `frames_2.tif`, ... Beads are scanned into `beads.tif`, and `beads.csv` is their truth.

    Raises:
        FormatError: The folder cannot be made, or holds such files and `overwrite` is not set.
        ConfigError: Beads, and a PSF that does not know the depths.
    """
    optics = psf.build(source.psf, catalog)
    truth, scan, known = output / "truth.csv", _channels(output / "beads.tif", optics), output / "beads.csv"
    movies = _channels(output / "frames.tif", optics)
    drawn = None if beads is None else bead_stack(source, optics, beads, derive_seed(seed, "beads"))
    if not overwrite:
        check_free((*movies, truth, *((*scan, known) if drawn is not None else ())), INSTEAD)
    make_folder(output)
    tables: list[Localizations] = []
    with _writers(movies, frames, source) as write:
        for pages, table in blocks(source, frames, seed, catalog):
            write(pages)
            tables.append(table)
    joined = _joined(tables, source, frames)
    _write_truth(joined, truth, source, catalog)
    if drawn is None:
        return Drawn(movies[0], truth, len(joined))
    stack, emitters = drawn
    with _writers(scan, len(stack), source) as write:
        write(source.read_by(source.camera).to_adu(stack.numpy()))
    side_nm = source.field_px * source.pixel_size_nm
    found = emitters.localizations(n_frames=len(stack), field_nm=(side_nm, side_nm))
    _write_truth(found, known, source, catalog)
    return Drawn(movies[0], truth, len(joined), scan[0])


def knows_depth(source: SimulateSource, catalog: Catalog) -> bool:
    """Whether beads can be scanned through its PSF."""
    return psf.build(source.psf, catalog).depth_nm is not None


def _channels(path: Path, optics: Psf) -> list[Path]:
    """A movie's file for each channel."""
    more = [path.with_stem(f"{path.stem}_{number}") for number in range(2, optics.channels + 1)]
    return [path, *more]


@contextmanager
def _writers(paths: list[Path], frames: int, source: SimulateSource) -> Iterator[Callable[[NDArray[np.uint16]], None]]:
    """What writes pages (n, H, W), or (n, C, H, W) into a file per channel."""
    import tifffile

    big = frames * source.field_px**2 * 2 > 2**32 - 2**25
    with ExitStack() as opened:
        files = [opened.enter_context(tifffile.TiffWriter(path, bigtiff=big)) for path in paths]

        def write(pages: NDArray[np.uint16]) -> None:
            for page in pages.reshape(len(pages), len(files), *pages.shape[-2:]):
                for file, image in zip(files, page, strict=True):
                    file.write(image, contiguous=True)

        yield write


def _write_truth(table: Localizations, path: Path, source: SimulateSource, catalog: Catalog) -> None:
    options = TableOptions(pixel_size_nm=source.pixel_size_nm, camera=source.read_by(source.camera))
    format = "thunderstorm_csv" if table.molecule is None else "smlmbench_csv"  # which keeps who is who
    write_table(table, path, catalog=catalog, format=format, options=options)


def blocks(
    source: SimulateSource, frames: int, seed: int, catalog: Catalog
) -> Iterator[tuple[NDArray[np.uint16], Localizations]]:
    """A movie of one structure by blocks of ADU (n, height, width), and their truth with frame numbers of the movie."""
    optics = psf.build(source.psf, catalog)
    side_nm = source.field_px * source.pixel_size_nm
    movie = Movie(source, optics, (0, frames), derive_seed(seed, "molecules"), seed, catalog)
    for start in range(0, frames, BLOCK):
        count = min(BLOCK, frames - start)
        block, emitters = movie.block(start, start + count, derive_seed(seed, "movie", str(start)))
        table = emitters.localizations(n_frames=count, field_nm=(side_nm, side_nm))
        yield source.read_by(source.camera).to_adu(block.numpy()), table.shifted(start, n_frames=frames)


def _joined(tables: Sequence[Localizations], source: SimulateSource, frames: int) -> Localizations:
    side_nm = source.field_px * source.pixel_size_nm
    return concatenate(tables, n_frames=frames, field_nm=(side_nm, side_nm))
