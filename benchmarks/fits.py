"""Whether the comparison of a movie with what a network was trained on tells which movies the network does not suit.

python benchmarks/fits.py STUDY.yaml --store STORE [--data NAME] [--movies 60] [--scored 20] [--quick]

For every trained row of a study (of localization, on simulated data), movies are simulated: matched ones, each with one
background, width and density drawn from what was trained on, and shifted ones, each with one thing moved out of it.
What the training saw is measured anew from the study's description. A false alarm is a matched movie that is told of; a
miss is a shifted one that is not, although the efficiency lies more than 10 below the mean of the matched ones.

Prints a table for each row; the last line is one JSON object.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench import psf, tasks
from smlmbench.camera import Camera
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.inference.answering import answering
from smlmbench.inference.checkpoint import load_trained
from smlmbench.predictions import Localizations
from smlmbench.psf.draws import drawn, mean_of
from smlmbench.registry import Catalog
from smlmbench.run.fits import seen_in_training
from smlmbench.run.materials import Materials
from smlmbench.run.using.drawing import described, draw_frames
from smlmbench.run.using.finding import find_row
from smlmbench.simulate.emitters import plain
from smlmbench.study.cells import Cell
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan
from smlmbench.study.schema import Scoring
from smlmbench.study.sources import SimulateSource
from smlmbench.tracking.store import open_store
from smlmbench.truths import emitters as truths

FELL, QUICK = 10.0, 12
EMCCD = {"kind": "emccd", "baseline_adu": 100, "e_per_adu": 45, "em_gain": 300, "read_noise_e": 74.4}


@dataclass(frozen=True, slots=True)
class Shift:
    """One thing that a movie has otherwise than its training.

    `factors` move the end of the trained range that they point away from; `told` changes the camera that counts are
    read with; `facts` are further facts of the description; `step_adu` coarsens the counts.
    """

    name: str
    factors: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    told: Mapping[str, float] = field(default_factory=dict)
    step_adu: int = 1


def shifts(sigma_nm: float) -> list[Shift]:
    """All of them, moderate and large."""
    factors = {
        "sigma": (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.5),
        "background": (0.02, 0.1, 0.2, 0.5, 2, 3, 5, 10),
        "photons": (0.1, 0.2, 0.3, 0.5, 2, 5, 10),
        "density": (2, 3, 5, 10, 20),
    }
    found = [Shift(f"{what} x{by:g}", {what: by}) for what, each in factors.items() for by in each]
    found += [Shift(f"gain read x{by:g}", told={"e_per_adu": by}) for by in (0.3, 0.5, 0.7, 1.5, 2, 4)]
    found += [Shift(f"baseline read {by:+g} ADU", told={"baseline_adu": by}) for by in (-80, -40, 20, 40, 80)]
    found += [Shift("emccd", facts={"camera": EMCCD}), Shift("read noise 12 e", facts={"read_noise_e": 12.0})]
    for z_nm in (150, 300, 450):
        lens = {"name": "astigmatic", "sigma_x_nm": sigma_nm, "sigma_y_nm": sigma_nm}
        found.append(Shift(f"astigmatic z {z_nm} nm", facts={"psf": lens, "z_nm": z_nm}))
    lens = {"name": "astigmatic", "sigma_x_nm": sigma_nm, "sigma_y_nm": sigma_nm}
    found.append(Shift("astigmatic z -600..600 nm", facts={"psf": lens, "z_nm": {"min": -600, "max": 600}}))
    pupil = {"name": "scalar_pupil", "blur_nm": 0.8 * sigma_nm}
    found += [Shift(f"pupil z {z_nm} nm", facts={"psf": pupil, "z_nm": z_nm}) for z_nm in (0, 350, 700)]
    for said, term in (("coma", 8), ("spherical", 11)):
        aberrated = {**pupil, "zernike_mlambda": {term: 100}}
        found.append(Shift(f"{said} 100 mlambda", facts={"psf": aberrated}))
    found += [
        Shift("slope of background", facts={"background": {"name": "slope", "change": 0.9}}),
        Shift("cells in background", facts={"background": {"name": "perlin", "change": 1.0, "cell_um": 2.0}}),
        Shift("out of focus", facts={"background": {"name": "out_of_focus", "density_per_um2": 1.0, "photons": 3000}}),
        Shift("hot pixels 0.5 %", facts={"hot_pixels": 0.005}),
        Shift("8-bit steps of 32 ADU", step_adu=32),
        Shift("blinking 3 frames", facts={"track": {"name": "blinking", "on_frames": 3.0}}),
        Shift("photons x0.5, background x3", {"photons": 0.5, "background": 3}),
        Shift("sigma x1.1, background x2", {"sigma": 1.1, "background": 2}),
        Shift("sigma x0.9, density x2", {"sigma": 0.9, "density": 2}),
    ]
    return found


def _ends(law: Any) -> tuple[float, float]:
    told = plain(law)
    return (told["min"], told["max"]) if isinstance(told, dict) else (float(told), float(told))


def moved(law: Any, factor: float) -> float:
    """One number beyond a law: its end times the factor that points away from it."""
    low, high = _ends(law)
    return high * factor if factor > 1 else low * factor


def one_draw(source: SimulateSource, seed: int) -> dict[str, Any]:
    """Background, width and density of one movie of a training, in the words of a description."""
    generator = torch.Generator().manual_seed(seed)

    def one(law: Any) -> float:
        return float(drawn(plain(law), 1, generator)[0])

    return {
        "background_photons": one(source.background_photons),
        "density_per_um2": one(source.density_per_um2),
        "psf": {**source.psf, "sigma_nm": one(source.psf["sigma_nm"])},
    }


def shifted(source: SimulateSource, shift: Shift, seed: int) -> dict[str, Any]:
    """The description of a movie with one thing moved, the others drawn from the training."""
    facts = one_draw(source, seed)
    for name, factor in shift.factors.items():
        if name == "sigma":
            facts["psf"]["sigma_nm"] = moved(source.psf["sigma_nm"], factor)
        elif name == "photons":
            law = plain(source.photons)
            facts["photons"] = {**law, "min": law["min"] * factor, "max": law["max"] * factor}
        else:
            key = {"background": "background_photons", "density": "density_per_um2"}[name]
            facts[key] = moved(getattr(source, key), factor)
    more = dict(shift.facts)
    if "read_noise_e" in more:
        more["camera"] = source.camera.model_dump() | {"read_noise_e": more.pop("read_noise_e")}
    return facts | more


def read_with(camera: Camera, shift: Shift) -> Camera:
    """The camera that the user states."""
    told = camera.model_dump()
    told["e_per_adu"] *= shift.told.get("e_per_adu", 1.0)
    told["baseline_adu"] += shift.told.get("baseline_adu", 0.0)
    return Camera.model_validate(told)


def movie(facts: Mapping[str, Any], shift: Shift, seed: int, size: tuple[int, int], known: Any) -> Condition:
    """Simulated frames as the user's camera makes photons of them, and their truth."""
    frames, field_px = size
    source = described({**facts, "field_px": field_px})
    counts, table = draw_frames(source, frames, seed, Catalog())
    counts = counts // shift.step_adu * shift.step_adu
    pixels: NDArray[np.float32] = read_with(source.camera, shift).to_photons(counts)
    optics = psf.build(source.psf, Catalog())
    sigma_px = optics.sigma_nm / source.pixel_size_nm
    background = mean_of(plain(source.background_photons)) + source.haze_photons
    least = float(truths.faintest_photons(source.min_photons, background, sigma_px))
    return Condition("movie", ArrayFrames(pixels), truths.Emitters(table, least, sigma_px), told=known)


