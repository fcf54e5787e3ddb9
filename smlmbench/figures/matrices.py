"""Tables of shares as heat maps with their numbers, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from smlmbench.figures.style import WIDE, WIDTH, ImageFormat, drawing_style, new_figure, save

MOST_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Matrix:
    """Shares in percent (lines, columns), NaN for none, with a heading."""

    title: str
    values: ArrayLike
    lines: Sequence[str]
    columns: Sequence[str]


def matrices(shown: Sequence[Matrix], *, x_label: str, y_label: str, image_format: ImageFormat = "svg") -> bytes:
    """Draw matrices on one scale of 0 to 100 %."""
    import numpy as np
    import seaborn as sns

    columns = min(MOST_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    with drawing_style():
        tall = 1.0 + 0.42 * max(len(one.lines) for one in shown)
        figure = new_figure(WIDTH if columns < 3 else WIDE, tall * rows + 0.5)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        for axis, one in zip(axes, shown, strict=False):
            values = np.asarray(one.values, dtype=np.float64)
            texts = np.vectorize(lambda share: "" if np.isnan(share) else f"{share:.1f}")(values)
            sns.heatmap(
                values, annot=texts, fmt="", cmap="crest", vmin=0, vmax=100, linewidths=1.5, cbar=False, ax=axis,
                xticklabels=list(one.columns), yticklabels=list(one.lines),
            )  # fmt: skip
            axis.grid(visible=False)
            axis.set(title=one.title, facecolor="#eef0f2")
            axis.tick_params(length=0, labelrotation=0)
        figure.supxlabel(x_label)
        figure.supylabel(y_label)
        return save(figure, image_format)
