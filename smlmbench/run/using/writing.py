"""Results of a movie on disk while they come: the table and the summed image beside their record and journal."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.errors import LossWarning
from smlmbench.formats import read_table, write_table
from smlmbench.formats.options import TableOptions
from smlmbench.formats.tiff_image import write_raster
from smlmbench.inference.engine import Piece
from smlmbench.inference.journal import Journal, working_files
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.using.blocks import Crew, Source, make
from smlmbench.run.using.likeness import Told
from smlmbench.run.using.measuring import Measured
from smlmbench.run.using.replacing import make_folder

BETWEEN = "smlmbench_csv"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, and how much was found; a network that learned images writes no table."""

    table: Path | None
    image: Path | None
    localizations: int
    frames: int
    resumed: int = 0  # frames that an earlier command had done
    measured: Measured | None = None
    fit: Mapping[str, Any] | None = None  # how the movie compares with what the network was trained on
    files: tuple[Path, ...] = ()  # instead of all that, where the network's task writes its own results


def write(source: Source, catalog: Catalog, on_frames: Callable[[int, int], None], crew: Crew | None) -> Written:
    """Write `<movie>_locs.csv` and `<movie>_sum.tif`; the same again continues what was stopped, here or in workers.

    `on_frames` hears the frames done by this command, and those that it has to do.

    Raises:
        FormatError: Files that are there are not of this movie, model and settings; see `Record`.
        EngineError: See `make`.
    """
    request, shown, record = source.request, source.shown, source.record
    table, image_path = Table(request, catalog, source.pixel_nm), request.output / f"{request.movie.stem}_sum.tif"
    told = Told(source.fit, request, source.pixel_nm, source.first)
    results = [
        *(table.files if source.keeps_table else ()),
        *([] if source.raster is None else [image_path]),
        told.path,
    ]
    make_folder(request.output)
    record.begin(results, working_files(table.path), overwrite=request.overwrite)
    identity = {**record.identity, "table": request.table_format, "changed": request.movie.stat().st_mtime_ns}
    journal = Journal(table.path, identity, table.append, source.block)

    def take(*pieces: Piece) -> None:
        journal.add(*pieces)
        for piece in pieces:
            told.hear(piece.start, piece.stop, piece.table)
        on_frames(journal.done - journal.resumed, shown.n_frames - journal.resumed)

    try:
        if journal.done < shown.n_frames:
            told.begin()
            source.look()
            make(source, catalog, journal.done, take, crew)
    finally:
        if journal.done:
            journal.commit()
        else:  # nothing is lost, so that nothing is claimed
            journal.close()
            record.withdraw()
    if source.keeps_table:
        field_nm = (shown.width * source.pixel_nm, shown.height * source.pixel_nm)
        table.finish(journal, Localizations.empty(n_frames=source.total, field_nm=field_nm))
    image = journal.image
    if image is not None and source.raster is not None:
        write_raster(image_path, source.raster(image))
    fit = told.write()
    record.finish(results)
    journal.close()
    measured = None if source.measure is None else source.measure.finish()
    named = (table.path if source.keeps_table else None, None if image is None else image_path)
    return Written(*named, journal.rows, journal.done, journal.resumed, measured, fit)


class Table:
    """A table on disk: rows are appended in its format where that can be, else in our own until all are there."""

    def __init__(self, request: Any, catalog: Catalog, pixel_nm: float) -> None:
        self.format, self.catalog = request.table_format, catalog
        facts = catalog.card("formats", self.format).facts
        suffixes = (facts["suffixes"][0], *facts.get("sidecars", []))
        self.files = [request.output / f"{request.movie.stem}_locs{suffix}" for suffix in suffixes]
        self.path = self.files[0]
        self.options = TableOptions(pixel_size_nm=pixel_nm, camera=request.camera)
        self.direct = hasattr(catalog.module("formats", self.format), "append_table")
        self.silent = bool(facts.get("keeps_more"))
        self.kept = facts.get("keeps", ())

    def append(self, table: Localizations, path: Path, rows: int) -> None:
        """Add rows to a part that has `rows`; a LossWarning names further columns that the format has no place for.

        So it does with the colour of the rows, which is a result where a network tells colours apart.
        """
        lost = [*table.more, *(["channel"] if table.channel is not None and "channel" not in self.kept else [])]
        if lost and not self.silent:
            self.silent = True
            named = f"{self.format} has no place for {', '.join(lost)}; {BETWEEN} keeps every column"
            warnings.warn(f"table '{self.path.name}': {named}", LossWarning, stacklevel=2)
        module = self.catalog.module("formats", self.format if self.direct else BETWEEN)
        module.append_table(table, path, self.options, rows)

    def finish(self, journal: Journal, nothing: Localizations) -> None:
        """Move or convert what was appended; without rows, `nothing` is written."""
        if journal.rows and self.direct:
            journal.part.replace(self.path)
            return
        table = read_table(journal.part, catalog=self.catalog, format=BETWEEN) if journal.rows else nothing
        write_table(table, self.path, catalog=self.catalog, format=self.format, options=self.options)
