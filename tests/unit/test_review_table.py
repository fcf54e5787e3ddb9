"""`smlmbench list models --review-table`: the review's rows from the cards, and where the sources say otherwise."""

import json

from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.registry import Catalog
from smlmbench.registry.listing import REVIEWED, review_rows

CARD = """
CARD = {
    "version": 1,
    "summary": "Colours of crops",
    "output": "raster",
    "upsamples": "inside",
    "parameters": {"width=4": 12},
    "receptive_field_px": 1.0,
    "paper": "Someone 2019, Colours",
    "facts": {
        "review": {"row": 3, "input": "a crop", "training_data": "measured"},
        "review_says": {"input": "a frame"},
    },
}
"""


def test_rows_stand_in_the_order_of_the_review_with_what_it_says_instead(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "colours.py").write_text(CARD)
    rows = review_rows(Catalog([tmp_path / "models" / "colours.py"]))
    numbers = [row["row"] for row in rows]
    assert numbers == sorted(numbers)
    assert {1, 3, 4, 8, 12} <= set(numbers)
    ours = next(row for row in rows if row["name"] == "colours")
    assert (ours["input"], ours["output"], ours["parameters"]) == ("a crop", "", 12)
    assert ours["review_says"] == {"input": "a frame"}


def test_every_card_of_the_review_fills_its_columns():
    for row in review_rows(Catalog()):
        assert all(row[column] for column in REVIEWED), row["name"]
        assert row["paper"], row["name"]
        assert row["fidelity"] != "-", row["name"]


def test_the_command_prints_the_table_and_the_differences():
    done = CliRunner().invoke(app, ["list", "models", "--review-table"])
    assert done.exit_code == 0
    assert "row 8 decode, output: review_says 'image reconstruction'; sources_say 'set of emitters" in done.stdout
    as_json = json.loads(CliRunner().invoke(app, ["list", "models", "--review-table", "--json"]).stdout)
    assert [row["name"] for row in as_json] == [row["name"] for row in review_rows(Catalog())]
    refused = CliRunner().invoke(app, ["list", "losses", "--review-table"])
    assert refused.exit_code != 0
