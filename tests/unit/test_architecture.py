"""docs/architecture.md says what the code does: its files, rooms, layers and functions are those of the package."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from smlmbench.conformance.cards import FUNCTIONS
from smlmbench.registry import ROOMS, Catalog

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROWS = {row[1].strip("` "): row for row in (line.strip("|").split("|") for line in TEXT.splitlines() if "| `" in line)}


def test_every_path_is_there():
    paths = set(re.findall(r"`((?:smlmbench|tests|docs)/[\w./-]+)`", TEXT))
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    "line", re.findall(r"^ +([\w/]+?)(?:\.py)? +(\w+)  ", TEXT.partition("## Rooms")[0], re.MULTILINE)
)
def test_every_station_is_there(line):
    path, function = line
    module = import_module(f"smlmbench.{path.replace('/', '.')}")
    if path == "run/timing":
        module = import_module("smlmbench.run.timing.timings")
    assert callable(getattr(module, function))


def test_the_layers_are_those_that_are_checked():
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    listed = re.search(r"checks it\.\n\n(.*?)\n\n", TEXT, re.DOTALL).group(1)
    assert [re.split(r"  +", line.strip())[0] for line in listed.splitlines()] == layers


def test_every_room_has_a_row_with_its_functions():
    assert set(ROWS) == set(ROOMS)
    for room, names in FUNCTIONS.items():
        assert [name for name in names if f"`{name}(" not in ROWS[room][3]] == [], room


@pytest.mark.parametrize("room", [room for room in ROOMS if "fact" in ROWS[room][2]])
def test_facts_of_the_table_are_on_every_card(room):
    catalog = Catalog()
    named = [name.strip() for name in re.sub(r"^ *facts? ", "", ROWS[room][2]).split(",")]
    for name in catalog.names(room):
        facts = catalog.card(room, name).facts
        assert [fact for fact in named if fact not in facts] == [], name
