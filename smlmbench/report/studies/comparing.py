"""Two studies side by side: numbers of rows that both have, their differences, and whether frozen sets are the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smlmbench.errors import ConfigError
from smlmbench.report.boards.frame import COSTS, harmless, lines
from smlmbench.report.boards.planned import Planned
from smlmbench.report.leaderboard import boards_of
from smlmbench.report.model import Record, Row
from smlmbench.report.words import decimals, number

ROW = ["task", "protocol", "label", "loss", "lambda", "method", "teacher", "control"]
SAME, OTHER, UNKNOWN = "same", "different", "unknown"
Digests = Mapping[tuple[str, str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paired numbers of two studies.

    Attributes:
        studies: Their names; differences are the second minus the first.
        numbers: A line for each number: `ROW`, data, condition, metric, unit, direction, of both studies `value`,
            `low`, `high` and `picked` with _1 and _2, `difference` with its `_low` and `_high`, `frozen_set`.
        shown: The same of the metric that ranks.
        alone: Rows that only one study has, by study.
        ambiguous: How many numbers were left out, since several rows of a study differ in nothing that pairs them.
    """

    studies: tuple[str, str]
    numbers: pd.DataFrame
    shown: pd.DataFrame
    alone: Mapping[str, Sequence[str]]
    ambiguous: int = 0


def compare(one: Record, other: Record) -> Comparison:
    """Pair the numbers of two studies where row (label, loss, λ, way of training), protocol and condition are the same.

    The interval of a difference takes both studies as independent (Zou and Donner 2008, doi:10.1002/sim.3095): on the
    same frozen set it is wider than a paired one. Means over conditions are paired where the conditions are the same.

    Raises:
        ConfigError: One study twice, or nothing that can be compared.
    """
    names = one.study, other.study
    if names[0] == names[1]:
        raise ConfigError(f"'{names[0]}' and itself are no two studies; give --compare two names")
    made = [boards_of(record) for record in (one, other)]
    frames = [_usable(lines(boards, rows)) for rows, boards in made]
    by_data = bool(set(frames[0]["data"]) & set(frames[1]["data"])) or any(f["data"].nunique() > 1 for f in frames)
    key = [*(["data"] if by_data else []), *ROW, "condition", "metric"]
    held = ["value", "low", "high", "picked", *(["unit", "direction"]), *([] if by_data else ["data"])]
    single = [frame[~frame.duplicated(key, keep=False)][[*key, *held]] for frame in frames]
    pairs = single[0].merge(single[1], on=key, suffixes=("_1", "_2"))
    pairs = pairs.rename(columns={f"{name}_1": name for name in ("unit", "direction", "data")})
    pairs["data_2"] = pairs["data"] if by_data else pairs["data_2"]
    sets = [frozen_sets(rows) for rows, _ in made]
    pairs["frozen_set"] = _frozen(pairs, sets[0], sets[1], [_conditions(record) for record in (one, other)])
    pairs = pairs[pairs["frozen_set"] != ""].reset_index(drop=True)
    if not len(pairs):
        raise ConfigError(_why_nothing(names, frames))
    _differences(pairs)
    primary = {data: Planned(one.plan).asked(data).primary for data in pairs["data"].unique()}
    shown = pairs[pairs["metric"] == pairs["data"].map(primary)]
    labels = [dict.fromkeys(frame["label"]) for frame in frames]
    alone = {name: [x for x in labels[i] if x not in labels[1 - i]] for i, name in enumerate(names)}
    order = ["task", "data", *ROW[1:], "condition", "metric", "unit", "direction"]
    rest = [f"{name}_{at}" for name in ("value", "low", "high", "picked") for at in (1, 2)]
    columns = [*order, *rest, "difference", "difference_low", "difference_high", "frozen_set"]
    ambiguous = sum(len(frame) - len(kept) for frame, kept in zip(frames, single, strict=True))
    return Comparison(names, pairs[columns], shown[columns], alone, ambiguous)


