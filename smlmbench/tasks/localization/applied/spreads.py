"""Counts and brightness of a table over the movie, and how photons, background and uncertainty are spread."""

import numpy as np

from smlmbench.predictions import Floats, Localizations
from smlmbench.tasks.contracts.applied import Untrue

STRETCHES = 20  # of a movie
PER_DECADE, EXPONENTS = {"photons": 16, "background": 48, "uncertainty_nm": 16}, (-3, 7)  # bars, alike for all rows
LEVELS = {"low": 0.05, "middle": 0.5, "high": 0.95}
QUANTITIES = ("photons", "background", "uncertainty_nm")


def quantity(table: Localizations, name: str) -> Floats:
    """One of `QUANTITIES` of each row; uncertainty is per axis."""
    if name == "photons":
        return table.photons
    if name == "background":
        return table.background_photons
    return np.sqrt((table.sigma_x_nm**2 + table.sigma_y_nm**2) / 2)


def over_time(table: Localizations) -> Untrue:
    """Rows per frame and um2, and medians, in stretches of the movie."""
    frames, (width_nm, height_nm) = table.n_frames, table.field_nm
    area_um2 = width_nm * height_nm / 1e6
    count = min(STRETCHES, frames)
    if not count:
        return Untrue()
    edges = np.linspace(0, frames, count + 1).round().astype(np.int64)
    rows, lengths = np.histogram(table.frame, edges)[0], np.diff(edges)
    profile: dict[str, list[float | None]] = {"frame": ((edges[1:] + edges[:-1]) / 2).tolist()}
    values = {"rows": float(len(table)), "per_frame": len(table) / frames}
    if np.isfinite(area_um2) and area_um2 > 0:
        values["per_um2"] = len(table) / frames / area_um2
        profile["per_um2"] = (rows / lengths / area_um2).tolist()
    else:
        profile["per_frame"] = (rows / lengths).tolist()
    stretch = np.clip(np.searchsorted(edges, table.frame, side="right") - 1, 0, count - 1)
    for name in QUANTITIES:
        given = quantity(table, name)
        parts = [given[(stretch == k) & np.isfinite(given)] for k in range(count)]
        if any(len(part) for part in parts):
            profile[name] = [float(np.median(part)) if len(part) else None for part in parts]
    return Untrue(values, profiles={"over_time": profile})


def spreads(table: Localizations) -> Untrue:
    """Medians, 5 and 95 % points and bars over a logarithmic axis; the reason where a column is empty."""
    values, reasons, profiles = dict[str, float](), dict[str, str](), dict[str, dict[str, list[float]]]()
    for name in QUANTITIES:
        edges = np.logspace(*EXPONENTS, (EXPONENTS[1] - EXPONENTS[0]) * PER_DECADE[name] + 1)
        given = quantity(table, name)
        given = given[np.isfinite(given)]
        if not len(given):
            reasons[f"{name}_middle"] = "the table has no such column" if len(table) else "nothing was found"
            continue
        values |= {f"{name}_{level}": float(np.quantile(given, share)) for level, share in LEVELS.items()}
        counts = np.histogram(given, edges)[0]
        lit = np.flatnonzero(counts)
        if len(lit):
            kept = slice(max(0, lit[0] - 1), lit[-1] + 2)
            middles = np.sqrt(edges[1:] * edges[:-1])
            profiles[name] = {"value": middles[kept].tolist(), "share": (counts[kept] / len(given)).tolist()}
    return Untrue(values, reasons, dict(profiles))
