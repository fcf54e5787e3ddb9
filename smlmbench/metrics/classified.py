"""What metrics of classes look at: the class that was said of each unit, how certain, and the true one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smlmbench.predictions import Floats, Ints

NOTHING = "no unit of a known class"
NO_TRUTH = "there is no truth"


@dataclass(frozen=True, slots=True)
class Classified:
    """Units with what a row says of them.

    Attributes:
        true, said: Number of the true and of the said class (n,); -1: a stranger, of no class; nothing was said.
        scores: Of the said class, 0 .. 1 (n,).
        photons: Of each unit (n,), NaN where unknown.
        classes: How many there are.
        level: Score below which the row rejects; NaN where it rejects nothing.
    """

    true: Ints
    said: Ints
    scores: Floats
    photons: Floats
    classes: int
    level: float = float("nan")

    @property
    def known(self) -> NDArray[np.bool_]:
        """Units of a known class."""
        return np.asarray(self.true >= 0)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Units of which the true class was said."""
        return np.asarray(self.known & (self.true == self.said))

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Units that are not rejected."""
        return np.asarray((self.said >= 0) & (self.scores >= self.level))

    @property
    def counts(self) -> Floats:
        """Of each unit, whether its class was said, said of anyone, and true, (n, 3 classes); strangers have zeros."""
        return counts_of(self.true, self.said, self.classes)


def counts_of(true: Ints, said: Ints, classes: int) -> Floats:
    """Of each unit and class 1 where it was said and true, said, true: (n, 3 classes), zeros of strangers."""
    numbers, known = np.arange(classes), (true >= 0)[:, None]
    is_true, is_said = (true[:, None] == numbers) & known, (said[:, None] == numbers) & known
    return np.concatenate([is_true & is_said, is_said, is_true], axis=1).astype(np.float64)


def macro_f1(sums: Floats) -> Floats:
    """Mean in percent of F1 over the classes that occur, from sums (..., 3 classes) of `counts_of`; NaN without any."""
    hit, said, true = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
    f1 = np.where(true > 0, 2 * hit / np.maximum(said + true, 1), 0.0)
    occurring = (true > 0).sum(axis=-1)
    mean = 100 * f1.sum(axis=-1) / np.maximum(occurring, 1)
    return np.asarray(np.where(occurring > 0, mean, np.nan))


def kept_by_wrong(right: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Levels of rejection, from the highest score down, with the share that is kept there and of these wrong.

    Units of one score are kept or rejected together; a unit is kept at a level of its own score.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(ordered[1:] < ordered[:-1], [True])  # of those with one score
    count = np.arange(1, len(order) + 1)
    wrong = np.cumsum(~right[order]) / count
    return ordered[last], (count / max(1, len(order)))[last], wrong[last]
