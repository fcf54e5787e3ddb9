"""Anything that can predict, from a file: a checkpoint by any runtime, or an exported network by its own."""

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from smlmbench.errors import ConfigError, FormatError
from smlmbench.export import onnx
from smlmbench.export.graph import read_sidecar
from smlmbench.inference.checkpoint import load_trained
from smlmbench.inference.engine import Network, ReadOut
from smlmbench.inference.facts import facts_of, read_out_of
from smlmbench.inference.running import prepare, read_by, runtime_of
from smlmbench.registry import Catalog

PACKAGE = ".zip"
EXAMPLE_PX = 64
EXPORT = "export its run anew with `smlmbench export RUN`"


@dataclass(frozen=True, slots=True)
class Runnable:
    """A network ready to predict."""

    network: Network  # prepared for the device
    read_out: ReadOut
    facts: dict[str, Any]  # as in an exported file
    runtime: str
    number_format: str  # fp32, bf16 or int8


def load(
    path: Path, catalog: Catalog, device: torch.device, runtime: str | None = None, number_format: str = "fp32"
) -> Runnable:
    """Load a checkpoint (`best.pt`) or an exported file (.onnx, .xml, .pte, bioimage.io .zip).

    A checkpoint takes any runtime, by default eager, in fp32 or bf16; an exported file has its own, but OpenVINO also
    runs it in bf16.

    Raises:
        FormatError: Neither a checkpoint nor an exported file with its facts.
        ConfigError: It cannot be run so here.
    """
    if path.suffix.lower() == PACKAGE:
        return _package(path, catalog, device, number_format)
    own = runtime_of(catalog, path)
    if own is None:
        return _checkpoint(path, catalog, device, runtime or "eager", number_format)
    if runtime not in (None, own):
        raise ConfigError(f"'{path.name}' is a file for {own}, not for {runtime}; give best.pt for other runtimes")
    facts = read_sidecar(path) or (onnx.read_facts(path) if path.suffix.lower() == ".onnx" else None)
    if facts is None:
        raise FormatError(f"'{path.name}' has no facts of smlmbench beside or in it; {EXPORT}")
    return _exported(path, facts, own, catalog, device, number_format)


def _exported(
    path: Path, facts: dict[str, Any], runtime: str, catalog: Catalog, device: torch.device, number_format: str
) -> Runnable:
    network = catalog.module("runtimes", runtime).load(path, device, number_format)
    largest = catalog.card("runtimes", runtime).facts.get("max_px")
    stated = str(facts.get("number_format", number_format))
    return Runnable(network, read_out_of(facts, catalog, largest), facts, runtime, stated)


def _checkpoint(path: Path, catalog: Catalog, device: torch.device, runtime: str, number_format: str) -> Runnable:
    trained = load_trained(path, catalog, device)
    if number_format == "int8":
        raise ConfigError(
            "int8 is calibrated on training frames, which a checkpoint does not hold; time the study with "
            "number_formats: [fp32, int8] and give the run's own file"
        )
    network = prepare(catalog, runtime, trained.network, trained.example(EXAMPLE_PX, 1.0, device), number_format)
    return Runnable(network, read_by(trained, runtime, catalog), facts_of(trained, catalog), runtime, number_format)


def _package(path: Path, catalog: Catalog, device: torch.device, number_format: str) -> Runnable:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with zipfile.ZipFile(path) as package:
                described = yaml.safe_load(package.read("rdf.yaml"))
                weights = Path(package.extract(described["weights"]["onnx"]["source"], scratch))
        except (zipfile.BadZipFile, KeyError, TypeError, yaml.YAMLError):
            raise FormatError(f"'{path.name}' is not a bioimage.io package with ONNX weights") from None
        facts = read_sidecar(path) or (onnx.read_facts(weights) if weights.suffix.lower() == ".onnx" else None)
        if facts is None:
            raise FormatError(f"'{path.name}' does not hold the facts of smlmbench; {EXPORT}")
        return _exported(weights, facts, "onnxruntime", catalog, device, number_format)
