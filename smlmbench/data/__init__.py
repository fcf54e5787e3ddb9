"""Data sources: descriptions become samples, one file per kind."""

from smlmbench.data.contracts import Condition, TrainingSet
from smlmbench.errors import ConfigError
from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan
from smlmbench.study.identity import file_digest
from smlmbench.study.sources import MovieSource, SimulateSource


def training_set(
    data_plan: DataPlan, root_seed: int, repeat: int, catalog: Catalog, augment: bool = True
) -> TrainingSet:
    """The training stream of a data entry; `augment` turns and mirrors crops of files.

    Raises:
        UserError: A file that cannot be read or does not fit.
    """
    source = data_plan.train
    module = catalog.module("data", source.kind)
    made: TrainingSet = module.training_set(source, data_plan.train_identity, root_seed, repeat, catalog, augment)
    return made


def validation(data_plan: DataPlan, root_seed: int, catalog: Catalog) -> Condition:
    """The frozen validation set of a data entry; it does not depend on the repeat."""
    source = data_plan.val
    module = catalog.module("data", source.kind)
    made: Condition = module.condition("val", source, data_plan.train_identity, "val", root_seed, catalog)
    return made


def holdout(data_plan: DataPlan, root_seed: int, catalog: Catalog) -> Condition | None:
    """A third frozen set like the validation set, for searches; None for files, which are not cut a third time."""
    source = data_plan.val
    if not isinstance(source, SimulateSource):
        return None
    module = catalog.module("data", source.kind)
    made: Condition = module.condition("holdout", source, data_plan.train_identity, "holdout", root_seed, catalog)
    return made


def conditions(data_plan: DataPlan, root_seed: int, catalog: Catalog) -> dict[str, Condition]:
    """The frozen test conditions of a data entry, by name."""
    made: dict[str, Condition] = {}
    for name, source in data_plan.tests.items():
        module = catalog.module("data", source.kind)
        made[name] = module.condition(name, source, data_plan.test_identity[name], "test", root_seed, catalog)
    return made


def applied(data_plan: DataPlan, root_seed: int, catalog: Catalog) -> dict[str, Condition]:
    """The movies without truth of a data entry, by path; camera, pixel and PSF are those of its training source.

    Raises:
        ConfigError: A path that is not a file.
    """
    made: dict[str, Condition] = {}
    known = data_plan.train
    pixel_nm = float("nan") if known.pixel_size_nm is None else known.pixel_size_nm
    for path in data_plan.apply:
        source = MovieSource.model_construct(movie=path, pixel_size_nm=pixel_nm, camera=known.camera, psf=known.psf)
        if not path.exists():
            raise ConfigError(f"apply: '{path}' does not exist; give the path of a movie")
        identity = {"movie": file_digest(path)}
        module = catalog.module("data", source.kind)
        made[str(path)] = module.condition(path.name, source, identity, "apply", root_seed, catalog)
    return made
