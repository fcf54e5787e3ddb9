"""Texts of a chart, moved to where they cover neither each other nor a point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Offsets in points from what a text names, and its alignment; best first.
Place = tuple[float, float, str]
BESIDE: Sequence[Place] = [
    (dx, dy, side) for dy in (5, -12, 18, -25, 31, -38, 44, -51, 57, -64) for dx, side in ((9, "left"), (-9, "right"))
]
ALONG: Sequence[Place] = [(-3 - 40 * step, dy, "right") for step in range(10) for dy in (2, -11)]
ABOVE: Sequence[Place] = [(3, 3 + 12 * step, "left") for step in range(8)]
FAR = 20


class Labels:
    """Texts that are placed when all else is drawn."""

    def __init__(self, axis: "Axes") -> None:
        self._axis = axis
        self._texts: list[tuple[Annotation, Sequence[Place]]] = []

    def add(self, text: str, x: float, y: float, colour: str, places: Sequence[Place], coords: Any = "data") -> None:
        """Ask for a text that names a spot."""
        paper = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5}
        look: dict[str, Any] = {"xycoords": coords, "textcoords": "offset points", "color": colour, "bbox": paper}
        note = self._axis.annotate(text, (x, y), (0, 0), **look, fontsize=9, zorder=5)
        note.set_in_layout(False)
        self._texts.append((note, places))

    def settle(self, points: ArrayLike) -> None:
        """Give each text the first place that is free, else the one that covers least; far ones get a line.

        Args:
            points: What must stay visible (n, 2), in data coordinates.
        """
        axis = self._axis
        taken: list[Bbox] = []
        axis.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
        frame, spots = axis.get_window_extent(), axis.transData.transform(points)
        for text, places in self._texts:
            boxes = [_box(text, place) for place in places]
            costs = [
                8 * (not (frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)))
                + 2 * box.count_overlaps(taken)
                + box.padded(3).count_contains(spots)
                for box in boxes
            ]
            best = places[costs.index(min(costs))]
            taken.append(_box(text, best))
            if abs(best[1]) > FAR and places is BESIDE:
                line = {"arrowstyle": "-", "color": text.get_color(), "linewidth": 0.6, "shrinkB": 4}
                axis.annotate("", text.xy, best[:2], textcoords="offset points", arrowprops=line)


def _box(text: "Annotation", place: Place) -> "Bbox":
    text.set(position=place[:2], ha=place[2])
    return text.get_window_extent()
