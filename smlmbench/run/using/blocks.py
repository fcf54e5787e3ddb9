"""The pieces of a movie: made in this process, or as blocks of frames in workers that open the movie themselves.

What travels to a worker is the request and the numbers of frames; what comes back are rows and one summed image for a
block. Both ways read the same batches, measure alike and add up in the same order, so the results are the same.
"""

import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.engine.contracts import DONE, FAILED, Hooks, Result, Spec
from smlmbench.engine.link import current
from smlmbench.engine.slots import set_threads
from smlmbench.errors import EngineError, LossWarning, SmlmBenchError, UserError, one_line
from smlmbench.inference.engine import Piece
from smlmbench.movies import Frames, MendedMovie, Movie
from smlmbench.predictions import Raster
from smlmbench.registry import Catalog
from smlmbench.registry.carried import packed_catalog, unpacked_catalog
from smlmbench.run.progress import Reporter, retell
from smlmbench.run.slots import Slots, open_workers
from smlmbench.run.using.measuring import Measurer
from smlmbench.run.using.replacing import Record
from smlmbench.tasks.contracts.fits import Fitting

WAITING_BYTES = 2**31  # of images that came before their turn


@dataclass(frozen=True, slots=True)
class Crew:
    """Where blocks are made, and who is told of it."""

    slots: Slots
    reporter: Reporter


@dataclass(frozen=True, slots=True)
class Source:
    """What makes the pieces of one movie, opened in one process."""

    opener: "Callable[[Any, Catalog], AbstractContextManager[Source]]"  # what opened it ...
    request: Any  # ... and for which request: both travel to the workers
    movie: Movie
    shown: Frames  # the frames that are asked for; pieces count from 0 there
    total: int  # number of all frames
    record: Record
    block: int  # frames that a worker makes at once, and whose images are summed alone
    pieces: Callable[[int, int], Iterator[Piece]]  # of a first frame and the one after the last, without frames
    pixel_nm: float
    measure: Measurer | None = None
    look: Callable[[], None] = lambda: None  # what is learned before the first piece
    raster: Callable[[NDArray[np.float64]], Raster] | None = None  # of the summed image; None where there is none
    keeps_table: bool = True
    first: int = 0  # number of the first frame that is asked for
    fit: Callable[[], Fitting | None] = lambda: None  # how the movie compares with what the network was trained on


@dataclass(slots=True)
class Made:
    """What a worker made of a block, up to its end or to an error."""

    pieces: list[Piece] = field(default_factory=list)  # where the block is whole, the last has the sum of all images
    error: Exception | None = None
    said: list[tuple[type[Warning], str]] = field(default_factory=list)
    replaced: dict[int, int] = field(default_factory=dict)  # bad pixels by frame
    measured: tuple[float, bool, bool] | None = None
    seconds: float = 0.0

    @property
    def image_bytes(self) -> int:
        """Memory of the images."""
        return sum(piece.image.nbytes for piece in self.pieces if piece.image is not None)


def make(source: Source, catalog: Catalog, first: int, take: Callable[..., None], crew: Crew | None) -> None:
    """Make the pieces from frame `first` on; `take` gets one or more of them in the order of the movie.

    Raises:
        EngineError: Workers do not start or die again and again, or see another movie or network.
        SmlmBenchError: As from the pieces made here; `take` had all that came before.
    """
    if crew is None or crew.slots.inline:
        for piece in source.pieces(first, source.shown.n_frames):
            take(piece)
        return
    here = {each.name: getattr(source.request, each.name) for each in fields(source.request)}
    request = replace(source.request, **{name: at.absolute() for name, at in here.items() if isinstance(at, Path)})
    with open_workers(crew.slots, crew.reporter.line, "blocks") as workers:
        from distributed.protocol.pickle import dumps

        learned = None if source.measure is None else dumps(source.measure.learned)
        packed = {
            "plugins": tuple(map(tuple, packed_catalog(catalog))),
            "packed": dumps((source.opener, request, source.record.identity, learned)),
        }
        turns = _Turns(source, first, take)
        hooks = Hooks(
            pack=lambda spec: {**spec, **packed},
            held_back=turns.held_back,
            on_event=lambda message: None if message["kind"] == "begun" else retell(crew.reporter, message, {}),
            ahead=1,
        )
        workers.map_cells(run_block, turns.specs(), on_result=turns.landed, hooks=hooks)
        if turns.next < source.shown.n_frames:
            raise EngineError(f"frames from {turns.next + 1} on were not made; the same command continues")
        if not workers.ours:
            workers.client.run(_source.cache_clear, on_error="ignore")  # memory of a card, and the open file


