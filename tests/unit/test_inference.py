import dataclasses
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from smlmbench.conformance import examples
from smlmbench.data.contracts import ArrayFrames, Given, Statistics
from smlmbench.errors import ConfigError, FormatError, UnknownNameError
from smlmbench.inference.checkpoint import build_network, checkpoint_of, load_trained
from smlmbench.inference.engine import ReadOut, frame_multiple, frames_per_batch, predict, read_ahead
from smlmbench.inference.running import runtime_of
from smlmbench.inference.runtimes import eager
from smlmbench.outputs import raster
from smlmbench.registry import Catalog
from smlmbench.training import save_atomically

CATALOG = Catalog()
CPU = torch.device("cpu")
GIVEN = Given(channels=1, upsampling=2, pixel_size_nm=100.0, statistics=Statistics(10.0, 5.0, 0.0, 80.0))
OUTPUT = {**CATALOG.card("outputs", "raster").fill("raster", {"upsampling": 2}), "pixel_size_nm": 100.0}
READ_OUT = ReadOut(raster, OUTPUT, 0.5)


def spikes(frames):
    """Each camera pixel above 50 photons becomes a spike of its photons / 100 at its upper left fine pixel."""
    raw = torch.zeros(len(frames), 1, 2 * frames.shape[2], 2 * frames.shape[3])
    raw[:, :, ::2, ::2] = torch.where(frames > 50, frames, 0.0)
    return raw


def movie(n_frames, height=10, width=12):
    """One emitter per frame, further along x in each."""
    values = np.full((n_frames, height, width), 1.0, dtype=np.float32)
    for number in range(n_frames):
        values[number, 4, 1 + number % (width - 2)] = 100 + number
    return ArrayFrames(values)


