"""Students under teachers on networks of a few weights: gradients, stages, alpha, resuming."""

import copy

import pytest
import torch
from torch import nn

from smlmbench.data.contracts import Batch
from smlmbench.errors import CollapsedError, ConfigError
from smlmbench.recipes import attentive_hint, attentive_imitation, hint, supervised
from smlmbench.recipes.attention import sample_errors
from smlmbench.recipes.contracts import Lesson
from smlmbench.study.schema import Training
from smlmbench.training import Validation, fit

CPU = torch.device("cpu")


class Stream:
    def batch(self, first, count):
        frames = [torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(k)) for k in range(first, first + count)]
        return Batch(torch.stack(frames), None, first)


def squared(raw, targets):
    loss = (raw - targets["wanted"]).square().mean()
    return {"loss": loss, "squared": loss.detach()}


def targets(batch):
    return {"wanted": 3 * batch.inputs - 1}


def student(seed=5):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)),
        nn.Conv2d(3, 1, 3, padding=1),
    )


def teacher(seed=9, channels=6, pool=False):
    torch.manual_seed(seed)
    first = [nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    layers = [nn.Sequential(*first, *([nn.MaxPool2d(2)] if pool else []))]
    return nn.Sequential(*layers, *([nn.Upsample(scale_factor=2)] if pool else []), nn.Conv2d(channels, 1, 1))


def settings_of(module, **changes):
    known = {name: setting["default"] for name, setting in module.CARD["settings"].items()}
    layers = {"teacher_layer": "0", "student_layer": "0"} if "teacher_layer" in known else {}
    assert set(changes) <= set(known)
    return known | layers | changes


def lesson(network=None, samples=64, batch_size=4, **more):
    network = network or teacher()
    return Lesson(network, network, Stream(), samples, batch_size, 1, target="wanted", seed=3, **more)


def recipe(module, net=None, learned=None, **changes):
    settings = settings_of(module, **changes)
    return module.build(net or student(), squared, targets, CPU, settings, lesson=learned or lesson())


# Recipes


def test_nothing_of_the_teacher_learns_and_nothing_of_it_is_saved():
    learned = lesson()
    before = copy.deepcopy(learned.teacher.state_dict())
    made = recipe(attentive_hint, learned=learned, stages="joint")
    made.network.train()
    made.prepare()
    (move,) = made.step(Stream().batch(0, 4))
    move.loss.backward()
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in learned.teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in learned.teacher.state_dict().items())
    assert set(made.modules) == {"network", "adapter", "measures"}
    assert {*move.parts} >= {"task", "hint", "imitation", "phi"}


def test_the_adapter_learns_and_is_no_part_of_the_student():
    made = recipe(hint)
    made.prepare()
    made.step(Stream().batch(0, 4))[0].loss.backward()
    adapters = list(made.modules["adapter"].parameters())
    assert all(parameter.grad is not None for parameter in adapters)
    assert {id(one) for one in adapters} <= {id(one) for one in made.players()["network"]}
    assert made.network.state_dict().keys() == student().state_dict().keys()


def test_the_first_stage_trains_up_to_the_guided_layer_alone():
    made = recipe(hint, hint_share=0.25)
    made.prepare()
    assert made.answers_from == 4
    made.step(Stream().batch(12, 4))[0].loss.backward()
    assert all(parameter.grad is not None for parameter in made.network[0].parameters())
    assert all(parameter.grad is None for parameter in made.network[1].parameters())
    made.step(Stream().batch(16, 4))[0].loss.backward()
    assert all(parameter.grad is not None for parameter in made.network[1].parameters())


def test_attentive_hints_freeze_that_part_in_the_second_stage_with_its_statistics():
    made = recipe(attentive_hint, hint_share=0.25)
    made.prepare()
    made.network.train()
    before = copy.deepcopy(made.network[0].state_dict())
    made.step(Stream().batch(16, 4))[0].loss.backward()
    assert all(parameter.grad is None for parameter in made.network[0].parameters())
    assert all(torch.equal(value, before[name]) for name, value in made.network[0].state_dict().items())
    made.network.train()
    made.step(Stream().batch(0, 4))[0].loss.backward()
    assert all(parameter.grad is not None for parameter in made.network[0].parameters())
    assert not torch.equal(made.network[0][1].running_mean, before["1.running_mean"])


def test_attentive_imitation_by_hand():
    made = recipe(attentive_imitation, alpha=0.25, phi_samples=8)
    made.prepare()
    made.network.eval()
    batch = Stream().batch(4, 3)
    (move,) = made.step(batch)
    guide, wanted = made._lesson.teacher, targets(batch)["wanted"]
    measured = Stream().batch(0, 8)
    spread = sample_errors(guide(measured.inputs), targets(measured)["wanted"])
    phi = (1 - sample_errors(guide(batch.inputs), wanted) / (spread.max() - spread.min())).clamp(0, 1)
    many = Stream().batch(0, 64)
    blank = torch.zeros_like(many.inputs)
    unit = (targets(many)["wanted"]).square().mean() / sample_errors(blank, targets(many)["wanted"]).mean()
    raw = made.network(batch.inputs)
    imitation = unit * (phi * sample_errors(raw, guide(batch.inputs))).mean()
    expected = 0.25 * (raw - wanted).square().mean() + 0.75 * imitation
    assert move.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert made._measures.eta.item() == pytest.approx((spread.max() - spread.min()).item())


def test_the_seeds_form_has_one_value_for_a_whole_batch():
    made = recipe(attentive_imitation, phi="seed", clamp=False, learned=lesson(history=(3.0, 1.0)))
    made.prepare()
    batch = Stream().batch(0, 4)
    (move,) = made.step(batch)
    loss = squared(made._lesson.teacher(batch.inputs), targets(batch))["loss"]
    assert move.parts["phi"].item() == pytest.approx(1 - loss.item() / 2, rel=1e-5)


