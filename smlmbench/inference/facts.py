"""What an exported network's file says about itself, and the same read back."""

import math
from collections.abc import Mapping
from typing import Any

from smlmbench.export.graph import SCHEMA, Graph, plain, sides_of
from smlmbench.inference.checkpoint import Trained
from smlmbench.inference.engine import ReadOut
from smlmbench.registry import Catalog


def graph_of(trained: Trained, catalog: Catalog) -> Graph:
    """A trained network on the way into a file."""
    facts = facts_of(trained, catalog)
    return Graph(plain(trained.network), facts["channels"], facts["upsampling"], trained.multiple_px, facts)


def facts_of(trained: Trained, catalog: Catalog) -> dict[str, Any]:
    """Everything that running the file needs besides the graph, as plain values."""
    model, settings = trained.facts["model"], trained.output_settings
    card = catalog.card("models", model["name"])
    calibrated, pixel_nm = bool(trained.facts["calibrated"]), _known(settings.get("pixel_size_nm", math.nan))
    kept = ("cell_id", "study", "data", "loss", "lambda", "protocol", "psf_sigma_nm", "gaussian_light", "seen")
    return {
        "schema": SCHEMA,
        "model": dict(model),
        "output": {"name": trained.facts["output"], "settings": {**settings, "pixel_size_nm": pixel_nm}},
        "task": trained.facts["task"],
        "tuned": dict(trained.tuned),
        "threshold": _known(trained.read_out().threshold),
        "keeps_table": trained.keep_table,
        "pixel_size_nm": pixel_nm,
        "upsampling": int(settings.get("upsampling", 1)),
        "channels": trained.channels,
        "context": trained.context,
        "multiple_px": trained.multiple_px,
        "halo_px": trained.halo_px,
        "bytes_per_px": trained.bytes_per_px,
        "per_frame": trained.per_frame,
        "calibrated": calibrated,
        "input_unit": "detected photo-electrons" if calibrated else "camera counts",
        "paper": card.paper,
        "doi": card.doi,
        **({"unit_sides": list(sides)} if (sides := sides_of(trained.network)) else {}),
        **{name: trained.facts[name] for name in kept if name in trained.facts},
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no word for a number that is not one


def read_out_of(facts: Mapping[str, Any], catalog: Catalog, largest_px: int | None = None) -> ReadOut:
    """How the output of an exported network is read; its own frame statistics forbid tiles."""
    threshold, settings = facts["threshold"], facts["output"]["settings"]
    pixel_nm = math.nan if settings["pixel_size_nm"] is None else settings["pixel_size_nm"]
    return ReadOut(
        output=catalog.module("outputs", facts["output"]["name"]),
        settings={**settings, "pixel_size_nm": pixel_nm},
        threshold=math.nan if threshold is None else float(threshold),
        multiple_px=int(facts["multiple_px"]),
        keep_table=bool(facts.get("keeps_table", threshold is not None)),
        halo_px=None if facts["per_frame"] else facts["halo_px"],
        largest_px=largest_px,
        bytes_per_px=facts.get("bytes_per_px"),
        context=int(facts.get("context", 1)),
    )
