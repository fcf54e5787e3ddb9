"""Raster: a map on the fine grid, a spike of mass A per emitter; read out as local maxima and their centroids.

With several `colours` there is a map for each: emitters stand in that of their colour, and are read out of it with it.

Conventions: the outer corner of camera pixel (0, 0) is at 0 nm; fine pixel j covers j .. j + 1 fine pixels and is read
out at (j + 0.5). Label units: an emitter has mass A (`amplitude`); unit mass: an emitter has mass 1.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from smlmbench.errors import ConfigError
from smlmbench.outputs.peaks import peaks
from smlmbench.predictions import Localizations
from smlmbench.truths.emitters import Sampled
from smlmbench.truths.target_images import Taught

CARD = {
    "version": 1,
    "summary": "A spike per emitter on the fine grid; detections are local maxima with their centroid.",
    "settings": {
        "upsampling": {"default": 8, "choices": [1, 2, 4, 8], "help": "fine pixels per camera pixel along one axis"},
        "amplitude": {"default": 100.0, "min": 0.001, "help": "mass of one emitter in the targets (A)"},
        "label_rule": {
            "default": "floor",
            "choices": ["floor", "ds"],
            "help": "floor: the pixel that contains the emitter; ds: Deep-STORM's own files, half a fine pixel off",
        },
        "collisions": {
            "default": "sum",
            "choices": ["sum", "binary"],
            "help": "emitters in one fine pixel: sum keeps their mass; binary, as in the papers, counts one",
        },
        "radius": {
            "default": 0,
            "min": 0,
            "max": 4,
            "help": "read-out window of 2 r + 1 fine pixels; 0: 1 up to upsampling 2, else 2",
        },
        "readout": {"default": "centroid", "choices": ["centroid"], "help": "sub-pixel position"},
        "colours": {
            "default": 1,
            "choices": [1, 2, 3, 4],
            "later": True,
            "help": "maps, one for each colour; above 1 the data must tell the colour of their emitters",
        },
    },
    "search": {"radius": {"choices": [1, 2]}},
    "tiny": {"upsampling": 2},
    "facts": {"tasks": ["localization", "image_pairs"], "perfect_raw": "spikes", "any_device": True},
}


class Batch(Protocol):
    """What targets are made of: a batch of the data room."""

    @property
    def inputs(self) -> Tensor:
        """(B, C, H, W), for the shape."""

    @property
    def truth(self) -> Any:
        """Emitters, or target images."""


def targets(batch: Batch, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rasterise the emitters of a batch to `spikes` (B, K, U*H, U*W), float32 in label units; none outside the field.

    K is the number of colours. A batch with target images brings its own; a loss compares them as it would compare
    spikes, so that the best answer is the target itself where both sides of the loss are blurred alike. A truth of
    another kind raises ConfigError, and so do colours that it does not tell or that have no map.
    """
    upsampling, amplitude, truth = settings["upsampling"], settings["amplitude"], batch.truth
    colours = colours_of(settings)
    if isinstance(truth, Taught):
        if colours > 1:
            raise ConfigError(f"colours {colours}: target images tell no colours; take colours 1")
        return {"spikes": truth.images * amplitude}
    if not isinstance(truth, Sampled):
        raise ConfigError(f"raster draws emitters or target images, not {type(truth).__name__}; choose another output")
    count, _, height, width = batch.inputs.shape
    height, width = height * upsampling, width * upsampling
    fine_nm = truth.pixel_size_nm / upsampling
    x, y = truth.x_nm / fine_nm, truth.y_nm / fine_nm
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column, row = (_label(at, settings["label_rule"], size) for at, size in ((x, width), (y, height)))
    layer = truth.sample if colours == 1 else truth.sample * colours + _channel(truth, colours)
    size = count * colours * height * width
    # What lies outside goes behind the last pixel: to select rows, a card would have to tell how many there are.
    at = torch.where(inside, (layer * height + row) * width + column, size)
    spikes = torch.zeros(size + 1, device=batch.inputs.device)
    drawn = torch.full(at.shape, amplitude, device=spikes.device)
    if settings["collisions"] == "binary":
        spikes.scatter_(0, at, drawn)
    else:
        spikes.index_add_(0, at, drawn)
    return {"spikes": spikes[:size].view(count, colours, height, width)}


