import json
import pickle
import time

import pytest
from tiny_study import write, write_plugins

from smlmbench.engine import link
from smlmbench.errors import CollapsedError
from smlmbench.registry import Catalog
from smlmbench.registry.carried import _plugin
from smlmbench.run.cells import run, worker
from smlmbench.run.cells.worker import _session, pack_cell, pack_session, unpacked
from smlmbench.run.materials import Materials
from smlmbench.run.progress import Relay, Reporter, clock, retell, table
from smlmbench.run.session import Session
from smlmbench.run.studies.trainings import _Work
from smlmbench.study.cells import Cell
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.tracking import claims
from smlmbench.tracking.claims import Row, bury, claim
from smlmbench.tracking.owners import Owner
from smlmbench.tracking.records import cell_runs, read_study
from smlmbench.tracking.store import Store


class FakeSession:
    def __init__(self, store, catalog):
        self.store, self.catalog = store, catalog
        self.experiment_id, self.device, self.infer_device, self.retry_failed = "7", "cpu", None, True
        self.system_metrics = True


def test_a_cell_and_its_session_travel_as_json_and_arrive_equal(tmp_path, store):
    plugin = write_plugins(tmp_path / "plugins")["my_net"]
    path = write(tmp_path, models=[{"name": "my_net", "losses": [{"name": "l1l2"}]}], plugins=[str(plugin)])
    loaded = load_study(path)
    (cell,) = make_plan(loaded).cells
    packed = pack_session(FakeSession(store, loaded.catalog), "job")
    spec = json.loads(json.dumps(pack_cell(cell, packed)))
    assert Cell.model_validate(spec["cell"]) == cell
    text, address = json.dumps(spec["session"], sort_keys=True), spec["session"]["store"]["uri"]
    session = _session(text, address)
    assert (session.store.uri, session.store.home) == (store.uri, store.home)
    assert (session.experiment_id, session.device, session.retry_failed, session.job) == ("7", "cpu", True, "job")
    assert session.system_metrics
    assert session.catalog.plugin_hash("models", "my_net") == cell.model.plugin
    assert _session(text, address) is session


def test_a_password_travels_to_a_worker_and_is_shown_by_nothing_that_prints_the_spec(tmp_path, store):
    loaded = load_study(write(tmp_path))
    (cell, *_) = make_plan(loaded).cells
    served = Store("http://ann:hush-hush@host:5000", tmp_path, served=True)
    spec = pack_cell(cell, pack_session(FakeSession(served, loaded.catalog), "job"))
    arrived = pickle.loads(pickle.dumps(spec))
    assert "hush-hush" not in f"{spec}{arrived!r}" + json.dumps(arrived)
    _session.cache_clear()
    _, session = unpacked(arrived)
    _session.cache_clear()
    assert session.store.uri.whole == "http://ann:hush-hush@host:5000"


def test_a_plug_in_that_is_not_on_the_worker_arrives_with_the_spec(tmp_path):
    paths = write_plugins(tmp_path / "plugins")
    odd = paths["odd"]
    hashes = Catalog([odd]).plugin_hash("losses", "odd")
    content = odd.read_bytes().decode()
    assert _plugin(odd, content) == odd
    odd.unlink()
    copy = _plugin(odd, content)
    assert copy != odd
    assert Catalog([copy]).plugin_hash("losses", "odd") == hashes
    # Another file in its place is not taken for it.
    odd.write_text(content + "# newer\n")
    assert _plugin(odd, content) == copy


class Screen(Reporter):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def line(self, text):
        self.lines.append(text)


@pytest.fixture
def linked():
    """What a worker tells goes straight to a screen."""
    screen = Screen()
    wire = link.Link(lambda message: retell(screen, json.loads(json.dumps(message)), {"a": "sim srcnn"}), job="j")
    link.connect(wire)
    yield screen, wire
    link.connect(None)


def test_what_a_cell_says_in_a_worker_is_a_row_of_the_table(linked):
    screen, _ = linked
    relay = Relay()
    relay.cell_id = "a"
    retell(screen, {"kind": "begun", "id": "a"}, {"a": "sim srcnn"})
    relay.start("sim srcnn", 200, "training")
    relay._sent_s -= 2
    relay.advance(50, 200, "loss 0.5")
    relay.advance(60, 200, "loss 0.4")  # within the same second
    relay.line("val efficiency 3")
    (row,) = screen._rows.values()
    assert (row.label, row.state, row.done, row.total, row.note) == ("sim srcnn", "training", 50, 200, "loss 0.5")
    assert screen.lines == ["val efficiency 3"]
    retell(screen, {"kind": "repeat", "id": "a", "reason": "its worker died"}, {"a": "sim srcnn"})
    assert screen.lines[-1] == "sim srcnn: its worker died; it is repeated"
    assert screen._rows == {}


