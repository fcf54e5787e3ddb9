"""Map the cells of a plan over slots: `inline` in this process, `dask` in worker processes here or elsewhere.

An engine knows nothing of models or stores. It sends specs (plain dicts, with `id` and `needs`) to `run_cell`, which
claims the cell, trains it and writes the results to the store itself; what comes back is small.
"""

from smlmbench.engine.contracts import Hooks, Result, Spec
from smlmbench.engine.inline import map_cells

__all__ = ["Hooks", "Result", "Spec", "map_cells"]
