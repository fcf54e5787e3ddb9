"""What the page says of localization: the headline pair, the robustness sheet, what numbers mean."""

from collections.abc import Mapping
from math import isnan
from typing import TYPE_CHECKING, Any

from smlmbench.tasks.contracts.sections import Listing, Section
from smlmbench.tasks.localization import sheet
from smlmbench.tasks.localization.limits import said_of

if TYPE_CHECKING:
    import pandas as pd

DENSE_PER_UM2 = 1.0  # above, chance pairs inflate the primary metric, and the headline is a pair
MATCHING = (
    "Detections and true emitters are paired frame by frame, nearest first, within 250 nm laterally and 500 nm "
    "axially (inclusive). Pairing uses the full field; what is counted lies strictly inside a border of 450 nm, "
    "a pair by its true emitter. Emitters dimmer than the data's min_photons are neutral. Counts and squared "
    "errors are pooled over all frames before any ratio is formed. Efficiency is "
    "100 − √((100 − JAC)² + (RMSE/nm)²) with JAC in percent and the radial RMSE; it may be negative, and no "
    "detection gives 0."
)
LINKABLE = {"efficiency": "Efficiency", "rmse_nm": "RMSE (nm)", "rmse_axial_nm": "Axial RMSE (nm)"}
TWINS = (
    "Where molecules stay on: rows that see one frame, the same with +link (every detection at the mean place of its "
    "track), and rows that see several frames; best first, not ranked"
)
PROTOCOLS = {
    "smlmbench-1": f"{MATCHING} The threshold of a network is the middle of the plateau of efficiency on validation.",
    "smlmbench-2": (
        f"{MATCHING} The threshold of a network is the lowest that loses at most half a point of efficiency on "
        "validation and has, at every background, at most one false detection on frames without emitters for ten "
        "emitters in as many frames."
    ),
    "challenge-2016": (
        "The rules of the 2016 localization microscopy challenge: both tables are cut at a 450 nm border before they "
        "are paired nearest first within 250 nm laterally and 500 nm axially; counts are pooled over all frames. The "
        "brightness threshold is T = 0."
    ),
}
READING = (
    "Jaccard, precision, recall and F1 run from 0 to 1; RMSE is radial unless it says axial or per axis. Where the "
    "truth has depth, efficiency is the mean of a lateral and an axial part (half a point per nm); a table without z "
    "is paired and scored laterally alone. NMSE* is read beside recall; a blank image has 1. mJac_c is the Jaccard "
    "index above chance, averaged over tolerances of 25 to 250 nm; above 1 emitter/µm² it stands beside efficiency, "
    "and the best row needs both.",
    "ρ_med is the typical error over the least that an unbiased estimate can have beside all neighbours (1: at that "
    "limit), of the found emitters that can be resolved: their bound is below 50 nm. It is read beside their recall "
    "and ranks nothing: a row that knows more than the bound, or that takes two emitters for one, can be below 1.",
)


def section(headline: tuple[str, ...], frame: "pd.DataFrame", conditions: Mapping[str, Mapping[str, Any]]) -> Section:
    """The section of a board.

    Args:
        headline: Columns from the card.
        frame: The board's numbers, as `Task.section` has them.
        conditions: Facts by condition.
    """
    named, swept = frame.rename(columns={"row": "label"}), sheet.has(conditions)
    whole = {name: fact for name, fact in conditions.items() if "axis" not in fact}
    per_um2 = {name: fact.get("density_per_um2") for name, fact in whole.items()}
    known = {name: density for name, density in per_um2.items() if isinstance(density, int | float)}
    return Section(
        columns=headline,
        second="mjac_c",
        pictured_whole="the mean of the first frames, the image of all frames, its truth and error",
        pictured_of="the same frame of a condition by every row; one that makes an image of all frames shows these",
        second_on=tuple(name for name, density in known.items() if density > DENSE_PER_UM2),
        second_said="above 1 emitter/µm²",
        on_mean=("false_per_1000um2", "resolvable_fraction", "rho_med"),
        on_each=("jaccard", "rmse_nm", "rmse_axial_nm"),
        against="nmse_star",
        reading=READING,
        protocols=PROTOCOLS,
        notes=(*said_of(whole), *sheet.notes(conditions)),
        also={"false": "False / 1000 µm²", "emitters_per_s": "Emitters/s"},
        words={sheet.COLUMN: sheet.column(named, conditions)} if swept else {},
        listings=(*((sheet.listing(named, conditions),) if swept else ()), *twins(named)),
        beside={name: f"{density:g}/µm²" for name, density in known.items()},
    )


def twins(frame: "pd.DataFrame") -> tuple[Listing, ...]:
    """Every row that sees one frame once more as `+link`, among those that see several; nothing where nothing links.

    Of the picks and of the references that are no bound, best first on each condition whose molecules stay on.
    """
    import pandas as pd

    linked = {name: f"{name}_linked" for name in LINKABLE}
    if set(linked.values()).isdisjoint(frame.get("metric", ())):
        return ()
    shown = frame[(frame["condition"] != "") & (frame["picked"] | (frame["kind"] == "reference"))]
    held = shown[~shown["ceiling"].astype(bool)].pivot_table(
        index=["condition", "label", "context_frames"], columns="metric", values="value", sort=False
    )
    held = held.reindex(columns=[*linked, *linked.values()]).dropna(subset=[*linked.values()], how="all").reset_index()
    twin = held[held["context_frames"] == 1]
    twin = twin.assign(label=twin["label"] + " +link", **{name: twin[other] for name, other in linked.items()})
    order = {where: at for at, where in enumerate(dict.fromkeys(held["condition"]))}
    every = pd.concat([held, twin]).assign(at=lambda rows: rows["condition"].map(order))
    every = every.sort_values(["at", "efficiency"], ascending=[True, False])
    told = [name for name in LINKABLE if every[name].notna().any()]
    rows = every[["condition", "label", "context_frames", *told]].itertuples(index=False)
    texts = (tuple(_written(one) for one in row) for row in rows)
    titles = ("Condition", "Row", "Frames seen", *(LINKABLE[name] for name in told))
    return (Listing(TWINS, titles, tuple(texts)),) if order else ()


def _written(value: object) -> str:
    return ("n/a" if isnan(value) else f"{value:.1f}") if isinstance(value, float) else str(value)
