import base64
import json
import zlib

import pytest
from report_record import BOTH, Builder, frames
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.errors import ConfigError
from smlmbench.report.publish import report_study
from smlmbench.run.using.finding import study_name
from smlmbench.tracking import views
from smlmbench.tracking.records import read_study, search
from smlmbench.tracking.runs import open_run
from smlmbench.tracking.server import chart_link


@pytest.fixture
def filled(store, tmp_path):
    """A store with a study of two finished rows and one that failed."""
    folder = tmp_path / "fabricated"
    folder.mkdir()
    builder = Builder(folder, {"low": BOTH["low"]})
    builder.done(builder.cell("good"), {"low": frames(0.9, 20)}, val=80.0, ms=2.0)
    builder.done(builder.cell("fair"), {"low": frames(0.5, 20)}, val=40.0, ms=1.0)
    builder.run(builder.cell("broken"), "failed", reason="DivergedError: nan")
    number = store.ensure_experiment("demo")
    for fake in reversed(builder.runs):
        run = open_run(store, number, role="cell", name=fake.run_id, tags=fake.tags)
        run.log_params(fake.params)
        for step in (160, 320):
            score = fake.metrics.get("val/efficiency", 0.0) * step / 320
            run.log_metrics({"val/efficiency": score, "train/samples": float(step)}, step=step)
        run.log_metrics(fake.metrics)
        if fake.status == "done":
            run.log_artifacts(fake.folder)
        run.terminate(fake.status, fake.reason)
    with open_run(store, number, role="study", name="demo") as run:
        run.log_dict(builder.plan, "plan.json")
        run.log_text("study: demo\n", "study.yaml")
    return store, run.run_id


def test_a_report_is_made_from_the_store_and_logged_to_the_study(filled):
    store, study_run = filled
    files = report_study(store, "demo")
    assert files.html == store.report_dir("demo") / "leaderboard.html"
    text = files.html.read_text(encoding="utf-8")
    for said in ("DivergedError: nan", "First by measured value is good", "Curves of Efficiency on validation"):
        assert said in text
    logged = {entry.path for entry in store.client.list_artifacts(study_run)}
    assert {"leaderboard.html", "leaderboard.csv", "leaderboard.md", "leaderboard.tex"} <= logged
    note = store.client.get_experiment_by_name("demo").tags["mlflow.note.content"]
    assert note.startswith("**One repeat: sim is not ranked")


def test_mlflow_opens_on_what_ranks_with_timings_folded(filled):
    store, _ = filled
    report_study(store, "demo")
    record = read_study(store, "demo")
    envelope = json.loads(store.client.get_experiment_by_name("demo").tags["mlflow.sharedViewState.smlmbench"])
    assert envelope["name"] == "Leaderboard"
    assert envelope["createdAt"] == envelope["updatedAt"] > 1.7e12, "milliseconds"
    form, _, packed = envelope["state"].partition(";")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert form == "deflate"
    sections = {each["uuid"]: each for each in state["compareRunSections"]}
    drawn = [(sections[chart["metricSectionId"]]["name"], chart["type"]) for chart in state["compareRunCharts"]]
    assert drawn == [("Headline", kind) for kind in ("BAR", "LINE", "SCATTER", "PARALLEL")]
    shown = [(each["name"], each["display"]) for each in sections.values()]
    assert shown == [
        ("Headline", True),
        ("test", False),
        ("test.low", False),
        *((n, False) for n in ("train", "val", "device")),
    ]
    assert state["compareRunCharts"][2]["xaxis"]["key"] == "device/latency_ms"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`test/efficiency`", False)
    assert {"params.`model`", "metrics.`test/efficiency`", "metrics.`device/latency_ms`"} <= set(
        state["selectedColumns"]
    )
    listed = search(store, [record.experiment_id], state["searchFilter"])
    assert [run.role for run in listed] == ["cell"] * 3, "MLflow takes the filter; the run of the study is not a row"


def test_the_link_names_the_view_only_where_there_is_one():
    bare, viewed = (chart_link("http://x", "3", viewed=viewed) for viewed in (False, True))
    assert viewed == f"{bare}&viewStateShareKey={views.KEY}"
    assert "viewStateShareKey" not in bare, "MLflow complains of a key that it does not know"


def test_the_command_writes_where_it_is_told_and_speaks_json(filled, tmp_path):
    store, _ = filled
    study = tmp_path / "demo.yaml"
    study.write_text("study: demo\n", encoding="utf-8")
    out = tmp_path / "board"
    result = CliRunner().invoke(app, ["report", str(study), "--store", str(store.home), "--output", str(out), "--json"])
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["study"] == "demo"
    assert said["files"]["html"] == str(out / "leaderboard.html")
    assert (out / "leaderboard.csv").is_file()
    assert said["answers"]["sim"][0].startswith("One repeat")
    (out / "leaderboard.csv").write_text("of another study")
    words = ["report", "demo", "--store", str(store.home), "--output", str(out)]
    again = CliRunner().invoke(app, words)
    assert (again.exit_code, len(again.stderr.splitlines())) == (2, 1)
    assert "leaderboard.csv' exists already; give another folder with --output, or --overwrite" in again.stderr
    assert (out / "leaderboard.csv").read_text() == "of another study"
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == 0
    assert (out / "leaderboard.csv").read_text() != "of another study"


def test_an_unknown_study_is_a_mistake_of_the_user(filled):
    store, _ = filled
    result = CliRunner().invoke(app, ["report", "dmo", "--store", str(store.home)])
    assert result.exit_code == 2
    assert "did you mean 'demo'?" in result.stderr


def test_an_absent_store_is_not_made(tmp_path):
    result = CliRunner().invoke(app, ["report", "demo", "--store", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "no store at" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_study_is_named_by_its_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("study: microtubules-2d\nmodels: [srcnn]\n", encoding="utf-8")
    assert study_name(str(path)) == "microtubules-2d"
    assert study_name("microtubules-2d") == "microtubules-2d"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("models: []\n", "states no study"),
        ("[1", "not a YAML file"),
        ("- 1\n", "states no study"),
    ],
)
def test_a_file_that_names_no_study_is_refused(tmp_path, content, message):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        study_name(str(path))
