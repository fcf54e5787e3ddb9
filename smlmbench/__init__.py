"""smlmbench: a benchmark harness for deep learning in single-molecule localization microscopy.

The functions of `__all__` are those of `smlmbench.api`, loaded when one is used. Where a room has a function's name
(`run`, `models`, `simulate`, `export`, `calibrate`), the attribute is the function, and what is in the room is imported
from it: `from smlmbench.models import fid_storm`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from smlmbench.version import __version__

if TYPE_CHECKING:
    from smlmbench.api import (
        calibrate,
        evaluate,
        export,
        leaderboard,
        load_study,
        models,
        plan,
        predict,
        run,
        runs,
        simulate,
        write_study,
    )

__all__ = [
    "__version__",
    "calibrate",
    "evaluate",
    "export",
    "leaderboard",
    "load_study",
    "models",
    "plan",
    "predict",
    "run",
    "runs",
    "simulate",
    "write_study",
]


class _Package(ModuleType):
    """Keeps a function where the import of a room would put the room in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'smlmbench' has no attribute '{name}'")
    from smlmbench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
