"""Cross-talk: how much of the structures of other colours is seen in the image of one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from smlmbench.metrics.evidence import Evidence
from smlmbench.render import blur

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "The image as a sum of the true images of all colours, each with the best amount: what is of others.",
    "deviations": [
        "not found: how Gaire et al. 2020 measure cross-talk; both sides are blurred by 1 fine pixel, and the amounts "
        "are those of least squares, none below 0",
    ],
    "tasks": ["densification"],
    "gives": {
        "crosstalk": {
            "title": "cross-talk",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of the mass that the structures of other colours have in the image of one, mean over "
            "colours. The sparse image has about the share of misassigned localizations.",
        },
        "crosstalk_energy": {
            "title": "cross-talk, energy",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "The same share of the energy (sum of squares), in which little counts for very little.",
        },
    },
}

BLUR_PX = 1.0
ALIKE = 1e-9  # of what the images have in all, to tell them apart

Array = NDArray[np.floating[Any]]


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Of the image of one colour."""
    reason = evidence.missing("image", "truth_image", "others")
    if reason or evidence.image is None or evidence.truth_image is None or evidence.others is None:
        return dict.fromkeys(CARD["gives"], reason or "no images")
    found = amounts(evidence.image, np.stack((evidence.truth_image, *evidence.others)))
    if isinstance(found, str):
        return dict.fromkeys(CARD["gives"], found)
    mass, energy = found
    return {"crosstalk": _share_of_others(mass), "crosstalk_energy": _share_of_others(energy)}


def amounts(image: Array, truths: Array) -> tuple[Array, Array] | str:
    """Mass and energy that each true image (n, H, W) has in an image (H, W), or why that cannot be said."""
    if not (np.isfinite(image).all() and np.isfinite(truths).all()):
        return "an image has values that are not finite"
    if any(not (true > 0).any() for true in truths):
        return "the true image of a colour is blank"
    seen, *columns = (
        blur(np.asarray(one, dtype=np.float64) / np.abs(one).max(initial=1e-300), BLUR_PX).ravel()
        for one in (image, *truths)
    )
    basis = np.stack(columns, axis=1)
    if np.linalg.matrix_rank(basis.T @ basis, tol=ALIKE * float((basis**2).sum())) < len(columns):
        return "the structures of two colours are the same"
    shares, _ = nnls(basis, seen)
    if not shares.any():
        return "the image has nothing of any colour's structure"
    return shares * basis.sum(axis=0), shares**2 * (basis**2).sum(axis=0)


def _share_of_others(of_each: Array) -> float:
    return float(of_each[1:].sum() / of_each.sum())
