"""The loop on a network of a few weights: what it promises must not depend on SMLM."""

import copy
import math
import signal

import pytest
import torch
from torch import nn

from smlmbench import training
from smlmbench.data.contracts import Batch
from smlmbench.errors import CollapsedError, ConfigError, DivergedError
from smlmbench.inference import devices
from smlmbench.inference.devices import resolve_device
from smlmbench.recipes.supervised import build
from smlmbench.study.schema import Training
from smlmbench.training import Validation, fit, save_atomically, validation_steps

CPU = torch.device("cpu")


def settings(**changes):
    return Training(**{"samples": 96, "batch_size": 4, "validations": 4, "lr": 0.01, "number_format": "fp32"} | changes)


class Stream:
    """Sample k has frames drawn from seed k; remembers what was asked for."""

    def __init__(self, on_batch=None):
        self.asked = []
        self.on_batch = on_batch

    def batch(self, first, count):
        self.asked.append((first, count))
        if self.on_batch is not None:
            self.on_batch(len(self.asked))
        frames = [torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(k)) for k in range(first, first + count)]
        return Batch(torch.stack(frames), None, first)


def network():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(3, 1, 3, padding=1)
    )


def squared(raw, targets):
    loss = (raw - targets["wanted"]).square().mean()
    return {"loss": loss, "squared": loss.detach()}


def recipe(net, loss=squared):
    return build(net, loss, lambda batch: {"wanted": 3 * batch.inputs - 1}, CPU, {})


class Trial:
    """One training in a folder, with what it told."""

    def __init__(self, folder, given=None, *, loss=squared, scores=None, mass=1.0, **hooks):
        self.folder, self.settings = folder, given or settings()
        self.net = network()
        self.recipe = recipe(self.net, loss)
        self.scores, self.mass = scores, mass
        self.told, self.validated, self.stepped, self.states = [], [], [], []
        self.hooks = hooks
        self.stream = Stream(hooks.get("on_batch"))

    def validate(self):
        assert not self.net.training
        assert not torch.is_grad_enabled()
        self.states.append(copy.deepcopy(self.net.state_dict()))
        frames = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(99))
        answer = -float((self.net(frames) - 3 * frames + 1).square().mean())
        self.validated.append(answer)
        if "on_validate" in self.hooks:
            self.hooks["on_validate"](len(self.validated))
        score = answer if self.scores is None else self.scores[len(self.validated) - 1]
        return Validation(score=score, mass=self.mass, metrics={"efficiency": score, "mass": self.mass})

    def tell(self, step, numbers):
        self.told.append((step, dict(numbers)))
        if "on_tell" in self.hooks:
            self.hooks["on_tell"](len(self.told))

    def step(self, step, steps, loss):
        self.stepped.append((step, steps, loss))
        if "on_step" in self.hooks:
            self.hooks["on_step"](len(self.stepped))

    def run(self):
        return fit(
            self.recipe, self.stream, self.settings, self.validate, self.tell,
            folder=self.folder, device=CPU, on_step=self.step,
        )  # fmt: skip


def interrupt_at(number):
    def hook(count):
        if count == number:
            raise KeyboardInterrupt

    return hook


def without_seconds(history):
    return [(step, {k: v for k, v in numbers.items() if k != "train/seconds"}) for step, numbers in history]


def same_state(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "where",
    [{"on_batch": 1}, {"on_batch": 9}, {"on_step": 2}, {"on_validate": 1}, {"on_validate": 4}, {"on_tell": 2}],
)
@pytest.mark.parametrize("schedule", ["one_cycle", "plateau"])
def test_an_interrupted_training_continues_bit_for_bit(tmp_path, where, schedule):
    given = settings(schedule=schedule, patience=3)
    whole = Trial(tmp_path / "whole", given)
    finished = whole.run()

    ((hook, number),) = where.items()
    broken = Trial(tmp_path / "broken", given, **{hook: interrupt_at(number)})
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    torch.manual_seed(1234)
    again = Trial(tmp_path / "broken", given)
    continued = again.run()

    assert same_state(again.net.state_dict(), whole.net.state_dict())
    assert without_seconds(continued.history) == without_seconds(finished.history)
    assert (continued.best_step, continued.best_score) == (finished.best_step, finished.best_score)
    first = broken.stream.asked[:-1] if hook == "on_batch" else broken.stream.asked
    assert first + again.stream.asked == whole.stream.asked
    # Told at least once, and always the same.
    told = broken.told + again.told
    assert {step for step, _ in told} == {step for step, _ in whole.told}
    assert all(numbers in without_seconds(whole.told) for numbers in without_seconds(told))


def test_ctrl_c_within_a_step_waits_for_its_end(tmp_path, stopping):
    whole = Trial(tmp_path / "whole")
    whole.run()
    calls = []

    def loss(raw, targets):
        calls.append(1)
        if len(calls) == 7:
            signal.raise_signal(stopping)
        return squared(raw, targets)

    handler = signal.getsignal(stopping)
    broken = Trial(tmp_path / "broken", loss=loss)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert signal.getsignal(stopping) is handler
    assert len(calls) == 7
    again = Trial(tmp_path / "broken")
    again.run()
    assert again.stream.asked[0] == (7 * 4, 4)
    assert same_state(again.net.state_dict(), whole.net.state_dict())


