"""Colours: are emitters found in the map of their own colour, and how often in that of another?"""

from dataclasses import replace
from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, gather, tables_of
from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import ratio
from smlmbench.metrics.strata import Profile, listed
from smlmbench.predictions import Floats, Ints

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Every colour matched by itself, and the share of found emitters that were given another colour.",
    "tasks": ["localization"],
    "gives": {
        "jaccard_colours": {
            "title": "Jaccard by colour",
            "direction": "up",
            "low": 0.0,
            "high": 1.0,
            "help": "Mean over colours of the Jaccard index of what was found in a colour and what is truly of it.",
        },
        "efficiency_colours": {
            "title": "Efficiency by colour",
            "direction": "up",
            "high": 100.0,
            "help": "Mean over colours of the efficiency, each colour matched by itself.",
        },
        "colour_crosstalk": {
            "title": "Colour cross-talk",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of the emitters that were found, whatever their colour, that were given another one.",
        },
    },
}

GIVES = tuple(CARD["gives"])


def measure(evidence: Evidence) -> dict[str, float | str]:
    """By colour under the headline protocol; cross-talk of the headline's pairs, which are blind to colours."""
    tables = _coloured(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(GIVES, tables)
    found, true = (_channels(table) for table in (tables.found, tables.truth))
    rows_found, rows_true = tables.hits
    crossed: float | str = "no emitter was found"
    if len(rows_found):
        crossed = float((found[rows_found] != true[rows_true]).mean())
    sums = _by_colour(tables)
    three_d = tables.facts.three_d
    means = [float(np.mean(ratio(name, three_d=three_d)(sums))) for name in ("jaccard", "efficiency")]
    said = "a colour has no true emitter that counts"
    answers = [said if np.isnan(mean) else mean for mean in means]
    return dict(zip(GIVES, (*answers, crossed), strict=True))


def profile(evidence: Evidence) -> dict[str, Profile]:
    """Of each colour: its true emitters, Jaccard index, recall, RMSE and efficiency."""
    tables = _coloured(evidence)
    if isinstance(tables, str):
        return {}
    sums = _by_colour(tables)
    numbers: dict[str, Floats] = {
        "colour": np.arange(len(sums), dtype=np.float64),
        "emitters": sums[:, SUMS.index("tp")] + sums[:, SUMS.index("fn")],
        **{name: ratio(name, three_d=tables.facts.three_d)(sums) for name in ("jaccard", "recall", "rmse_nm")},
        "efficiency": ratio("efficiency", three_d=tables.facts.three_d)(sums),
    }
    return {"colours": {name: listed(values) for name, values in numbers.items()}}


def _coloured(evidence: Evidence) -> Tables | str:
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return tables
    if tables.truth.channel is None or len(np.unique(tables.truth.channel)) < 2:
        return "the true emitters are of one colour, or of none that is known"
    if tables.found.channel is None:
        return "this row tells no colours apart (output setting colours)"
    if min(table.channel.min(initial=0) for table in (tables.found, tables.truth) if table.channel is not None) < 0:
        return "a colour below 0"
    return tables


def _by_colour(tables: Tables) -> Floats:
    """Pooled sums (colours, len(SUMS)) of each colour, true or claimed, matched with what was found in it."""
    found, true = (_channels(table) for table in (tables.found, tables.truth))
    least, pooled = tables.facts.min_photons, []
    for colour in range(max(int(true.max()), int(found.max(initial=0))) + 1):
        rows = true == colour
        facts = replace(tables.facts, min_photons=least[rows] if isinstance(least, np.ndarray) else least)
        own = gather(tables.found.select(found == colour), tables.truth.select(rows), facts=facts)
        assert own.sums is not None  # noqa: S101 (both tables are there)
        pooled.append(own.sums.sum(axis=0))
    return np.stack(pooled)


def _channels(table: Any) -> Ints:
    channels: Ints = table.channel
    return channels
