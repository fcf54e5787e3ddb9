"""What the page says of parameters of crops: RMSE beside the bound, bias and spread against depth."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from smlmbench import figures
from smlmbench.metrics.parameters import GROUPS
from smlmbench.tasks.contracts.sections import Along, Drawing, Section
from smlmbench.truths.parameter_table import unit_of

READING = (
    "Parameters of single crops are ranked by RMSE over the Cramér-Rao bound, lower is better: the root mean squared "
    "error over crops divided by the root mean squared bound, with all parameters of a crop unknown together; the "
    "geometric mean over the parameters that the data ask. An estimate without bias that uses all of the light has 1; "
    "one that knows the range of a parameter beforehand, as a network does, can be below 1.",
)
FAR = 6.0  # times the largest bound, beyond which a row is not drawn
ROUNDING = 1e-9  # a spread that is none: the truth itself is not drawn
DRAWN, TITLES = ("bias", "spread", "crlb"), {"crlb": "bound"}

Columns = dict[str, list[float | None]]


def section(headline: tuple[str, ...]) -> Section:
    """Columns of every parameter beside those of the card."""
    beside = [f"{kind}_{group}" for group in GROUPS for kind in ("ratio", "rmse", "crlb", "bias")]
    return Section(columns=(*headline, *beside), against="relative_rmse", reading=READING)


class _Run(NamedTuple):
    """What one repeat of a line has stored of one condition."""

    label: str
    condition: str
    profiles: Mapping[str, Mapping[str, Sequence[float | None]]]


def drawings(lines: Sequence[Along]) -> list[Drawing]:
    """Bias and spread against the true depth, a figure for each parameter and condition."""
    runs = [_Run(line.label, line.condition, profiles) for line in lines for profiles in line.profiles]
    names = dict.fromkeys(name for one in runs for name in one.profiles)
    where = dict.fromkeys(one.condition for one in runs)
    made = (_drawn(name, on, [one for one in runs if one.condition == on and name in one.profiles])
            for name, on in product(names, where))  # fmt: skip
    return [one for one in made if one is not None]


def _drawn(name: str, condition: str, runs: Sequence[_Run]) -> Drawing | None:
    """A panel for each row of the board; None where none tells the parameter."""
    seen = [(label, _mean([one.profiles[name] for one in runs if one.label == label])) for label in _labels(runs)]
    seen = [(label, columns) for label, columns in seen if any((each or 0.0) > ROUNDING for each in columns["spread"])]
    far = [label for label, columns in seen if _far(columns)]
    near = [(label, columns) for label, columns in seen if label not in far]
    if not near:
        return None
    unit = f" ({unit_of(name)})" if unit_of(name) else ""
    rows = [row for label, columns in near for row in _lines(label, columns)]
    image = figures.curves(rows, x_label="true z (nm)", y_label=f"{name}{unit}")
    left_out = f" Not drawn, as they lie above {FAR:g} times the bound: {', '.join(far)}." if far else ""
    said = (
        f"Bias and spread of {name} against the true depth on {condition}, in bins of it, beside the bound.{left_out}"
    )
    drawn = ", ".join(label for label, _ in near)
    return Drawing(said, f"Lines of bias, spread and bound of {name} over depth for {drawn}", image)


def _labels(runs: Sequence[_Run]) -> list[str]:
    return list(dict.fromkeys(one.label for one in runs))


def _far(columns: Columns) -> bool:
    """Whether a row would squeeze the others together."""
    bound = max((value for value in columns["crlb"] if value is not None), default=0.0)
    values = [abs(value) for what in DRAWN[:2] for value in columns[what] if value is not None]
    return bound > 0 and max(values, default=0.0) > FAR * bound


def _lines(label: str, columns: Columns) -> Iterator[dict[str, object]]:
    """Rows of `figures.curves` for one panel."""
    for style, what in enumerate(DRAWN):
        for x, y in zip(columns["z_nm"], columns[what], strict=True):
            if x is not None and y is not None:
                kind = "reference" if what == "crlb" else "pick"
                yield {"panel": label, "label": TITLES.get(what, what), "x": x, "y": y, "style": style, "kind": kind}


def _mean(profiles: Sequence[Mapping[str, Sequence[float | None]]]) -> Columns:
    """Over repeats; None where one has no number."""
    found: Columns = {}
    for what in ("z_nm", *DRAWN):
        values = np.array([[np.nan if value is None else value for value in one[what]] for one in profiles])
        found[what] = [float(value) if np.isfinite(value) else None for value in values.mean(axis=0)]
    return found