def csv_text(found: Comparison) -> str:
    """comparison.csv: every paired number; `study_1` and `study_2` stand in each line."""
    whole = found.numbers.assign(study_1=found.studies[0], study_2=found.studies[1])
    return whole.map(harmless).to_csv(index=False, lineterminator="\n")


def table_rows(shown: pd.DataFrame) -> list[list[str]]:
    """Cells of a table in words: row, condition, metric, both numbers, difference with interval, frozen set."""
    made = []
    for line in shown.to_dict("records"):
        places = decimals([line["value_1"], line["value_2"]])
        ends = [number(line[f"difference_{end}"], places) for end in ("low", "high")]
        interval = f" [{', '.join(ends)}]" if not np.isnan(line["difference_low"]) else ""
        row = " ".join(filter(None, [line["label"], line["loss"], line["lambda"] and f"λ {line['lambda']}"]))
        values = [number(line[name], places) for name in ("value_1", "value_2", "difference")]
        where = f"{line['data']} {line['condition'] or '(mean)'}"
        made.append([row, where, line["metric"], *values[:2], f"{values[2]}{interval}", line["frozen_set"]])
    return made


def frozen_sets(rows: Sequence[Row]) -> Digests:
    """Digests of the frozen sets that scored rows name in the store, by data and condition."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row.scored and row.run is not None:
            inputs = row.run.store.client.get_run(row.run.run_id).inputs
            for one in inputs.dataset_inputs if inputs is not None else ():
                context = next((tag.value for tag in one.tags if tag.key == "mlflow.data.context"), "")
                if one.dataset.name == f"{row.data}.{context}":
                    found.setdefault((row.data, context), set()).add(one.dataset.digest)
    return {place: frozenset(digests) for place, digests in found.items()}


def _usable(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["value"].notna() & ~frame["metric"].str.startswith("val/")]


def _conditions(record: Record) -> dict[str, list[str]]:
    return {data: sorted(facts) for data, facts in record.plan.get("conditions", {}).items()}


def _frozen(
    pairs: pd.DataFrame, first: Digests, second: Digests, asked: Sequence[Mapping[str, Sequence[str]]]
) -> list[str]:
    """What is known of the frozen sets of each pair; empty where means over different conditions were paired."""

    def verdict(data: str, data_2: str, condition: str) -> str:
        a, b = first.get((data, condition)), second.get((data_2, condition))
        return UNKNOWN if not a or not b else SAME if a == b and len(a) == 1 else OTHER

    told = []
    for data, data_2, condition, metric in pairs[["data", "data_2", "condition", "metric"]].itertuples(index=False):
        conditions = asked[0].get(data, [])
        if metric in COSTS:
            told.append("n/a")
        elif condition:
            told.append(verdict(data, data_2, condition))
        elif conditions != asked[1].get(data_2, []):
            told.append("")
        else:
            each = {verdict(data, data_2, one) for one in conditions}
            told.append(next((one for one in (OTHER, UNKNOWN) if one in each), SAME))
    return told


def _differences(pairs: pd.DataFrame) -> None:
    one, other = pairs["value_1"], pairs["value_2"]
    pairs["difference"] = other - one
    pairs["difference_low"] = other - one - np.hypot(other - pairs["low_2"], pairs["high_1"] - one)
    pairs["difference_high"] = other - one + np.hypot(pairs["high_2"] - other, one - pairs["low_1"])


def _why_nothing(names: tuple[str, str], frames: Sequence[pd.DataFrame]) -> str:
    for column in ("task", "protocol", "data", "label", "condition"):
        told = [sorted(set(frame[column]) - {""}) for frame in frames]
        if not set(told[0]) & set(told[1]):
            said = [", ".join(map(str, one[:6])) or "none" for one in told]
            return (
                f"'{names[0]}' and '{names[1]}' have no {column} in common ({said[0]}; {said[1]}), so no numbers can "
                "be compared; compare studies of the same rows and conditions"
            )
    return f"'{names[0]}' and '{names[1]}' share no row with a number in the same condition; nothing can be compared"
