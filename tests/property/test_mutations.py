"""Broken files of every registered format end in success or in one line, soon and within bounds of memory."""

import os
import sys
from pathlib import Path

import pytest
from mutations import MOST_MB, MOST_S, broken, cases, one, run, summary
from samples import makers

from smlmbench.registry import Catalog

COUNT = int(os.environ.get("SMLMBENCH_MUTATIONS", "800"))
SEED = int(os.environ.get("SMLMBENCH_MUTATIONS_SEED", "1"))
ODD = """
import warnings
from pathlib import Path

CARD = {{
    "version": 1, "summary": "Odd.",
    "facts": {{"holds": "table", "suffixes": [".odd"], "writes": False, "first_frame": 0, "origin": "corner"}},
}}
FIRST_FRAME = 0


def recognises(path):
    return True


def read_table(path, options):
    {does}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="memory is bounded as on Linux")
def test_broken_files_are_read_or_refused_in_one_line():
    outcomes = run(COUNT, SEED)
    told = summary(outcomes)
    assert told["wrong"] == {}, told
    assert len(outcomes) == COUNT
    assert all(one.seconds < MOST_S and one.megabytes < MOST_MB for one in outcomes)
    assert min(told["ended"].values()) > COUNT / 20, told  # both happen


def test_every_registered_format_has_its_turn_and_its_samples():
    catalog = Catalog()
    names = catalog.names("formats")
    listed = list(cases(len(names) * 4, 1, catalog))
    for name in names:
        numbers = {number for other, _, number in listed if other == name}
        assert numbers == set(range(min(4, len(makers(catalog, name))))), name


@pytest.mark.parametrize(
    ("does", "ended"),
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("from smlmbench.errors import FormatError; raise FormatError('two\\nlines')", "said in lines"),
        ("warnings.warn('strange'); return None", "warned: UserWarning: strange"),
        ("from smlmbench.errors import FormatError; raise FormatError('one')", "refused"),
        ("return None", "read"),
        ("x = bytearray(1200 * 2**20); x[::4096] = x[::4096]; return None", "read, too much"),
    ],
)
def test_what_is_wrong_with_a_format_is_seen(tmp_path: Path, does: str, ended: str):
    (tmp_path / "formats").mkdir()
    path = tmp_path / "formats" / "odd.py"
    path.write_text(ODD.format(does=does))
    catalog = Catalog([path])
    with pytest.raises(KeyError):
        makers(catalog, "odd")  # a format that is only read brings a sample
    assert one("odd", "odd/1/1", {"a.odd": b"1 2 3\n"}, "a.odd", catalog).ended.startswith(ended)


def test_a_fault_is_that_of_its_seed_and_changes_something():
    import random

    content = b"frame,x [nm],y [nm]\n" + b"1,550,350\n" * 20
    made = [broken(content, random.Random(seed)) for seed in range(200)]
    assert made == [broken(content, random.Random(seed)) for seed in range(200)]
    assert sum(one != content for one in made) > 150
    assert broken(b"", random.Random(1)) is not None
