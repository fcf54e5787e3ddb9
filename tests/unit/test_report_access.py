"""How a page names its store, and where it leads to MLflow."""

import re

import pytest
from report_record import full_builder

from smlmbench.report.access import Access
from smlmbench.report.page import build_report
from smlmbench.tracking.location import resolve
from smlmbench.tracking.store import Store


def store_at(location):
    where = resolve(location)
    return Store(where.uri, where.home, served=where.database is None)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("mlruns", ()),
        ("a store", ("--store", "a store")),
        ("a/b", ("--store", "a/b")),
        ("http://ann:secret@host:5000", ("--store", "http://host:5000")),
    ],
)
def test_a_store_is_named_as_seen_from_the_working_folder(tmp_path, monkeypatch, location, words):
    monkeypatch.chdir(tmp_path)
    assert Access.of(store_at(location)).store == words


def test_a_store_elsewhere_is_named_by_its_whole_path(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (tmp_path / "mlruns", tmp_path / "here"):
        words = Access.of(store_at(place)).store
        assert words == ("--store", str(place))
        assert resolve(words[1]) == resolve(place)
    other = f"sqlite:///{tmp_path}/other.db"
    assert Access.of(store_at(other)).store == ("--store", other)


def page(tmp_path, access):
    record = full_builder(tmp_path).record
    return build_report(record, tmp_path / "out", access=access).html.read_text(encoding="utf-8")


def test_a_folder_has_a_command_and_no_link_to_charts(tmp_path):
    text = page(tmp_path, Access(("--store", "my store")))
    head = text[: text.index("</header>")]
    assert "<code>smlmbench ui --store &#39;my store&#39;</code>" in head
    assert not re.search(r'href="http', head)
    assert "Run ids open in MLflow while <code>smlmbench ui --store &#39;my store&#39;</code> runs." in text


def test_a_server_has_a_link_to_the_charts_of_our_view(tmp_path):
    text = page(tmp_path, Access.of(store_at("http://ann:secret@host:5000")))
    head = text[: text.index("</header>")]
    address = "http://host:5000/#/experiments/7/runs?compareRunsMode=CHART&amp;workflowType=machine_learning"
    assert f'<a href="{address}&amp;viewStateShareKey=smlmbench">Charts in MLflow</a>' in head
    assert "smlmbench ui" not in text
    assert "secret" not in text
    assert 'href="http://host:5000/#/experiments/7/runs/run-c000-0"' in text


def test_nothing_scored_has_no_view_to_open(tmp_path):
    record = full_builder(tmp_path).record
    record.runs = []
    text = build_report(record, tmp_path / "out", access=Access(server="http://host:5000")).html.read_text()
    assert "compareRunsMode=CHART" in text
    assert "viewStateShareKey" not in text
