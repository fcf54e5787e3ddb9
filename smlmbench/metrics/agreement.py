"""How a measured column of matched pairs (photons, background) agrees with the truth's: correlation and bias."""

import numpy as np

from smlmbench.metrics.evidence import Tables

LEAST = 1e-9  # of the greatest, or of the column's unit: less is told from none by rounding alone


def agreement(tables: Tables, column: str, word: str, *, kind: str) -> tuple[float | str, float | str]:
    """Pearson correlation and relative bias (summed found over summed true, minus 1), or why there is none.

    Over the pairs that count and have the column on both sides. `word` is what it is called, `kind` what makes two of
    them differ, as in "3 pairs of different brightness".
    """
    rows_found, rows_true = tables.hits
    found, true = getattr(tables.found, column)[rows_found], getattr(tables.truth, column)[rows_true]
    known = np.isfinite(found) & np.isfinite(true)
    found, true = found[known], true[known]
    if len(true) == 0:
        for side, table in (("true", tables.truth), ("found", tables.found)):
            if not np.isfinite(getattr(table, column)).any():
                return (f"the {side} table has no {word}",) * 2
        return (f"no matched pair has {word} on both sides",) * 2
    most = max(1.0, float(np.abs(found).max()), float(np.abs(true).max()))
    found, true = found / most, true / most
    total = float(true.sum())
    bias: float | str = float(found.sum()) / total - 1.0 if total > LEAST else f"the true {word} sum to 0"
    if len(true) < 3 or any(np.ptp(values) <= LEAST for values in (found, true)):
        return f"a correlation needs 3 pairs of different {kind}", bias
    return float(np.corrcoef(found, true)[0, 1]), bias
