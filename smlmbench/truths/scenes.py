"""Scenes: the truth of inputs that are no frames yet, since every network draws them through its own mask."""

from dataclasses import dataclass
from typing import ClassVar

from smlmbench.truths.emitters import Emitters
from smlmbench.truths.labels import Labels

KIND, COLOURED = "scenes", "color_scenes"


@dataclass(frozen=True)
class SceneEmitters(Emitters):
    """As `Emitters`; unit n of a frozen set is a scene (see `smlmbench/optics/scenes.py`)."""

    kind: ClassVar[str] = KIND


@dataclass(frozen=True)
class SceneLabels(Labels):
    """As `Labels`; unit n of a frozen set is a scene of one emitter."""

    kind: ClassVar[str] = COLOURED