def test_what_all_workers_wait_for_is_said_once(linked):
    screen, _ = linked
    relay = Relay()
    for text in ("x is locked", "x is locked", "y is locked"):
        relay.waits(text)
    screen.waits("x is locked")
    assert screen.lines == ["x is locked", "y is locked"]
    screen._waits["x is locked"] -= 61
    screen.waits("x is locked")
    assert screen.lines[2:] == ["x is locked"]


def test_a_cell_that_shall_stop_ends_at_its_next_word(linked):
    _, wire = linked
    relay = Relay()
    relay.advance(1, 2)
    wire.stop.set()
    with pytest.raises(KeyboardInterrupt):
        relay.advance(1, 2)
    with pytest.raises(KeyboardInterrupt):
        relay.start("a", 2)


def test_the_table_shows_state_step_loss_eta_and_counts():
    import io

    from rich.console import Console

    screen = Reporter(quiet=True)
    screen.start("sim srcnn", 100, "training", key="a")
    screen.advance(5, 100, "loss 0.6", key="a")
    assert screen._rows["a"].eta_s() is None
    screen.advance(25, 100, "loss 0.5", key="a")
    screen._rows["a"].first = (5, time.monotonic() - 40)
    text = io.StringIO()
    Console(file=text, width=100).print(table(screen._rows, {"done": 3, "failed": 1, "left": 20}))
    said = text.getvalue()
    for word in ("sim srcnn", "training", "25/100", "0.5", "0:02:30", "3 done, 1 failed, 20 left"):
        assert word in said
    assert clock(None) == ""


def test_a_continued_cell_has_an_eta_from_its_own_pace():
    screen = Reporter(quiet=True)
    screen.start("sim srcnn", 100, "training", key="a")
    screen.advance(50, 100, key="a")
    screen._rows["a"].first = (50, time.monotonic() - 10)
    screen.advance(60, 100, key="a")
    assert screen._rows["a"].eta_s() == pytest.approx(40, rel=0.1)
    # Nothing was heard for 30 s: the end comes nearer all the same, and is never past.
    screen._rows["a"].moved_s -= 30
    screen._rows["a"].first = (50, screen._rows["a"].moved_s - 10)
    assert screen._rows["a"].eta_s() == pytest.approx(10, rel=0.1)
    screen._rows["a"].moved_s -= 60
    screen._rows["a"].first = (50, screen._rows["a"].moved_s - 10)
    assert screen._rows["a"].eta_s() == 0


def test_on_a_narrow_terminal_the_name_gives_way_and_not_the_numbers():
    import io

    from rich.console import Console

    screen = Reporter(quiet=True)
    screen.start("sim fid_storm ← deep_storm (attentive_imitation) l1l2 λ=400 repeat 0", 12500, "training", key="a")
    screen.advance(1250, 12500, "loss 0.613", key="a")
    text = io.StringIO()
    Console(file=text, width=80).print(table(screen._rows, {}))
    (row,) = [line for line in text.getvalue().splitlines() if "…" in line]
    for word in ("sim fid_storm ← deep_storm", "training", "1250/12500", "0.613"):
        assert word in row


def test_without_a_terminal_a_long_piece_says_a_line_now_and_then(capsys):
    screen = Reporter()
    screen.start("sim srcnn", 100, "training")
    screen.advance(10, 100, "loss 1")
    screen._rows[""].last_plain_s -= 20
    screen.advance(20, 100, "loss 0.9")
    screen.advance(30, 100, "loss 0.8")
    screen.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("  sim srcnn: training 20/100 loss 0.9 (ETA ")


ROW = Row("cell", "eval", "name", tags={"smlmbench.job": "j"})


def dead(store, run_id, **tags):
    """Make the owner of a run a process that is not there."""
    for key, value in {"smlmbench.pid": "999999", **tags}.items():
        store.client.set_tag(run_id, key, value)


def test_a_dead_workers_run_is_closed_and_the_same_run_goes_on(store):
    number = store.ensure_experiment("fish")
    held = claim(store, number, ROW)
    held.run._heartbeat.stop()
    dead(store, held.run.run_id)
    bury(store, number, ROW, "its worker died", failed=False)
    (run,) = cell_runs(store, number, "cell")
    assert (run.status, run.reason, run.deaths) == ("interrupted", "its worker died", 1)
    assert store.client.get_run(run.run_id).info.status == "KILLED"
    again = claim(store, number, ROW)
    assert (again.decision.kind, again.run.run_id) == ("continue", run.run_id)
    again.run._heartbeat.stop()
    # The second worker, of another host, dies too: the row ends as failed with its reason.
    dead(store, run.run_id, **{"smlmbench.host": "elsewhere"})
    bury(store, number, ROW, "its worker died, 2 times in a row", failed=True)
    (run,) = cell_runs(store, number, "cell")
    assert (run.status, run.reason, run.deaths) == ("failed", "its worker died, 2 times in a row", 2)


