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
BOUND = "bound"


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
    """Bias and spread against the true depth, a figure for each parameter."""
    runs = [_Run(line.label, line.condition, profiles) for line in lines for profiles in line.profiles]
    names = dict.fromkeys(name for one in runs for name in one.profiles)
    return [made for name in names if (made := _drawn(name, [one for one in runs if name in one.profiles])) is not None]


def _drawn(name: str, runs: Sequence[_Run]) -> Drawing | None:
    conditions = list(dict.fromkeys(one.condition for one in runs))
    far = sorted({one.label for one in runs if _far(name, one, runs)})
    near = [one for one in runs if one.label not in far]
    rows = [
        row for condition, what in product(conditions, ("bias", "spread")) for row in _rows(name, near, condition, what)
    ]
    if not rows:
        return None
    unit = f" ({unit_of(name)})" if unit_of(name) else ""
    image = figures.curves(rows, x_label="true z (nm)", y_label=f"{name}{unit}")
    left_out = f" Not drawn, as they lie above {FAR:g} times the bound: {', '.join(far)}." if far else ""
    said = f"Bias and spread of {name} against the true depth, in bins of it, beside the bound.{left_out}"
    return Drawing(said, f"Lines of bias and spread of {name} over depth for {', '.join(_labels(near))}", image)


def _far(name: str, one: _Run, runs: Sequence[_Run]) -> bool:
    """Whether a row would squeeze the others together."""
    bounds = [value for run in runs for value in run.profiles[name]["crlb"] if value is not None]
    values = [abs(value) for key in ("bias", "spread") for value in one.profiles[name][key] if value is not None]
    return bool(bounds) and max(values, default=0.0) > FAR * max(bounds)


def _labels(runs: Sequence[_Run]) -> list[str]:
    return list(dict.fromkeys(one.label for one in runs))


def _rows(name: str, runs: Sequence[_Run], condition: str, what: str) -> Iterator[dict[str, object]]:
    """Rows of `figures.curves` for one panel: a line for each row of the board, over its repeats in the mean."""
    own = [one for one in runs if one.condition == condition]
    panel = f"{condition}: {what}"
    for style, label in enumerate(_labels(runs)):
        mine = [one.profiles[name] for one in own if one.label == label]
        if mine:
            values = _mean([each[what] for each in mine])
            yield from _line(panel, label, mine[0]["z_nm"], values, style)
    if what == "spread" and own:
        crlb = own[0].profiles[name]["crlb"]
        yield from _line(panel, BOUND, own[0].profiles[name]["z_nm"], crlb, len(_labels(runs)), kind="reference")


def _line(
    panel: str,
    label: str,
    along: Sequence[float | None],
    values: Sequence[float | None],
    style: int,
    kind: str = "pick",
) -> Iterator[dict[str, object]]:
    for x, y in zip(along, values, strict=True):
        if x is not None and y is not None:
            yield {"panel": panel, "label": label, "x": x, "y": y, "style": style, "kind": kind}


def _mean(columns: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Of several repeats; None where one has no number."""
    table = np.array([[np.nan if value is None else value for value in column] for column in columns])
    return [float(value) if np.isfinite(value) else None for value in table.mean(axis=0)]
