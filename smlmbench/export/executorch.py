"""ExecuTorch: one .pte file for phones and small devices (XNNPACK), one frame at a time, sides up to a stated limit."""

from pathlib import Path

import torch

from smlmbench.export.graph import Graph, need, quiet, write_sidecar
from smlmbench.models.folding import folded

CARD = {
    "version": 1,
    "summary": "ExecuTorch file for phones (XNNPACK), one frame at a time",
    "facts": {"suffix": ".pte", "runtime": "executorch", "open_sizes": True, "batch": 1, "max_px": 512},
}

# Memory for the largest frame is planned into the file.
SMALLEST_PX, LARGEST_PX = 8, 512


def write(graph: Graph, path: Path) -> list[Path]:
    """Write the network as `save` and, beside it, its facts as JSON; both files, the network's first."""
    save(graph, path)
    return [path, write_sidecar(graph, path)]


def save(graph: Graph, path: Path) -> None:
    """Write the network alone.

    Raises:
        MissingExtraError: executorch is not installed.
    """
    need(("executorch",), "format executorch")
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        free = torch.export.Dim.AUTO(min=max(SMALLEST_PX, graph.multiple_px), max=LARGEST_PX)
        shapes = None if graph.sides else ({2: free, 3: free},)
        program = torch.export.export(folded(graph.network), (graph.example(1),), dynamic_shapes=shapes)
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
        path.write_bytes(lowered.buffer)