@pytest.mark.parametrize("batch", [1, 3, 7, 64, None])
def test_blocks_give_what_one_block_gives(batch):
    frames, done = movie(7), []
    prediction = predict(frames, spikes, READ_OUT, device=CPU, batch=batch, on_frames=done.append)
    table = prediction.table
    assert table.frame.tolist() == list(range(7))
    assert table.n_frames == 7
    assert table.field_nm == (1200.0, 1000.0)
    # Fine pixel 2 c of 50 nm is read out at its centre.
    assert table.x_nm == pytest.approx([100 * (1 + number) + 25 for number in range(7)])
    assert table.y_nm == pytest.approx([425.0] * 7)
    assert table.probability == pytest.approx([(100 + number) / 100 for number in range(7)])
    assert prediction.image.pixel_nm == 50.0
    assert prediction.image.values.shape == (1, 20, 24)
    assert prediction.image.values.sum() == pytest.approx(sum(range(100, 107)) / 100)
    assert done == [min(7, k * (batch or 64)) for k in range(1, -(-7 // (batch or 64)) + 1)]


def test_a_real_network_does_not_care_about_blocks():
    torch.manual_seed(0)
    network = build_network(
        CATALOG, "fid_storm", CATALOG.card("models", "fid_storm").fill("f", tiny("fid_storm")), GIVEN
    )
    torch.nn.init.normal_(list(network.parameters())[-1], 5.0)
    network.eval()
    frames = ArrayFrames(np.random.default_rng(0).poisson(10, (5, 16, 16)).astype(np.float32))
    read_out = ReadOut(raster, OUTPUT, 0.0)
    whole, parts = (predict(frames, network, read_out, device=CPU, batch=batch) for batch in (5, 2))
    assert len(whole.table) > 0
    assert np.array_equal(whole.table.frame, parts.table.frame)
    assert parts.table.x_nm == pytest.approx(whole.table.x_nm, abs=1e-3)
    assert parts.image.values == pytest.approx(whole.image.values, rel=1e-4, abs=1e-6)


def tiny(name):
    return CATALOG.card("models", name).tiny


def test_frames_are_read_in_order_one_block_ahead_and_the_last_is_short():
    main, read = threading.current_thread(), []

    class Watched:
        n_frames, height, width = 7, 2, 2

        def read(self, start, stop):
            read.append((start, stop, threading.current_thread() is main))
            return np.full((stop - start, 2, 2), start, dtype=np.float32)

    blocks = []
    for start, block in read_ahead(Watched(), 3):
        blocks.append((start, len(block), float(block[0, 0, 0, 0])))
    assert blocks == [(0, 3, 0.0), (3, 3, 3.0), (6, 1, 6.0)]
    assert [(start, stop) for start, stop, _ in read] == [(0, 3), (3, 6), (6, 7)]
    assert [in_main for *_, in_main in read] == [True, False, False]


def test_a_frame_that_cannot_be_read_stops_the_prediction():
    class Broken(ArrayFrames):
        def read(self, start, stop):
            if start >= 4:
                raise FormatError("page 4 cannot be decoded")
            return super().read(start, stop)

    with pytest.raises(FormatError, match="page 4"):
        predict(Broken(movie(7).values), spikes, READ_OUT, device=CPU, batch=2)


def test_a_movie_without_frames_or_detections_gives_an_empty_table():
    nothing = predict(ArrayFrames(np.zeros((0, 4, 6), np.float32)), spikes, READ_OUT, device=CPU)
    assert (len(nothing.table), nothing.table.n_frames, nothing.image) == (0, 0, None)
    dark = predict(ArrayFrames(np.zeros((3, 4, 6), np.float32)), spikes, READ_OUT, device=CPU)
    assert (len(dark.table), dark.table.n_frames, float(dark.image.values.sum())) == (0, 3, 0.0)
    without = dataclasses.replace(READ_OUT, keep_image=False)
    assert predict(movie(2), spikes, without, device=CPU).image is None


def test_frames_are_padded_to_what_the_network_needs_and_cut_again():
    seen = []

    def picky(frames):
        seen.append(frames.shape[2:])
        return spikes(frames)

    frames = movie(3, height=10, width=13)
    padded = predict(frames, picky, dataclasses.replace(READ_OUT, multiple_px=4), device=CPU)
    plain = predict(frames, spikes, READ_OUT, device=CPU)
    assert seen == [(12, 16)]
    assert np.array_equal(padded.image.values, plain.image.values)
    assert np.array_equal(padded.table.x_nm, plain.table.x_nm)
    assert padded.table.field_nm == plain.table.field_nm
    assert [frame_multiple({"multiple_fine_px": 8}, u) for u in (1, 2, 4, 8)] == [8, 4, 2, 1]
    assert frame_multiple({}, 2) == 1


def test_a_batch_holds_half_a_million_fine_pixels():
    assert frames_per_batch(64, 64, 8) == 2
    assert frames_per_batch(16, 16, 2) == 64
    assert frames_per_batch(2048, 2048, 8) == 1


def write(path, name="fid_storm", facts=None, **changes):
    torch.manual_seed(3)
    settings = CATALOG.card("models", name).fill(name, tiny(name))
    network = build_network(CATALOG, name, settings, GIVEN)
    torch.nn.init.normal_(list(network.parameters())[-1])
    content = checkpoint_of(
        network.train(),
        GIVEN,
        {"name": name, "version": 1, "settings": settings},
        {"name": "raster", "version": 1, "settings": OUTPUT},
        facts or {"tuned": {"threshold": 0.25}, "task": "localization", "calibrated": True, "cell_id": "abc"},
    )
    save_atomically(content | changes, path)
    return network


@pytest.mark.parametrize("name", examples.answering(CATALOG, "raster"))
def test_a_checkpoint_comes_back_as_the_same_network(tmp_path, name):
    network = write(tmp_path / "best.pt", name)
    plain = torch.load(tmp_path / "best.pt", weights_only=True)
    assert plain["given"]["statistics"]["mean"] == 10.0
    trained = load_trained(tmp_path / "best.pt", CATALOG)
    assert not trained.network.training
    frames = torch.rand(2, 1, 16, 16) * 50
    with torch.no_grad():
        assert torch.allclose(trained.network(frames), network.eval()(frames), atol=1e-5)
    assert (trained.tuned, trained.output, trained.output_settings) == ({"threshold": 0.25}, raster, OUTPUT)
    assert (trained.channels, trained.context, trained.keep_table) == (1, 1, True)
    assert trained.facts["cell_id"] == "abc"
    assert trained.facts["model"]["name"] == name
    read_out = trained.read_out()
    assert (read_out.threshold, read_out.keep_image) == (0.25, True)
    assert trained.read_out(0.0).threshold == 0.0


class Mischief:
    def __reduce__(self):
        return print, ("ran",)


def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path, capsys):
    path = tmp_path / "best.pt"

    def refused(*words):
        with pytest.raises(FormatError) as caught:
            load_trained(path, CATALOG)
        said = str(caught.value)
        assert "\n" not in said
        for word in (str(path), *words):
            assert word in said

    refused("give a best.pt")
    path.write_text("frame,x_nm\n")
    refused("not a smlmbench checkpoint")
    path.write_bytes(pickle.dumps(Mischief()))
    refused("not a smlmbench checkpoint")
    assert "ran" not in capsys.readouterr().out
    torch.save({"state_dict": {}}, path)
    refused("format 1")
    write(path, format=99)
    refused("format 1")
    write(path, state={"other.weight": torch.zeros(1)})
    refused("do not fit model 'fid_storm'", "train it anew")


def test_a_checkpoint_of_an_unknown_plug_in_names_it(tmp_path):
    write(tmp_path / "best.pt", model={"name": "my_net", "version": 1, "settings": {}})
    with pytest.raises(UnknownNameError, match="unknown model 'my_net'"):
        load_trained(tmp_path / "best.pt", CATALOG)


def test_a_plug_in_must_build_a_network(tmp_path):
    path = tmp_path / "my_net.py"
    path.write_text("CARD = {'version': 1, 'summary': 's'}\ndef build(settings, given):\n    return 5\n")
    with pytest.raises(FormatError, match="build of model 'my_net' returned int; it must return an nn.Module"):
        build_network(Catalog([path]), "my_net", {}, GIVEN)


def test_eager_runs_fp32_and_bf16_and_answers_in_fp32(tmp_path):
    write(tmp_path / "best.pt")
    network = load_trained(tmp_path / "best.pt", CATALOG).network
    frames = torch.rand(1, 1, 16, 16) * 50
    with torch.no_grad():
        expected = network(frames)
    single, half = (eager.prepare(network.train(), frames, kind) for kind in ("fp32", "bf16"))
    assert not network.training
    # Normalisation is folded into the weights: the same to rounding.
    assert torch.allclose(single(frames), expected, rtol=1e-4, atol=1e-4)
    assert half(frames).dtype == torch.float32
    assert torch.allclose(half(frames), expected, rtol=0.1, atol=0.1 * float(expected.abs().max()))
    assert not torch.equal(half(frames), expected)
    with pytest.raises(ConfigError, match="no number format 'int8'; accepted: fp32, bf16"):
        eager.prepare(network, frames, "int8")


def test_a_plug_in_with_an_odd_card_does_not_hide_the_runtime_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "zz.py"
    path.write_text('CARD = {"room": "runtimes", "version": "one"}\n\n\ndef prepare(*_):\n    return None\n')
    assert runtime_of(Catalog([path]), Path("a.onnx")) == "onnxruntime"
