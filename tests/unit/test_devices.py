"""What a device does to trainings and movies: too little memory (halves once, or an end), its time, its checkpoints."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from test_inference import CATALOG, CPU, READ_OUT, movie, spikes
from test_training import Trial, interrupt_at, recipe, settings
from tiny_study import run, write
from torch import nn

from smlmbench import training
from smlmbench.data.contracts import Given, Statistics
from smlmbench.errors import HalvedWarning, NoMemoryError
from smlmbench.inference.checkpoint import build_network, checkpoint_of, load_trained
from smlmbench.inference.devices import lacks_memory
from smlmbench.inference.engine import predict, raw_batches
from smlmbench.models.srcnn import Srcnn
from smlmbench.run.timing import measuring
from smlmbench.timing import time_calls
from smlmbench.tracking.records import read_study
from smlmbench.training import validation_steps

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB"


def no_room(*_, **__):
    raise torch.OutOfMemoryError(FULL)


class Cramped(nn.Conv2d):
    """Has room for so many frames with their gradients."""

    room = 4

    def forward(self, frames):
        return no_room() if self.training and len(frames) > self.room else super().forward(frames)


class Cell(Trial):
    """A training whose network neither draws nor looks at other samples, so that halves are exact."""

    def __init__(self, folder, room, given=None, **hooks):
        super().__init__(folder, given, **hooks)
        torch.manual_seed(5)
        self.net = Cramped(1, 1, 3, padding=1)
        self.net.room = room
        self.recipe = recipe(self.net)


def test_a_batch_without_memory_is_halved_once_and_learns_the_same(tmp_path):
    whole = Cell(tmp_path / "whole", room=4)
    finished = whole.run()
    halved = Cell(tmp_path / "halved", room=3)
    with pytest.warns(HalvedWarning, match=r"no memory for a batch of 4: .* two of 2 \(batch normalisation") as told:
        progress = halved.run()
    assert len(told) == 1
    assert (finished.parts, progress.parts) == (1, 2)
    assert progress.step == finished.step == 24
    assert halved.stream.asked[:3] == [(0, 4), (0, 2), (2, 2)]
    assert halved.stream.asked[1:] == [(start, 2) for start in range(0, 96, 2)]
    for name, value in whole.net.state_dict().items():
        assert halved.net.state_dict()[name] == pytest.approx(value, rel=1e-4, abs=1e-6)
    for (_, one), (_, other) in zip(finished.history, progress.history, strict=True):
        assert other["train/loss"] == pytest.approx(one["train/loss"], rel=1e-4)
        assert other["train/squared"] == pytest.approx(one["train/squared"], rel=1e-4)


def test_halves_of_an_odd_batch_weigh_by_their_samples(tmp_path):
    given = settings(samples=15, batch_size=5, validations=1)
    whole, halved = Cell(tmp_path / "whole", 5, given), Cell(tmp_path / "halved", 3, given)
    whole.run()
    with pytest.warns(HalvedWarning, match="two of 3"):
        halved.run()
    assert halved.stream.asked[1:3] == [(0, 3), (3, 2)]
    assert halved.net.weight.detach().numpy() == pytest.approx(whole.net.weight.detach().numpy(), rel=1e-4, abs=1e-6)


def test_an_interrupted_training_goes_on_in_halves_without_trying_again(tmp_path):
    with pytest.warns(HalvedWarning), pytest.raises(KeyboardInterrupt):
        Cell(tmp_path, 2, on_batch=interrupt_at(20)).run()
    again = Cell(tmp_path, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        progress = again.run()
    assert progress.parts == 2
    assert {count for _, count in again.stream.asked} == {2}


@pytest.mark.filterwarnings("ignore::smlmbench.errors.HalvedWarning")
@pytest.mark.parametrize(("room", "size", "words"), [(1, 4, "2 samples at once"), (0, 1, "1 samples at once")])
def test_where_halves_do_not_fit_either_the_training_ends_with_the_reason(tmp_path, room, size, words):
    cell = Cell(tmp_path, room, settings(batch_size=size))
    with pytest.raises(NoMemoryError, match=words) as failed:
        cell.run()
    assert "take a smaller batch_size" in str(failed.value)
    assert "Tried to allocate 2.00 GiB" in str(failed.value)
    assert "\n" not in str(failed.value)


def test_what_the_optimiser_keeps_is_not_tried_twice(tmp_path, monkeypatch):
    cell = Cell(tmp_path, 4)
    monkeypatch.setattr(torch.optim.Adam, "step", no_room)
    with pytest.raises(NoMemoryError, match="what the optimiser keeps"):
        cell.run()
    assert cell.stream.asked == [(0, 4)]


def test_two_players_are_not_halved(tmp_path):
    cell = Cell(tmp_path, 2)
    other = nn.Conv2d(1, 1, 1)
    both = {**cell.recipe.players(), "other": list(other.parameters())}
    cell.recipe.players = lambda: both
    with pytest.raises(NoMemoryError, match="4 samples"):
        cell.run()


def test_other_errors_of_a_step_are_passed_on(tmp_path):
    def broken(raw, targets):
        raise RuntimeError("size of tensors must match")

    with pytest.raises(RuntimeError, match="size of tensors"):
        Trial(tmp_path, loss=broken).run()


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (torch.OutOfMemoryError(FULL), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_how_a_lack_of_memory_is_known(error, lacks):
    assert lacks_memory(error) is lacks


def roomy(room, frames):
    return spikes(frames) if len(frames) <= room else no_room()


def test_a_movie_goes_on_in_halves_and_says_so_once():
    done, frames = [], movie(23)
    whole = predict(frames, spikes, READ_OUT, device=CPU, batch=8)
    with pytest.warns(HalvedWarning, match="no memory for 8 frames at once; 4 are taken") as told:
        parts = predict(frames, partial(roomy, 5), READ_OUT, device=CPU, batch=8, on_frames=done.append)
    assert len(told) == 1
    assert done == [4, 8, 12, 16, 20, 23]
    assert np.array_equal(whole.table.frame, parts.table.frame)
    assert np.array_equal(whole.table.x_nm, parts.table.x_nm)
    assert np.array_equal(whole.image.values, parts.image.values)


def test_a_lack_that_comes_late_loses_and_repeats_nothing():
    seen = []

    def late(frames):
        seen.append(len(frames))
        return no_room() if len(seen) == 3 else spikes(frames)

    with pytest.warns(HalvedWarning):
        table = predict(movie(14), late, READ_OUT, device=CPU, batch=4).table
    assert seen == [4, 4, 4, 2, 2, 2]
    assert table.frame.tolist() == list(range(14))


@pytest.mark.filterwarnings("ignore::smlmbench.errors.HalvedWarning")
@pytest.mark.parametrize(("batch", "words"), [(8, "4 frames of 10 x 12 px at once"), (1, "1 frames of 10 x 12 px")])
def test_a_movie_whose_halves_do_not_fit_ends_with_the_reason(batch, words):
    with pytest.raises(NoMemoryError, match=words):
        predict(movie(9), partial(roomy, 0), READ_OUT, device=CPU, batch=batch)


def test_raw_output_is_made_in_halves_too():
    with pytest.warns(HalvedWarning):
        made = list(raw_batches(movie(9), partial(roomy, 3), READ_OUT, device=CPU, batch=6))
    assert [done for done, _ in made] == [3, 6, 9]
    assert torch.equal(torch.cat([raw for _, raw in made]), spikes(torch.from_numpy(movie(9).values)[:, None]))


def test_batches_without_memory_are_not_timed():
    frames = np.ones((4, 1, 8, 8), np.float32)
    subject = measuring.Subject(nn.Identity(), lambda: partial(roomy, 8), frames, None, None, 2)
    found, failed = measuring.measure({"one": subject}, CPU, partial(time_calls, budget_s=0.01))
    assert failed == {}
    assert found["one"].numbers["batch"] in (1.0, 8.0)


@pytest.mark.filterwarnings("ignore::smlmbench.errors.HalvedWarning")
def test_a_cell_says_in_the_store_that_it_was_halved_or_why_it_ended(tmp_path, store, monkeypatch):
    room, forward = 5, Srcnn.forward

    def cramped(network, frames, *more):
        return no_room() if network.training and len(frames) > room else forward(network, frames, *more)

    monkeypatch.setattr(Srcnn, "forward", cramped)
    network = {"name": "srcnn", "kernels": "3-1-3", "width": 0.25}
    path = write(tmp_path, models=[network], references=[], timing=None)
    run(path, store)
    (row,) = read_study(store, "tiny").rows("cell")
    assert (row.status, row.params["batch_parts"]) == ("done", "2")

    room = 1
    finished, lines = run(path, store, sets=("seed=4",))
    assert finished.statuses == {"failed": 1}
    (line,) = [line for line in lines if "failed:" in line]
    assert "NoMemoryError: cpu has no memory for 4 samples at once; take a smaller batch_size" in line


def test_waiting_for_a_card_to_finish_its_steps_is_time_of_the_training(tmp_path, monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr(training.time, "perf_counter", lambda: clock["now"])
    finite = torch.isfinite

    def late(values):  # only here the loop asks for a number that a card has made
        clock["now"] += 7.0
        return finite(values)

    monkeypatch.setattr(training.torch, "isfinite", late)
    progress = Trial(tmp_path).run()
    asked = sum(step % training.GUARD_EVERY == 0 or step in validation_steps(settings()) for step in range(1, 25))
    assert progress.train_s == pytest.approx(7.0 * 2 * asked)  # of losses and of gradient norms


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_what_a_card_saved_goes_on_where_there_is_none(tmp_path, monkeypatch):
    scores = [1.0, 0.0, 0.0, 0.0]  # the best weights are those that the card saved
    whole = Trial(tmp_path / "whole", scores=scores)
    whole.run()
    last = tmp_path / "moved" / "last.pt"
    with monkeypatch.context() as card:  # tensors of the files lie on a card, as torch has it in them
        card.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        with pytest.raises(KeyboardInterrupt):
            Trial(tmp_path / "moved", scores=scores, on_batch=interrupt_at(9)).run()
        saved = torch.load(last, weights_only=True, map_location="cpu")
        torch.save({**saved, "cuda_rng": torch.zeros(16, dtype=torch.uint8)}, last)
    for path in (last, last.with_name("best_state.pt")):
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(path, weights_only=True)
    moved = Trial(tmp_path / "moved", scores=scores[1:])
    moved.run()
    assert all(torch.equal(value, moved.net.state_dict()[name]) for name, value in whole.net.state_dict().items())


def test_a_network_that_a_card_saved_is_loaded_where_there_is_none(tmp_path, monkeypatch):
    given = Given(1, 2, 100.0, Statistics(10.0, 5.0, 0.0, 80.0))
    settings_of = CATALOG.card("models", "srcnn").fill("srcnn", {"kernels": "3-1-3", "width": 0.25})
    network = build_network(CATALOG, "srcnn", settings_of, given)
    model = {"name": "srcnn", "version": 1, "settings": settings_of}
    output = {"name": "raster", "version": 1, "settings": READ_OUT.settings}
    with monkeypatch.context() as card:
        card.setattr(torch.serialization, "location_tag", lambda storage: "cuda:1")
        torch.save(checkpoint_of(network, given, model, output, {"task": "localization"}), tmp_path / "best.pt")
    assert load_trained(tmp_path / "best.pt", CATALOG).network.training is False
