"""Samples of a user's movie and truth table."""

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smlmbench import formats, movies, psf
from smlmbench.camera import Camera
from smlmbench.data import limits
from smlmbench.data.contracts import Asked, Condition, Identity, Scope
from smlmbench.data.crops import CropTraining
from smlmbench.data.facts import facts, frame_shift
from smlmbench.data.parts import Block, block_of, cut
from smlmbench.data.targets import digest_of
from smlmbench.errors import ConfigError, PairingError
from smlmbench.formats.drift import at_frames, read_drift
from smlmbench.predictions import Localizations, concatenate
from smlmbench.registry import Catalog
from smlmbench.study.sources import MovieSource
from smlmbench.study.sources.region import Region
from smlmbench.truths.emitters import Emitters, faintest_photons, is_target

CARD = {
    "version": 1,
    "summary": "A movie from a file, with the truth table that belongs to it",
    "facts": {"truth": "emitters"},
}


def training_set(train: MovieSource, identity: Identity, scope: Scope, catalog: Catalog) -> CropTraining:
    """Random crops of the train part, cut to its shorter side; the repeat moves their places.

    Raises:
        ConfigError: There is no truth table to learn from.
        PairingError: The table does not belong to the movie.
        SizeError: The part is too small.
    """
    frames, table, *_ = _opened(train, catalog)
    if table is None:
        raise ConfigError(f"movie '{train.movie.name}' has no truth table to learn from; give `truth: table.csv`")
    rows = is_target(table.photons, table.background_photons, train.min_photons, _sigma(train, catalog)[1])
    seeds = ("train", digest_of(identity, "train"), str(scope.repeat))
    return CropTraining(frames, table.select(rows), train.pixel_size_nm, train.crop_px, scope, seeds)


def condition(name: str, source: MovieSource, identity: Identity, asked: Asked, catalog: Catalog) -> Condition:
    """The part of a movie that is scored; all its emitters are kept, dim ones too.

    Nothing is drawn, and further sets are not cut from files.

    Raises:
        PairingError: The table does not belong to the movie.
        SizeError: The part is too small.
    """
    frames, table, mended, noise_map = _opened(source, catalog)
    optics = None if source.psf is None else psf.build(source.psf, catalog)
    sigma_nm, sigma_px = _sigma(source, catalog)
    known = np.empty(0) if table is None else table.background_photons[np.isfinite(table.background_photons)]
    background = float(known.mean()) if len(known) else None
    min_photons = float(faintest_photons(source.min_photons, np.nan if background is None else background, sigma_px))
    told = {"pixel_size_nm": source.pixel_size_nm, "psf_sigma_nm": sigma_nm, "background_photons": background}
    noise = source.camera.noise.told() if isinstance(source.camera, Camera) else {}
    iid = source.track == "iid"
    by_frames = source.part is not None and source.part.rule == "frames"
    return Condition(
        name=name,
        frames=frames,
        truth=None if table is None else Emitters(table, min_photons, sigma_px, limits.stated(source, optics)),
        digest=digest_of(identity, asked.role),
        truth_kind="none" if table is None else source.truth_kind,
        calibrated=source.camera != "uncalibrated",
        block=frame_shift(table, iid=iid),
        shared_structure=by_frames and not iid,
        facts=mended | ({} if table is None else facts(table, min_photons=min_photons, psf_sigma_nm=sigma_nm)),
        told={key: value for key, value in told.items() if value is not None} | noise,
        noise_map=noise_map,
        optics=optics,
    )


class MovieFrames:
    """Frames of what is used of an open movie; the file is closed when the last reference to them goes."""

    def __init__(self, movie: movies.Movie, camera: Camera | None, region: Region) -> None:
        used = movies.calibrated(movie, camera)
        self._frames = movies.window(used, frames=region.frames, columns=region.columns, rows=region.rows)
        self.noise_map: NDArray[np.float64] | None = None  # of its pixels, where they differ
        if camera is not None and camera.maps is not None:
            whole = camera.noise_map((movie.height, movie.width))
            self.noise_map = whole[slice(*region.rows), slice(*region.columns)]
        self.n_frames, self.height, self.width = self._frames.n_frames, self._frames.height, self._frames.width
        self.close = weakref.finalize(self, movie.close)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1, (n, height, width) photons, or counts where uncalibrated."""
        return self._frames.read(start, stop)


class Joined:
    """Frames of several acquisitions, one after the other."""

    def __init__(self, parts: list[MovieFrames]) -> None:
        self._parts, self._ends = parts, np.cumsum([part.n_frames for part in parts])
        self.n_frames, self.height, self.width = int(self._ends[-1]), parts[0].height, parts[0].width

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1 of all, (n, height, width)."""
        found = []
        for part, end in zip(self._parts, self._ends.tolist(), strict=True):
            first, last = (min(max(at - end + part.n_frames, 0), part.n_frames) for at in (start, stop))
            found += [part.read(first, last)] if first < last else []
        return np.concatenate(found)


