"""The block `robustness` of a data entry: a centre and axes, expanded into test conditions.

`robustness: standard` is every axis of PROTOCOL section 2. `{at: ..., photons: [0.2, 5], sigma: standard}` are those
named; `at` is a condition of `test` by its name, or a simulation (what it does not name is taken from train). Without
`at` the centre is the first condition of `test`, else what train simulates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from smlmbench.registry import Catalog
from smlmbench.study.reading.problems import Problems, Where, short
from smlmbench.study.schema import Sheet, Step
from smlmbench.study.sources import Description, SimulateSource
from smlmbench.study.sources.axes import (
    AXES,
    CENTRE,
    PUPIL,
    Axis,
    Centre,
    SenselessError,
    not_a_centre,
    origin_of,
    varied,
)

KEY = "robustness"
AT, STANDARD = "at", "standard"
Read = Callable[[Where, Any], Description | None]


@dataclass(frozen=True, slots=True)
class SheetReader:
    """Reads the block of one data entry; every problem is noted, nothing is raised.

    Attributes:
        where: Place of the block.
        read: Reads a source at a place; what it does not name is taken from train.
        sources: Where those that are valid by themselves are kept with their places.
    """

    where: Where
    read: Read
    sources: list[tuple[Where, Description]]
    catalog: Catalog
    problems: Problems

    def __call__(self, raw: Any, tests: Mapping[str, Description]) -> tuple[dict[str, Description], Sheet | None]:
        """The test conditions with those of the sheet, and the sheet; None where there are problems."""
        wanted = "a sheet; write standard, or {at: {simulate: ...}, photons: [0.2, 5], ...}"
        given = {} if raw == STANDARD else raw
        if not self.problems.expect(self.where, given, Mapping, wanted):
            return dict(tests), None
        before = len(self.problems)
        self.problems.unknown_keys(self.where, given, [AT, *AXES])
        name, centre = self._centre(given.get(AT), tests)
        named = {key: given[key] for key in given if key in AXES} or dict.fromkeys(AXES, STANDARD)
        steps = {key: self._steps(key, value) for key, value in named.items()}
        if centre is None or len(self.problems) > before:
            return dict(tests), None
        made: dict[str, Description] = {**tests, name: centre}
        sheet = Sheet(centre=name)
        for key, wanted_steps in steps.items():
            self._expand(Centre(centre, self.catalog), key, wanted_steps, made, sheet)
        return made, sheet

    def _centre(self, at: Any, tests: Mapping[str, Description]) -> tuple[str, SimulateSource | None]:
        place = (*self.where, AT)
        if isinstance(at, str):
            if at not in tests:
                there = f"conditions of test are {', '.join(tests)}" if tests else "test names none"
                self.problems.add(place, f"no condition '{at}'; {there}, or write {{simulate: ...}}")
                return at, None
            name, source = at, tests[at]
        elif at is None and tests:
            name, source = next(iter(tests.items()))
        elif CENTRE in tests:
            self.problems.add(place, f"a condition of test is called '{CENTRE}' already; write at: {CENTRE}")
            return CENTRE, None
        else:
            found = self.read(place, {"simulate": {}} if at is None else at)
            if found is None:
                return CENTRE, None
            name, source = CENTRE, found
        if not isinstance(source, SimulateSource):
            self.problems.add(place, "a sheet varies what is simulated; write at: {simulate: ...}")
            return name, None
        if (said := not_a_centre(source)) is not None:
            self.problems.add(place, f"'{name}' {said}")
            return name, None
        return name, source

    def _steps(self, key: str, given: Any) -> list[float | str]:
        axis, place = AXES[key], (*self.where, key)
        if given == STANDARD:
            return list(axis.steps)
        kind: Any = str if axis.base is None else (int, float)
        example = ", ".join(f"{step:g}" if not isinstance(step, str) else step for step in axis.steps)
        usable = isinstance(given, list) and bool(given)
        if not usable or not all(isinstance(one, kind) and not isinstance(one, bool) for one in given):
            self.problems.add(place, f"{short(given)} is not a list of steps; write standard, or [{example}]")
            return []
        if axis.unit == "x" and min(given) <= 0:
            self.problems.add(place, f"{min(given):g} is no factor; give numbers above 0")
        return [one if isinstance(one, str) else float(one) for one in given]

    def _expand(
        self, centre: Centre, key: str, steps: list[float | str], made: dict[str, Description], sheet: Sheet
    ) -> None:
        axis = AXES[key]
        try:
            base, flat = origin_of(centre, key)
        except SenselessError as why:
            sheet.left_out.append(f"{KEY}: {key} is left out: {why}")
            return
        origin = sheet.centre if flat is None else PUPIL
        where, facts = (*self.where, key), {"base": base, "origin": origin, "unit": axis.unit}
        if flat is not None and origin not in sheet.steps:
            self._add(where, origin, flat, made)
            sheet.steps[origin] = Step(axis=PUPIL, step=base, **facts)
        for step in dict.fromkeys(step for step in steps if step != base):
            condition = f"{key}-{_shown(axis, step)}"
            try:
                self._add(where, condition, varied(centre, key, step), made)
                sheet.steps[condition] = Step(axis=key, step=step, **facts)
            except SenselessError as why:
                sheet.left_out.append(f"{KEY}: {condition} is left out: {why}")

    def _add(self, where: Where, condition: str, source: SimulateSource, made: dict[str, Description]) -> None:
        if condition in made:
            self.problems.add(where, f"a condition of test is called '{condition}'; rename it")
        made[condition] = source
        self.sources.append((where, source))


def _shown(axis: Axis, step: float | str) -> str:
    """A step as it stands in the name of a condition."""
    return step if isinstance(step, str) else f"{axis.unit if axis.unit == 'x' else ''}{step:g}"
