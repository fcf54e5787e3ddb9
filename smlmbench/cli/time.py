"""smlmbench time: how long a network takes for one frame, by every runtime and in every number format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from smlmbench.cli.options import AsJson, Plugins, Sets, Store, from_fields
from smlmbench.cli.output import emit, emit_json, note, table

COLUMNS = ("model", "size_px", "device", "runtime", "number_format", "median_ms", "q1_ms", "q3_ms", "p90_ms", "cpu_ms")
MORE = ("first_ms", "load_ms", "rounds", "threads")
FULL = ("batch", "frames_per_s", "mpx_per_s", "end_to_end_ms", "gflops")


@dataclass(frozen=True, slots=True)
class _Asked:
    models: Annotated[list[str], Argument(metavar="NAME...", help="Registered models, a run, a file, or STUDY.yaml.")]
    sizes: Annotated[str, Option(help="Camera frame sides in px, comma separated.")] = "64"
    upsampling: Annotated[int, Option(help="2, 4 or 8; of untrained models.")] = 8
    devices: Annotated[str, Option("--devices", "--device", help="cpu, cuda, mps; comma separated.")] = "cpu"
    runtimes: Annotated[
        str, Option(help="eager, compiled, onnxruntime, tensorrt, openvino, executorch; comma separated.")
    ] = "eager"
    formats: Annotated[str, Option(help="fp32, bf16, int8; comma separated.")] = "fp32"
    threads: Annotated[int | None, Option(min=1, help="Default: torch's own.")] = None
    full: Annotated[bool, Option("--full", help="Also batches, end to end and GFLOPs.")] = False
    refuse_busy: Annotated[
        bool, Option("--refuse-busy", help="End with an error where other programs use the processor.")
    ] = False
    sets: Sets = None
    store: Store = None
    plugins: Plugins = None
    as_json: AsJson = False


@from_fields(_Asked)
def command(asked: _Asked) -> None:
    """Time networks, batch 1, warm, interleaved: median, quartiles, CPU time, first call.

    Registered models are timed untrained, a run or a file as it is. A study's file times its finished cells, stores
    the numbers (reduced number formats after the quality gate) and rebuilds the report.

    Example: smlmbench time fid_storm deep_storm --sizes 64,128 --upsampling 4 --set fid_storm.blocks=5

    Example: smlmbench time microtubules.yaml --runtimes eager,onnxruntime --formats fp32,int8
    """
    from smlmbench.registry import Catalog

    catalog = Catalog(asked.plugins or ())
    if asked.refuse_busy:
        from smlmbench.timing import refuse_busy

        refuse_busy()
    if len(asked.models) == 1 and Path(asked.models[0]).suffix in (".yaml", ".yml"):
        _study(asked)
        return
    rows = _rows(asked, catalog)
    if asked.as_json:
        emit_json(rows)
    else:
        _show(asked, rows)


def _rows(asked: _Asked, catalog: Any) -> list[dict[str, Any]]:
    from smlmbench.run.timing.untrained import Where, time_file, time_untrained

    devices, runtimes, formats = (_listed(text) for text in (asked.devices, asked.runtimes, asked.formats))
    where = Where(devices, runtimes, formats, asked.threads, full=asked.full)
    first, *more = asked.models
    stored = not more and first not in catalog.names("models")
    if stored and (Path(first).is_file() or not _looks_registered(first, catalog)):
        from smlmbench.run.using.finding import find_trained
        from smlmbench.tracking.store import open_store

        found = find_trained(first, lambda: open_store(asked.store, create=False))
        return time_file(found.checkpoint, asked.sizes, where, catalog)
    return time_untrained(asked.models, asked.sizes, asked.upsampling, where, asked.sets or [], catalog)


def _looks_registered(name: str, catalog: Any) -> bool:
    """Whether a word is a registered model with a slip of the pen rather than a run."""
    from difflib import get_close_matches

    return bool(get_close_matches(name, catalog.names("models"), n=1, cutoff=0.7)) and "-" not in name


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _study(asked: _Asked) -> None:
    import json

    from smlmbench.run.timing.retiming import time_stored

    timing = {
        "devices": _listed(asked.devices),
        "runtimes": _listed(asked.runtimes),
        "number_formats": _listed(asked.formats),
        "sizes_px": [int(size) if size.isdigit() else size for size in _listed(asked.sizes)],
        "threads": asked.threads,
    }
    sets = [*(asked.sets or []), f"timing={json.dumps(timing)}"]
    page = time_stored(Path(asked.models[0]), sets, asked.store, asked.plugins or (), quiet=asked.as_json)
    if asked.as_json:
        emit_json({"report": page})
    else:
        emit(f"leaderboard: {page}")


def _show(asked: _Asked, rows: list[dict[str, Any]]) -> None:
    from smlmbench.timing import BUSY

    columns = [*COLUMNS, *MORE, *(FULL if asked.full else ())]
    shown = [[_cell(row.get(key), key) for key in columns] for row in rows if "reason" not in row]
    table(f"batch 1, upsampling {asked.upsampling}, {rows[0]['host']}", columns, shown)
    for row in rows:
        if said := row.get("reason", row.get("slower")):
            note(f"{row['model']} {row['size_px']} px {row['runtime']} {row['number_format']}: {said}")
    for name, waits in {row["model"]: row["waits_frames"] for row in rows if "waits_frames" in row}.items():
        note(f"{name}: on a stream it awaits later frames: add {waits:.0f} × the exposure")
    others = max((row["others"] for row in rows if "others" in row), default=0.0)
    if others > BUSY:
        note(f"other programs used {100 * others:.0f} % of the processor: compare ratios, not milliseconds")


def _cell(value: Any, key: str) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if key in FULL else f"{value:.2f}" if key.endswith("_ms") else str(value)
