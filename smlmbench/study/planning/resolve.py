"""A data entry to what is really drawn or read: val and test always present, parts cut, identities computed."""

import math
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.study.cells import DataPlan
from smlmbench.study.identity import source_identity
from smlmbench.study.schema import DataEntry
from smlmbench.study.sources import ImagesSource, Range, SimulateSource, Source
from smlmbench.study.sources.pairs import measure
from smlmbench.study.sources.parts import pair_roles, roles

VAL_EMITTERS = 5_000  # PROTOCOL section 4: enough to place one threshold
TEST_FRAMES = 400


def resolve(entry: DataEntry, catalog: Catalog) -> DataPlan:
    """Make a data entry complete.

    Absent val and test are drawn anew from the training description (simulated), or cut from the files.
    """
    parts: dict[Any, Any] = {**roles(entry), **pair_roles(entry)}
    train = _measured(entry.train)
    val = None if entry.val is None else _measured(entry.val)
    tests = {name: _measured(source) for name, source in entry.test.items()}
    if parts:
        cuts = {role: train.model_copy(update={"part": part}) for role, part in parts.items()}
        train = cuts["train"]
        val = cuts.get("val", val)
        tests = {"test": cuts["test"]} if "test" in cuts else tests
    if val is None:
        val = train
    if not tests:
        tests = {"test": train}
    val = _sized(val, None)
    tests = {name: _sized(source, TEST_FRAMES) for name, source in tests.items()}
    return DataPlan(
        name=entry.name,
        train=train,
        val=val,
        tests=tests,
        apply=entry.apply,
        train_identity={"train": _identity(train, catalog), "val": _identity(val, catalog)},
        test_identity={name: _identity(source, catalog) for name, source in tests.items()},
    )


def _measured(source: Source) -> Source:
    """Image pairs with their ratio."""
    if not isinstance(source, ImagesSource):
        return source
    return source.model_copy(update={"ratio": measure(source).ratio})


def val_frames(source: SimulateSource) -> int:
    """Frames that hold 5,000 emitters on average."""
    density = source.density_per_um2
    mean = density.mean if isinstance(density, Range) else density
    return math.ceil(VAL_EMITTERS / (mean * source.area_um2) - 1e-9)


def _sized(source: Source, frames: int | None) -> Source:
    """Give a simulated source its number of frames where none is named (None: as many as validation needs)."""
    if not isinstance(source, SimulateSource) or source.frames is not None:
        return source
    return source.model_copy(update={"frames": val_frames(source) if frames is None else frames})


def _identity(source: Source, catalog: Catalog) -> dict[str, Any]:
    """Its own identity and the version of the PSF's code."""
    described = source_identity(source)
    if source.psf is not None:
        name = str(source.psf["name"])
        described["psf_code"] = {
            "version": catalog.card("psf", name).version,
            "plugin": catalog.plugin_hash("psf", name),
        }
    return described
