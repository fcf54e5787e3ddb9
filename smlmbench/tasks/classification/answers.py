"""What a row says of units: their scores, and below which of these it rejects; as values and as a file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from smlmbench.data.contracts import Condition
from smlmbench.errors import FormatError
from smlmbench.metrics.classified import Classified
from smlmbench.predictions import ClassScores
from smlmbench.truths.labels import Labels

CLASS, SCORE, LEVEL, SCORE_OF = "class", "score", "reject_below", "score_"
REJECTED = "rejected"
LEAST_SCORE = 1e-6


@dataclass(frozen=True, slots=True)
class Answer:
    """Scores of all units.

    Attributes:
        scores: Of each unit and class.
        level: Units whose highest score is below are rejected; NaN where nothing is.
        stated: The level that the study sets, instead of one that is chosen.
    """

    scores: ClassScores
    level: float = math.nan
    stated: float | None = None

    def rejecting(self, level: float) -> "Answer":
        """With a level."""
        return replace(self, level=level)

    def part(self, start: int, stop: int) -> "Answer":
        """Of some units."""
        return replace(self, scores=replace(self.scores, scores=self.scores.scores[start:stop]))


def joined(parts: Sequence[ClassScores]) -> ClassScores:
    """Scores of consecutive batches as one."""
    return ClassScores(np.concatenate([part.scores for part in parts]), parts[0].classes)


def evidence_of(answer: Answer, condition: Condition) -> Classified | None:
    """Said beside true classes, by their names; None where there are no labels.

    A class that a row does not know is one that it misses; what it says of classes that the truth does not have is
    wrong. Of scores that are not finite nothing is said.

    Raises:
        FormatError: Scores of another number of units.
    """
    truth, found = condition.truth, answer.scores
    if not isinstance(truth, Labels):
        return None
    if found.scores.shape != (len(truth), len(found.classes)):
        shape = " x ".join(map(str, found.scores.shape))
        raise FormatError(
            f"scores of {shape} for {len(truth)} units and {len(found.classes)} classes; give all of them"
        )
    every = [*truth.classes, *(name for name in found.classes if name not in truth.classes)]
    place = np.array([every.index(name) for name in found.classes], dtype=np.int64)
    finite = np.asarray(np.isfinite(found.scores).all(axis=1))
    scores = np.where(finite[:, None], found.scores, 0.0).astype(np.float64)
    said = np.where(finite, place[scores.argmax(axis=1)], -1)
    return Classified(truth.index, said, scores.max(axis=1), truth.photons, len(every), answer.level)


def log_loss(answer: Answer, condition: Condition) -> float:
    """Mean of -log of the true class's score over the units of known classes; a class that is not said has 1e-6."""
    truth, found = condition.truth, answer.scores
    if not isinstance(truth, Labels) or not truth.known.any():
        return 0.0
    columns = [
        found.scores[:, found.classes.index(name)] if name in found.classes else np.zeros(len(truth))
        for name in truth.classes
    ]
    scores = np.nan_to_num(np.column_stack(columns), nan=0.0)[np.arange(len(truth)), truth.index][truth.known]
    return float(-np.log(np.clip(scores, LEAST_SCORE, 1.0)).mean())


def write_answer(answer: Answer, path: Path, beside: Mapping[str, ArrayLike] | None = None) -> Path:
    """A row for each unit: its number, what stands beside it, the class of the highest score, that score, all scores.

    The class is `rejected` below the level, and empty for a unit without scores (NaN).
    """
    import pandas as pd

    scores, classes = answer.scores.scores, np.array(answer.scores.classes)
    best = scores.max(axis=1)
    named = np.where(best < answer.level, REJECTED, classes[np.nan_to_num(scores).argmax(axis=1)])
    named = np.where(np.isfinite(best), named, "")
    columns: dict[str, ArrayLike] = {
        **(beside or {}),
        CLASS: named,
        SCORE: best,
        LEVEL: np.full(len(best), answer.level),
    }
    columns |= {f"{SCORE_OF}{name}": scores[:, place] for place, name in enumerate(answer.scores.classes)}
    table = pd.DataFrame(columns)
    table.to_csv(path, index_label="unit", float_format="%.7g", na_rep="nan", lineterminator="\n")
    return path


def read_answer(path: Path) -> Answer:
    """What `write_answer` wrote.

    Raises:
        FormatError: A file of another kind.
    """
    import pandas as pd

    table = pd.read_csv(path)
    names = [str(name) for name in table.columns if str(name).startswith(SCORE_OF)]
    if not names or LEVEL not in table.columns:
        raise FormatError(f"{path.name} has no scores of classes; give a table that a network of classes wrote")
    scores = table[names].to_numpy(dtype=np.float32)
    level = float(table[LEVEL].iloc[0]) if len(table) else math.nan
    return Answer(ClassScores(scores, tuple(name.removeprefix(SCORE_OF) for name in names)), level)
