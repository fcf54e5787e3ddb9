"""A trained network whose task writes its own results of a user's file: parameters, classes, images ..."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from smlmbench import tasks
from smlmbench.errors import ConfigError
from smlmbench.formats import TableOptions, open_movie, read_table
from smlmbench.inference.answering import Answering
from smlmbench.movies import Frames, calibrated, mending, window
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog
from smlmbench.run.using.blocks import Crew
from smlmbench.run.using.predicting import Request, check_units, ready
from smlmbench.run.using.replacing import INSTEAD, check_free, make_folder
from smlmbench.run.using.writing import Written
from smlmbench.tasks.contracts.predicting import Predicted


def writes_its_own(task: str, catalog: Catalog) -> bool:
    """Whether a task writes the results of its networks itself."""
    return task in catalog.names("tasks") and bool(catalog.card("tasks", task).facts.get("predicts"))


@dataclass
class Opened:
    """A user's file, opened when it is asked for and closed with the stack."""

    request: Request
    catalog: Catalog
    facts: Mapping[str, Any]  # of the network
    pixel_nm: float  # of its training
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def path(self) -> Path:
        """The file."""
        return self.request.movie

    @cached_property
    def frames(self) -> Frames:
        """As a movie: those of its frames that are asked for, calibrated where the network takes photons."""
        check_units(self.request, self.facts, self.pixel_nm)
        movie = self.stack.enter_context(mending(open_movie(self.path, catalog=self.catalog), self.request.bad_pixels))
        frames: Frames = calibrated(movie, self.request.camera if self.facts["calibrated"] else None)
        return frames if self.request.frames is None else window(frames, frames=self.request.frames)

    def table(self) -> Localizations:
        """As a table."""
        return _table(self.path, self.request.pixel_size_nm, self.catalog)


def predict_by_task(
    request: Request, catalog: Catalog, on_units: Callable[[int, int], None], crew: Crew | None = None
) -> Written:
    """Let the task of a request's network write its results.

    Raises:
        ConfigError: Options that such a task does not have.
        FormatError: Results stand there and may not be replaced, or the file is not what the task needs.
        UnitError: Pixel size or camera do not fit what the network was trained on.
    """
    device, model, read_out = ready(request, catalog)
    task = tasks.load(str(model.facts["task"]), catalog)
    if crew is not None and not crew.slots.inline:
        raise ConfigError(f"networks of task {task.name} take no workers; leave --workers and --cluster out")
    given = Opened(request, catalog, model.facts, model.read_out.pixel_nm)
    asked = Predicted(
        given=given,
        places=None if request.places is None else _table(request.places, request.pixel_size_nm, catalog),
        tuned=model.facts.get("tuned", {}),
        pixel_size_nm=read_out.pixel_nm,
        unit_sides=tuple(model.facts.get("unit_sides", ())),
        folder=request.output,
        stem=request.movie.stem,
        on_units=on_units,
    )
    make_folder(request.output)
    if not request.overwrite:
        check_free([asked.path(str(ending)) for ending in task.card.facts["predicts"]], INSTEAD)
    with closing(given.stack):
        files = task.predict(Answering(model.network, read_out, device), asked)
    return Written(None, None, 0, 0, files=tuple(files))


def _table(path: Path, pixel_size_nm: float | None, catalog: Catalog) -> Localizations:
    return read_table(path, catalog=catalog, options=TableOptions(pixel_size_nm=pixel_size_nm))
