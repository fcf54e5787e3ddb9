"""Molecules instead of single detections: which are found, how well, and how often each is counted."""

from typing import Any

import numpy as np

from smlmbench.metrics.evidence import Evidence, Tables, tables_of
from smlmbench.metrics.linking import DEFAULT, tracks
from smlmbench.metrics.reasons import NO_EMITTER, NO_PAIR, NOTHING
from smlmbench.predictions import Floats, Ints, Localizations

CARD: dict[str, Any] = {
    "version": 1,
    "summary": "Linked detections against the truth's molecules: recall, RMSE of means, over- and under-counting.",
    "tasks": ["localization"],
    "gives": {
        "molecule_recall": {
            "title": "Molecule recall", "direction": "up", "low": 0.0, "high": 1.0,
            "help": "Share of the true molecules that at least one track is about.",
        },
        "molecule_rmse_nm": {
            "title": "Molecule RMSE (nm)", "unit": "nm", "direction": "down", "low": 0.0,
            "help": "Lateral error of the mean position of a track against its molecule, over all tracks with one.",
        },
        "molecule_rmse_axial_nm": {
            "title": "Axial molecule RMSE (nm)", "unit": "nm", "direction": "down", "low": 0.0,
            "help": "The same along z (3-D only).",
        },
        "molecules_overcounted": {
            "title": "Overcounted", "direction": "down", "low": 0.0,
            "help": "Tracks of a molecule beyond its on-periods, plus tracks of none, over the number of on-periods.",
        },
        "molecules_undercounted": {
            "title": "Undercounted", "direction": "down", "low": 0.0, "high": 1.0,
            "help": "Share of the on-periods without a track of their own: missed, or merged with a neighbour.",
        },
    },
}  # fmt: skip

AXIAL = "molecule_rmse_axial_nm"


def persistent(tables: Tables) -> str:
    """Why there is nothing to link here, or nothing: frames must show the same molecules again."""
    molecule = tables.truth.molecule
    if tables.facts.frame_shift > 1 or (molecule is not None and len(np.unique(molecule)) < len(molecule)):
        return ""
    return "no molecule is known to be in two frames"


def measure(evidence: Evidence) -> dict[str, float | str]:
    """Tracks are linked from all detections (`linking.DEFAULT`) and belong to the molecule most of their pairs are of.

    A molecule counts where one of its emitters does, a track where one of its pairs or lone detections does. An
    on-period is a run of a molecule's emitters with at most the linking's dark frames in between; perfect tracks are
    one to each. Positions are compared with the mean of the molecule's emitters.
    """
    tables = tables_of(evidence)
    if isinstance(tables, str):
        return dict.fromkeys(CARD["gives"], tables)
    molecule, counted = tables.truth.molecule, tables.roles.truth_counted
    said = "" if counted.any() else NO_EMITTER if tables.roles.found_counted.any() else NOTHING
    if molecule is None:
        said = "the true table has no molecules"
    said = said or persistent(tables)
    if said or molecule is None:
        return dict.fromkeys(CARD["gives"], said)
    who = np.unique(molecule, return_inverse=True)[1].reshape(-1)
    count = int(who.max()) + 1
    known = np.bincount(who, counted, count) > 0
    track = tracks(tables.found)
    owner, false = _owners(tables, track, who)
    own = np.flatnonzero(owner >= 0)
    own = own[known[owner[own]]]
    periods = _on_periods(tables.truth, who, count)[known]
    pieces = np.bincount(owner[own], minlength=count)[known]
    answers: dict[str, float | str] = {
        "molecule_recall": float(np.mean(pieces > 0)),
        "molecule_rmse_nm": NO_PAIR,
        AXIAL: NO_PAIR if tables.facts.three_d else tables.facts.flat,
        "molecules_overcounted": float((np.maximum(pieces - periods, 0).sum() + false) / periods.sum()),
        "molecules_undercounted": float(np.maximum(periods - pieces, 0).sum() / periods.sum()),
    }
    if len(own):
        dx, dy, dz = (
            _means(tables.found, axis, track)[own] - _means(tables.truth, axis, who)[owner[own]] for axis in "xyz"
        )
        answers["molecule_rmse_nm"] = float(np.sqrt(np.mean(dx**2 + dy**2)))
        if tables.facts.three_d:
            answers[AXIAL] = float(np.sqrt(np.mean(dz**2)))
    return answers


def _owners(tables: Tables, track: Ints, who: Ints) -> tuple[Ints, int]:
    """Molecule of each track (-1: none; of equal shares the lower number), and the counted tracks without one."""
    count, matches = int(track.max(initial=-1)) + 1, tables.matches
    pairs, shares = np.unique(np.column_stack([track[matches.found], who[matches.truth]]), axis=0, return_counts=True)
    best = np.lexsort((-pairs[:, 1], shares))  # the last write stays
    owner = np.full(count, -1)
    owner[pairs[best, 0]] = pairs[best, 1]
    lone = np.bincount(track, tables.roles.found_counted, count) > 0
    return owner, int((lone & (owner < 0)).sum())


def _on_periods(truth: Localizations, who: Ints, count: int) -> Ints:
    """Number of runs of frames of each molecule."""
    order = np.lexsort((truth.frame, who))
    apart = np.diff(truth.frame[order], prepend=0) > DEFAULT.dark_frames + 1
    new = np.diff(who[order], prepend=-1) != 0
    return np.bincount(who[order], new | apart, count).astype(np.int64)


def _means(table: Localizations, axis: str, group: Ints) -> Floats:
    """Mean position of each group of rows along an axis."""
    return np.bincount(group, getattr(table, f"{axis}_nm")) / np.bincount(group)