class _Turns:
    """Blocks in the order of the movie, whichever worker is first; few are sent before their turn."""

    def __init__(self, source: Source, first: int, take: Callable[..., None]) -> None:
        self._source, self.next, self._take = source, first, take
        self._early: dict[int, Made] = {}
        self._told: set[str] = set()

    def specs(self) -> list[Spec]:
        first, block, last = self.next, self._source.block, self._source.shown.n_frames
        bounds = [first, *range((first // block + 1) * block, last, block), last]
        return [
            {"id": f"frames {a + 1}-{b}", "start": a, "stop": b, "whole": a % block == 0} for a, b in pairwise(bounds)
        ]

    def held_back(self) -> int:
        waiting = sum(made.image_bytes for made in self._early.values())
        return len(self._early) if waiting < WAITING_BYTES else sys.maxsize

    def landed(self, spec: Spec, result: Result) -> None:
        made: Made | None = dict(result).get("made")
        if result["status"] == FAILED and made is None:
            made = Made(error=EngineError(f"{spec['id']}: {result['reason']}; the same command continues what is left"))
        if made is not None:
            self._early[spec["start"]] = made
        if isinstance(result, dict):
            result.pop("made", None)  # the engine keeps its results to the end
        while self.next in self._early:
            self._join(self._early.pop(self.next))

    def _join(self, made: Made) -> None:
        source = self._source
        for category, text in made.said:
            if text not in self._told:
                warnings.warn(text, category, stacklevel=2)
            self._told.add(text)
        if isinstance(source.movie, MendedMovie):
            source.movie.replaced.update(made.replaced)
        if source.measure is not None and made.measured is not None:
            source.measure.count(*made.measured, elsewhere_s=made.seconds)
        if made.pieces:
            self._take(*made.pieces)
            self.next = made.pieces[-1].stop
        if made.error is not None:
            raise made.error


def run_block(spec: Spec) -> Result:
    """Make a block in a worker, see `Made`.

    Raises:
        KeyboardInterrupt: It was asked to end.
    """
    began, made = time.perf_counter(), Made()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", LossWarning)
        try:
            _collect(_source(spec["plugins"], spec["packed"])[1], spec, made)
        except Exception as error:
            made.error = _sendable(error)
    made.said = [(each.category, str(each.message)) for each in said if issubclass(each.category, LossWarning)]
    made.seconds = time.perf_counter() - began
    return {"status": DONE if made.error is None else FAILED, "made": made}


def _collect(source: Source, spec: Spec, made: Made) -> None:
    mended = source.movie.replaced if isinstance(source.movie, MendedMovie) else {}
    mended.clear()
    total: NDArray[np.float64] | None = None
    try:
        for piece in source.pieces(spec["start"], spec["stop"]):
            if current().stop.is_set():
                raise KeyboardInterrupt
            if spec["whole"] and piece.image is not None:
                total = piece.image if total is None else total + piece.image
            made.pieces.append(replace(piece, image=None) if spec["whole"] else piece)
    finally:
        if total is not None:
            made.pieces[-1] = replace(made.pieces[-1], image=total)
        made.replaced = dict(mended)
        made.measured = None if source.measure is None else source.measure.spent()


@lru_cache(maxsize=1)
def _source(plugins: tuple[tuple[str, str], ...], packed: bytes) -> tuple[object, Source]:
    """What opened the movie in this process and holds it open, and the source."""
    from distributed.protocol.pickle import loads

    set_threads()
    opener, request, identity, learned = loads(packed)
    host = socket.gethostname()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the command has said it
        try:
            held = opener(request, unpacked_catalog(plugins))
            source: Source = held.__enter__()
        except UserError as error:
            said = "workers open the movie and the network by the paths of the command"
            raise type(error)(f"worker on {host}: {error} ({said})") from None
    if source.record.identity != identity:
        raise EngineError(
            f"worker on {host}: '{request.movie}' or the network is not that of this command; give all the same files"
        )
    if source.measure is not None:
        source.measure.learned = loads(learned)  # after its task was imported, which may be a plug-in
    return held, source


def _sendable(error: Exception) -> Exception:
    """An error as the command can raise it."""
    from distributed.protocol.pickle import dumps, loads

    try:
        loads(dumps(error))
    except Exception:
        return SmlmBenchError(f"{type(error).__name__}: {one_line(error)}")
    return error