def test_a_killed_training_continues_from_its_last_validation(tmp_path):
    class Killed(BaseException):
        pass

    def kill(count):
        if count == 15:
            raise Killed

    whole = Trial(tmp_path / "whole")
    whole.run()
    with pytest.raises(Killed):
        Trial(tmp_path / "broken", on_batch=kill).run()
    again = Trial(tmp_path / "broken")
    again.run()
    assert again.stream.asked[0] == (12 * 4, 4)
    assert same_state(again.net.state_dict(), whole.net.state_dict())


def test_a_finished_training_is_not_trained_again(tmp_path):
    Trial(tmp_path).run()
    again = Trial(tmp_path)
    progress = again.run()
    assert (again.stream.asked, again.told, progress.step) == ([], [], 24)


@pytest.mark.parametrize("batch_size", [4, 8, 32])
def test_every_batch_size_sees_the_same_samples(tmp_path, batch_size):
    trial = Trial(tmp_path, settings(batch_size=batch_size))
    trial.run()
    seen = [k for first, count in trial.stream.asked for k in range(first, first + count)]
    assert seen == list(range(96))


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    def loss(raw, targets):
        parts = squared(raw, targets)
        return parts | {"loss": parts["loss"] / 0.0} if len(trial.stream.asked) >= 4 else parts

    trial = Trial(tmp_path, settings(validations=1), loss=loss)
    with pytest.raises(DivergedError, match="the loss is not finite at or before step 10; a smaller lr"):
        trial.run()
    assert len(trial.stream.asked) == 10


def test_a_gradient_that_is_not_finite_ends_the_training(tmp_path):
    def loss(raw, targets):
        # The root has a finite value and an infinite slope at zero.
        return {"loss": (raw - raw.detach()).square().sum().sqrt() + 1}

    trial = Trial(tmp_path, settings(samples=4, validations=1), loss=loss)
    with pytest.raises(DivergedError, match="gradient norm is not finite at or before step 1"):
        trial.run()
    assert trial.told == []


def test_answers_that_are_not_finite_end_the_training(tmp_path):
    with pytest.raises(DivergedError, match="answers are not finite after step 6"):
        Trial(tmp_path, mass=math.nan).run()


def test_a_collapse_counts_only_after_a_fifth_of_the_steps(tmp_path):
    trial = Trial(tmp_path, settings(samples=80, validations=10), mass=0.009)
    with pytest.raises(CollapsedError, match=r"answers 0.9 % of the true mass after step 4; a larger lambda"):
        trial.run()
    assert [step for step, _ in trial.told] == [2, 4]
    assert Trial(tmp_path / "enough", settings(samples=80, validations=10), mass=0.011).run().step == 20


def test_patience_counts_validations_without_a_better_score(tmp_path):
    scores = [1.0, 0.5, 2.0, 2.0, 1.9, 9.0]
    trial = Trial(tmp_path, settings(validations=6, patience=2), scores=scores)
    progress = trial.run()
    assert progress.stopped_early
    assert (progress.step, progress.best_step, progress.best_score) == (20, 12, 2.0)
    assert len(trial.stream.asked) == 20
    patient = Trial(tmp_path / "patient", settings(validations=6), scores=scores)
    assert patient.run().best_step == 24


def test_the_best_weights_are_left_in_the_network_in_eval_mode(tmp_path):
    trial = Trial(tmp_path, scores=[0.0, 3.0, 1.0, 2.0])
    progress = trial.run()
    assert progress.best_step == 12
    assert same_state(trial.net.state_dict(), trial.states[1])
    assert not same_state(trial.net.state_dict(), trial.states[3])
    assert not trial.net.training


def test_a_score_below_zero_is_still_the_best_there_is(tmp_path):
    assert Trial(tmp_path, scores=[-30.0, -50.0, -40.0, -20.0]).run().best_step == 24


def test_validation_leaves_the_network_as_it_was(tmp_path):
    trial = Trial(tmp_path)
    trial.run()
    plain = Trial(tmp_path / "plain", scores=[0.0])
    plain.settings = settings(validations=1)
    plain.run()
    # Whether three validations came before or not: the same weights and BatchNorm statistics at the end.
    assert same_state(trial.states[-1], plain.states[-1])
    assert int(trial.states[-1]["1.num_batches_tracked"]) == 24


