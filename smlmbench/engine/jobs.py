"""Job queues: `cluster.yaml` to jobs of SLURM, PBS, LSF or SGE by dask-jobqueue, one training a job at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smlmbench.engine.slots import thread_environment
from smlmbench.errors import EngineError, MissingExtraError, suggest

KINDS = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
FIXED = ("processes", "scheduler", "n_workers", "job_cls", "asynchronous", "job_cpu", "ncpus")
PLACEHOLDER = "tcp://SCHEDULER:PORT"


class Jobs(BaseModel):
    """What `cluster.yaml` says; further keys are keywords of the class of dask-jobqueue."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str  # slurm, pbs, lsf or sge
    jobs: int = Field(default=1, ge=1)  # each trains one cell at a time
    cores: int = Field(default=1, ge=1)  # of a job
    memory: str  # of a job, such as 16GB
    walltime: str  # longest time of a job, as the queue writes it

    def keywords(self) -> dict[str, Any]:
        """Keywords of the class: one worker process with one slot that has all the cores."""
        more = dict(self.model_extra or {})
        said = [f"export {name}={value}" for name, value in thread_environment(self.cores).items()]
        more["job_script_prologue"] = [*said, *more.get("job_script_prologue", [])]
        words = {"cores": 1, "processes": 1, "memory": self.memory, "walltime": self.walltime, **more}
        if self.kind in ("slurm", "lsf"):
            words["job_cpu" if self.kind == "slurm" else "ncpus"] = self.cores
        elif self.kind == "pbs":
            words.setdefault("resource_spec", f"select=1:ncpus={self.cores}:mem={self.memory}")
        elif self.cores > 1 and not any("-pe " in str(line) for line in more.get("job_extra_directives", [])):
            raise EngineError(
                f"sge: {self.cores} cores need the name of a parallel environment; "
                f"add job_extra_directives: ['-pe NAME {self.cores}']"
            )
        return words

    def script(self) -> str:
        """The job script, without asking any queue (EngineError: a keyword that the class does not take)."""
        job = self._class().job_cls
        try:
            return str(job(scheduler=PLACEHOLDER, name="smlmbench", **self.keywords()).job_script())
        except (TypeError, ValueError) as error:
            raise EngineError(
                f"{self.kind}: {error}; the keywords are those of dask-jobqueue's {job.__name__}"
            ) from None

    def start(self) -> Any:
        """A scheduler in this process that sends jobs to the queue."""
        keywords = self.keywords()
        options = {"dashboard": False, "dashboard_address": ":0", **keywords.pop("scheduler_options", {})}
        return self._class()(**keywords, scheduler_options=options)

    def _class(self) -> Any:
        try:
            import dask_jobqueue
        except ImportError:
            raise MissingExtraError("--cluster needs dask-jobqueue; pip install 'smlmbench[cluster]'") from None
        return getattr(dask_jobqueue, KINDS[self.kind])


def read_jobs(path: Path) -> Jobs:
    """Read `cluster.yaml` (EngineError: absent, not a mapping, an unknown kind, or a key that is missing or wrong)."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"--cluster {path}: {error.strerror}; give a YAML file that says kind: slurm, ...") from None
    except yaml.YAMLError as error:
        raise EngineError(f"{path.name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, Mapping):
        raise EngineError(f"{path.name}: not a mapping; write kind, jobs, cores, memory, walltime and more keywords")
    if (kind := raw.get("kind")) not in KINDS:
        raise EngineError(f"{path.name}: kind '{kind}' is not known, {suggest(str(kind), KINDS)}")
    if fixed := [name for name in FIXED if name in raw]:
        raise EngineError(f"{path.name}: {', '.join(fixed)} cannot be set; a job trains one cell on `cores` cores")
    time = raw.get("walltime")
    if isinstance(time, int) and not isinstance(time, bool):
        # YAML reads 02:00:00 without quotes as a number of seconds.
        time = f"{time // 3600:02d}:{time // 60 % 60:02d}:{time % 60:02d}"
    try:
        return Jobs.model_validate({**raw, "walltime": time})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EngineError(f"{path.name}: {where}: {first['msg']}") from None
