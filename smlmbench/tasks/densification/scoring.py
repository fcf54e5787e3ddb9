"""What is measured of one image: means over its colours, and consistency of their sum with the widefield."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smlmbench.metrics.evidence import Evidence, Facts, Images, gather
from smlmbench.predictions import Localizations
from smlmbench.study.schema import Scoring
from smlmbench.truths.dense_structure import DenseStructure, Places

WHY = {"truth": "the true structure is not known", "mean_frame": "the condition has no widefield"}

Image = NDArray[np.floating[Any]]
Measured = tuple[dict[str, float], dict[str, str]]  # numbers, and the reasons of the others


class Scored(NamedTuple):
    """Numbers of an image, the reasons of the others, and the numbers of each of its colours."""

    values: dict[str, float]
    reasons: dict[str, str]
    of_colors: list[dict[str, float]]


def scored(
    images: Image, truth: DenseStructure, pixel_nm: float, scoring: Scoring, measure: Callable[[Evidence], Measured]
) -> Scored:
    """Numbers of an answer (K, H, W) to the one image of a truth, by a function that runs the metrics."""
    facts, field_nm = Facts(scoring), (images.shape[2] * pixel_nm, images.shape[1] * pixel_nm)
    of_colors = []
    for color, image in enumerate(images):
        points = table_of(truth.points[0][color], field_nm) if truth.points else None
        others = np.delete(truth.dense[0], color, axis=0).astype(np.float64) if len(images) > 1 else None
        pair = Images(image, truth.dense[0, color].astype(np.float64), pixel_nm, others=others)
        of_colors.append(measure(gather(None, points, facts=facts, images=pair, reasons=WHY)))
    widefield = None if truth.widefield is None else truth.widefield[0]
    summed = Images(images.sum(axis=0), None, pixel_nm, widefield)
    values, absent = measure(gather(None, None, facts=facts, images=summed, reasons=WHY))
    shared = set.intersection(*(set(numbers) for numbers, _ in of_colors))
    values |= {name: float(np.mean([numbers[name] for numbers, _ in of_colors])) for name in sorted(shared)}
    reasons = {name: why for _, missing in of_colors for name, why in missing.items() if name not in values}
    of_sum = {name: absent[name] for name, why in reasons.items() if why == WHY["mean_frame"]}
    return Scored(values, reasons | of_sum, [numbers for numbers, _ in of_colors])


def by_color(images: Sequence[Scored]) -> dict[str, dict[str, list[float | None]]]:
    """Each colour's numbers, means over images; nothing where there is one colour alone."""
    colors = len(images[0].of_colors) if images else 0
    if colors < 2:
        return {}
    names = dict.fromkeys(name for one in images for numbers in one.of_colors for name in numbers)
    columns: dict[str, list[float | None]] = {"color": [float(color) for color in range(colors)]}
    for name in names:
        each = [[one.of_colors[color].get(name) for one in images] for color in range(colors)]
        known = [[value for value in values if value is not None] for values in each]
        columns[name] = [float(np.mean(values)) if values else None for values in known]
    return {"colors": columns}


def table_of(points: Places, field_nm: tuple[float, float]) -> Localizations:
    """True points as a table of one frame."""
    columns = {"frame": np.zeros(len(points), dtype=np.int64), "x_nm": points[:, 0], "y_nm": points[:, 1]}
    return Localizations.of(columns, n_frames=1, field_nm=field_nm)
