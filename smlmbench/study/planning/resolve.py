"""A data entry to what is really drawn or read: val and test always present, parts cut, identities computed."""

from collections.abc import Mapping
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan
from smlmbench.study.schema import DataEntry
from smlmbench.study.sources import Description


def resolve(entry: DataEntry, catalog: Catalog) -> DataPlan:
    """Make a data entry complete.

    Absent val and test are cut from the files of the training source, or drawn anew from its description.
    """
    whole = entry.train.measured()
    cuts = whole.cuts(val=entry.val is not None, test=bool(entry.test))
    train = cuts.get("train", whole)
    val = (cuts.get("val", train) if entry.val is None else entry.val.measured()).sized("val")
    given: Mapping[str, Description] = entry.test or {"test": cuts.get("test", train)}
    tests = {name: source.measured().sized("test") for name, source in given.items()}
    trained = {"train": train.identity(catalog), "val": val.identity(catalog)}
    tested = {name: source.identity(catalog) for name, source in tests.items()}
    content: dict[str, Any] = {"train": train, "val": val, "tests": tests}
    return DataPlan(name=entry.name, apply=entry.apply, train_identity=trained, test_identity=tested, **content)
