from types import SimpleNamespace

import pytest
import yaml
from study_fakes import write_study
from typer.testing import CliRunner

from smlmbench.cli import app
from smlmbench.engine.jobs import read_jobs
from smlmbench.errors import ConfigError, EngineError, StoreError
from smlmbench.run.searching.hunting import _check_afar
from smlmbench.run.studies.asked import Slots
from smlmbench.run.studies.trainings import check_slots, width
from smlmbench.study.schema.search import Search

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is in the extra [cluster]")

SLURM = {
    "kind": "slurm",
    "jobs": 3,
    "cores": 4,
    "memory": "16GB",
    "walltime": "02:00:00",
    "queue": "gpu",
    "job_extra_directives": ["--gres=gpu:1"],
}


def write(folder, **changes):
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**SLURM, **changes}.items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("kind", "more", "lines"),
    [
        ("slurm", {}, ["#SBATCH -n 1", "#SBATCH --cpus-per-task=4", "#SBATCH -t 02:00:00", "#SBATCH --gres=gpu:1"]),
        ("pbs", {"job_extra_directives": []}, ["#PBS -l select=1:ncpus=4:mem=16GB", "#PBS -q gpu"]),
        ("lsf", {"job_extra_directives": []}, ["#BSUB -n 4", "#BSUB -W 02:00:00"]),
        ("sge", {"job_extra_directives": ["-pe smp 4"]}, ["#$ -pe smp 4", "#$ -l h_rt=02:00:00"]),
    ],
)
def test_a_job_trains_one_cell_on_all_its_cores(tmp_path, kind, more, lines):
    script = read_jobs(write(tmp_path, kind=kind, **more)).script()
    said = script.splitlines()
    assert set(lines) <= set(said)
    worker = next(line for line in said if "dask_worker" in line)
    assert "--nthreads 1 " in worker
    assert "--nworkers" not in worker
    # Set before the worker starts, so before torch is loaded.
    assert said.index("export OMP_NUM_THREADS=4") < said.index(worker)


def test_a_walltime_without_quotes_is_not_a_number_of_seconds(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("{kind: slurm, memory: 1GB, walltime: 12:30:00}")
    assert "#SBATCH -t 12:30:00" in read_jobs(path).script()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "slrum"}, "cluster.yaml: kind 'slrum' is not known, did you mean 'slurm'?"),
        ({"walltime": None}, "cluster.yaml: walltime: "),
        ({"memory": None}, "cluster.yaml: memory: Field required"),
        ({"jobs": 0}, "cluster.yaml: jobs: "),
        ({"processes": 4}, "cluster.yaml: processes cannot be set; a job trains one cell on `cores` cores"),
        ({"queeu": "gpu"}, "the keywords are those of dask-jobqueue's SLURMJob"),
        ({"kind": "sge", "job_extra_directives": []}, "sge: 4 cores need the name of a parallel environment"),
    ],
)
def test_what_is_wrong_with_a_cluster_file_is_one_line(tmp_path, changes, said):
    with pytest.raises(EngineError) as caught:
        read_jobs(write(tmp_path, **changes)).script()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dry_prints_the_job_script_and_touches_nothing(tmp_path):
    study = write_study(tmp_path)
    words = ["run", str(study), "--cluster", str(write(tmp_path)), "--dry", "--store", str(tmp_path / "none")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("#!/usr/bin/env bash\n")
    assert "6 cells in 3 such jobs; nothing was sent" in result.stderr
    assert not (tmp_path / "none").exists()
    assert CliRunner().invoke(app, ["run", str(study), "--dry"]).exit_code == 2


@pytest.mark.parametrize(
    ("slots", "uri", "error", "said"),
    [
        ({"scheduler": "tcp://10.0.0.1:8786"}, "sqlite:////a/mlflow.db", StoreError, "workers on other machines"),
        ({"scheduler": "tcp://10.0.0.1:8786"}, "http://127.0.0.1:5000", StoreError, "workers on other machines"),
        ({"cluster": True}, "sqlite:////a/mlflow.db", StoreError, "give --tracking-uri http://HOST:PORT"),
        ({"scheduler": "tcp://localhost:1", "cluster": True}, "http://h:1", EngineError, "give one of them"),
        ({"scheduler": "tcp://localhost:1", "workers": 2}, "http://h:1", EngineError, "has its own workers"),
    ],
)
def test_places_that_cannot_work_are_refused_before_anything_begins(tmp_path, slots, uri, error, said):
    named = {**slots, **({"cluster": write(tmp_path)} if slots.get("cluster") else {})}
    with pytest.raises(error, match=said):
        check_slots(Slots(**named), uri=uri, served=uri.startswith("http"))


def test_workers_of_this_machine_may_use_any_store(tmp_path):
    check_slots(Slots(scheduler="tcp://127.0.0.1:8786"), uri="sqlite:////a/mlflow.db", served=False)
    check_slots(Slots(cluster=write(tmp_path)), uri="http://store.lab:5000", served=True)


def test_the_jobs_of_a_queue_are_counted_before_they_begin(tmp_path):
    waiting = SimpleNamespace(client=SimpleNamespace(nthreads=dict))
    assert width(Slots(cluster=write(tmp_path)), waiting) == 3
    assert width(Slots(5, cluster=write(tmp_path)), waiting) == 5
    assert width(Slots(scheduler="tcp://127.0.0.1:8786"), waiting) == 1
    working = SimpleNamespace(client=SimpleNamespace(nthreads=lambda: {"tcp://a": 1, "tcp://b": 1}))
    assert width(Slots(scheduler="tcp://127.0.0.1:8786"), working) == 2


def test_trials_that_are_compared_while_they_run_stay_on_this_machine():
    away = Slots(scheduler="tcp://10.0.0.1:8786")
    with pytest.raises(ConfigError, match="workers on other machines cannot open; give --set search.pruner=none"):
        _check_afar(Search(), away)
    _check_afar(Search(pruner="none"), away)
    _check_afar(Search(objectives=["val/efficiency", "n_params"]), away)  # none is pruned
    _check_afar(Search(), Slots(scheduler="tcp://127.0.0.1:8786"))