def test_validations_are_told_once_each_with_means_since_the_last(tmp_path):
    losses = []

    def loss(raw, targets):
        parts = squared(raw, targets)
        losses.append(float(parts["loss"].detach()))
        return parts

    trial = Trial(tmp_path, loss=loss)
    progress = trial.run()
    assert [step for step, _ in trial.told] == [6, 12, 18, 24] == validation_steps(trial.settings)
    assert progress.history == trial.told
    for number, (step, numbers) in enumerate(trial.told):
        window = losses[6 * number : 6 * number + 6]
        assert numbers["train/loss"] == pytest.approx(sum(window) / 6, rel=1e-5)
        assert numbers["train/squared"] == pytest.approx(numbers["train/loss"])
        assert numbers["train/samples"] == 4 * step
        assert numbers["val/efficiency"] == trial.validated[number]
        assert set(numbers) == {
            "train/loss", "train/squared", "train/gradient_norm", "train/lr", "train/seconds", "train/samples",
            "val/efficiency", "val/mass",
        }  # fmt: skip
    assert [step for step, *_ in trial.stepped] == [6, 10, 12, 18, 20, 24]
    assert [loss for *_, loss in trial.stepped] == pytest.approx([losses[step - 1] for step, *_ in trial.stepped])


def test_the_gradient_is_clipped_where_told(tmp_path):
    def moved(clip, folder):
        trial = Trial(folder, settings(samples=4, validations=1, optimiser="sgd", schedule="constant", clip=clip))
        before = copy.deepcopy(trial.net.state_dict())
        trial.run()
        names = [name for name, _ in trial.net.named_parameters()]
        return sum(float((trial.net.state_dict()[n] - before[n]).square().sum()) for n in names) ** 0.5

    assert moved(1e-3, tmp_path / "clipped") == pytest.approx(0.01 * 1e-3, rel=1e-3)
    assert moved(None, tmp_path / "free") > 0.01 * 0.1


def lr_curve(folder, **changes):
    given = settings(**{"samples": 200, "validations": 50, **changes})
    trial = Trial(folder, given, scores=[0.0] * 50)
    trial.run()
    return [numbers["train/lr"] for _, numbers in trial.told]


def test_one_cycle_rises_for_a_fifth_of_the_steps_and_falls_to_nothing(tmp_path):
    curve = lr_curve(tmp_path)
    peak = curve.index(max(curve))
    assert max(curve) == pytest.approx(0.01, rel=1e-3)
    assert 8 <= peak <= 11
    assert curve[0] == pytest.approx(0.01 / 25)
    assert curve[-1] < 1e-6
    assert curve[:peak] == sorted(curve[:peak])
    assert curve[peak:] == sorted(curve[peak:], reverse=True)


def test_plateau_divides_after_six_validations_without_a_gain_down_to_a_twentieth(tmp_path):
    curve = lr_curve(tmp_path, schedule="plateau")
    assert curve[:7] == [0.01] * 7
    # A tenth would be 0.001; the floor is 5 % of the start.
    assert curve[7] == pytest.approx(0.001)
    assert curve[-1] == pytest.approx(0.0005)
    assert set(lr_curve(tmp_path / "constant", schedule="constant")) == {0.01}


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6, 7])
def test_a_training_of_few_steps_runs(tmp_path, steps):
    assert Trial(tmp_path, settings(samples=4 * steps, validations=2)).run().step == steps


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_every_optimiser_learns(tmp_path, optimiser):
    trial = Trial(tmp_path, settings(samples=400, optimiser=optimiser, lr=0.05))
    trial.run()
    assert trial.validated[-1] > trial.validated[0]


@pytest.mark.parametrize(
    ("samples", "validations", "expected"),
    [(400, 4, [25, 50, 75, 100]), (12, 10, [1, 2, 3]), (28, 3, [2, 5, 7]), (40, 1, [10]), (4, 7, [1])],
)
def test_validations_are_spread_evenly_with_one_at_the_end(samples, validations, expected):
    assert validation_steps(settings(samples=samples, validations=validations)) == expected


def test_a_save_that_fails_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "new" / "best.pt"
    save_atomically({"a": 1}, path)

    def full(payload, stream):
        stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(training.torch, "save", full)
        with pytest.raises(OSError, match="No space left"):
            save_atomically({"a": 2}, path)
    assert [file.name for file in path.parent.iterdir()] == ["best.pt"]
    assert torch.load(path, weights_only=True) == {"a": 1}
    save_atomically({"a": 3}, path)
    assert torch.load(path, weights_only=True) == {"a": 3}


def test_devices_are_named_and_checked(monkeypatch):
    monkeypatch.setattr(devices, "present_devices", lambda: ["cpu"])
    assert resolve_device("auto") == resolve_device("cpu") == CPU
    for wrong in ("cuda", "gpu", "cpu:x", ""):
        with pytest.raises(ConfigError, match=f"device '{wrong}' is not on this machine; accepted: auto, cpu"):
            resolve_device(wrong)
    monkeypatch.setattr(devices, "present_devices", lambda: ["cpu", "cuda", "mps"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto").type == "cuda"
    assert resolve_device("cuda:1").index == 1
    with pytest.raises(ConfigError, match="cuda:2"):
        resolve_device("cuda:2")


def test_bf16_trains_with_weights_in_fp32(tmp_path):
    trial = Trial(tmp_path, settings(number_format="bf16"))
    trial.run()
    assert {value.dtype for value in trial.net.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert trial.validated[-1] > trial.validated[0]
