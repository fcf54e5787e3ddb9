"""A study for a user's movie as text: complete, and each number with where it is from."""

import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from smlmbench.addresses import command as command_line
from smlmbench.calibrate.contracts import Measured
from smlmbench.calibrate.proposing.budget import Budget
from smlmbench.calibrate.proposing.ranges import REACH, Ranges, cameras
from smlmbench.calibrate.telling import doubts

NORMALISATION = "noise_scaled"  # of photons inside the networks: brightness, background and gain do least harm
MODELS: tuple[dict[str, Any], ...] = (
    {"name": "fid_storm", "blocks": 5},
    {"name": "deep_storm", "width": 0.25},
    {"name": "srcnn", "width": 0.25},
)
LOSS = {"name": "l1l2", "lambda": 800}
BATCH, VALIDATIONS = 8, 5
LARGEST_TIMED_PX = 128
WIDTH = 118  # of a line of comment


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study lies and what it names.

    Attributes:
        file: The study file.
        movie: The movie that it is for.
        truth: A table of its positions, where there is one.
        typed: What the user stated, in words, an item each.
    """

    file: Path
    movie: Path
    truth: Path | None = None
    typed: Sequence[str] = ()


def study_text(measured: Measured, ranges: Ranges, budget: Budget, place: Place) -> str:
    """The study as YAML: trained on ranges around what was measured, tested around it, the movie under `apply`."""
    return (
        "\n".join(
            [*_head(measured, ranges, budget, place), *_data(measured, ranges, budget, place), *_rest(measured, budget)]
        )
        + "\n"
    )


def doubtful(measured: Measured) -> list[str]:
    """What is in doubt of the numbers that a study draws from: all but the drift."""
    return doubts(replace(measured, drift=None))


def study_name(text: str) -> str:
    """A name that a study or data set may have, of any text."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:80] or "my-movie"


def _head(measured: Measured, ranges: Ranges, budget: Budget, place: Place) -> Iterator[str]:
    size = f"{measured.n_frames} frames of {measured.height} x {measured.width} px"
    yield from _comment(
        f"Which network localizes {place.movie.name} ({size})? Networks are trained on simulated frames of what the "
        "movie was measured to be and of what lies around it, tested on both, and run on the movie."
    )
    file, camera = place.file, _flow(cameras(measured)[0])
    yield "#"
    yield f"# {command_line('smlmbench', 'plan', file)}"
    yield f"# {command_line('smlmbench', 'run', file)}        (about {budget.minutes:.0f} minutes on 2 cores)"
    best = command_line("smlmbench", "predict", MODELS[0]["name"], place.movie, "--camera", camera, "-o", "results")
    yield f"# {best}"
    yield "#"
    yield from _comment(
        f"Stated by you: {'; '.join(place.typed)}. All else was measured, in brackets its 95 % interval."
    )
    for said in (*ranges.assumed, "depth not measured; a flat sample in focus assumed"):
        yield from _comment(f"Not known: {said}.")
    for doubt in doubtful(measured):
        yield from _comment(f"Doubtful: {doubt}.")
    yield f"study: {_flow(study_name(place.file.stem))}"
    yield "seed: 1"
    yield "repeats: 1        # 3 give intervals, and take three times as long"


def _data(measured: Measured, ranges: Ranges, budget: Budget, place: Place) -> Iterator[str]:
    pixel = measured.pixel_size_nm
    yield "data:"
    yield f"  - name: {_flow(study_name(place.movie.stem))}"
    yield "    train:"
    yield "      simulate:"
    for key, value in ranges.train.items():
        reach = f" Training: {REACH[key]}." if key in REACH else ""
        if key in ranges.found:
            yield from _comment(f"Measured: {ranges.found[key]}.{reach}", 8)
        elif reach:
            yield from _comment(f"Not measured, see above.{reach}", 8)
        yield f"        {key}: {_flow(value)}"
    yield f"        pixel_size_nm: {pixel:g}"
    several = cameras(measured)
    if len(several) == 1:
        yield f"        camera: {_flow(several[0])}"
    else:
        yield from _comment("Yours first, which the movie is read with; another, so that other noise does no harm.", 8)
        yield "        camera:"
        yield from (f"          - {_flow(camera)}" for camera in several)
    yield f"        field_px: {budget.field_px}"
    middle = (ranges.train["density_per_um2"]["min"] + ranges.train["density_per_um2"]["max"]) / 2
    yield f"    val: {{simulate: {{frames: {budget.val_frames(middle, pixel)}}}}}"
    blinks = f" Molecules stay on: {ranges.found['track']}." if "track" in ranges.tests["as-measured"] else ""
    said = "The movie as it was measured; then one number off by more than a calibration errs."
    yield from _comment(f"{said}{blinks}", 4)
    yield "    test:"
    alone = {} if len(several) == 1 else {"camera": several[0]}
    for name, changes in ranges.tests.items():
        frames = budget.test_frames(ranges.tests[name]["density_per_um2"], pixel)
        yield f"      {name}: {_flow({'simulate': {**changes, **alone, 'frames': frames}})}"
    if place.truth is not None:
        yield from _comment("The movie itself against your table; what is not in the table counts as false.", 6)
        files = {"movie": _beside(place.movie, place.file), "truth": _beside(place.truth, place.file)}
        stated = {"pixel_size_nm": pixel, "camera": several[0], "psf": ranges.tests["as-measured"]["psf"]}
        yield f"      own-table: {_flow({**files, **stated, 'crop_px': budget.field_px})}"
    yield f"    apply: {_flow([_beside(place.movie, place.file)])}"


def _rest(measured: Measured, budget: Budget) -> Iterator[str]:
    fine = measured.pixel_size_nm / budget.upsampling
    yield f"output: {{upsampling: {budget.upsampling}}}        # a fine grid of {fine:.3g} nm"
    yield "models:"
    yield from (f"  - {_flow({**model, 'normalisation': NORMALISATION})}" for model in MODELS)
    yield f"losses: [{_flow(LOSS)}]"
    yield from _comment("More samples give better networks; minutes grow with them.")
    yield f"training: {_flow({'samples': budget.samples, 'batch_size': BATCH, 'validations': VALIDATIONS})}"
    side = min(LARGEST_TIMED_PX, max(measured.height, measured.width, 8))
    yield "# runtimes: [eager, onnxruntime, openvino] times more ways to run them: pip install 'smlmbench[export]'"
    yield f"timing: {{devices: [cpu], runtimes: [eager], sizes_px: [{side}]}}"


def _beside(path: Path, study: Path) -> str:
    """A path as the study names it: relative to its folder where the file lies in it or below, else whole."""
    folder, whole = study.absolute().parent, path.absolute()
    return str(whole.relative_to(folder)) if whole.is_relative_to(folder) else str(whole)


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(
        _plain(value), default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=True
    )
    return text.strip().removesuffix("...").strip()


def _plain(value: Any) -> Any:
    """Whole numbers without a point, paths as text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return os.fspath(value) if isinstance(value, Path) else value


def _comment(text: str, indent: int = 0) -> list[str]:
    return [" " * indent + f"# {line}" for line in textwrap.wrap(text, WIDTH - indent, break_on_hyphens=False)]