class Judged:
    """One trained row: what its training saw, and its efficiency on a movie."""

    def __init__(self, cell: Cell, checkpoint: Path, materials: Materials, scored: int) -> None:
        self.scored = scored
        self.trained = load_trained(checkpoint, materials.catalog)
        self.task, self.model = tasks.load(cell.task, materials.catalog), answering(self.trained)
        self.seen = seen_in_training(cell, materials)
        self.known = materials.splits(cell).validation.told

    def __call__(self, condition: Condition, *, quick: bool = False) -> tuple[float, list[str]]:
        """Efficiency, and what is told; quick: NaN without running the network where something is told before."""
        fit = self.task.fits(self.seen, condition.frames)
        assert fit is not None
        if quick and fit.lines:
            return float("nan"), list(fit.lines)
        some = condition.part(0, min(self.scored, condition.frames.n_frames))
        answer = self.task.answer(self.model, some, self.trained.tuned, whole=False)
        table: Localizations = answer.table
        fit.found(0, some.frames.n_frames, table)
        scores = self.task.score(answer, some, Scoring())
        return scores.values.get("efficiency", float("nan")), list(fit.facts["lines"])


def rows(asked: argparse.Namespace) -> Iterator[tuple[Cell, Path, Materials]]:
    """Trained rows of the study whose training is one simulation, with their checkpoints."""
    loaded = load_study(asked.study)
    store, materials = open_store(asked.store, create=False), Materials(loaded.catalog)
    for cell in make_plan(loaded).cells:
        if not isinstance(cell.data.train, SimulateSource) or asked.data not in (None, cell.data.name):
            continue
        path = find_row(store, cell.cell_id)[0].artifact("best.pt")
        if path is not None:
            yield cell, path, materials


