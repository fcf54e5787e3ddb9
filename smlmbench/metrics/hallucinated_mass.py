"""Hallucinated mass: how much of an image lies where there is no structure."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from smlmbench.metrics.evidence import Evidence

CARD = {
    "version": 1,
    "summary": "Share of the image's positive mass farther than 40 nm from any true point of the structure.",
    "tasks": ["densification"],
    "gives": {
        "hallucinated": {
            "title": "hallucinated",
            "direction": "down",
            "low": 0.0,
            "high": 1.0,
            "help": "Share of the image farther than 40 nm from any true point; a row that draws little has little. "
            "The dense image itself has some: localizations from nowhere, and those that were moved far.",
        }
    },
}

FAR_NM = 40.0


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Distances are from the middles of fine pixels."""
    reason = evidence.missing("image", "truth")
    if reason or evidence.image is None or evidence.truth is None:
        return {"hallucinated": reason or "no image"}
    image = np.clip(np.asarray(evidence.image, dtype=np.float64), 0.0, None)
    if not np.isfinite(image).all():
        return {"hallucinated": "the image has values that are not finite"}
    if not image.any():
        return {"hallucinated": "the image is blank"}
    if not evidence.fine_pixel_nm > 0:
        return {"hallucinated": "the pixel of the image is unknown"}
    table = evidence.truth
    far = far_from(image.shape, np.stack((table.x_nm, table.y_nm), axis=1), evidence.fine_pixel_nm)
    image = image / image.max()
    return {"hallucinated": float(image[far].sum() / image.sum())}


def far_from(shape: tuple[int, ...], points_nm: NDArray[np.float64], pixel_nm: float) -> NDArray[np.bool_]:
    """Which pixels (H, W) have no point within 40 nm of their middle; all where there is no point."""
    if not len(points_nm):
        return np.ones(shape, dtype=np.bool_)
    rows, columns = (np.arange(side) * pixel_nm + pixel_nm / 2 for side in shape)
    middles = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    distance, _ = cKDTree(points_nm).query(middles, distance_upper_bound=FAR_NM * (1 + 1e-9))
    return np.asarray(~np.isfinite(distance).reshape(shape))
