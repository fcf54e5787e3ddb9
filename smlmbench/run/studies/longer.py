"""The control `longer`: how many times its samples a plain student may see for the time of teacher and student.

Measured once, from a few steps of each training on this machine, and kept in the study's `plan.json`: the same command
again, also on another machine, takes the number from there, so that the control keeps its identity.
"""

import time
from collections.abc import Callable
from math import ceil
from statistics import median

import torch

from smlmbench.data.ahead import on_device
from smlmbench.data.contracts import Batch
from smlmbench.inference.devices import resolve_device, synchronise
from smlmbench.inference.probe import moves_of, training_format
from smlmbench.run.cells.training import build_recipe
from smlmbench.run.materials import Materials
from smlmbench.run.session import Session
from smlmbench.study.cells import SUPERVISED, Cell, Longer, Pending, Plan
from smlmbench.study.planning.students import with_longer
from smlmbench.tracking.records import read_study

WARM_UP = 2
MEASURED = 5
DRAWN = 128  # samples: two blocks of a simulated stream


def completed(plan: Plan, session: Session, *, measures: bool = True) -> Plan:
    """The plan with the length of its controls; what the store does not know is measured, or stays pending."""
    if not plan.pending and not any(cell.teaching for cell in plan.cells):
        return plan
    stored = read_study(session.store, plan.study).plan.get("longer", {})
    known = {key: Longer.model_validate(item) for key, item in stored.items()}
    for pending in plan.pending if measures else ():
        if pending.key not in known:
            known[pending.key] = found = measure(pending, session.materials, session.device)
            names = f"{pending.student.model.name} beside teacher {pending.teacher.model.name}"
            spent = f"{found.teacher_s:.3g} s + {found.student_s:.3g} s + {found.answers_s:.3g} s"
            why = f"({spent} for teacher, student and the teacher's answers)"
            session.reporter.line(f"control longer, {names}: {found.factor} x samples {why}")
    return with_longer(plan, known)


def measure(pending: Pending, materials: Materials, device_name: str) -> Longer:
    """Seconds of teacher and student from a few steps, and how many times longer the student could train."""
    device, size = resolve_device(device_name), pending.student.training.batch_size
    both = [(cell.training, step_seconds(cell, materials, device)[0]) for cell in (pending.teacher, pending.student)]
    _, answer = step_seconds(pending.teacher, materials, device, size=size)
    sample = _sample_seconds(pending.student, materials)
    teacher_s, student_s = (training.steps * (step + training.batch_size * sample) for training, step in both)
    answers_s = pending.student.training.steps * answer + pending.judged * (answer / size + sample)
    factor = max(2, ceil((teacher_s + student_s + answers_s) / student_s))
    seconds = {"teacher_s": teacher_s, "student_s": student_s, "answers_s": answers_s}
    return Longer(factor=factor, **{name: round(spent_s, 2) for name, spent_s in seconds.items()})


def step_seconds(
    cell: Cell, materials: Materials, device: torch.device, size: int | None = None
) -> tuple[float, float]:
    """Median seconds of one supervised step, and of answering its batch without gradients; data not counted.

    Nothing of the cell's training is kept; `size` is the number of samples in the batch instead of the cell's.
    """
    recipe, _ = build_recipe(cell.model_copy(update={"method": SUPERVISED, "teaching": None}), materials, device)
    moves = materials.catalog.card("outputs", cell.output.name).facts.get("any_device")  # as in a training

    def draw(count: int) -> Batch:
        drawn = materials.training(cell).batch(0, count)
        return on_device(drawn, device) if moves else drawn

    batch = draw(size or cell.training.batch_size)
    optimiser = torch.optim.Adam(next(iter(recipe.players().values())), lr=cell.training.lr)
    number_format = training_format(recipe, draw, cell.training, device).number_format

    def step() -> None:
        (move,) = moves_of(recipe, batch, device, number_format)
        optimiser.zero_grad(set_to_none=True)
        move.loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def answer() -> None:
        with torch.no_grad():
            list(moves_of(recipe, batch, device, number_format))

    recipe.network.train()
    trained = _median_s(step, device)
    recipe.network.eval()
    return trained, _median_s(answer, device)


def _sample_seconds(cell: Cell, materials: Materials) -> float:
    stream, size = materials.training(cell), cell.training.batch_size
    stream.batch(0, 1)
    began = time.perf_counter()
    starts = range(DRAWN, 2 * DRAWN, size)
    for first in starts:
        stream.batch(first, size)
    return (time.perf_counter() - began) / (len(starts) * size)


def _median_s(work: Callable[[], None], device: torch.device) -> float:
    spent = []
    for number in range(WARM_UP + MEASURED):
        began = time.perf_counter()
        work()
        synchronise(device)
        if number >= WARM_UP:
            spent.append(time.perf_counter() - began)
    return median(spent)
