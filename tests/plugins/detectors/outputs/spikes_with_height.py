"""A map of spikes and a map of heights, read at the spikes; each detection has a further column."""

from dataclasses import replace

import torch

from smlmbench.outputs import raster

CARD = {
    "version": 1,
    "summary": "Spikes, and the height at each",
    "settings": {"upsampling": {"default": 2, "choices": [2], "help": "fine pixels per camera pixel"}},
    "facts": {"tasks": ["localization"]},
}
REST = {"amplitude": 100.0, "label_rule": "floor", "collisions": "sum", "radius": 0, "readout": "centroid"}


def targets(batch, settings):
    """Spikes, and heights in um where they are."""
    spikes = raster.targets(batch, {**REST, **settings})["spikes"]
    fine, truth = settings["pixel_size_nm"] / settings["upsampling"], batch.truth
    heights = torch.zeros_like(spikes)
    heights[truth.sample, 0, (truth.y_nm / fine).long(), (truth.x_nm / fine).long()] = truth.z_nm / 1000
    return {"spikes": spikes, "heights": heights}


def image(raw, settings):
    """The spikes."""
    return raster.image(raw, {**REST, **settings})


def decode(raw, settings, threshold):
    """Detections of the spikes, with heights and a further column."""
    found = raster.decode(raw, {**REST, **settings}, threshold)
    fine = settings["pixel_size_nm"] / settings["upsampling"]
    row, column = (
        (at / fine).astype(int).clip(0, size - 1)
        for at, size in ((found.y_nm, raw.shape[2]), (found.x_nm, raw.shape[3]))
    )
    height = raw[found.frame, 1, row, column].double().numpy() * 1000
    return replace(found, z_nm=height, more={"llr": 2 * found.probability})
