"""What a command may write over: nothing that stands there, unless it is told to, or it is of the same movie.

Results of a movie have a record beside them, `<movie>_predict.json`: which movie, known by its content, which model and
which settings they are of. It is written before the work, so that work which was stopped is known too, and stays.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smlmbench.errors import FormatError, unwritable
from smlmbench.movies import Movie, pixel_digest
from smlmbench.version import __version__

TOLD = 3  # differences that a message names
INSTEAD = "give another folder with --output"


def check_free(files: Iterable[Path], instead: str = "give another name") -> None:
    """Refuse to replace files that are there.

    Raises:
        FormatError: The first of them; `instead` says what else to do.
    """
    taken = next((file for file in files if file.exists()), None)
    if taken is not None:
        raise _exists(taken, instead=instead)


def recorded(movie: Path, folder: Path) -> dict[str, Any]:
    """What a folder's record says of the results of a movie of this name; empty where there is none."""
    path = record_path(movie, folder)
    return _parsed(path.read_text("utf-8", errors="replace")) if path.is_file() else {}


def record_path(movie: Path, folder: Path) -> Path:
    """Where the record of a movie's results lies."""
    return folder / f"{movie.stem}_predict.json"


def make_folder(folder: Path) -> None:
    """Make a folder for what is written, where it is not there yet.

    Raises:
        FormatError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(f"--output '{folder}' cannot be made: {error.strerror}; give a folder") from None


class Record:
    """The record of results in a folder.

    Args:
        movie: Opened; what they are of.
        folder: Where they are written; it exists.
        model: What tells one model from another, in plain values; `name` is for people.
        settings: All else that they depend on, in plain values.
    """

    def __init__(self, movie: Movie, folder: Path, model: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        self.path = record_path(movie.path, folder)
        shown = {"name": movie.path.name, "folder": str(movie.path.absolute().parent), "digest": pixel_digest(movie)}
        self._said: dict[str, Any] = _plain({"movie": shown, "model": model, "settings": settings})
        self._replaced: str | None = None  # the record that stood there

    @property
    def identity(self) -> dict[str, Any]:
        """All that the results depend on."""
        return {**self._said, "movie": self._said["movie"]["digest"]}

    def begin(self, results: Sequence[Path], working: Sequence[Path] = (), *, overwrite: bool) -> None:
        """Claim the folder for these results; `working` are files that stand only while the work is unfinished.

        Raises:
            FormatError: Something else stands there and `overwrite` is not set: results of another movie or model, of
                other settings, or without a record; or the record cannot be written.
        """
        self._replaced = self.path.read_text("utf-8", errors="replace") if self.path.is_file() else None
        earlier = _parsed(self._replaced)
        known = self._files(earlier)
        other = self._other(earlier) if earlier else ""
        standing = next((file for file in known if file.exists()), None if earlier.get("finished") else self.path)
        if not overwrite:
            if other and standing is not None:
                raise _exists(standing, f", {other}")
            unclaimed = () if earlier else (self.path, *working)
            check_free([file for file in (*results, *unclaimed) if file not in known], INSTEAD)
        # Of two commands that begin at once with one name, the second finds the record of the first.
        self._write([*(() if other else known), *results], finished=False, new=self._replaced is None)

    def finish(self, results: Sequence[Path]) -> None:
        """Say that these are whole, beside those of an earlier command with the same origin."""
        known = self._files(_parsed(self.path.read_text(encoding="utf-8")))
        self._write([file for file in (*known, *results) if file.exists()], finished=True)

    def withdraw(self) -> None:
        """Leave the folder as it was before `begin`: nothing was done."""
        if self._replaced is None:
            self.path.unlink(missing_ok=True)
        else:
            self.path.write_text(self._replaced, encoding="utf-8")

    def _files(self, said: Mapping[str, Any]) -> list[Path]:
        return [self.path.with_name(name) for name in said.get("files", [])]

    def _write(self, files: Iterable[Path], *, finished: bool, new: bool = False) -> None:
        names = list(dict.fromkeys(file.name for file in files))
        said = {"program": "smlmbench", "version": __version__, **self._said}
        text = json.dumps({**said, "files": names, "finished": finished}, indent=2, ensure_ascii=False) + "\n"
        try:
            with self.path.open("x" if new else "w", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise _exists(self.path) from None
        except OSError as error:
            raise unwritable("record", self.path, error) from None

    def _other(self, earlier: Mapping[str, Any]) -> str:
        """What an earlier record is of instead, as a clause; "" where it is of the same."""
        movie = earlier["movie"]
        if movie.get("digest") != self._said["movie"]["digest"]:
            return f"of another movie: '{Path(str(movie.get('folder', '')), str(movie.get('name', '')))}'"
        for part, head in (("model", "model "), ("settings", "")):  # another model has other settings
            theirs, ours = (dict(_flat(said[part], head)) for said in (earlier, self._said))
            changed = [key for key in dict.fromkeys((*theirs, *ours)) if theirs.get(key) != ours.get(key)]
            told = [f"{key} {_word(theirs.get(key))} (now {_word(ours.get(key))})" for key in changed[:TOLD]]
            told += [f"{len(changed) - TOLD} more"] if len(changed) > TOLD else []
            if changed:
                return f"of this movie with {', '.join(told)}"
        return ""


def _exists(file: Path, what: str = "", instead: str = INSTEAD) -> FormatError:
    return FormatError(f"'{file}' exists already{what}; {instead}, or --overwrite")


def _parsed(text: str | None) -> dict[str, Any]:
    """What a record says; empty where there is none or it is not one of ours."""
    try:
        said = json.loads(text or "")
        whole = all(isinstance(said.get(part), Mapping) for part in ("movie", "model", "settings"))
        return said if whole and all(Path(name).name == name for name in said["files"]) else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _plain(value: Any) -> Any:
    """Plain values as JSON gives them back; NaN, which is unlike itself, becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


def _flat(value: Mapping[str, Any], head: str = "") -> Iterable[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{head}{key}.")
        else:
            yield f"{head}{key}", item


def _word(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)[:40]
