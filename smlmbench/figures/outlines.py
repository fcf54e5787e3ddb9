"""How numbers are spread: outlines of histograms over logarithmic axes, one panel for each quantity."""

from smlmbench.figures.layout import Rows, explained, logarithmic, tidy
from smlmbench.figures.style import HEIGHT, WIDE, ImageFormat, drawing_style, new_figure, save


def outlines(rows: Rows, *, y_label: str, image_format: ImageFormat = "svg") -> bytes:
    """Draw panels that each have their own x (positive, logarithmic) and y.

    Rows have panel (the label of x), label, x, y, style and kind, in the order of x.
    """
    frame = tidy(rows).dropna(subset=["x", "y"])
    names = list(frame["panel"].unique())
    with drawing_style():
        figure = new_figure(WIDE, HEIGHT)
        axes = figure.subplots(1, len(names), squeeze=False)[0]
        for axis, name in zip(axes, names, strict=True):
            panel = frame[frame["panel"] == name]
            for label, own in panel.groupby("label", sort=False):
                axis.step(own["x"], own["y"], where="mid", label=label, color=own["colour"].iloc[0], linewidth=1.4)
            logarithmic(axis, list(panel["x"]))
            axis.set(xlabel=name, ylim=(0, None))
        axes[0].set_ylabel(y_label)
        explained(figure)
        return save(figure, image_format)