def test_a_worker_that_dies_before_it_has_claimed_its_cell_leaves_a_failed_row_too(store):
    number = store.ensure_experiment("fish")
    bury(store, number, ROW, "its worker died", failed=False)
    assert cell_runs(store, number, "cell") == []
    bury(store, number, ROW, "its worker died, 2 times in a row", failed=True)
    (run,) = cell_runs(store, number, "cell")
    assert (run.status, run.reason) == ("failed", "its worker died, 2 times in a row")


def test_a_cell_that_another_command_trains_is_left_alone(store):
    number = store.ensure_experiment("fish")
    held = claim(store, number, Row("cell", "eval", "name", tags={"smlmbench.job": "another"}))
    bury(store, number, ROW, "its worker died", failed=True)
    (run,) = cell_runs(store, number, "cell")
    assert run.status == "running"
    held.run.terminate("done")


def test_a_cell_is_tried_again_only_where_a_dead_workers_run_was_closed(tmp_path, store, monkeypatch):
    cell = make_plan(load_study(write(tmp_path, references=["truth"]))).cells[0]
    session = FakeSession(store, None)
    session.experiment_id, session.job, tried = store.ensure_experiment("tiny"), "j", []
    monkeypatch.setattr(worker, "run_cell", lambda *_: tried.append(1) or ("leave" if len(tried) < 3 else "done"))
    monkeypatch.setattr(claims, "ENDING_S", 0.2)
    held = claim(store, session.experiment_id, worker.row_of(cell, "j"))
    assert worker.outcome(cell, session) == {"status": "left"}  # its owner, this process, lives
    assert len(tried) == 1
    monkeypatch.setattr(Owner, "is_dead", lambda owner: True)
    tried[:] = [1, 1]
    monkeypatch.setattr(worker, "run_cell", lambda *_: tried.append(1) or ("leave" if len(tried) < 4 else "done"))
    assert worker.outcome(cell, session) == {"status": "done"}
    assert len(tried) == 4
    held.run._heartbeat.stop()


def test_a_worker_that_is_still_ending_is_waited_for_and_a_living_one_is_left_alone(store, monkeypatch):
    number = store.ensure_experiment("fish")
    held = claim(store, number, ROW)
    monkeypatch.setattr(claims, "ENDING_S", 0.2)
    bury(store, number, ROW, "its worker died", failed=False)
    assert cell_runs(store, number, "cell")[0].status == "running"
    asked = []
    monkeypatch.setattr(Owner, "is_dead", lambda owner: asked.append(owner.pid) or len(asked) > 3)
    bury(store, number, ROW, "its worker died", failed=False)
    assert store.client.get_run(held.run.run_id).info.status == "KILLED"
    held.run._heartbeat.stop()


def test_a_cell_that_the_engine_gives_up_is_a_failed_row_of_the_store(tmp_path, store):
    loaded = load_study(write(tmp_path, references=["truth"]))
    first, second = make_plan(loaded).cells
    session = FakeSession(store, loaded.catalog)
    session.experiment_id, session.reporter = store.ensure_experiment("tiny"), Screen()
    work = _Work([first, second], session, {"before": "done"})
    assert [spec["id"] for spec in work.specs()] == [first.cell_id, second.cell_id]
    reason = "its worker died, 2 times in a row"
    work.on_result({"id": first.cell_id}, {"status": "failed", "reason": reason, "given_up": True})
    # A cell that failed by itself has written that in its worker.
    work.on_result({"id": second.cell_id}, {"status": "failed"})
    (row,) = read_study(store, "tiny").rows("cell")
    assert (row.cell_id, row.status, row.reason) == (first.cell_id, "failed", reason)
    assert session.reporter._counts == {"done": 1, "failed": 2, "left": 0}
    assert session.reporter.lines == [f"sim fid_storm l1l2 λ=400 repeat 0: failed: {reason}"]


def test_a_special_case_of_an_end_is_said_as_the_store_has_it(tmp_path, store, monkeypatch):
    class FadedError(CollapsedError):
        pass

    def work(*_, **__):
        raise FadedError("fades out")

    loaded = load_study(write(tmp_path))
    (cell, *_) = make_plan(loaded).cells
    number = store.ensure_experiment(cell.study)
    session = Session(store, number, Materials(loaded.catalog), Reporter(quiet=True), "cpu")
    monkeypatch.setattr(run, "_work", work)
    assert run.run_cell(cell, session) == "collapsed"
    assert [one.status for one in cell_runs(store, number, cell.cell_id)] == ["collapsed"]
