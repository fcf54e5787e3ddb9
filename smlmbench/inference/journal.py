"""Results of a movie on disk while they come, so that a prediction that was stopped continues where it was.

Beside the results stand, until they are complete: the table so far (`.part`), the summed image so far, and a journal
that says how many frames both of them hold. The journal is replaced last and in one step: what it says is on disk.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smlmbench.inference.engine import Piece
from smlmbench.predictions import Localizations

COMMIT_S = 5.0
MOST_TIME_SHARE = 0.05

Append = Callable[[Localizations, Path, int], None]


def working_files(table: Path) -> tuple[Path, Path]:
    """The journal of a table that is not finished, and its rows so far."""
    return table.with_name(table.name + ".journal.json"), table.with_name(table.name + ".part")


class Journal:
    """Collects pieces of what will be a finished `table`; `done` is the first frame that is still to be predicted.

    Results of another identity (all that they depend on) are begun anew. `append` adds rows to a table on disk, given
    the number of rows that it has.
    """

    def __init__(self, table: Path, identity: Mapping[str, Any], append: Append) -> None:
        self._path, self.part = working_files(table)
        self._identity = json.loads(json.dumps(dict(identity), default=str))
        self._append = append
        self.done = self.rows = 0
        self.image: NDArray[np.float64] | None = None  # the sum so far
        self._turn, self._wait_s = 0, COMMIT_S
        self._committed_at = time.monotonic()
        self._read()
        self.resumed = self.done  # frames that an earlier process had finished

    def _read(self) -> None:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            same = said["identity"] == self._identity
            if same and said["rows"]:
                os.truncate(self.part, said["table_bytes"])
            if same and said["image"]:
                self.image = np.load(self._path.with_name(said["image"]), allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if not same:
            self.image = None
            self.part.unlink(missing_ok=True)
            return
        self.done, self.rows, self._turn = int(said["done"]), int(said["rows"]), int(said["turn"])
        if not self.rows:
            self.part.unlink(missing_ok=True)

    def add(self, piece: Piece) -> None:
        """Take over what a block of frames gave; from time to time it is made safe."""
        if piece.table is not None and len(piece.table):
            self._append(piece.table, self.part, self.rows)
            self.rows += len(piece.table)
        if piece.image is not None:
            if self.image is None:
                self.image = np.zeros_like(piece.image)
            self.image += piece.image
        self.done = piece.stop
        if time.monotonic() - self._committed_at > self._wait_s:
            self.commit()

    def commit(self) -> None:
        """Make what was taken over safe against a sudden end."""
        began = time.monotonic()
        self._turn += 1
        image = None
        if self.image is not None:
            image = f"{self._path.stem}.{self._turn % 2}.npy"
            np.save(self._path.with_name(image), self.image)
        said = {
            "identity": self._identity,
            "done": self.done,
            "rows": self.rows,
            "table_bytes": self.part.stat().st_size if self.rows else 0,
            "image": image,
            "turn": self._turn,
        }
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(json.dumps(said), encoding="utf-8")
        fresh.replace(self._path)
        self._committed_at = time.monotonic()
        self._wait_s = max(COMMIT_S, (self._committed_at - began) / MOST_TIME_SHARE)

    def close(self) -> None:
        """Remove what only a continuation needs; the table's part is the caller's to move."""
        for turn in (0, 1):
            self._path.with_name(f"{self._path.stem}.{turn}.npy").unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)
