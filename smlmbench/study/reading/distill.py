"""Reading the block `distill` of a study: every problem in one pass, lists of names made one entry each."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smlmbench.errors import suggest
from smlmbench.study.reading.choices import LAMBDA, Choices
from smlmbench.study.reading.problems import Problems, Where, short
from smlmbench.study.schema.distill import CONTROLS, LARGEST_FACTOR, Control, Distillation, Side

KEYS = ("teacher", "student", "method", "controls", "longer")
CHECKPOINTS = ("run", "path")
WAY = "write [{teacher: NAME, student: NAME, method: NAME}]"


def read_distill(raw: Any, choices: Choices, task: str | None, root: Path) -> list[Distillation]:
    """Read the block; lists of teachers, students and methods become one entry each.

    Every problem is noted, nothing is raised. The task is None where it is not known; relative paths are taken from
    the folder `root`.
    """
    if raw is None or not choices.problems.expect(("distill",), raw, list, f"a list; {WAY}"):
        return []
    reader = _Reader(choices, choices.problems, task, root)
    return [entry for index, item in enumerate(raw) for entry in reader.entries(("distill", index), item)]


@dataclass(frozen=True, slots=True)
class _Reader:
    choices: Choices
    problems: Problems
    task: str | None
    root: Path

    def entries(self, where: Where, raw: Any) -> list[Distillation]:
        if not self.problems.expect(where, raw, Mapping, f"a pair; {WAY}"):
            return []
        before = len(self.problems)
        teachers = [side for at in self._each(where, raw, "teacher") for side in self._side(*at, teaches=True)]
        students = [side for at in self._each(where, raw, "student") for side in self._side(*at, teaches=False)]
        methods = [method for at in self._each(where, raw, "method") for method in self._method(*at)]
        own = {key: value for key, value in raw.items() if key not in KEYS}
        cards = {method: self.choices.catalog.card("recipes", method) for method in methods}
        settings = {
            method: self.choices.settings(card, where, own, swept=True, beside=KEYS) for method, card in cards.items()
        }
        around = {
            "controls": self._controls((*where, "controls"), raw.get("controls", True)),
            "longer": self._longer((*where, "longer"), raw.get("longer")),
        }
        if len(self.problems) > before:
            return []
        return [
            Distillation(teacher=teacher, student=student, method=method, settings=settings[method], **around)
            for teacher, student, method in itertools.product(teachers, students, methods)
        ]

    def _each(self, where: Where, raw: Mapping[str, Any], key: str) -> list[tuple[Where, Any]]:
        place, given = (*where, key), raw.get(key)
        if given is None or given == []:
            self.problems.add(place, f"required and not given; {WAY}")
            return []
        return (
            [((*place, index), item) for index, item in enumerate(given)]
            if isinstance(given, list)
            else [(place, given)]
        )

    def _method(self, where: Where, raw: Any) -> list[str]:
        catalog = self.choices.catalog
        teaching = [name for name in catalog.names("recipes") if catalog.card("recipes", name).facts.get("teacher")]
        if raw in teaching:
            return [str(raw)]
        known = raw in catalog.names("recipes")
        said = f"'{raw}' has no teacher" if known else f"{short(raw)} is not a method of distillation"
        self.problems.add(where, f"{said}; {suggest(str(raw), teaching)}")
        return []

    def _side(self, where: Where, raw: Any, *, teaches: bool) -> list[Side]:
        if isinstance(raw, str):
            raw = {"name": raw}
        if not isinstance(raw, Mapping):
            self.problems.add(where, f"{short(raw)} is neither a name nor a mapping with a name")
            return []
        if teaches and any(key in raw for key in CHECKPOINTS):
            return self._checkpoint(where, raw)
        name = raw.get("name")
        if not isinstance(name, str):
            also = ", or {path: best.pt} or {run: RUN_ID}" if teaches else ""
            self.problems.add(where, f"has no name; write {{name: MODEL, setting: value}}{also}")
            return []
        before = len(self.problems)
        if not self.choices.registered("models", where, name):
            return []
        card = self.choices.catalog.card("models", name)
        self.choices.serves(where, name, self.task)
        own = {key: value for key, value in raw.items() if key not in ("name", "loss", LAMBDA)}
        settings = self.choices.settings(card, where, own, swept=True, beside=("loss", LAMBDA))
        loss = self._loss((*where, "loss"), raw.get("loss"))
        side = Side(name=name, settings=settings, loss=loss, weights=self._weights((*where, LAMBDA), raw))
        return [side] if len(self.problems) == before else []

    def _loss(self, where: Where, raw: Any) -> dict[str, Any] | None:
        wanted = "a loss; write a name, or {name: ..., lambda: ...}"
        if raw is None or not self.problems.expect(where, raw, (str, Mapping), wanted):
            return None
        return next(iter(self.choices.losses(where, [raw])), None)

    def _weights(self, where: Where, raw: Mapping[str, Any]) -> list[float]:
        given = raw.get(LAMBDA)
        if given is None:
            return []
        values = given if isinstance(given, list) else [given]
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                self.problems.add(where, f"{short(value)} is not a number of at least 0")
                return []
        if isinstance(raw.get("loss"), Mapping) and LAMBDA in raw["loss"]:
            self.problems.add(where, "lambda stands inside loss too; keep one")
        return [float(value) for value in values]

    def _checkpoint(self, where: Where, raw: Mapping[str, Any]) -> list[Side]:
        key = next(key for key in CHECKPOINTS if key in raw)
        for other in raw:
            if other != key:
                self.problems.add((*where, other), f"a teacher from a {key} is taken as it is; leave this out")
        value = raw[key]
        if not isinstance(value, str) or not value:
            self.problems.add((*where, key), f"{short(value)} is not text; give a best.pt, or the id of a run")
            return []
        if key == "run":
            return [Side(run=value)]
        path = self.root / Path(value).expanduser()
        if not path.is_file():
            self.problems.add((*where, key), f"'{path}' is not a file; give the path of a best.pt")
            return []
        return [Side(path=path)]

    def _controls(self, where: Where, raw: Any) -> list[Control]:
        if isinstance(raw, bool):
            return list(CONTROLS) if raw else []
        if not isinstance(raw, list):
            said = f"{short(raw)} is not accepted; give true, false or a list of {', '.join(CONTROLS)}"
            self.problems.add(where, said)
            return []
        for index, item in enumerate(raw):
            if item not in CONTROLS:
                self.problems.add((*where, index), f"{short(item)} is not a control, {suggest(str(item), CONTROLS)}")
        return [item for item in CONTROLS if item in raw]

    def _longer(self, where: Where, raw: Any) -> int | None:
        if raw is None or (isinstance(raw, int) and not isinstance(raw, bool) and 2 <= raw <= LARGEST_FACTOR):
            return raw
        self.problems.add(where, f"{short(raw)} is not a whole number from 2 to {LARGEST_FACTOR}")
        return None
