"""Options that several commands share, so that they are named and explained alike; how fields become options."""

import inspect
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_type_hints

from typer import Argument, Option

if TYPE_CHECKING:
    from smlmbench.study.load import Loaded

StudyFile = Annotated[Path, Argument(metavar="STUDY.yaml", help="Study file.")]
Sets = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Override one value, such as training.samples=500 or models.0.blocks=4."),
]
Only = Annotated[
    list[str] | None, Option(metavar="LABEL=PATTERN", help="Keep the rows whose label matches, such as 'model=fid*'.")
]
DataRoot = Annotated[
    Path | None, Option(envvar="SMLMBENCH_DATA", help="Folder of relative data paths; default: that of the study file.")
]
Plugins = Annotated[
    list[Path] | None,
    Option("--plugin", metavar="FILE.py", help="A file with a CARD that adds one model, loss or other thing."),
]
Store = Annotated[
    str | None, Option("--store", "--tracking-uri", metavar="FOLDER|URI", help="Where results are; default ./mlruns.")
]
AnyDevice = Annotated[str, Option(help="auto, cpu, cuda or mps.")]
Threshold = Annotated[float | None, Option(min=0.0, help="Instead of the one chosen on validation.")]
Origin = Literal["corner", "centre"] | None
COLUMN_HELP = "A column of any table, such as 'x_px=pos x'."
Overwrite = Annotated[bool, Option("--overwrite", help="Replace files that exist.")]
BadPixels = Annotated[
    Literal["refuse", "median"],
    Option(help="Pixels of a movie that are NaN or infinite: refused, or replaced by the median of their neighbours."),
]
Workers = Annotated[
    int | None, Option(min=1, help="Processes on this machine, each with one cell, or blocks of a movie, at a time.")
]
Scheduler = Annotated[str | None, Option(metavar="tcp://HOST:PORT", help="Use a running Dask scheduler.")]
Cluster = Annotated[Path | None, Option(metavar="CLUSTER.yaml", help="Work as SLURM, PBS, LSF or SGE jobs.")]
Dry = Annotated[bool, Option("--dry", help="With --cluster: print the job script and do nothing.")]
AsJson = Annotated[bool, Option("--json", help="Print one JSON document instead of a table.")]

Asked = TypeVar("Asked")


@dataclass(frozen=True, slots=True)
class StudyAsked:
    """What every command takes that reads a whole study."""

    study: StudyFile
    sets: Sets = None
    repeats: Annotated[int | None, Option(min=1, help="Repeats of every training, instead of the study's.")] = None
    data_root: DataRoot = None
    plugins: Plugins = None

    def loaded(self, *sets: str) -> "Loaded":
        """The study, with further values overridden."""
        from smlmbench.study.load import load_study

        sets = (*(self.sets or ()), *sets)
        return load_study(self.study, sets=sets, data_root=self.data_root, plugins=self.plugins or ())


@dataclass(frozen=True, slots=True)
class TrainAsked(StudyAsked):
    """What every command takes that trains."""

    max_hours: Annotated[float | None, Option(min=0.001, help="Begin no new cell after this time.")] = None
    store: Store = None
    device: Annotated[str, Option(help="auto, cpu, cuda or mps, for training and scoring.")] = "auto"
    infer_device: Annotated[str | None, Option(help="Another device for scoring and predicting after training.")] = None
    retry_failed: Annotated[bool, Option("--retry-failed", help="Repeat failed and collapsed cells.")] = False
    system_metrics: Annotated[
        bool, Option("--system-metrics", help="Log the load of processor, memory and GPU beside each run, in MLflow.")
    ] = False
    workers: Workers = None
    scheduler: Scheduler = None
    cluster: Cluster = None

    def running(self) -> dict[str, Any]:
        """How and where cells run, as `api.run` and `options_of` take it."""
        names = ("device", "infer_device", "retry_failed", "max_hours", "workers", "scheduler", "cluster")
        return {name: getattr(self, name) for name in (*names, "system_metrics")}


def from_fields(kind: type[Asked]) -> Callable[[Callable[[Asked], None]], Callable[..., None]]:
    """Turn `command(asked)` into a function with one option per field of the dataclass `kind`, as typer reads it."""

    def wrap(command: Callable[[Asked], None]) -> Callable[..., None]:
        @wraps(command)
        def called(**values: Any) -> None:
            command(kind(**values))

        called.__annotations__ = get_type_hints(kind, include_extras=True)
        called.__signature__ = inspect.signature(kind)  # type: ignore[attr-defined]
        return called

    return wrap


def named_columns(pairs: Sequence[str], option: str = "--column") -> dict[str, str] | None:
    """NAME=HEADER pairs as a mapping; None where none are given.

    Raises:
        ConfigError: A text of another form.
    """
    from smlmbench.errors import ConfigError

    found = {}
    for pair in pairs:
        name, equals, header = pair.partition("=")
        if not equals or not name.strip() or not header.strip():
            raise ConfigError(f"{option} {pair}: not NAME=HEADER; write for example 'x_px=pos x'")
        found[name.strip()] = header.strip()
    return found or None


def stored(store: str | None) -> list[str]:
    """The words of a command line that name the same store again."""
    return [] if store is None else ["--store", store]


def end_like_ctrl_c() -> None:
    """Treat SIGTERM, with which a job queue ends a job, like Ctrl-C, so that what is running is checkpointed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
