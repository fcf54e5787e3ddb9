"""Drawing of given arrays and numbers; nothing is computed here but layout.

Every function returns bytes (or an array) and keeps no state; matplotlib is imported when the first figure is drawn.
"""

from smlmbench.figures.charts import Bar, Point, Series, bars, curves, scatter_accuracy_latency
from smlmbench.figures.pictures import panel, scale_bar_nm, uint8_panel
from smlmbench.figures.style import Kind

__all__ = [
    "Bar",
    "Kind",
    "Point",
    "Series",
    "bars",
    "curves",
    "panel",
    "scale_bar_nm",
    "scatter_accuracy_latency",
    "uint8_panel",
]
