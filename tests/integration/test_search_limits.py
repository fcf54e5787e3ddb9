"""Networks that are too large or too slow: not trained, not picked, and said so."""

import optuna
import pytest
from tiny_study import Listener, write

from smlmbench.run.searching.hunting import run_searches
from smlmbench.run.studies.asked import Options
from smlmbench.search.storage import address
from smlmbench.study.load import load_study
from smlmbench.tracking.records import read_study

SPACE = {"blocks": [2, 1], "lambda": 400, "radius": 1}
LIMITED = {"trials": 2, "startup": 2, "pruner": "none", "random_trials": 0, "limits": {"n_params": 4000}}


@pytest.mark.usefixtures("undrawn")
def test_a_network_over_a_limit_is_not_trained_and_breaks_a_constraint(tmp_path, store):
    """The default is the larger of two networks."""
    model = {"name": "fid_storm", "blocks": [2, 1], "width": 0.25}
    blocks = {"models": [model], "losses": [{"name": "l1l2", "lambda": 400}], "references": [], "timing": None}
    blocks |= {"output": {"upsampling": 2, "radius": 1}, "search": {**LIMITED, "space": SPACE}}
    path = write(tmp_path, **blocks)
    listener = Listener()
    run_searches(load_study(path), store, listener, Options())
    record = read_study(store, "tiny")
    (run,) = record.rows("search")
    held = optuna.load_study(study_name=run.name, storage=address(store.optuna_path))
    first, second = (trial for trial in held.trials if trial.user_attrs.get("status") in ("over limit", "done"))
    assert first.user_attrs["n_params"] > 4000 > float(second.user_attrs["n_params"])
    assert first.constraints["n_params"] > 0 >= second.constraints["n_params"]
    assert f"n_params {first.user_attrs['n_params']:.4g}, limit 4000" == first.user_attrs["reason"]
    assert any("not trained: n_params" in line for line in listener.lines)
    tried = [one for one in record.rows("cell") if "optuna.trial" in one.tags]
    assert [one.params["model.blocks"] for one in tried] == ["1"]
    assert run.json("search.json")["pick"]["values"]["blocks"] == 1
    assert run.json("search.json")["states"]["over limit"] == 1
    note = held._storage.get_study_system_attrs(held._study_id)["dashboard:note_str:0"]
    assert "Trials with `n_params` over 4000 break it and are not trained." in note
