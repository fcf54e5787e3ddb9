"""Checks of a reference: its answer belongs to the frames it was asked about."""

from dataclasses import replace
from typing import Any

import numpy as np

from smlmbench.camera import Camera
from smlmbench.conformance import examples
from smlmbench.conformance.checks import ContractError, NotApplicable, Subject, require
from smlmbench.data.contracts import ArrayFrames, Condition
from smlmbench.limit.bounds import Limit
from smlmbench.predictions import Localizations, Prediction
from smlmbench.psf.gaussian import Gaussian
from smlmbench.truths.emitters import Emitters
from smlmbench.truths.target_images import TargetImages

SIDE_PX = 24
UPSAMPLING = 4


def answers_belong_to_the_frames(subject: Subject) -> str:
    """Tables and images are those that the card says, of the condition's frames and field, images on the fine grid."""
    condition = _condition()
    gives = _serving(subject, condition)["gives"]
    answer, told = _predict(subject, condition), []
    require((answer.table is not None) == (gives in ("table", "both")), f"the card says it gives {gives}")
    require((answer.image is not None) == (gives in ("image", "both")), f"the card says it gives {gives}")
    if answer.table is not None:
        seen, wanted = (answer.table.n_frames, answer.table.field_nm), (condition.frames.n_frames, condition.field_nm)
        require(seen == wanted, f"the table is of {seen}, the condition of {wanted} (frames, field)")
        places = np.stack([answer.table.x_nm, answer.table.y_nm])
        require(np.isfinite(places).all(), "positions are not finite")
        told.append(f"{len(answer.table)} rows")
    if answer.image is not None:
        told.append(_image(answer))
    return ", ".join(told)


def same_seed_same_answer(subject: Subject) -> str:
    """Nothing but the frames and the seed decides."""
    one, two = (_predict(subject, _condition()) for _ in range(2))
    if one.table is not None and two.table is not None:
        require(np.array_equal(one.table.x_nm, two.table.x_nm), "two tables of one seed differ")
    if one.image is not None and two.image is not None:
        require(np.array_equal(one.image.values, two.image.values), "two images of one seed differ")
    return "bit for bit"


def blocks_are_answered_alone(subject: Subject) -> str:
    """From a multiple of `block_frames` on, where the card states it, an answer is that of the whole movie."""
    each = subject.card.facts.get("block_frames")
    if each is None:
        raise NotApplicable("the card does not state block_frames, so it may look at the whole movie")
    few, count = _condition().frames, int(each) + 3
    numbers = np.arange(count)
    movie = (
        few.read(0, few.n_frames)[numbers % few.n_frames] * np.linspace(1, 2, count, dtype=np.float32)[:, None, None]
    )
    tables = []
    for start, stop in ((0, count), (0, int(each)), (int(each), count)):
        table = _predict(subject, replace(_condition(), frames=ArrayFrames(movie[start:stop]), truth=None)).table
        if table is None:
            raise ContractError("block_frames is for those that give tables")
        tables.append(table.shifted(start).columns())
    whole, first, last = tables
    for name, column in whole.items():
        same = np.array_equal(column, np.concatenate([first[name], last[name]]), equal_nan=True)
        require(same, f"{name} of {count} frames is not that of {each} and 3 alone")
    return f"{each} frames"


def targets_are_answered_with_images(subject: Subject) -> str:
    """A single frame with a target image is answered with an image, where the card serves such a task."""
    wanted = [np.ones((SIDE_PX * UPSAMPLING, SIDE_PX * UPSAMPLING), dtype=np.float32)]
    condition = replace(_condition().part(0, 1), truth=TargetImages(wanted))
    _serving(subject, condition)
    return _image(_predict(subject, condition))


def _serving(subject: Subject, condition: Condition) -> dict[str, Any]:
    """What the card says of a task that takes the condition's truth; the check is skipped where it serves none."""
    kind = condition.truth.kind if condition.truth is not None else ""
    for name, facts in subject.card.facts.get("tasks", {}).items():
        if kind in subject.catalog.card("tasks", name).facts.get("truths", ()):
            return dict(facts)
    raise NotApplicable(f"it serves no task whose truth is {kind}")


def _image(answer: Prediction) -> str:
    if answer.image is None:
        raise ContractError("there is no image")
    side = SIDE_PX * UPSAMPLING
    shape, pixel_nm = answer.image.values.shape, answer.image.pixel_nm
    require(shape == (1, side, side), f"image of shape {shape}, expected {(1, side, side)}")
    require(pixel_nm == examples.PIXEL_SIZE_NM / UPSAMPLING, f"image pixels of {pixel_nm:g} nm")
    return f"{side} x {side} px"


def _predict(subject: Subject, condition: Condition) -> Prediction:
    if subject.card.facts.get("default") is False:
        raise NotApplicable("it needs settings of its user (fact default)")
    settings: dict[str, Any] = subject.settings(subject.card.tiny)
    answer: Prediction = subject.module.predict(condition, settings, {"upsampling": UPSAMPLING}, 3)
    return answer


def _condition() -> Condition:
    batch = examples.batch(frames=3, side_px=SIDE_PX)
    side_nm, truth = SIDE_PX * examples.PIXEL_SIZE_NM, batch.truth
    columns = {name: getattr(truth, name).numpy().astype(float) for name in ("x_nm", "y_nm", "photons")}
    columns["frame"] = truth.sample.numpy()
    columns["background_photons"] = np.full(len(truth.x_nm), examples.BACKGROUND_PHOTONS)
    table = Localizations.of(columns, n_frames=3, field_nm=(side_nm, side_nm))
    optics = Gaussian(examples.PSF_SIGMA_PX * examples.PIXEL_SIZE_NM)
    emitters = Emitters(table, 100.0, limit=Limit(optics, Camera(), examples.PIXEL_SIZE_NM))
    told = {
        "pixel_size_nm": examples.PIXEL_SIZE_NM,
        "psf_sigma_nm": examples.PSF_SIGMA_PX * examples.PIXEL_SIZE_NM,
        "background_photons": examples.BACKGROUND_PHOTONS,
    }
    return Condition("example", ArrayFrames(batch.inputs[:, 0].numpy()), emitters, "example", told=told)
