"""How numbers vary: a range, a law with its moments, the column of a table."""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from smlmbench.errors import ConfigError, suggest
from smlmbench.registry import Catalog
from smlmbench.registry.cards import Strict
from smlmbench.study.digests import file_digest
from smlmbench.study.sources.description import NonNegative, Positive


class Range(Strict):
    """Values drawn between min and max; `law` uniform (default) or log_uniform."""

    min: NonNegative
    max: Positive
    law: Literal["uniform", "log_uniform"] = "uniform"

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.min > self.max or (self.law == "log_uniform" and self.min == 0):
            said = f"min {self.min:g} and max {self.max:g}"
            raise ValueError(f"{said}: min must be at most max, and above 0 for log_uniform")
        return self

    @property
    def mean(self) -> float:
        """Middle of the range on its own scale (used to size validation sets)."""
        return (self.min + self.max) / 2 if self.law == "uniform" else float((self.min * self.max) ** 0.5)


class Depth(Strict):
    """Depths drawn uniformly between min and max, in nm; 0 is in focus."""

    min: float
    max: float

    @model_validator(mode="after")
    def _ordered(self) -> "Depth":
        if not -math.inf < self.min <= self.max < math.inf:
            raise ValueError(f"min {self.min:g} and max {self.max:g}: min must be at most max")
        return self


class Normal(Strict):
    """Normal values, of which those below 0 are drawn again, so that the mean of what is drawn lies above `mean`."""

    mean: Positive
    sd: Positive
    law: Literal["normal"] = "normal"


class Exponential(Strict):
    """Exponential values."""

    mean: Positive
    law: Literal["exponential"] = "exponential"


class LogNormal(Strict):
    """Values whose logarithm is normal around log(median) with standard deviation `sigma`."""

    median: Positive
    sigma: Annotated[float, Field(gt=0, le=3)]
    law: Literal["log_normal"] = "log_normal"


class Column(Strict):
    """Values drawn anew from those of a table, each as often as any other."""

    table: Path

    def values(self) -> tuple[float, ...]:
        """The photons of all rows; a UserError where the table cannot be read or does not say them."""
        return _column(self.table, file_digest(self.table))


_KINDS: tuple[type[Strict], ...] = (Range, Normal, Exponential, LogNormal, Column)
_LAWS = {"uniform": Range, "log_uniform": Range, "normal": Normal, "exponential": Exponential, "log_normal": LogNormal}


def _known_law(given: Any) -> Any:
    if isinstance(given, Mapping) and isinstance(law := given.get("law"), str) and law not in _LAWS:
        raise ValueError(f"law {law!r} is not accepted, {suggest(law, list(_LAWS))}")
    return given


def _kind_of(given: Any) -> str:
    """The law that a mapping means: the one that it names, else the one that shares most keys with it."""
    if not isinstance(given, Mapping):
        return type(given).__name__ if isinstance(given, _KINDS) else "number"
    if (named := _LAWS.get(str(given.get("law")))) is not None:
        return named.__name__
    keys = set(given) - {"law"}
    return max(_KINDS, key=lambda kind: len(keys & set(kind.model_fields))).__name__


Law = Annotated[
    Annotated[Positive, Tag("number")]
    | Annotated[Range, Tag("Range")]
    | Annotated[Normal, Tag("Normal")]
    | Annotated[Exponential, Tag("Exponential")]
    | Annotated[LogNormal, Tag("LogNormal")]
    | Annotated[Column, Tag("Column")],
    Discriminator(_kind_of),
    BeforeValidator(_known_law),
]


@lru_cache(maxsize=8)
def _column(table: Path, digest: str) -> tuple[float, ...]:
    del digest  # the same file may hold something else later
    from smlmbench.formats import read_table

    photons = read_table(table, catalog=Catalog()).photons
    if not len(photons) or not bool((photons > 0).all()) or not bool(np.isfinite(photons).all()):
        raise ConfigError(f"'{table}' does not say the photons (above 0) of every row; give a table that does")
    return tuple(photons.tolist())
