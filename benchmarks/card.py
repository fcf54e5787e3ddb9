"""A CUDA card: does all of it run there, is it right, and how fast is it? One run of under 8 minutes.

    python benchmarks/card.py                       everything on `cuda`
    python benchmarks/card.py --device cpu --tiny   does the script run? (what a card alone can tell is left out)

Sections, each of which is one JSON line when it ends; one that fails says why, and the others run:

    machine      what is here: card, memory, versions, providers of ONNX Runtime
    conformance  answers, gradients, losses, targets and detections of everything registered against the processor's
    scores       a network trained on the card, scored there and on the processor; differences are to be rounding
    study        trainings like those of quickstart in bf16: samples per second, and the share of the time in which the
                 card works (in other steps, under a profiler), with batches made ahead of it and without
    step, movie  a training step, and TIFF files to a summed image, beside a plain fp32 loop with torch's own settings
                 (so with TF32); both see the same numbers, and the loss and image of both are compared
    networks     every network by every runtime that is here: ms for one frame, frames and Mpixel per second at the best
                 batch; `compiled` Deep-STORM by torch.compile, one frame
    repeat       whether a training gives the same bits twice, and after an interruption
    memory       a batch that the card has no room for (it is told to hold less): halves, or an end with its reason

The last line is one JSON object. Needs torch, pydantic and what the package reads data with; no MLflow.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from card_pair import Pair, settings_of_torch
from reference_loop import write_frames

from smlmbench import timing
from smlmbench import training as loop
from smlmbench.conformance import checks
from smlmbench.errors import HalvedWarning, SmlmBenchError
from smlmbench.inference import allocator
from smlmbench.inference.devices import resolve_device
from smlmbench.registry import Catalog
from smlmbench.run.cells import evaluation, training
from smlmbench.run.materials import Materials
from smlmbench.run.timing.untrained import Where, time_untrained
from smlmbench.study.load import load_study
from smlmbench.study.planning.plan import make_plan

CPU = torch.device("cpu")
SAME_CHECK = "same_on_a_card"
SHOWN = ("model", "runtime", "number_format", "median_ms", "batch", "frames_per_s", "mpx_per_s", "load_ms", "reason")
STEPS = (40, 140, 180)  # timed from the first to the second, under a profiler from there to the third


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", help="sections, comma separated")
    parser.add_argument("--minutes", type=float, default=6.0, help="begin no further section after this")
    parser.add_argument("--out", type=Path, help="file to which each section's line is added too")
    parser.add_argument("--tiny", action="store_true", help="smallest networks and fewest steps")
    return parser.parse_args(words)


class Bench:
    """What the sections share."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.device, self.tiny, self.catalog = resolve_device(asked.device), asked.tiny, Catalog()
        self.card = self.device.type == "cuda"
        self.width = 0.125 if asked.tiny else 1.0
        loop.COLLAPSE_MASS = 0.0  # a few steps answer nothing yet
        self.folder = folder
        allocator.keep_buffers()

    def of(self, whole: Any, tiny: Any) -> Any:
        """A setting of the whole run, or of the tiny one."""
        return tiny if self.tiny else whole

    def cell(self, model: dict[str, Any], **changes: Any) -> tuple[Any, Materials]:
        """One training as a study describes it, on the data of experiments/quickstart.yaml."""
        path = Path(__file__).parents[1] / "experiments" / "quickstart.yaml"
        study = yaml.safe_load(path.read_text(encoding="utf-8"))
        study["data"][0]["train"]["simulate"]["field_px"] = changes.pop("field_px", self.of(32, 16))
        study["data"][0]["val"] = {"simulate": {"frames": self.of(128, 8)}}
        study["data"][0]["test"]["density-1"]["simulate"]["frames"] = self.of(200, 4)
        study["output"] = {"upsampling": self.of(4, 2)}
        loss = {"name": "l1l2", "lambda": 400}
        small = {"width": self.width} if self.tiny else {}
        study |= {"models": [{**model, **small}], "losses": [loss], "distill": [], "references": [], "timing": None}
        study["training"] = {"validations": 1, "validation_frames": 8, **changes}
        written = self.folder / "cell.yaml"
        written.write_text(yaml.safe_dump(study), encoding="utf-8")
        loaded = load_study(written)
        return make_plan(loaded).cells[0], Materials(loaded.catalog)

    def train(self, cell: Any, materials: Materials, device: torch.device, **hooks: Any) -> tuple[Any, dict[str, Any]]:
        """A trained cell, and what its last validation said."""
        told: dict[str, Any] = {}
        events = training.Events(
            hooks.get("on_step", lambda *_: None), lambda _, numbers: told.update(numbers), lambda *_: None
        )
        folder = hooks.get("folder") or Path(tempfile.mkdtemp(dir=self.folder))
        return training.train_cell(cell, materials, folder, events, str(device)), told