def test_joint_stages_have_task_and_hint_in_every_step():
    made = recipe(hint, stages="joint", hint_weight=2.0)
    made.prepare()
    (move,) = made.step(Stream().batch(0, 4))
    assert made.answers_from == 0
    assert move.loss.item() == pytest.approx((move.parts["task"] + 2 * move.parts["hint"]).item(), rel=1e-6)


def test_a_smaller_map_of_the_teacher_is_learned_through_an_adapter():
    made = recipe(hint, learned=lesson(teacher(pool=True)))
    made.prepare()
    assert isinstance(made.modules["adapter"], nn.Conv2d)
    assert made.modules["adapter"].stride == (2, 2)
    assert made.step(Stream().batch(0, 4))[0].loss.isfinite()


def test_answers_that_are_no_maps_are_refused():
    guide = teacher()
    blind = Lesson(guide, guide, Stream(), 64, 4, 1)
    with pytest.raises(ConfigError, match="compared pixel by pixel"):
        recipe(attentive_imitation, learned=blind)
    assert recipe(hint, learned=blind).answers_from == 4


# The loop


def training(**changes):
    return Training(**{"samples": 64, "batch_size": 4, "validations": 4, "lr": 0.01, "number_format": "fp32"} | changes)


def trained(made, folder, **more):
    def validate():
        assert not made.network.training
        return Validation(score=0.0, mass=more.get("mass", 1.0), metrics={"mass": 1.0})

    steps = []
    torch.manual_seed(11)
    progress = fit(made, more.get("stream", Stream()), training(), validate, lambda step, said: steps.append(said),
                   folder=folder, device=CPU)  # fmt: skip
    return progress, copy.deepcopy(made.network.state_dict()), steps


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_alpha_one_is_plain_training_bit_for_bit(tmp_path):
    plain = supervised.build(student(), squared, targets, CPU, {})
    _, expected, _ = trained(plain, tmp_path / "plain")
    _, found, _ = trained(recipe(attentive_imitation, alpha=1.0), tmp_path / "taught")
    _, other, _ = trained(recipe(attentive_imitation, alpha=0.5), tmp_path / "other")
    assert same(expected, found)
    assert not same(expected, other)


class Interrupting(Stream):
    """Ctrl-C while a step's samples are drawn, once; counts what was asked for."""

    def __init__(self, at=None):
        self.at, self.asked = at, []

    def batch(self, first, count):
        self.asked.append((first, count))
        if first == self.at:
            self.at = None
            raise KeyboardInterrupt
        return super().batch(first, count)


@pytest.mark.parametrize("at", [8, 20, 40])  # the first stage ends before sample 32
@pytest.mark.parametrize("module", [hint, attentive_hint, attentive_imitation])
def test_resuming_in_either_stage_changes_nothing(tmp_path, module, at):
    changes = {"alpha": 0.5} | ({"hint_share": 0.5} if module is not attentive_imitation else {})
    whole, expected, _ = trained(recipe(module, **changes), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(recipe(module, **changes), tmp_path / "cut", stream=Interrupting(at))
    again = recipe(module, net=student(seed=77), **changes)
    measured = []
    again._measure_errors = lambda: measured.append(1)
    progress, found, _ = trained(again, tmp_path / "cut")
    assert progress.step == whole.step == 16
    assert same(expected, found)
    assert measured == []


def test_an_interrupt_while_errors_are_measured_leaves_them_to_be_measured_again(tmp_path):
    guide = teacher()
    cut = Lesson(guide, guide, Interrupting(32), 64, 4, 1, target="wanted", seed=3)
    with pytest.raises(KeyboardInterrupt):
        trained(recipe(attentive_imitation, learned=cut), tmp_path)
    again = recipe(attentive_imitation)
    trained(again, tmp_path)
    assert again._measures.ready
    assert again._measures.high > again._measures.low


def test_the_collapse_guard_waits_for_the_second_stage(tmp_path):
    made = recipe(hint, hint_share=0.5)
    told = []
    with pytest.raises(CollapsedError, match="after step 12"):
        fit(made, Stream(), training(), lambda: Validation(0.0, 0.0, {"mass": 0.0}), lambda step, _: told.append(step),
            folder=tmp_path, device=CPU)  # fmt: skip
    assert told == [4, 8, 12]


def test_parts_of_both_stages_are_averaged_over_the_steps_that_have_them(tmp_path):
    _, _, said = trained(recipe(hint, hint_share=0.4), tmp_path)
    assert ["train/hint" in numbers for numbers in said] == [True, True, False, False]
    assert ["train/squared" in numbers for numbers in said] == [False, True, True, True]


def test_the_best_step_is_one_of_the_second_stage(tmp_path):
    made, scores = recipe(hint, hint_share=0.5), iter([9.0, 8.0, 1.0, 2.0])
    progress = fit(
        made,
        Stream(),
        training(),
        lambda: Validation(next(scores), 1.0, {"mass": 1.0}),
        lambda *_: None,
        folder=tmp_path,
        device=CPU,
    )
    assert (progress.best_step, progress.best_score) == (16, 2.0)


def test_a_supervised_training_keeps_its_first_best(tmp_path):
    made, scores = supervised.build(student(), squared, targets, CPU, {}), iter([9.0, 8.0, 1.0, 2.0])
    progress = fit(
        made,
        Stream(),
        training(),
        lambda: Validation(next(scores), 1.0, {"mass": 1.0}),
        lambda *_: None,
        folder=tmp_path,
        device=CPU,
    )
    assert (progress.best_step, progress.best_score) == (4, 9.0)
