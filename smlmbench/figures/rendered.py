"""Localizations as a picture: how many in each fine pixel, coloured by their mean depth where they have one."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smlmbench.figures.frame import show
from smlmbench.figures.pictures import checked, draw_scale_bar, draw_values, peak
from smlmbench.figures.style import WIDTH, ImageFormat, drawing_style, new_figure, save

if TYPE_CHECKING:
    from matplotlib.colors import ListedColormap

COLOURS, ENDS = "turbo", (0.08, 0.92)  # of depth, without the dark ends
INSIDE = (1.0, 99.0)  # percentiles of depth, by localization, that the colours span
GAMMA = 0.5  # so that single localizations are seen beside many


def depth_colours() -> "ListedColormap":
    """Colours of depth, all of them bright."""
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    return ListedColormap(mpl.colormaps[COLOURS](np.linspace(*ENDS, 256)))


def coloured(counts: ArrayLike, depth_nm: ArrayLike, span_nm: tuple[float, float]) -> NDArray[np.float64]:
    """Red, green and blue (H, W, 3), 0 .. 1: brightness by number, hue by mean depth within a span (low, high)."""
    many = checked("counts", counts)
    hue = (np.nan_to_num(np.asarray(depth_nm)) - span_nm[0]) / max(span_nm[1] - span_nm[0], 1e-9)
    bright = np.clip(many / peak(many), 0, 1) ** GAMMA
    return np.asarray(depth_colours()(np.clip(hue, 0, 1))[..., :3] * bright[..., None])


def rendered(
    counts: ArrayLike,
    depth_nm: ArrayLike | None,
    size_nm: tuple[float, float],
    title: str,
    *,
    image_format: ImageFormat = "png",
) -> bytes:
    """Draw numbers of localizations (H, W) and their mean depths (H, W) on a field of `size_nm` (width, height).

    Raises:
        SizeError: Something that is not one image.
    """
    from matplotlib import cm, colors

    many, (width, height) = checked("counts", counts), size_nm
    with drawing_style():
        figure = new_figure(WIDTH, min(12.0, WIDTH * height / width) + 0.6)
        axis = figure.subplots()
        if depth_nm is None:
            scale = colors.PowerNorm(GAMMA, vmin=0, vmax=peak(many), clip=True)
            show(axis, many, (width, height), {"cmap": "inferno", "norm": scale}, title, "localizations")
        else:
            lit = np.asarray(depth_nm)[many > 0]
            low, high = (float(each) for each in np.percentile(lit, INSIDE))
            extent: Any = (0, width, height, 0)
            axis.imshow(coloured(many, depth_nm, (low, high)), extent=extent, interpolation="nearest")
            axis.set(xticks=[], yticks=[], title=title)
            axis.grid(visible=False)
            depths = cm.ScalarMappable(colors.Normalize(low, high), depth_colours())
            draw_values(axis, depths, (width, height), "depth z (nm)")
        draw_scale_bar(axis, width, height, "white")
        return save(figure, image_format)
