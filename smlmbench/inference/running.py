"""Which runtime runs what on this machine, and why not."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from smlmbench.errors import ConfigError, MissingExtraError
from smlmbench.export.graph import EXTRA, check_frames
from smlmbench.inference.checkpoint import Trained
from smlmbench.inference.engine import ReadOut
from smlmbench.registry import Catalog

NUMBER_FORMATS = ("fp32", "bf16", "int8")
CALIBRATION_FRAMES = 32


def why_not(catalog: Catalog, runtime: str, device: torch.device, number_format: str) -> str:
    """Why a runtime cannot run on a device in a number format here; empty where it can.

    Raises:
        UnknownNameError: No such runtime.
    """
    facts = catalog.card("runtimes", runtime).facts
    if device.type not in facts["devices"]:
        return f"{runtime} does not run on {device.type}, only on {', '.join(facts['devices'])}"
    if number_format not in facts["number_formats"]:
        return f"{runtime} has no {number_format}, only {', '.join(facts['number_formats'])}"
    absent = [name for name in facts.get("needs", []) if importlib.util.find_spec(name) is None]
    if absent:
        return f"{runtime} needs {', '.join(absent)}; {EXTRA}"
    look = getattr(catalog.module("runtimes", runtime), "why_not", None)
    return "" if look is None else str(look(device, number_format))


def prepare(
    catalog: Catalog,
    runtime: str,
    network: nn.Module,
    example: torch.Tensor,
    number_format: str = "fp32",
    calibration: Sequence[torch.Tensor] = (),
) -> Callable[..., torch.Tensor]:
    """A callable for frames by a registered runtime.

    Raises:
        MissingExtraError: Its packages are not installed; the line that installs them is given.
        ConfigError: It cannot run so here.
    """
    if reason := why_not(catalog, runtime, example.device, number_format):
        raise (MissingExtraError if EXTRA in reason else ConfigError)(reason)
    if number_format == "int8":  # before the minutes that a translation may take
        check_frames(calibration)
    module = catalog.module("runtimes", runtime)
    made: Callable[..., torch.Tensor] = module.prepare(network, example, number_format, calibration)
    return made


def runtime_of(catalog: Catalog, path: Path) -> str | None:
    """The runtime whose files have this suffix; None where there is none."""
    suffixes = ((name, catalog.card("runtimes", name).facts.get("suffix")) for name in catalog.names("runtimes"))
    return next((name for name, suffix in suffixes if suffix == path.suffix.lower()), None)


def takes_range(catalog: Catalog, runtime: str) -> bool:
    """Whether its callables take the range of the whole frame beside a tile."""
    return bool(catalog.card("runtimes", runtime).facts.get("takes_range"))


def read_by(trained: Trained, runtime: str, catalog: Catalog) -> ReadOut:
    """How a runtime's answers are read; without tiles where it cannot be told the range of the whole frame."""
    read_out = replace(trained.read_out(), largest_px=catalog.card("runtimes", runtime).facts.get("max_px"))
    whole = trained.per_frame and not takes_range(catalog, runtime)
    return replace(read_out, halo_px=None, frame_range=False) if whole else read_out
