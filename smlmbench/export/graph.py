"""What every export format starts from: a plain network and the facts that its file must carry.

The graph takes camera frames (batch, channel, height, width) float32 in detected photo-electrons (counts where the
network was trained on counts) and gives the raw output; normalisation and upsampling are inside. Sides must be
multiples of `multiple_px`: padding is the caller's, never the graph's.
"""

import contextlib
import copy
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smlmbench.errors import ConfigError, FormatError, MissingExtraError

SCHEMA = "smlmbench-export-1"
INPUT, OUTPUT = "frames", "raw"
SAFE_MULTIPLE_PX = 8  # of frames for a network whose own multiple is not known
EXTRA = "pip install 'smlmbench[export]'"


@dataclass(frozen=True, slots=True)
class Graph:
    """A trained network on the way into a file."""

    network: nn.Module  # in eval mode on the CPU, weights in the plain layout; build with `plain`
    channels: int  # frames that it sees at once
    upsampling: int  # fine pixels per camera pixel along one axis
    multiple_px: int  # camera pixels that frame sides must be a multiple of
    facts: Mapping[str, Any]  # what a reader needs besides the graph, as plain values; see `facts_of`

    @property
    def sides(self) -> tuple[int, ...]:
        """The only sides of its inputs; empty where frames may have any."""
        return sides_of(self.network)

    def example(self, count: int = 2) -> torch.Tensor:
        """Inputs that the network takes, of two different sides where they may differ, of ordinary brightness."""
        sides = self.sides or tuple(self.multiple_px * -(-side // self.multiple_px) for side in (24, 40))
        generator = torch.Generator().manual_seed(0)
        return 10 + 5 * torch.rand(count, self.channels, *sides, generator=generator)


def sides_of(network: nn.Module) -> tuple[int, ...]:
    """The only sides of a network's inputs, as it says itself (`unit_sides`); empty where frames may have any."""
    return tuple(getattr(network, "unit_sides", ()))


def plain(network: nn.Module) -> nn.Module:
    """A copy on the CPU in eval mode with weights in the plain layout, which every exporter takes."""
    copied: nn.Module = copy.deepcopy(network).cpu().eval()
    return copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]


def need(packages: Sequence[str], what: str) -> None:
    """Refuse in one line where a package is not installed.

    Raises:
        MissingExtraError: With the line that installs it.
    """
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingExtraError(f"{what} needs {', '.join(absent)}, not installed here; {EXTRA}")


def check_frames(calibration: Sequence[torch.Tensor]) -> None:
    """Refuse int8 without frames to calibrate it on.

    Raises:
        ConfigError: None are given.
    """
    if not calibration:
        raise ConfigError("int8 is calibrated on training frames and none are given; give a run of a study")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide bars, advice and what exporters and quantisers say about themselves."""
    earlier = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(earlier)


def sidecar_path(path: Path) -> Path:
    """The JSON file beside an exported one: model.onnx has model.onnx.json."""
    return path.with_name(path.name + ".json")


def write_sidecar(graph: Graph, path: Path) -> Path:
    """Write the facts beside an exported file."""
    beside = sidecar_path(path)
    beside.write_text(json.dumps(dict(graph.facts), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return beside


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """The facts beside an exported file; None where there is no such file.

    Raises:
        FormatError: Not one that `write_sidecar` wrote.
    """
    beside = sidecar_path(path)
    return checked(beside.read_text(encoding="utf-8"), beside) if beside.is_file() else None


def checked(text: str, path: Path) -> dict[str, Any]:
    """Facts from their JSON.

    Raises:
        FormatError: Not facts of this version.
    """
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise FormatError(f"'{path}' does not hold the facts of an exported network ({SCHEMA}); export it anew")
    return facts
