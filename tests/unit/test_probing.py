"""What runs a movie without stored timings: a clock that is told what each runtime takes; movies that were begun."""

import json
from types import SimpleNamespace

import pytest
import torch
from test_journal import network_and_movie

from smlmbench.camera import Camera
from smlmbench.errors import FormatError
from smlmbench.registry import Catalog
from smlmbench.run.timing import gated, probing
from smlmbench.run.timing.gated import Choice
from smlmbench.run.timing.probing import probed
from smlmbench.run.using import asking, predicting
from smlmbench.run.using.asking import Wanted, in_memory, request_of
from smlmbench.run.using.finding import Found
from smlmbench.run.using.predicting import predict_movie

CATALOG = Catalog()
CPU = torch.device("cpu")
SIDE = 128


class Computer:
    """Runtimes that take so many seconds for a frame of SIDE, and to prepare, on a clock of their own."""

    def __init__(self, monkeypatch, *, prepares_s=3.0, first_s=0.0, frame_range=False, **takes_s):
        self.now, self.takes_s, self.prepares_s, self.loaded, self.ran = 0.0, takes_s, prepares_s, [], []
        self.first_s = dict.fromkeys(takes_s, first_s)
        self.read_out = SimpleNamespace(multiple_px=4, upsampling=4, frame_range=frame_range)
        monkeypatch.setattr(probing, "load", self.load)
        monkeypatch.setattr(probing, "why_not", lambda _, name, *__: "" if name in takes_s else "absent")

    def clock(self):
        return self.now

    def load(self, path, catalog, device, runtime):
        self.loaded.append(runtime)
        self.now += self.prepares_s if runtime != "eager" else 0.0
        if self.takes_s[runtime] is None:
            raise RuntimeError("cannot translate")

        def network(frames):
            assert torch.is_inference_mode_enabled()
            self.ran.append((runtime, tuple(frames.shape)))
            self.now += self.first_s[runtime] + self.takes_s[runtime] * frames.numel() / SIDE**2
            self.first_s[runtime] = 0.0

        return SimpleNamespace(network=network, read_out=self.read_out, facts={"channels": 1})

    def asked(self, frames, side=SIDE, catalog=CATALOG):
        return probed("best.pt", CPU, (frames, side, side), catalog, self.clock)


def test_a_long_movie_takes_what_is_faster_by_a_tenth_and_says_both_times(monkeypatch):
    computer = Computer(monkeypatch, eager=0.1, openvino=0.08)
    chosen = computer.asked(5_000)
    assert (chosen.runtime, chosen.number_format, chosen.file) == ("openvino", "fp32", None)
    assert chosen.why == "no timings stored, so measured now for 128x128 px: eager 100.00 ms, openvino 80.00 ms"
    assert chosen.ready.network is not None
    assert computer.loaded == ["eager", "openvino"]
    kept = Computer(monkeypatch, eager=0.1, openvino=0.092).asked(5_000)
    assert kept.runtime == "eager"
    assert "openvino 92.00 ms" in kept.why


def test_a_short_movie_and_one_that_does_not_repay_the_preparing_stay_with_the_plain_loop(monkeypatch):
    for frames in (150, 900):  # 15 s and 90 s, and a runtime takes up to 10 s to prepare
        computer = Computer(monkeypatch, eager=0.1, openvino=0.01, first_s=0.5)
        chosen = computer.asked(frames)
        assert (chosen.runtime, chosen.why, computer.loaded) == ("eager", "", ["eager"])
        assert chosen.ready is not None
    assert len(computer.ran) == 2


def test_a_runtime_that_is_prepared_at_once_is_tried_from_twenty_seconds_on(monkeypatch):
    cards = {"eager": {}, "quick": {"prepares_s": 0.1}}
    catalog = SimpleNamespace(names=lambda _: cards, card=lambda _, name: SimpleNamespace(facts=cards[name]))
    for frames, loaded in ((190, ["eager"]), (210, ["eager", "quick"])):
        computer = Computer(monkeypatch, prepares_s=0.1, eager=0.1, quick=0.05)
        computer.asked(frames, catalog=catalog)
        assert computer.loaded == loaded


def test_preparing_never_takes_more_than_a_tenth_of_the_movie(monkeypatch):
    every = {"eager": 0.1, "onnxruntime": 0.05, "openvino": 0.01}
    assert Computer(monkeypatch, prepares_s=6.0, **every).asked(1_500).runtime == "onnxruntime"
    assert Computer(monkeypatch, prepares_s=6.0, **every).asked(1_700).runtime == "openvino"


