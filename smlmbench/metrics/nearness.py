"""Errors of found emitters in units of what is the least possible: q = e' C^-1 e / 2, its median and its spread."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.predictions import Floats, Ints
from smlmbench.truths.bounds import information

BINS = np.linspace(math.log(1e-6), math.log(1e6), 1401)  # of log q; a median is told to a thousandth


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs whose true emitter counts and can be resolved.

    Attributes:
        errors: Found minus true (n, d) in nm, d 3 where z is scored and bound.
        true: Rows of the truth, (n,).
        frame: Of the true emitters, (n,).
    """

    errors: Floats
    true: Ints
    frame: Ints

    def half_squares(self, covariance: Floats) -> Floats:
        """The q (n,) of each under covariances of all true emitters, of whose coordinates the first d are taken."""
        d = self.errors.shape[1]
        told = information(covariance[self.true][:, :d, :d])
        return np.asarray(np.einsum("ni,nij,nj->n", self.errors, told, self.errors) / 2)

    def rho(self, q: Floats) -> float:
        """The root of median q over that of errors at the limit, which is ln 2 for two coordinates."""
        return math.sqrt(2 * float(np.median(q)) / float(chi2.median(self.errors.shape[1])))


def near(evidence: Evidence) -> Near | str:
    """The pairs of an evidence, or the reason why there are none."""
    tables, limit = tables_of(evidence), evidence.limit
    if isinstance(tables, str):
        return tables
    if limit is None:
        return evidence.missing("limit") or "not computed"
    hit = (tables.roles.truth_counted & limit.resolvable)[tables.matches.truth]
    true = tables.matches.truth[hit]
    deep = tables.facts.three_d and limit.free.shape[1] == 3  # a PSF without depth bounds none
    axes = ("x_nm", "y_nm", "z_nm")[: 3 if deep else 2]
    return Near(_errors(tables, tables.matches.found[hit], true, axes), true, tables.truth.frame[true])


def _errors(tables: Tables, found: Ints, true: Ints, axes: tuple[str, ...]) -> Floats:
    return np.stack([getattr(tables.found, axis)[found] - getattr(tables.truth, axis)[true] for axis in axes], axis=1)


def spread(q: Floats, frame: Ints, n_frames: int) -> Floats:
    """How many of each frame lie in each bin of log q, (n_frames, bins): sums whose bootstrap has a median."""
    place = np.searchsorted(BINS, np.log(np.maximum(q, 1e-300))).clip(1, len(BINS) - 1) - 1
    sums = np.zeros((n_frames, len(BINS) - 1))
    np.add.at(sums, (frame, place), 1.0)
    return sums


def log_rho(sums: Floats) -> Floats:
    """Logarithm of rho, up to a constant, of sums (..., bins); NaN where there are none."""
    upto = sums.cumsum(axis=-1)
    half = upto[..., -1:] / 2
    k = (upto >= half).argmax(axis=-1)[..., None]
    here = np.take_along_axis(sums, k, -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 - (np.take_along_axis(upto, k, -1) - half) / here
    return np.asarray((BINS[k] + share * (BINS[1] - BINS[0]))[..., 0] / 2)
