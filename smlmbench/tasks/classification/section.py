"""What the page says of classes: how the numbers are read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from smlmbench.tasks.contracts.sections import Section

if TYPE_CHECKING:
    import pandas as pd

READING = (
    "Macro-F1 is the mean over the classes of F1, in percent, of all units of a known class; nothing is rejected for "
    "it, nor for accuracy and calibration error. Units of no class (strangers) are in none of them.",
    "A network rejects units whose highest score is below its level: the lowest at which at most 1 % of the validation "
    "units that are kept are wrong, unless the study states one. Coverage is what is kept of the known classes there. "
    "Utilisation at 1 % wrong reads the level off the test set itself: it is what a perfect choice would give.",
)


def section(headline: tuple[str, ...], frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
    """The section of a board."""
    del frame, conditions
    return Section(columns=headline, reading=READING)
