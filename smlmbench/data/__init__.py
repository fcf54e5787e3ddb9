"""Data sources: descriptions become samples, one file per kind."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from smlmbench.data.contracts import Asked, Condition, Scope, TrainingSet
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan
from smlmbench.study.identity import file_digest
from smlmbench.study.sources import MovieSource


def training_set(data_plan: DataPlan, scope: Scope, catalog: Catalog) -> TrainingSet:
    """The training stream of a data entry.

    Raises:
        UserError: A file that cannot be read or does not fit.
    """
    source = data_plan.train
    module = catalog.module("data", source.kind)
    made: TrainingSet = module.training_set(source, data_plan.train_identity, scope, catalog)
    return made


def validation(data_plan: DataPlan, root_seed: int, catalog: Catalog, extras: Sequence[str] = ()) -> Condition:
    """The frozen validation set of a data entry with further sets; it depends on neither them nor the repeat."""
    asked = Asked("val", root_seed, tuple(extras))
    return _condition("val", data_plan.val, data_plan.train_identity, asked, catalog)


def holdout(data_plan: DataPlan, root_seed: int, catalog: Catalog, extras: Sequence[str] = ()) -> Condition | None:
    """A third frozen set like the validation set, for searches; None for files, which are not cut a third time."""
    if not data_plan.val.drawn_anew:
        return None
    asked = Asked("holdout", root_seed, tuple(extras))
    return _condition("holdout", data_plan.val, data_plan.train_identity, asked, catalog)


def conditions(
    data_plan: DataPlan, root_seed: int, catalog: Catalog, extras: Sequence[str] = ()
) -> dict[str, Condition]:
    """The frozen test conditions of a data entry, by name; `extras` are further sets that the task wants of each."""
    asked = Asked("test", root_seed, tuple(extras), taught=data_plan.train)
    steps = {} if data_plan.sheet is None else data_plan.sheet.steps
    made = {}
    for name, source in data_plan.tests.items():
        found = _condition(name, source, data_plan.test_identity[name], asked, catalog)
        made[name] = replace(found, apart=name in steps)
    return made


def applied(data_plan: DataPlan, root_seed: int, catalog: Catalog) -> dict[str, Condition]:
    """The movies without truth of a data entry, by path; camera, pixel and PSF are those of its training source.

    Raises:
        ConfigError: A path that is not a file.
    """
    made: dict[str, Condition] = {}
    known, asked = data_plan.train, Asked("apply", root_seed)
    pixel_nm = getattr(known, "pixel_size_nm", None)
    facts: dict[str, Any] = {"camera": getattr(known, "camera", "uncalibrated"), "psf": getattr(known, "psf", None)}
    for path in data_plan.apply:
        if not path.exists():
            raise ConfigError(f"apply: '{path}' does not exist; give the path of a movie")
        pixel_size_nm = float("nan") if pixel_nm is None else pixel_nm
        source = MovieSource.model_construct(movie=path, pixel_size_nm=pixel_size_nm, **facts)
        made[str(path)] = _condition(path.name, source, {"movie": file_digest(path)}, asked, catalog)
    return made


def whole(name: str, source: Any, root_seed: int, catalog: Catalog) -> Condition:
    """Everything that a source of a study holds, before parts are cut from it; it has no identity and is not scored."""
    return _condition(name, source, {}, Asked("whole", root_seed), catalog)


def _condition(name: str, source: Any, identity: Any, asked: Asked, catalog: Catalog) -> Condition:
    made: Condition = catalog.module("data", source.kind).condition(name, source, identity, asked, catalog)
    return made
