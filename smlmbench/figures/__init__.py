"""Drawing of given arrays and numbers; nothing is computed here but layout.

Every function returns bytes (or an array) and keeps no state. Charts take tidy frames, or their rows.
Matplotlib, seaborn and pandas are imported when the first figure is drawn.
"""

from smlmbench.figures.charts import bars, curves, device_heat_map, scatter_accuracy_latency, sensitivity
from smlmbench.figures.frame import Panels, panel, projection, triplet, uint8_panel
from smlmbench.figures.matrices import Matrix, matrices
from smlmbench.figures.outlines import outlines
from smlmbench.figures.pictures import scale_bar_nm
from smlmbench.figures.strip import Tile, strip
from smlmbench.figures.style import ImageFormat
from smlmbench.figures.sweeps import sheet, sweep

__all__ = ["ImageFormat", "Matrix", "Panels", "Tile", "bars", "curves", "device_heat_map", "matrices", "outlines",
           "panel", "projection", "scale_bar_nm", "scatter_accuracy_latency", "sensitivity", "sheet", "strip", "sweep",
           "triplet", "uint8_panel"]  # fmt: skip
