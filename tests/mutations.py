"""Broken files of every registered format: read, or refused in one line, soon and within bounds of memory.

`python tests/mutations.py 5000 [SEED]` breaks that many files and tells the slowest and the largest.
"""

import contextlib
import json
import os
import random
import re
import selectors
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from samples import makers

from smlmbench.camera import Camera
from smlmbench.errors import LossWarning, SmlmBenchError
from smlmbench.formats import TableOptions, companions, kinds, open_movie, read_image, read_table
from smlmbench.registry import Catalog

MOST_S, MOST_MB, HANGS_S = 5.0, 1024, 180.0
MOST_ADDRESSES_MB = 8192  # may be asked for, and left untouched
OPTIONS = (
    TableOptions(),
    TableOptions(pixel_size_nm=100.0, camera=Camera(kind="scmos"), first_frame=0, origin="corner"),
)
EXTREME = ("1e300", "NaN", "-1", "", "1e-320", "-inf", "99999999999999999999", "0", "4294967296", "2.5", "x")
WORDS = (b"\0" * 8, b"\xff" * 8, b"\0\0\0\x80", b"\xff\xff\xff\x7f", b"\0\0\0\0\x01\0\0\0", b"\x01")
NUMBER = re.compile(rb"-?\d+\.?\d*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Outcome:
    """What became of one broken file."""

    case: str  # format, sample and seed
    ended: str  # read, refused, or what is wrong
    said: str
    seconds: float  # of the processor
    megabytes: float  # of memory above what the formats themselves need


def broken(content: bytes, draws: random.Random) -> bytes:
    """One to three faults put into the content of a file."""
    for _ in range(draws.choice((1, 1, 1, 2, 3))):
        content = draws.choice(FAULTS)(content, draws)
    return content


def _flip(content: bytes, draws: random.Random) -> bytes:
    out, end = bytearray(content), draws.choice((64, 512, len(content)))
    for _ in range(draws.choice((1, 2, 8, 64)) if out else 0):
        out[draws.randrange(min(end, len(out)))] ^= 1 << draws.randrange(8)
    return bytes(out)


def _word(content: bytes, draws: random.Random) -> bytes:
    at, word = draws.randrange(len(content) + 1), draws.choice(WORDS)
    return content[:at] + word + content[at + len(word) :]


def _cut(content: bytes, draws: random.Random) -> bytes:
    return content[: draws.choice((0, 1, draws.randrange(len(content) + 1), len(content) - 1))]


def _piece(content: bytes, draws: random.Random) -> bytes:
    start, stop = sorted(draws.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[start:stop] * draws.choice((0, 2, 3)) + content[stop:]


def _lines(content: bytes, draws: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    at = draws.randrange(len(lines)) if lines else 0
    kept = draws.choice(([], lines[at : at + 1] * 3, [b"\n"], [b'"' + b"".join(lines[at : at + 1])]))
    return b"".join([*lines[:at], *kept, *lines[at + 1 :]])


def _head(content: bytes, draws: random.Random) -> bytes:
    head, end, rest = content.partition(b"\n")
    letters = bytearray(head)
    for _ in range(min(len(letters), 5)):
        letters[draws.randrange(len(letters))] = draws.choice(b'xX[](),;\t" #0-\xb5\xff\0')
    return bytes(letters) + end + rest


def _number(content: bytes, draws: random.Random) -> bytes:
    found = list(NUMBER.finditer(content))
    if not found:
        return content
    place = draws.choice(found)
    return content[: place.start()] + draws.choice(EXTREME).encode() + content[place.end() :]


def _junk(content: bytes, draws: random.Random) -> bytes:
    junk = draws.randbytes(draws.choice((1, 40, 5000)))
    return draws.choice((content + junk, junk + content, junk))


FAULTS = (_flip, _flip, _word, _word, _cut, _piece, _lines, _head, _number, _number, _number, _junk)


def cases(count: int, seed: int, catalog: Catalog) -> Iterator[tuple[str, str, int]]:
    """Format, name of the case and number of its sample: all formats in turn."""
    names = catalog.names("formats")
    for number in range(count):
        name = names[number % len(names)]
        yield name, f"{name}/{seed}/{number}", number // len(names) % len(makers(catalog, name))


def attempt(name: str, path: Path, named: bool, options: TableOptions, catalog: Catalog) -> str:
    """Read all that a file holds through the room's own door; how that ended."""
    holds, format_ = catalog.card("formats", name).facts["holds"], name if named else None
    try:
        kinds(path, catalog=catalog)
        companions(path)
        if holds == "table":
            read_table(path, catalog=catalog, format=format_, options=options)
        elif holds == "image":
            read_image(path, catalog=catalog, format=format_)
        else:
            with contextlib.closing(open_movie(path, catalog=catalog, format=format_)) as movie:
                for start in (0, max(0, movie.n_frames - 20)):
                    movie.read(start, min(start + 20, movie.n_frames))
    except SmlmBenchError as error:
        text = str(error)
        return "refused" if "\n" not in text and "MemoryError" not in text else f"said in lines: {text!r}"
    return "read"


def one(name: str, case: str, sample: dict[str, bytes], first: str, catalog: Catalog) -> Outcome:
    """Break one file of a sample and read it."""
    draws = random.Random(case)
    target = draws.choice(sorted(sample))
    with tempfile.TemporaryDirectory() as folder:
        for file, content in sample.items():
            (Path(folder) / file).parent.mkdir(exist_ok=True)
            (Path(folder) / file).write_bytes(broken(content, draws) if file == target else content)
        _forget_peak()
        before, began = _peak_mb(), time.process_time()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                ended = attempt(name, Path(folder) / first, draws.random() < 0.5, draws.choice(OPTIONS), catalog)
            except BaseException as error:
                ended = f"{type(error).__name__}: {error}"
    seconds, megabytes = time.process_time() - began, _peak_mb() - before
    known = (LossWarning, ResourceWarning)  # the second is silent by default, and told of whatever came before
    strange = [f"{each.category.__name__}: {each.message}" for each in caught if each.category not in known]
    if strange and ended in ("read", "refused"):
        ended = f"warned: {strange[0]}"
    if seconds > MOST_S or megabytes > MOST_MB:
        ended = f"{ended}, too much"
    return Outcome(case, ended, ", ".join(strange), seconds, megabytes)


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> float:
    """Peak of resident memory since `_forget_peak`, on Linux; elsewhere since the beginning."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def child(first: int, count: int, seed: int) -> None:
    """Break files first .. count - 1 and write one line of JSON each; far too much memory is not given at all."""
    warnings.simplefilter("ignore")
    catalog, samples = Catalog(), dict[tuple[str, int], tuple[dict[str, bytes], str]]()
    listed = list(cases(count, seed, catalog))
    for name, _, number in listed:
        if (name, number) not in samples:
            with tempfile.TemporaryDirectory() as folder:
                path = makers(catalog, name)[number](Path(folder))
                found = [file for file in Path(folder).rglob("*") if file.is_file()]
                content = {str(file.relative_to(folder)): file.read_bytes() for file in found}
                samples[name, number] = content, str(path.relative_to(folder))
    for (name, _), (content, start) in samples.items():  # so that what is imported counts for no case
        one(name, f"{name}/warm", content, start, catalog)
    with contextlib.suppress(ImportError, OSError):
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MOST_ADDRESSES_MB * 2**20,) * 2)
    for name, case, number in listed[first:]:
        print(json.dumps(asdict(one(name, case, *samples[name, number], catalog))), flush=True)


def run(count: int, seed: int) -> list[Outcome]:
    """Break files in a process of its own; one that stops telling is ended, and begun anew behind that file."""
    outcomes: list[Outcome] = []
    listed = list(cases(count, seed, Catalog()))
    while len(outcomes) < count:
        words = [sys.executable, __file__, "--child", str(len(outcomes)), str(count), str(seed)]
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        with (
            tempfile.TemporaryFile("w+") as told,
            subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=told, env={**os.environ, "PYTHONPATH": path}
            ) as process,
        ):
            before = len(outcomes)
            outcomes += _heard(process)
            process.kill()
            process.wait()
            told.seek(0)
            stray = told.read().strip()
        if len(outcomes) < count:
            why = f"hung for {HANGS_S:g} s or died" + (f": {stray[-300:]}" if stray else "")
            outcomes.append(Outcome(listed[len(outcomes)][1], why, "", HANGS_S, 0.0))
        elif stray:
            outcomes[before] = Outcome(outcomes[before].case, f"wrote: {stray[-300:]}", "", 0.0, 0.0)
    return outcomes


def _heard(process: "subprocess.Popen[bytes]") -> Iterator[Outcome]:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        left = b""
        while selector.select(HANGS_S) and (content := os.read(process.stdout.fileno(), 1 << 16)):
            *lines, left = (left + content).split(b"\n")
            yield from (Outcome(**json.loads(line)) for line in lines)


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """How many ended how, the slowest, the largest, and all that are wrong."""
    slow, large = max(outcomes, key=lambda one: one.seconds), max(outcomes, key=lambda one: one.megabytes)
    return {
        "ended": dict(Counter(one.ended for one in outcomes if one.ended in ("read", "refused"))),
        "slowest": f"{slow.seconds:.2f} s, {slow.case}",
        "largest": f"{large.megabytes:.0f} MB, {large.case}",
        "wrong": {one.case: one.ended for one in outcomes if one.ended not in ("read", "refused")},
    }


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(*map(int, sys.argv[2:]))
    else:
        told = summary(run(int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 1))
        print(json.dumps(told, indent=1))
        sys.exit(bool(told["wrong"]))