Opened = tuple[movies.Frames, Localizations | None, dict[str, float], NDArray[np.float64] | None]


def _opened(source: MovieSource, catalog: Catalog) -> Opened:
    """Its frames and true positions, where bad pixels are replaced, how many are in the whole movies, and `noise_map`.

    Acquisitions of different pixels of a chip have no map together.
    """
    opened = [_alone(one, catalog) for one in source.each]
    frames: movies.Frames = opened[0][0] if len(opened) == 1 else Joined([each[0] for each in opened])
    truth = _joined([each[1] for each in opened], [each[0].n_frames for each in opened])
    mended: dict[str, float] = {}
    for *_, counts in opened:
        mended |= {name: mended.get(name, 0.0) + count for name, count in counts.items()}
    gap = 0 if source.track == "iid" else frame_shift(truth, iid=False)
    block = block_of(source.part, frames.n_frames, frames.width, gap)
    noise_map = opened[0][0].noise_map
    if any(noise_map is None or one.noise_map is None or not np.array_equal(one.noise_map, noise_map)
           for one, *_ in opened):  # fmt: skip
        noise_map = None
    if source.part is not None:
        frames = movies.window(frames, frames=block.frames, columns=block.columns)
        noise_map = noise_map if noise_map is None else noise_map[:, slice(*block.columns)]
    return frames, None if truth is None else cut(truth, block, source.pixel_size_nm), mended, noise_map


def _joined(tables: list[Localizations | None], lengths: list[int]) -> Localizations | None:
    """Tables of frames one after the other; molecules of different ones are different."""
    known = [table for table in tables if table is not None]
    if len(known) < len(tables) or len(tables) == 1:
        return None if len(known) < len(tables) else known[0]
    total, start, most, moved = sum(lengths), 0, 0, list[Localizations]()
    for table, length in zip(known, lengths, strict=True):
        later = table.shifted(start, n_frames=total)
        if (own := later.molecule) is not None:
            later = replace(later, molecule=own + most)
            most += int(own.max(initial=0)) + 1
        moved.append(later)
        start += length
    return concatenate(moved, n_frames=total, field_nm=known[0].field_nm)


def _alone(source: MovieSource, catalog: Catalog) -> tuple[MovieFrames, Localizations | None, dict[str, float]]:
    """One acquisition, all that is used of it."""
    camera = None if source.camera == "uncalibrated" else source.camera
    movie, mended = formats.open_movie(source.movie, catalog=catalog), dict[str, float]()
    try:
        if source.bad_pixels == "median":
            movie = movies.MendedMovie(movie)
            mended = movie.scan()
            movie.tell()
        truth = _read_truth(source, source.truth, movie, camera, catalog) if source.truth is not None else None
        region = source.region((movie.n_frames, movie.height, movie.width))
    except BaseException:
        movie.close()
        raise
    if truth is not None:
        truth = cut(truth, Block(region.frames, region.columns, region.rows), source.pixel_size_nm)
    return MovieFrames(movie, camera, region), truth, mended


def _read_truth(
    source: MovieSource, path: Path, movie: movies.Movie, camera: Camera | None, catalog: Catalog
) -> Localizations:
    field_nm = (movie.width * source.pixel_size_nm, movie.height * source.pixel_size_nm)
    options = formats.TableOptions(
        source.pixel_size_nm, camera, source.columns, source.first_frame, movie.n_frames, field_nm, source.origin
    )
    table = formats.read_table(path, catalog=catalog, format=source.truth_format, options=options)
    if source.drift is not None:
        x_nm, y_nm = at_frames(read_drift(source.drift, source.pixel_size_nm), table.frame)
        table = replace(table, x_nm=table.x_nm + x_nm, y_nm=table.y_nm + y_nm)
    inside = (table.x_nm >= 0) & (table.x_nm < field_nm[0]) & (table.y_nm >= 0) & (table.y_nm < field_nm[1])
    n_outside = len(table) - int(np.count_nonzero(inside))
    if n_outside > len(table) / 2:
        raise PairingError(
            f"{n_outside} of {len(table)} positions of '{path.name}' lie outside the field of {field_nm[0]:g} x "
            f"{field_nm[1]:g} nm of '{source.movie.name}'; check pixel_size_nm and the unit of the columns"
        )
    return table


def _sigma(source: MovieSource, catalog: Catalog) -> tuple[float | None, float | None]:
    """Width of the PSF in nm and in camera pixels, where it is known."""
    if source.psf is None:
        return None, None
    sigma_nm = psf.build(source.psf, catalog).sigma_nm
    return sigma_nm, sigma_nm / source.pixel_size_nm
