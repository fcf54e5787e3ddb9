"""The pick of each model and data by its own primary metric, in that metric's direction."""

from types import SimpleNamespace

from smlmbench.registry import Catalog
from smlmbench.run.studies.picks import picks

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