def _channel(truth: Sampled, colours: int) -> Tensor:
    if truth.channel is None:
        raise ConfigError(
            f"colours {colours}: the data do not tell the colour of an emitter; take colours 1, or data that do, such "
            "as colour_frames"
        )
    if bool((truth.channel >= colours).any()):
        most = int(truth.channel.max()) + 1
        raise ConfigError(f"colours {colours}: the data have {most} colours; give as many")
    return truth.channel


def colours_of(settings: Mapping[str, Any]) -> int:
    """Maps of an answer; 1 where the settings are of before there was a choice."""
    return int(settings.get("colours", 1))


def _label(at: Tensor, rule: str, size: int) -> Tensor:
    # ds is MATLAB's clamp(round(x), 1, N), counted from 0.
    index = torch.floor(at + 0.5) - 1 if rule == "ds" else torch.floor(at)
    return index.long().clamp_(0, size - 1)


def image(raw: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """The fine image (B, U*H, U*W) that frames are summed into: the positive part of all colours in unit mass.

    With `image_scale` among the settings (networks that learned target images): in the unit of these.
    """
    unit: Tensor = raw[:, : colours_of(settings)].float().clamp_min(0).sum(dim=1) / settings["amplitude"]
    return unit * settings["image_scale"] if "image_scale" in settings else unit


def decode(raw: Tensor, settings: Mapping[str, Any], threshold: float) -> Localizations:
    """Read detections out of raw maps.

    Candidates are the maxima of the positive part within (2 r + 1)^2 fine pixels; equal neighbours (8-connected) are
    one candidate. Its score is the mass within the window and its position the centroid there. Where windows overlap,
    a pixel is divided by distance and peak height, so no mass counts twice. The candidates do not depend on the
    threshold: decoding at a low one and keeping `probability > threshold` gives the same rows.

    Args:
        raw: (B, K, U*H, U*W) in label units, of K colours; further maps are those of a kind that builds on this one.
        settings: All of the card, and `pixel_size_nm` (the camera pixel), which the caller adds.
        threshold: Score that a detection must exceed, >= 0.

    Returns:
        Frames from 0 in the batch, in order; `probability` is the score in unit mass (about 1 for one emitter, more for
        unresolved ones); photons NaN; of several colours `channel` is the one in whose map it was found. The position
        of a spike has an error of at least fine pixel / sqrt(12) per axis.
    """
    if "pixel_size_nm" not in settings:
        raise ConfigError("raster: settings have no pixel_size_nm; add the camera pixel in nm before decoding")
    fine_nm = settings["pixel_size_nm"] / settings["upsampling"]
    colours = colours_of(settings)
    maps = raw[:, :colours].detach().float().clamp_min(0).flatten(0, 1)
    radius = _radius(settings)
    found = peaks(maps[:, None], (0, radius, radius))
    score = found.mass / settings["amplitude"]
    x_nm, y_nm = (found.x + 0.5) * fine_nm, (found.y + 0.5) * fine_nm
    columns = {"frame": found.frame // colours, "x_nm": x_nm, "y_nm": y_nm, "probability": score}
    if colours > 1:
        columns["channel"] = found.frame % colours
    kept = {name: values[score > threshold] for name, values in columns.items()}
    return Localizations.of(kept, n_frames=len(raw), field_nm=(maps.shape[2] * fine_nm, maps.shape[1] * fine_nm))


def reach_fine_px(settings: Mapping[str, Any]) -> int:
    """Fine pixels around a place whose values can change what is read out there."""
    # A candidate is a maximum within r; its pixels, up to r away, are shared with candidates up to r further.
    return 3 * _radius(settings) + 2


def _radius(settings: Mapping[str, Any]) -> int:
    return int(settings["radius"] or (1 if settings["upsampling"] <= 2 else 2))
