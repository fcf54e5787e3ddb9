"""A store's record, fabricated: a plan with its runs and artifacts, for tests of the report."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smlmbench.metrics.pooling import SUMS
from smlmbench.metrics.ratios import efficiency, jaccard
from smlmbench.tracking.records import read_study
from smlmbench.tracking.runs import open_run

COLUMNS = {
    "efficiency": {"unit": "", "direction": "up", "help": "Detection and precision in one number."},
    "jaccard": {"unit": "", "direction": "up", "help": "TP / (TP + FP + FN)"},
    "mjac_c": {"unit": "", "direction": "up", "help": "Above chance"},
    "rmse_nm": {"unit": "nm", "direction": "down", "help": "Radial"},
    "nmse_star": {"unit": "", "direction": "down", "help": "Blank is 1"},
    "false_per_1000um2": {"unit": "1/(1000 um2)", "direction": "down", "help": "On empty frames"},
}
LOW = {"low": {"density_per_um2": 0.5, "frames": 40, "truth_kind": "simulated"}}
ATTACK = '"><script>alert(1)</script>|=HYPERLINK("http://x")'
SPARSE = {"low": {"density_per_um2": 0.3}, "high": {"density_per_um2": 0.9}}
BOTH = LOW | {"high": {"density_per_um2": 3.0, "frames": 40, "truth_kind": "simulated"}}


@dataclass
class FakeRun:
    run_id: str
    role: str
    status: str
    folder: Path
    reason: str = ""
    params: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    end_s: float = 0.0
    experiment_id: str = "7"

    def artifact(self, relative):
        path = self.folder / relative
        return path if path.exists() else None

    def artifacts(self, relative=""):
        files = [path for path in (self.folder / relative).rglob("*") if path.is_file()]
        return sorted(path.relative_to(self.folder).as_posix() for path in files)


@dataclass
class FakeRecord:
    plan: dict
    runs: list
    experiment_id: str = "7"
    study_text: str = "study: demo\n"


def frames(jac, error_nm, n_frames=40, per_frame=20):
    """Per-frame sums: the same share of found emitters in every frame, each with the same error."""
    hit = round(jac * per_frame)
    sums = np.zeros((n_frames, len(SUMS)))
    sums[:, SUMS.index("tp")] = hit
    sums[:, SUMS.index("fn")] = per_frame - hit
    sums[:, SUMS.index("lateral_sq")] = hit * error_nm**2
    return sums


class Builder:
    """Add planned rows, with or without a run, then take `record`."""

    def __init__(self, folder, conditions=None, **plan):
        self.folder = folder
        self.plan = {
            "study": "demo",
            "task": "localization",
            "command": "smlmbench run demo.yaml",
            "plan_hash": "abc123",
            "versions": {"smlmbench": "0.1.0"},
            "host": {"processor": "two cores"},
            "primary": {"name": "efficiency", "direction": "up"},
            "headline": list(COLUMNS),
            "columns": COLUMNS,
            "conditions": {"sim": LOW if conditions is None else conditions},
            "cells": [],
            "references": [],
            "skipped": [],
            "warnings": [],
        } | plan
        self.runs = []

    def cell(self, model, repeat=0, *, lam="50", loss="l1l2", settings=None, **labels):
        """Plan a cell and return its id."""
        number = f"c{len(self.plan['cells']):03d}"
        named = {"task": "localization", "data": "sim", "model": model, "loss": loss, "lambda": lam}
        named |= {"repeat": str(repeat), "method": "supervised", "teacher": "none"} | labels
        cell = {"cell_id": number, "eval_id": "e1", "labels": named, "settings": settings or {"blocks": 4}}
        self.plan["cells"].append(cell | {"training": {"lr": 0.001}, "output": {"upsampling": 8}, "knows": ["psf"]})
        return number

    def reference(self, name, scores=None, knows=(), gives="table", **more):
        """Plan a reference; with scores it is done."""
        number = f"r{len(self.plan['references']):03d}"
        row = {"reference_id": number, "eval_id": "e1", "data": "sim", "reference": name, "summary": f"About {name}."}
        self.plan["references"].append(row | {"settings": {}, "knows": list(knows), "gives": gives} | more)
        if scores is not None:
            self.done(number, scores, role="reference")
        return number

    def run(self, number, status="done", *, role="cell", reason="", protocol="smlmbench-1", eval_id="e1"):
        """A run without scores."""
        run = FakeRun(
            f"run-{number}-{len(self.runs)}", role, status, self.folder / f"{number}-{len(self.runs)}", reason
        )
        run.folder.mkdir()
        run.tags = {"smlmbench.cell_id": number, "smlmbench.eval_id": eval_id}
        run.params = {"protocol": protocol, "matcher": "greedy", "batch_size": "16", "n_params": "1000"}
        run.params |= {"samples_seen": "32000", "train_s": "60", "threshold": "0.3"}
        self.runs.insert(0, run)
        return run

    def done(self, number, scores, *, val=None, ms=None, intervals=None, reasons=None, **extra):
        """A done run; `scores` by condition are sums of frames, or numbers by metric."""
        run = self.run(number, **extra)
        tests = {}
        for condition, given in scores.items():
            values = given
            if isinstance(given, np.ndarray):
                total = given.sum(axis=0)
                values = {"efficiency": float(efficiency(total)), "jaccard": float(jaccard(total))}
                self._write_sums(run, condition, given)
            tests[condition] = {
                "values": values,
                "intervals": {"efficiency": (intervals or {}).get(condition, [])},
                "reasons": reasons or {},
            }
            run.metrics |= {f"test.{condition}/{name}": value for name, value in values.items()}
        every = [block["values"] for block in tests.values()]
        for name in every[0] if every else ():
            if all(name in values for values in every):
                run.metrics[f"test/{name}"] = float(np.mean([values[name] for values in every]))
        if val is not None:
            run.metrics["val/efficiency"] = val
        if ms is not None:
            run.metrics["device/latency_ms"] = ms
        document = {"protocol": run.params["protocol"], "matcher": "greedy", "val": {}, "test": tests}
        (run.folder / "metrics.json").write_text(json.dumps(document), encoding="utf-8")
        return run

    def _write_sums(self, run, condition, sums):
        target = run.folder / "per_frame"
        target.mkdir(exist_ok=True)
        lines = ["frame,tp,fp,fn,sse_lateral,sse_axial"]
        picked = [SUMS.index(name) for name in ("tp", "fp", "fn", "lateral_sq", "axial_sq")]
        lines += [",".join([str(i), *(f"{v:.10g}" for v in row[picked])]) for i, row in enumerate(sums)]
        (target / f"{condition}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def trained(self, model, levels, *, error_nm=20.0, val=None, ms=None, conditions=("low",), **labels):
        """Plan and finish one repeat for each share of found emitters in `levels`."""
        for repeat, level in enumerate(levels):
            number = self.cell(model, repeat, **labels)
            scores = {condition: frames(level, error_nm) for condition in conditions}
            self.done(number, scores, val=100 * level if val is None else val, ms=ms)

    @property
    def record(self):
        """The record as the store would give it."""
        return FakeRecord(self.plan, self.runs)


def full_builder(folder):
    """A row of every kind."""
    made = Builder(folder, SPARSE, warnings=["λ = 50 is below the collapse threshold 64"])
    made.trained("good", [0.9, 0.92, 0.9], ms=5.0, conditions=("low", "high"))
    made.trained("good", [0.7, 0.7, 0.7], ms=5.0, conditions=("low", "high"), lam="9")
    made.trained("weak", [0.3, 0.32, 0.3], ms=1.0, conditions=("low", "high"))
    made.run(made.cell("broken"), "failed", reason="DivergedError: nan at step 412")
    made.cell("later")
    made.reference("peaks", {"low": frames(0.6, 20), "high": frames(0.5, 20)}, knows=["psf", "camera"])
    made.reference("random", {"low": frames(0.05, 100), "high": frames(0.05, 100)})
    made.plan["skipped"].append({"labels": {"data": "sim", "model": "decode"}, "reason": "loss does not fit"})
    return made


def hostile(tmp_path):
    """A record whose every text is an attack."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    builder = Builder(folder, {ATTACK: {"density_per_um2": 0.5}}, study=ATTACK, warnings=[ATTACK], command=ATTACK)
    number = builder.cell(ATTACK, loss=ATTACK, settings={ATTACK: ATTACK})
    builder.done(number, {ATTACK: {"efficiency": 50.0}}, val=1.0, ms=1.0, reasons={"jaccard": ATTACK})
    builder.run(builder.cell("net"), "failed", reason=ATTACK)
    builder.reference(ATTACK, knows=[ATTACK])
    builder.plan["skipped"].append({"labels": {"data": "sim", "model": ATTACK}, "reason": ATTACK})
    builder.plan["conditions"] = {"sim": builder.plan["conditions"]["sim"], ATTACK: {}}
    record = builder.record
    record.study_text = ATTACK
    return record


def fill(store, builder, name, digest):
    """Log a fabricated study with the frozen set of its condition `low`."""
    number = store.ensure_experiment(name)
    for fake in reversed(builder.runs):
        with open_run(store, number, role=fake.role, name=fake.run_id, tags=fake.tags) as run:
            run.log_params(fake.params)
            run.log_metrics(fake.metrics)
            run.log_artifacts(fake.folder)
            run.log_input("sim.low", digest, "low")
    with open_run(store, number, role="study", name=name) as run:
        run.log_dict(builder.plan | {"study": name}, "plan.json")
        run.log_text(f"study: {name}\n", "study.yaml")
    return read_study(store, name)