# Sections


def machine(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = {"host": timing.host_name(), "torch": torch.__version__, "python": sys.version.split()[0]}
    try:
        import onnxruntime

        found["onnxruntime"] = [onnxruntime.__version__, *onnxruntime.get_available_providers()]
    except ImportError as error:
        found["onnxruntime"] = str(error)
    if bench.card:
        gb = round(torch.cuda.get_device_properties(bench.device).total_memory / 1e9, 1)
        found |= {"memory_gb": gb, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return found


def conformance(bench: Bench) -> dict[str, Any]:
    outcomes = {
        f"{name} {check.name.replace(SAME_CHECK, '').strip('[]')}".strip(): check.outcome()
        for room in ("models", "losses", "outputs")
        for name in bench.catalog.names(room)
        for check in checks(bench.catalog, room, name)
        if check.name.startswith(SAME_CHECK)
    }
    failed = {name: one.detail for name, one in outcomes.items() if not one.passed}
    said = {name: one.detail for name, one in outcomes.items() if one.passed and not one.skipped}
    skipped = sum(one.skipped for one in outcomes.values())
    return {"passed": len(said), "skipped": skipped, "failed": failed, "said": said}


def scores(bench: Bench) -> dict[str, Any]:
    model = bench.of({"name": "deep_storm"}, {"name": "srcnn", "kernels": "3-1-3"})
    how = bench.of({"samples": 24_000, "batch_size": 32}, {"samples": 80, "batch_size": 8, "lr": 0.003})
    cell, materials = bench.cell(model, **how)
    trained = bench.train(cell, materials, bench.device)[0].trained
    splits, found = materials.splits(cell), {}
    for device in (bench.device, CPU):
        trained.network = allocator.place(trained.network, device)
        began = time.perf_counter()
        tuned = evaluation.choose_on_validation(trained, cell, splits, bench.catalog, lambda *_: None)
        made = evaluation.score_conditions(trained, cell, splits, bench.catalog, lambda *_: None, tuned)
        values, answer = made.tests["density-1"].values, made.answers["density-1"]
        found[str(device)] = {
            "seconds": round(time.perf_counter() - began, 2),
            "rows": len(answer.table),
            "threshold": tuned[0].settings["threshold"],
            **{name: values[name] for name in ("efficiency", "jaccard", "rmse") if name in values},
        }
    one, other = found[str(bench.device)], found[str(CPU)]
    gap = {name: abs(one[name] - other[name]) for name in one if name != "seconds"}
    return {**found, "gap": gap, "agrees": one["rows"] > 0 and gap["efficiency"] < 0.1}


def busy_share(spans: list[tuple[float, float]], wall_us: float) -> float:
    """Share of a time in which at least one of some spans (start, end) runs."""
    busy, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return busy / wall_us


def _profiled(bench: Bench, cell: Any, materials: Materials) -> dict[str, Any]:
    """Samples per second of later steps, and the card's busy share in them."""
    marks: dict[int, float] = {}
    profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
    first, last, end = bench.of(STEPS, (10, 20, 30))
    why = "" if bench.card else "only of a card"

    def on_step(step: int, *_: Any) -> None:  # called every ten steps, after the card has finished them
        nonlocal why
        marks[step] = time.perf_counter()
        try:
            if step == end and not why:
                profiler.stop()
            elif step == last and not why:
                profiler.start()
                marks[-last] = time.perf_counter()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"

    made, _ = bench.train(cell, materials, bench.device, on_step=on_step)
    wall_s = marks[last] - marks[first]
    found = {"step_ms": round(1e3 * wall_s / (last - first), 3)}
    found["samples_per_s"] = round((last - first) * cell.training.batch_size / wall_s, 1)
    found |= {name: made.params[name] for name in ("number_format", "card_peak_gb") if name in made.params}
    if why:
        found["busy_share"] = why
    else:
        on_card = [event for event in profiler.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        spans = [(event.time_range.start, event.time_range.end) for event in on_card]
        share = busy_share(spans, 1e6 * (marks[end] - marks[-last]))
        found |= {"busy_share": round(share, 3), "kernels": len(spans) // (end - last)}
    return found


@contextmanager
def _not_ahead(stream: Any, *_: Any, **__: Any) -> Iterator[Any]:
    yield stream


def study(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cases = [("deep_storm", 32, 16), ("deep_storm", 64, 16), ("fid_storm", 64, 64), ("srcnn", 64, 64)]
    for model, field_px, batch in bench.of(cases, [("fid_storm", 16, 4)]):
        steps = bench.of(STEPS[-1] + 10, 30)
        cell, materials = bench.cell(
            {"name": model},
            field_px=field_px,
            samples=steps * batch,
            batch_size=batch,
            number_format=bench.of("bf16", "fp32"),
        )
        one = found[f"{model} {field_px} px batch {batch}"] = _profiled(bench, cell, materials)
        whole, training.ahead = training.ahead, _not_ahead
        try:
            alone = _profiled(bench, cell, Materials(bench.catalog))
        finally:
            training.ahead = whole
        one["not_ahead"] = alone
        one["gain"] = round(alone["step_ms"] / one["step_ms"], 2)
    return found


def _pair(bench: Bench) -> Pair:
    crop_px, upsampling = bench.of((26, 8), (8, 2))
    return Pair(
        bench.catalog, bench.device, width=bench.width, batch=bench.of(16, 2), crop_px=crop_px, upsampling=upsampling
    )


def step(bench: Bench) -> dict[str, Any]:
    pair, steps, seconds = _pair(bench), bench.of(60, 2), {}
    with settings_of_torch(bench.device):
        seconds["plain fp32"], expected = pair.plain_steps(steps)
    seconds["ours fp32"], got = pair.our_steps(steps, "fp32")
    seconds["ours bf16"], half = pair.our_steps(steps, "bf16")
    with settings_of_torch(bench.device):
        seconds["ours bf16 in any order"], _ = pair.our_steps(steps, "bf16")
    shown = {name: round(1e3 * value, 3) for name, value in seconds.items()}
    ratios = {f"x {name}": round(seconds["plain fp32"] / value, 2) for name, value in seconds.items() if "ours" in name}
    return {"ms": shown, **ratios, "loss_gap": abs(got / expected - 1), "loss_gap_bf16": abs(half / expected - 1)}


def movie(bench: Bench) -> dict[str, Any]:
    pair, folder = _pair(bench), Path(tempfile.mkdtemp(dir=bench.folder))
    write_frames(folder, bench.of(96, 3), bench.of(128, 16))
    sides: dict[str, Callable[[], tuple[float, np.ndarray]]] = {
        "plain fp32": lambda: pair.plain_movie(folder),
        "ours fp32": lambda: pair.our_movie(folder, "fp32", table=False),
        "ours bf16": lambda: pair.our_movie(folder, "bf16", table=False),
        "ours fp32 with a table": lambda: pair.our_movie(folder, "fp32", table=True),
        "ours bf16 with a table": lambda: pair.our_movie(folder, "bf16", table=True),
    }
    seen: dict[str, list[float]] = {name: [] for name in sides}
    images = {}
    for number in range(bench.of(4, 1) + 1):
        for name, side in sides.items():
            if name.startswith("plain"):
                with settings_of_torch(bench.device):
                    seconds, images[name] = side()
            else:
                seconds, images[name] = side()
            if number:  # the first round warms up
                seen[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in seen.items()}
    plain, largest = images["plain fp32"], float(np.abs(images["plain fp32"]).max())
    return {
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        **{f"x {name}": round(medians["plain fp32"] / value, 2) for name, value in medians.items() if "ours" in name},
        "image_gap": {name: float(np.abs(image - plain).max()) / largest for name, image in images.items()},
    }


def _timed(bench: Bench, models: list[str], where: Where) -> dict[str, Any]:
    sets = [f"{name}.width={bench.width}" for name in models] if bench.tiny else []
    rows = time_untrained(models, bench.of("64", "16"), bench.of(8, 2), where, sets, bench.catalog)
    shown = [{key: row[key] for key in SHOWN if key in row} for row in rows]
    not_here = {f"{row['runtime']} {row['number_format']}": row["reason"] for row in shown if "reason" in row}
    done = [_rounded(row) for row in shown if "reason" not in row]
    return {"size_px": bench.of(64, 16), "upsampling": bench.of(8, 2), "rows": done, "not_here": not_here}


def networks(bench: Bench) -> dict[str, Any]:
    models = bench.of(bench.catalog.names("models"), ["fid_storm"])
    runtimes, formats = bench.of((("eager", "onnxruntime", "tensorrt"), ("fp32", "bf16")), (("eager",), ("fp32",)))
    return _timed(bench, list(models), Where((bench.device.type,), runtimes, formats, full=True))


def compiled(bench: Bench) -> dict[str, Any]:
    if bench.tiny:
        return {"skipped": "a compilation takes longer than all the rest"}
    return _timed(bench, ["deep_storm"], Where((bench.device.type,), ("compiled",), ("fp32", "bf16")))


def repeat(bench: Bench) -> dict[str, Any]:
    steps, batch = bench.of(60, 20), bench.of(16, 4)
    model = {"name": bench.of("deep_storm", "fid_storm")}
    cell, materials = bench.cell(model, samples=steps * batch, batch_size=batch, validations=2)

    def stop(number: int) -> Callable[..., None]:
        def on_step(done: int, *_: Any) -> None:
            if done == number:
                raise KeyboardInterrupt

        return on_step

    states = [bench.train(cell, materials, bench.device)[0].trained.network.state_dict() for _ in range(2)]
    folder = bench.folder / "stopped"
    try:
        bench.train(cell, materials, bench.device, folder=folder, on_step=stop(steps // 2))
    except KeyboardInterrupt:
        states.append(bench.train(cell, materials, bench.device, folder=folder)[0].trained.network.state_dict())
    first, again, resumed = states
    same = [all(torch.equal(first[name], other[name]) for name in first) for other in (again, resumed)]
    gap = max(float((first[name].float() - again[name].float()).abs().max()) for name in first)
    return {"same_bits_twice": same[0], "same_bits_after_interruption": same[1], "largest_gap": gap}


def memory(bench: Bench) -> dict[str, Any]:
    if not bench.card:
        return {"skipped": "only a card can be told to hold less"}
    found: dict[str, Any] = {}
    whole = torch.cuda.get_device_properties(bench.device).total_memory
    cell, materials = bench.cell({"name": "deep_storm"}, field_px=64, samples=5 * 64, batch_size=64)
    peak = bench.train(cell, materials, bench.device)[0].params["card_peak_gb"]
    found["peak_gb"] = peak
    for name, share in (("three quarters", 0.75), ("a tenth", 0.1)):
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(max(share * peak * 1e9 / whole, 1e-4), bench.device)
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", HalvedWarning)
                made = bench.train(cell, materials, bench.device)[0].params
            found[name] = {"parts": made.get("batch_parts", 1), "peak_gb": made["card_peak_gb"]}
        except (SmlmBenchError, torch.OutOfMemoryError) as error:
            found[name] = {"ended": f"{type(error).__name__}: {str(error)[:200]}"}
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
        found[name]["told"] = [str(one.message) for one in told if issubclass(one.category, HalvedWarning)]
    return found


SECTIONS = (machine, conformance, scores, study, step, movie, networks, repeat, memory, compiled)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}


def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every wanted section, one after the other; each is printed when it ends."""
    began, found, bench = time.perf_counter(), {}, Bench(asked, folder)
    wanted = asked.only.split(",") if asked.only else [section.__name__ for section in SECTIONS]
    for section in SECTIONS:
        name, started = section.__name__, time.perf_counter()
        if name not in wanted:
            continue
        if started - began > 60 * asked.minutes:
            made: dict[str, Any] = {"not_run": f"{asked.minutes:g} minutes were over"}
        else:
            try:
                made = section(bench)
            except Exception as error:
                traceback.print_exc()
                made = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        found[name] = {**made, "took_s": round(time.perf_counter() - started, 1)}
        line = json.dumps({"section": name, **found[name]})
        print(line, flush=True)
        if asked.out is not None:
            with asked.out.open("a", encoding="utf-8") as out:
                out.write(line + "\n")
    failed = [name for name, made in found.items() if made.get("failed")]
    found.get("conformance", {}).pop("said", None)  # the end of a log must hold all of the last line
    return {"device": str(bench.device), "failed": failed, "sections": found}


def main() -> None:
    asked = arguments()
    if asked.tiny:
        timing.WARM_UP_S = timing.SETTLE_S = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(run(asked, Path(scratch))))


if __name__ == "__main__":
    main()
