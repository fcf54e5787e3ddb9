import dataclasses

import pytest
from report_record import BOTH, Builder, frames

from smlmbench.report import files
from smlmbench.report.access import Access
from smlmbench.report.files import as_before, fingerprint, remember
from smlmbench.report.page import build_report


@pytest.fixture
def record(tmp_path):
    builder = Builder(tmp_path, {"low": BOTH["low"]})
    builder.done(builder.cell("good"), {"low": frames(0.9, 20)}, val=80.0, ms=2.0)
    builder.done(builder.cell("fair"), {"low": frames(0.5, 20)}, val=40.0, ms=1.0)
    return builder.record


def test_files_are_as_before_until_one_is_changed(record, tmp_path):
    out, made_of = tmp_path / "out", fingerprint(record, Access())
    assert as_before(out, made_of) is None
    made = build_report(record, out)
    assert as_before(out, made_of) is None
    remember(made, made_of)
    assert as_before(out, made_of) == made
    assert as_before(out, made_of[::-1]) is None
    for kind in files.KINDS:
        path = getattr(made, kind)
        held = path.read_bytes()
        path.write_bytes(held + b" ")
        assert as_before(out, made_of) is None
        path.write_bytes(held)
    assert as_before(out, made_of) is not None
    (out / files.MADE_OF).write_text("[]")
    assert as_before(out, made_of) is None


def test_whatever_a_page_shows_changes_what_it_is_made_of(record, monkeypatch, tmp_path):
    first, *others = record.runs
    changes = {
        "status": "failed",
        "reason": "it did",
        "metrics": {**first.metrics, "test/efficiency": 1.0},
        "params": {**first.params, "lambda": "7"},
        "tags": {**first.tags, "smlmbench.superseded_by": "x"},
    }
    accesses = [Access(), Access(server="http://elsewhere:1"), Access(("--store", "a store"))]
    seen = {fingerprint(record, access) for access in accesses}
    for name, value in changes.items():
        changed = dataclasses.replace(record, runs=[dataclasses.replace(first, **{name: value}), *others])
        seen.add(fingerprint(changed, Access()))
    seen.add(fingerprint(dataclasses.replace(record, runs=others), Access()))
    seen.add(fingerprint(dataclasses.replace(record, plan={**record.plan, "seed": 99}), Access()))
    plugin = tmp_path / "net.py"
    plugin.write_text("1")
    planned = dataclasses.replace(record, plan={**record.plan, "plugins": [str(plugin)]})
    seen.add(fingerprint(planned, Access()))
    plugin.write_text("11")
    seen.add(fingerprint(planned, Access()))
    monkeypatch.setattr(files, "PACKAGE", tmp_path)
    seen.add(fingerprint(record, Access()))
    assert len(seen) == len(changes) + 8
