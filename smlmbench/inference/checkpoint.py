"""`best.pt`: a trained network with all that is needed to use it; tensors and plain values only, never pickle.

It is the truth for predict, teachers and export. Loadable with `torch.load(weights_only=True)`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import FormatError
from smlmbench.export.graph import sides_of
from smlmbench.inference.allocator import place
from smlmbench.inference.engine import ReadOut, frame_multiple
from smlmbench.inference.footprint import bytes_per_px
from smlmbench.registry import Catalog
from smlmbench.tasks import of_checkpoint

FORMAT = 1


@dataclass(slots=True)
class Trained:
    """A network in eval mode with its output kind and what `Given` and `ReadOut` say of it."""

    network: nn.Module  # (B, C, H, W) photons -> raw output
    output: ModuleType  # of the output kind
    output_settings: dict[str, Any]  # with what the data add (`pixel_size_nm`)
    tuned: dict[str, float]  # what was chosen on validation, by name; empty before, and where the task tunes nothing
    facts: dict[str, Any]  # task, model, loss, cell id, protocol, calibrated ... as plain values
    channels: int = 1
    context: int = 1
    keep_table: bool = True
    multiple_px: int = 1
    halo_px: int | None = None
    bytes_per_px: float | None = None

    def example(self, side_px: int, fill: float, device: torch.device) -> torch.Tensor:
        """One input of about that side, or of the only ones that the network takes, the same everywhere."""
        side = self.multiple_px * -(-side_px // self.multiple_px)
        return torch.full((1, self.channels, *(sides_of(self.network) or (side, side))), fill, device=device)

    @property
    def per_frame(self) -> bool:
        """Whether it looks at the extremes of each whole frame."""
        return any(getattr(part, "per_frame", False) for part in self.network.modules())

    def read_out(self, threshold: float | None = None) -> ReadOut:
        """How its raw output is read, at its own threshold (NaN where it has none) unless another is given."""
        return ReadOut(
            output=self.output,
            settings=self.output_settings,
            threshold=self.tuned.get("threshold", math.nan) if threshold is None else threshold,
            multiple_px=self.multiple_px,
            keep_table=self.keep_table,
            halo_px=self.halo_px,
            frame_range=self.per_frame,
            bytes_per_px=self.bytes_per_px,
            context=self.context,
        )


def build_network(catalog: Catalog, model: str, settings: Mapping[str, Any], given: Given) -> nn.Module:
    """Build a registered network from filled settings; where it takes one size of input, it says so (`unit_sides`)."""
    network = catalog.module("models", model).build(settings, given)
    if not isinstance(network, nn.Module):
        raise FormatError(f"build of model '{model}' returned {type(network).__name__}; it must return an nn.Module")
    network.__dict__["unit_sides"] = given.unit_sides
    return network


def checkpoint_of(
    network: nn.Module, given: Given, model: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `best.pt`: model and output as {"name", "version", "settings"}; facts are plain values."""
    return {
        "format": FORMAT,
        "model": dict(model),
        "output": dict(output),
        "given": asdict(given),
        "facts": dict(facts),
        "state": {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()},
    }


def load_trained(path: Path, catalog: Catalog, device: torch.device | None = None) -> Trained:
    """Rebuild a network from `best.pt`.

    Raises:
        FormatError: Not a checkpoint of ours, or of a version that this one cannot read.
        UnknownNameError: The model is a plug-in that is not given.
    """
    saved = _saved(path)
    known = saved["given"]
    statistics, sides = Statistics(**known["statistics"]), tuple(known.get("unit_sides", ()))
    given = Given(**{**known, "statistics": statistics, "unit_sides": sides})
    name, settings = saved["model"]["name"], saved["model"]["settings"]
    network = build_network(catalog, name, settings, given)
    try:
        network.load_state_dict(saved["state"])
    except RuntimeError:
        raise FormatError(
            f"the weights in '{path}' do not fit model '{name}' of this version; "
            "its file has changed since, train it anew"
        ) from None
    network = place(network.eval(), device or torch.device("cpu"))
    card = catalog.card("models", name)
    multiple = frame_multiple(card.under(settings).facts, given.upsampling)
    facts, output = saved["facts"], saved["output"]
    task = of_checkpoint(facts, output["settings"], catalog)
    # Older checkpoints hold a threshold alone, NaN where there is none.
    tuned = facts.get("tuned", {"threshold": facts.get("threshold", math.nan)})
    return Trained(
        network=network,
        output=catalog.module("outputs", output["name"]),
        output_settings=dict(output["settings"]),
        tuned={name: float(value) for name, value in tuned.items() if math.isfinite(value)},
        facts={**facts, "model": saved["model"], "output": output["name"], "task": task.name},
        channels=given.channels,
        context=given.context,
        keep_table=bool(task.card.facts.get("keeps_table", True)),
        multiple_px=multiple,
        halo_px=halo_of(catalog, name, settings, given.upsampling, network),
        bytes_per_px=bytes_per_px(network, multiple, given.channels),
    )


def load_facts(path: Path) -> dict[str, Any]:
    """The facts of a checkpoint alone, its weights left in the file.

    Raises:
        FormatError: Not a checkpoint of ours.
    """
    return dict(_saved(path, mmap=True)["facts"])


def _saved(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:
        raise FormatError(f"'{path}' is not a smlmbench checkpoint ({type(error).__name__}); give a best.pt") from None
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise FormatError(f"'{path}' is not a smlmbench checkpoint of format {FORMAT}; give a best.pt of this version")
    return saved


def halo_of(
    catalog: Catalog, model: str, settings: Mapping[str, Any], upsampling: int, network: nn.Module
) -> int | None:
    """Camera pixels to every side that a network's answer depends on; None where its file does not say.

    Source: `receptive_field_px(settings, upsampling)` of the model's file, else the card's figure for upsampling 8;
    with what its modules say that they see around a pixel before that (`reach_px`).
    """
    card, told = catalog.card("models", model), getattr(catalog.module("models", model), "receptive_field_px", None)
    if told is not None:
        across = float(told(settings, upsampling))
    elif upsampling == 8 and dict(settings) == card.fill(model, {}):
        across = float(getattr(card, "receptive_field_px", 0.0))
    else:
        return None
    return math.ceil((across - 1) / 2) + sum(int(getattr(part, "reach_px", 0)) for part in network.modules())