def judge(cell: Cell, judged: Judged, asked: argparse.Namespace) -> dict[str, Any]:
    """The table of one row, and its counts."""
    source, size = cell.data.train, (asked.frames, asked.field)
    assert isinstance(source, SimulateSource)
    base = {**source.model_dump(exclude={"frames", "field_px", "kind", "frozen", "more_cameras"}, exclude_none=True)}
    print(f"{cell.data.name} {cell.labels['model']} {cell.cell_id}", flush=True)
    matched, alarms = [], 0
    for number in range(min(asked.movies, QUICK) if asked.quick else asked.movies):
        drawn_facts = base | one_draw(source, 1000 + number + asked.seed)
        efficiency, lines = judged(movie(drawn_facts, Shift("matched"), number + asked.seed, size, judged.known))
        matched.append(efficiency)
        print(f"  matched {number}: {efficiency:.1f}", flush=True)
        alarms += bool(lines)
        for line in lines:
            print(f"  false alarm: movie {number} ({efficiency:.1f}): {line}", flush=True)
    level = float(np.mean(matched))
    print(f"  matched: efficiency {level:.1f} ({min(matched):.1f} to {max(matched):.1f})", flush=True)
    fell, missed, told = 0, [], 0
    for number, shift in enumerate(shifts(mean_of(plain(source.psf["sigma_nm"])))[: asked.movies]):
        facts = base | shifted(source, shift, 5000 + number + asked.seed)
        made = movie(facts, shift, 500 + number + asked.seed, size, judged.known)
        efficiency, lines = judged(made, quick=asked.quick)
        lost = level - efficiency
        fell += lost > FELL
        told += bool(lines)
        if not lines and not lost <= FELL:
            missed.append(shift.name)
        mark = "MISS" if missed and missed[-1] == shift.name else ""
        print(f"  {shift.name:28s} {-lost:+6.1f} {mark:4s} {'; '.join(lines)}", flush=True)
    return {
        "matched_efficiency": round(level, 2),
        "matched": len(matched),
        "false_alarms": alarms,
        "shifted": number + 1,
        "told": told,
        "fell": fell,
        "missed": missed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--store", required=True)
    parser.add_argument("--data", help="one data entry of the study; default: all")
    parser.add_argument("--movies", type=int, default=60, help="matched ones, and at most so many shifted ones")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--scored", type=int, default=20, help="frames of each that the network is run on")
    parser.add_argument("--quick", action="store_true", help="12 matched ones; no efficiency of shifted ones told of")
    parser.add_argument("--field", type=int, default=64, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    said = {}
    for cell, path, materials in rows(asked):
        said[f"{cell.data.name} {cell.cell_id}"] = judge(cell, Judged(cell, path, materials, asked.scored), asked)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
