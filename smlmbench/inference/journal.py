"""Results of a movie on disk while they come, so that a prediction that was stopped continues where it was.

Beside the results stand, until they are complete: the table so far (`.part`), the summed image so far, and a journal
that says how many frames both of them hold. The journal is replaced last and in one step: what it says is on disk.

A sum of floating-point numbers depends on their order. Every block of frames is summed alone before it joins the image
of the movie, so that nothing changes where a worker has summed it.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.inference.engine import Piece
from smlmbench.predictions import Localizations

COMMIT_S = 5.0
MOST_TIME_SHARE = 0.05
SUMS = {"image": "", "open": ".open"}  # of whole blocks and of the one that is not whole: how their files end

Append = Callable[[Localizations, Path, int], None]


def working_files(table: Path) -> tuple[Path, Path]:
    """The journal of a table that is not finished, and its rows so far."""
    return table.with_name(table.name + ".journal.json"), table.with_name(table.name + ".part")


class Journal:
    """Collects pieces of what will be a finished `table`; `done` is the first frame that is still to be predicted.

    Results of another identity (all that they depend on) are begun anew. `append` adds rows to a table on disk, given
    the number of rows that it has. `block` frames are summed alone.
    """

    def __init__(self, table: Path, identity: Mapping[str, Any], append: Append, block: int = 1) -> None:
        self._path, self.part = working_files(table)
        self._identity = json.loads(json.dumps(dict(identity), default=str))
        self._append, self._block = append, block
        self.done = self.rows = self._table_bytes = 0
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._turn, self._wait_s = 0, COMMIT_S
        self._torn = False  # a piece is half taken over
        self._committed_at = time.monotonic()
        self._read()
        self.resumed = self.done  # frames that an earlier process had finished

    def _read(self) -> None:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            same = said["identity"] == self._identity
            if same and said["rows"]:
                os.truncate(self.part, said["table_bytes"])
            if same:
                files = {name: self._path.with_name(said[name]) for name in SUMS if said.get(name)}
                self._sums = {name: np.load(file, allow_pickle=False) for name, file in files.items()}
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            self._sums = {}
            self.part.unlink(missing_ok=True)
            return
        self.done, self.rows, self._turn = int(said["done"]), int(said["rows"]), int(said["turn"])
        self._table_bytes = int(said["table_bytes"])
        if not self.rows:
            self.part.unlink(missing_ok=True)

    @property
    def image(self) -> NDArray[np.float64] | None:
        """The sum so far."""
        sums = [self._sums[name] for name in SUMS if name in self._sums]
        return sums[0] + sums[1] if len(sums) > 1 else next(iter(sums), None)

    def add(self, *pieces: Piece) -> None:
        """Take over what some frames gave, all pieces or none; from time to time it is made safe.

        A piece without an image is in the sum of a later one.
        """
        self._torn = True
        rows = self.rows
        for piece in pieces:
            if piece.table is not None and len(piece.table):
                self._append(piece.table, self.part, rows)
                rows += len(piece.table)
        for piece in pieces:
            if piece.image is not None:
                self._join("open", piece.image)
                if piece.stop // self._block > piece.start // self._block:
                    self._join("image", self._sums.pop("open"))
            self.done = piece.stop
        self.rows, self._table_bytes = rows, self.part.stat().st_size if rows else 0
        self._torn = False
        if time.monotonic() - self._committed_at > self._wait_s:
            self.commit()

    def _join(self, name: str, image: NDArray[np.float64]) -> None:
        self._sums[name] = self._sums[name] + image if name in self._sums else image

    def commit(self) -> None:
        """Make what was taken over safe against a sudden end; what was stopped half-way is taken over by the next."""
        if self._torn:
            return
        began = time.monotonic()
        self._turn += 1
        names = {name: self._array(name, self._turn % 2) for name in self._sums}
        for name, path in names.items():
            np.save(path, self._sums[name])
        said = {
            "identity": self._identity,
            "done": self.done,
            "rows": self.rows,
            "table_bytes": self._table_bytes,
            **{name: path.name for name, path in names.items()},
            "turn": self._turn,
        }
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(json.dumps(said), encoding="utf-8")
        fresh.replace(self._path)
        self._committed_at = time.monotonic()
        self._wait_s = max(COMMIT_S, (self._committed_at - began) / MOST_TIME_SHARE)

    def close(self) -> None:
        """Remove what only a continuation needs; the table's part is the caller's to move."""
        for name, turn in product(SUMS, (0, 1)):
            self._array(name, turn).unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def _array(self, name: str, turn: int) -> Path:
        return self._path.with_name(f"{self._path.stem}{SUMS[name]}.{turn}.npy")
