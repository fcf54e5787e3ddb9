"""Drawing of given arrays and numbers; nothing is computed here but layout.

Every function returns bytes (or an array) and keeps no state; matplotlib is imported when the first figure is drawn.
"""

from smlmbench.figures.charts import Bar, Point, Series, bars, curves, scatter_accuracy_latency
from smlmbench.figures.frame import projection, triplet
from smlmbench.figures.panels import Panels
from smlmbench.figures.pictures import panel, scale_bar_nm, uint8_panel
from smlmbench.figures.style import ImageFormat, Kind

__all__ = [
    "Bar",
    "ImageFormat",
    "Kind",
    "Panels",
    "Point",
    "Series",
    "bars",
    "curves",
    "panel",
    "projection",
    "scale_bar_nm",
    "scatter_accuracy_latency",
    "triplet",
    "uint8_panel",
]
