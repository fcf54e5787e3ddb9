"""A student under a frozen teacher: hidden layers first, or answers, or both at once; the recipes configure it.

Stages are parts of the student's own steps, so a student never gets more samples than its plain twin. Which stage a
step belongs to follows from the number of its first sample, so a resumed training needs no clock.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Batch
from smlmbench.errors import ConfigError
from smlmbench.recipes.answering import ranged
from smlmbench.recipes.attention import Measures, phi_of, sample_errors, seed_eta
from smlmbench.recipes.contracts import Answer, Lesson, Move
from smlmbench.recipes.hints import adapter, chosen_pair, maps_of, part_before, tapped
from smlmbench.recipes.supervised import Loss, Supervised, Targets

SCALE_SAMPLES = 64  # for the scale of hints and of the blank answer's loss
AT_ONCE = 32


class Distilled:
    """Loss of a step: hint, or alpha * task + (1 - alpha) * imitation (+ hint where both stages are joint).

    A UserError where layers do not exist or their maps cannot be brought together.

    Args:
        network: The student, on the device where the teacher is too.
        loss: Compares raw output with targets.
        targets: Makes them from a batch.
        device: Where both networks are.
        settings: Of a recipe: `alpha`; with hints `teacher_layer`, `student_layer`, `stages`, `hint_share`,
            `hint_weight`, `resize`, `freeze`; with attention `phi`, `phi_samples`, `clamp`.
        answer: Runs the student, where it must be given frames in another way than as they come (padded).
        lesson: The teacher and what surrounds it.

    Attributes:
        modules: Student, adapter and measures; the teacher is not among them, it never changes.
        answers_from: First step of the second stage.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        targets: Targets,
        device: torch.device,
        settings: Mapping[str, Any],
        answer: Answer | None = None,
        *,
        lesson: Lesson,
    ) -> None:
        self.network, self._device, self._lesson = network, device, lesson
        self._loss, self._targets = loss, targets
        self._settings = {"freeze": False, "phi": "none", **settings}
        self._teacher = lesson.teacher.eval().requires_grad_(False)
        self._task = Supervised(network, loss, targets, device, self._remembering(answer or network))
        self._runs = ranged(network, answer or network), ranged(self._teacher, lesson.answer)
        self._raw: list[Tensor] = []
        self._hinted = "stages" in settings and not (self._joint and self._settings["hint_weight"] == 0)
        self._imitates = float(self._settings["alpha"]) < 1
        self._attends = self._settings["phi"] != "none" and (self._hinted or self._imitates)
        if (self._imitates or self._attends) and not lesson.target:
            raise ConfigError("answers are compared pixel by pixel, which this output kind does not allow; use hint")
        self.modules: dict[str, nn.Module] = {"network": network}
        self._parameters = list(self._task.players()["network"])
        self._part: tuple[list[nn.Parameter], list[nn.Module]] = ([], [])
        channels = 0
        if self._hinted:
            self._layers = chosen_pair(self._settings, lesson.layers, lesson.upsampling)
            channels = self._add_adapter()
        self._measures = Measures(channels).to(device)
        if self._hinted or self._imitates:
            self.modules["measures"] = self._measures
        self.answers_from = self._hint_steps if self._hinted and not self._joint else 0

    @property
    def _joint(self) -> bool:
        return self._settings.get("stages") == "joint"

    @property
    def _hint_steps(self) -> int:
        """Steps of the first stage; at least one, and one is left."""
        wanted = round(float(self._settings["hint_share"]) * self._lesson.steps)
        return max(1, min(wanted, self._lesson.steps - 1))

    def _remembering(self, answer: Answer) -> Answer:
        def run(*given: Tensor) -> Tensor:
            self._raw.append(answer(*given))
            return self._raw[-1]

        return run  # `ranged` looks at the network, not at this function

    def _guided(self, batch: Batch) -> Tensor:
        """What the student's layer answers."""
        given = self._frames(batch)
        return maps_of(self.network, self._layers[1], lambda: self._runs[0](*given))

    def _add_adapter(self) -> int:
        """Build the adapter for the sizes of the first sample; its weights depend on the lesson's seed alone."""
        first = self._lesson.stream.batch(0, 1)
        was_training = self.network.training
        self.network.eval()
        ours = self._guided(first)
        if self._settings["freeze"] and not self._joint:
            self._part = part_before(self.network, ours)
        self.network.train(was_training)
        _, theirs = self._taught(first, raw=False, maps=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._lesson.seed % 2**63)
            made = adapter(ours.shape, theirs.shape, str(self._settings["resize"]))
        self.modules["adapter"] = made.to(self._device)
        self._parameters += list(made.parameters())
        return int(theirs.shape[1])

    def players(self) -> dict[str, list[nn.Parameter]]:
        """One player: the student, and with hints its adapter."""
        return {"network": self._parameters}

    def prepare(self) -> None:
        """Measure the teacher's errors over the training samples and the scales, unless a checkpoint held them."""
        if bool(self._measures.ready) or not (self._hinted or self._imitates):
            return
        with torch.no_grad():
            first = self._lesson.stream.batch(0, min(SCALE_SAMPLES, self._lesson.samples))
            if self._hinted:
                self._measures.set_scale(self._taught(first, raw=False, maps=True)[1])
            if self._imitates:
                self._measures.unit = self._unit(first)
            if self._attends and self._settings["phi"] != "seed":
                self._measure_errors()
        self._measures.ready = torch.ones_like(self._measures.ready)

    def _unit(self, batch: Batch) -> Tensor:
        targets = self._to_device(self._targets(batch))
        blank = torch.zeros_like(targets[self._lesson.target])
        error = sample_errors(blank, targets[self._lesson.target]).mean()
        loss = self._loss(blank, targets)["loss"].detach().float()
        return torch.where(error > 0, loss / error.clamp(min=1e-30), torch.ones_like(error))

    def _measure_errors(self) -> None:
        count = min(int(self._settings["phi_samples"]) or self._lesson.samples, self._lesson.samples)
        for first in range(0, count, AT_ONCE):
            batch = self._lesson.stream.batch(first, min(AT_ONCE, count - first))
            self._measures.see(self._teacher_errors(batch, self._taught(batch, raw=True, maps=False)[0]))

    def step(self, batch: Batch) -> list[Move]:
        """One move: the hint in the first stage, then the task with the teacher's answers."""
        first_stage = batch.first // self._lesson.batch_size < self.answers_from
        self._hold(frozen=not first_stage)
        if first_stage:
            ours = self._guided(batch)
            raw, theirs = self._taught(batch, raw=self._attends, maps=True)
            hint, parts = self._hint(ours, theirs, self._phi(batch, raw))
            return [Move("network", float(self._settings["hint_weight"]) * hint, self._parameters, parts)]
        return [self._answers(batch)]

    def _answers(self, batch: Batch) -> Move:
        self._raw.clear()
        untapped: list[Tensor] = []
        joint = self._hinted and self._joint
        with tapped(self.network, self._layers[1]) if joint else nullcontext(untapped) as ours:
            (move,) = self._task.step(batch)
        if not ours and not self._imitates:
            return move._replace(parameters=self._parameters)
        loss, parts = move.loss, {**move.parts, "task": move.loss.detach()}
        raw, theirs = self._taught(batch, raw=self._imitates or self._attends, maps=bool(ours))
        phi = self._phi(batch, raw)
        if self._imitates:
            alpha = float(self._settings["alpha"])
            imitation = self._measures.unit * (phi * sample_errors(self._raw[-1], raw)).mean()
            loss = alpha * loss + (1 - alpha) * imitation
            parts |= {"imitation": imitation.detach(), "phi": phi.mean()}
        if ours:
            hint, more = self._hint(ours[-1], theirs, phi)
            loss, parts = loss + float(self._settings["hint_weight"]) * hint, {**parts, **more}
        return Move("network", loss, self._parameters, parts)

    def _hint(self, ours: Tensor, theirs: Tensor, phi: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Half the squared difference of adapted and teacher's maps, weighted by attention."""
        answered = self.modules["adapter"](ours).float()
        errors = 0.5 * (answered - self._measures.scaled(theirs)).square().flatten(1).mean(dim=1)
        hint = (phi * errors).mean()
        return hint, {"hint": hint.detach(), "phi": phi.mean()}

    @torch.no_grad()
    def _phi(self, batch: Batch, raw: Tensor) -> Tensor:
        """Attention to the teacher (B,) where it answered `raw`."""
        form, clamp = str(self._settings["phi"]), bool(self._settings.get("clamp", True))
        count, measures = len(batch.inputs), self._measures
        if not self._attends:
            return torch.ones(count, device=self._device)
        if form == "seed":
            loss = self._loss(raw, self._to_device(self._targets(batch)))["loss"].float()
            return phi_of(loss.expand(count), 0.0, seed_eta(self._lesson.history), form, clamp=clamp)
        return phi_of(self._teacher_errors(batch, raw), measures.low, measures.eta, form, clamp=clamp)

    def _teacher_errors(self, batch: Batch, raw: Tensor) -> Tensor:
        return sample_errors(raw, self._to_device(self._targets(batch))[self._lesson.target])

    @torch.no_grad()
    def _taught(self, batch: Batch, *, raw: bool, maps: bool) -> tuple[Tensor, Tensor]:
        """The teacher's answer and its hint, from one pass; empty where not asked for."""
        given, run = self._frames(batch), self._runs[1]
        if not raw:
            return torch.empty(0), maps_of(self._teacher, self._layers[0], lambda: run(*given))
        with tapped(self._teacher, self._layers[0]) if maps else nullcontext([torch.empty(0)]) as seen:
            answered = run(*given)
        if answered.ndim == batch.inputs.ndim:  # a map, without what padding added
            for axis, side in enumerate(batch.inputs.shape[2:], start=2):
                answered = answered.narrow(axis, 0, side * self._lesson.upsampling)
        return answered, seen[-1]

    def _frames(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Frames padded so that both networks take them as they are, and maps of both cover the same field."""
        frames = batch.inputs.to(self._device, non_blocking=True)
        more = [end for side in reversed(frames.shape[2:]) for end in (0, -side % self._lesson.multiple_px)]
        if any(more):
            frames = nn.functional.pad(frames, more, mode="replicate")
        return frames, batch.frame_range

    def _to_device(self, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self._device, non_blocking=True) for name, value in targets.items()}

    def _hold(self, *, frozen: bool) -> None:
        """Freeze the part up to the guided layer in the second stage: its weights and its running statistics."""
        parameters, modules = self._part
        for parameter in parameters:
            parameter.requires_grad_(not frozen)
        if frozen:
            for module in modules:
                module.eval()


build = Distilled  # any of the distillation recipes: their cards differ, and with them the settings