def test_a_runtime_that_fails_or_would_forbid_tiles_is_left_out(monkeypatch):
    chosen = Computer(monkeypatch, eager=0.1, onnxruntime=None, openvino=0.05).asked(5_000)
    assert chosen.runtime == "openvino"
    assert Computer(monkeypatch, eager=0.1, onnxruntime=None).asked(5_000).why == ""
    assert Computer(monkeypatch, eager=0.1, openvino=0.05, frame_range=True).asked(5_000).runtime == "eager"


@pytest.mark.parametrize(("side", "shape"), [(30, (16, 1, 32, 32)), (512, (1, 1, 128, 128))])
def test_frames_of_the_movies_size_are_timed_as_many_as_run_at_once(monkeypatch, side, shape):
    computer = Computer(monkeypatch, eager=0.1, openvino=0.05)
    chosen = computer.asked(10**6, side)
    assert {seen for _, seen in computer.ran} == {shape}
    assert f"eager {100 / shape[0]:.2f} ms" in chosen.why


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """A movie whose results were made by eager in bf16, as a probe might have had it."""
    network_and_movie(tmp_path)
    ask(tmp_path, monkeypatch, Choice("eager", "bf16", None, "told"), run=True)
    return tmp_path


def ask(folder, monkeypatch, choice, *, run=False, **changes):
    monkeypatch.setattr(asking, "probed", lambda *_: choice)
    wanted = Wanted(str(folder / "best.pt"), Camera(kind="ideal"), **changes)
    shape = lambda: (12, 20, 24)  # noqa: E731
    request, told = request_of(wanted, folder / "movie.tif", shape, CATALOG, folder / "out")
    if run:
        predict_movie(request, CATALOG, lambda *_: None)
    return request, told


def test_a_movie_that_was_begun_keeps_what_runs_it(begun, monkeypatch):
    other = Choice("eager", "fp32", None, "now faster")
    request, told = ask(begun, monkeypatch, other, run=True)
    assert (request.runtime, request.number_format) == ("eager", "bf16")
    assert told == ["run by eager in bf16: as the results that stand there"]
    assert json.loads((begun / "out" / "movie_predict.json").read_text())["finished"]
    assert ask(begun, monkeypatch, other, overwrite=True)[0].number_format == "fp32"
    with pytest.raises(FormatError, match=r"number_format bf16 \(now fp32\)"):
        ask(begun, monkeypatch, other, run=True, number_format="fp32")


def test_another_network_and_what_cannot_run_here_do_not_continue(begun, monkeypatch):
    other = Choice("eager", "fp32", None, "now faster")
    path = begun / "out" / "movie_predict.json"
    said = json.loads(path.read_text())
    for part, name, value in (("settings", "runtime", "gone"), ("model", "digest", "of another")):
        path.write_text(json.dumps({**said, part: {**said[part], name: value}}))
        assert ask(begun, monkeypatch, other)[0].number_format == "fp32"
    path.write_text("{")
    assert ask(begun, monkeypatch, other)[0].number_format == "fp32"


def test_a_run_without_timings_here_is_measured_or_says_how_to_add_them(tmp_path, monkeypatch):
    network_and_movie(tmp_path)
    run = SimpleNamespace(
        tags={gated.TIMED_ON: "elsewhere"}, metrics={}, params={}, store=SimpleNamespace(place="a store")
    )
    monkeypatch.setattr(asking, "probed", lambda *_: Choice("eager", "fp32", None, "", "loaded"))
    chosen = asking._choose(Wanted("x"), Found(tmp_path / "best.pt", run), lambda: (1, 8, 8), CATALOG, None)
    assert chosen.ready == "loaded"
    assert "no timings of this run on this computer; `smlmbench time STUDY.yaml --store 'a store'`" in chosen.why
    alone = asking._choose(Wanted("x"), Found(tmp_path / "best.pt"), lambda: (1, 8, 8), CATALOG, None)
    assert alone.why == "a checkpoint holds no timings; give its run to use them"


def test_what_was_loaded_to_be_measured_is_not_loaded_again(tmp_path, monkeypatch):
    network_and_movie(tmp_path)
    monkeypatch.setattr(predicting, "load", lambda *_: pytest.fail("loaded twice"))
    found = in_memory(Wanted(str(tmp_path / "best.pt"), Camera(kind="ideal")), tmp_path / "movie.tif", CATALOG)
    assert found.n_frames == 12
