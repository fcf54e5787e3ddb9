"""The pick of each model and data by its own primary metric, in that metric's direction."""

from types import SimpleNamespace

from smlmbench.registry import Catalog
from smlmbench.run.studies import picks as module
from smlmbench.run.studies.picks import crown_best, picks

CATALOG = Catalog()


def cell_of(number, data, weight, *, task):
    picked = SimpleNamespace(name="fid_storm", settings={})
    return SimpleNamespace(
        cell_id=number,
        task=task,
        data=SimpleNamespace(name=data),
        model=picked,
        output=picked,
        loss=SimpleNamespace(name="l1l2", settings={"weight": weight}),
        method=SimpleNamespace(name="supervised", settings={}),
        teacher=None,
        teaching=None,
        control="",
        training=SimpleNamespace(model_dump=lambda mode: {}),
        labels={"teacher": "none", "method": "supervised"},
    )


def run_of(**metrics):
    return SimpleNamespace(metrics={f"val/{name}": value for name, value in metrics.items()})


def test_more_efficiency_wins_and_less_error_wins():
    cells, runs = [], {}
    for weight, efficiency, error in ((50, 80.0, 0.6), (200, 70.0, 0.4)):
        for data, task in (("sim", "localization"), ("pairs", "image_pairs")):
            for repeat in (0, 1):
                number = f"{data}-{weight}-{repeat}"
                cells.append(cell_of(number, data, weight, task=task))
                runs[number] = run_of(efficiency=efficiency + repeat, nmse_star=error + 0.01 * repeat)
    assert [cell.cell_id for cell in picks(cells, runs, CATALOG)] == ["sim-50-1", "pairs-200-0"]


def test_a_row_without_the_number_is_no_pick():
    cells = [cell_of(number, "pairs", weight, task="image_pairs") for number, weight in (("a", 1), ("b", 2))]
    runs = {"a": run_of(efficiency=99.0), "b": run_of(nmse_star=0.9)}
    assert [cell.cell_id for cell in picks(cells, runs, CATALOG)] == ["b"]


def test_the_champion_of_each_data_entry_is_the_best_on_validation_in_its_direction(monkeypatch):
    cells, runs, tags, crowned, lines = [], {}, {}, [], []
    for data, task, metric, values in (
        ("sim", "localization", "efficiency", (70.0, 80.0)),
        ("pairs", "image_pairs", "nmse_star", (0.4, 0.6)),
    ):
        for model, value in zip(("fid_storm", "srcnn"), values, strict=True):
            cell = cell_of(f"{data}-{model}", data, 1, task=task)
            cell.model = SimpleNamespace(name=model, settings={})
            cells.append(cell)
            runs[cell.cell_id] = SimpleNamespace(
                run_id=cell.cell_id, name=cell.cell_id, metrics={f"val/{metric}": value}
            )
            tags[cell.cell_id] = {module.LOGGED: f"m-{cell.cell_id}"}
    client = SimpleNamespace(get_run=lambda number: SimpleNamespace(data=SimpleNamespace(tags=tags[number])))
    session = SimpleNamespace(
        catalog=CATALOG, store=SimpleNamespace(client=client), reporter=SimpleNamespace(line=lines.append)
    )
    monkeypatch.setattr(module, "crown", lambda _, name, model_id: crowned.append((name, model_id)))
    crown_best(cells, runs, session, "demo")
    assert crowned == [("demo-sim", "m-sim-srcnn"), ("demo-pairs", "m-pairs-fid_storm")]
    crown_best(cells[:2], runs, session, "demo")
    assert crowned[2:] == [("demo", "m-sim-srcnn")]
    assert lines[2] == "best on validation of sim: models:/demo@champion (sim-srcnn)"
    del tags["sim-srcnn"][module.LOGGED]
    crown_best(cells[:2], runs, session, "demo")
    assert len(crowned) == 3, "no other takes its place"
