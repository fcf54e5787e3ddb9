"""Laws of photons: their distributions, means and largest values, and how a study writes them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from smlmbench import psf
from smlmbench.errors import ConfigError
from smlmbench.psf.draws import MOST, drawn, largest_of, mean_of
from smlmbench.registry import Catalog
from smlmbench.run.using.drawing import described
from smlmbench.simulate import draw
from smlmbench.simulate.chance import Frozen

N = 50_000
LAWS = {
    "normal": ({"mean": 1000.0, "sd": 300.0, "law": "normal"}, stats.truncnorm(-10 / 3, np.inf, 1000, 300)),
    "wide normal": ({"mean": 100.0, "sd": 200.0, "law": "normal"}, stats.truncnorm(-0.5, np.inf, 100, 200)),
    "exponential": ({"mean": 700.0, "law": "exponential"}, stats.expon(0, 700)),
    "log_normal": ({"median": 500.0, "sigma": 0.8, "law": "log_normal"}, stats.lognorm(0.8, 0, 500)),
}


@pytest.mark.parametrize(("law", "known"), LAWS.values(), ids=LAWS)
def test_laws_follow_their_distributions(law, known):
    values = drawn(law, N, torch.Generator().manual_seed(4)).numpy()
    assert values.dtype == np.float64
    assert stats.kstest(values, known.cdf).pvalue > 1e-3
    assert mean_of(law) == pytest.approx(known.mean(), rel=1e-9)
    assert values.mean() == pytest.approx(mean_of(law), abs=4 * known.std() / math.sqrt(N))
    # 2^-53 of the numbers lie above it, none that is drawn
    assert known.sf(largest_of(law)) == pytest.approx(1 - MOST, rel=1e-3)
    assert values.max() <= largest_of(law)


def test_laws_take_numbers_from_any_stream():
    law = LAWS["normal"][0]
    assert torch.equal(drawn(law, 9, Frozen(1)), drawn(law, 9, Frozen(1)))
    assert not torch.equal(drawn(law, 9, Frozen(1)), drawn(law, 9, Frozen(2)))


def test_values_of_a_table_are_drawn_alike():
    law = {"values": (1.0, 5.0, 9.0)}
    values = drawn(law, 30_000, torch.Generator().manual_seed(4))
    counts = [int((values == value).sum()) for value in (1, 5, 9)]
    assert sum(counts) == 30_000
    assert max(abs(count - 10_000) for count in counts) < 5 * math.sqrt(10_000)
    assert (mean_of(law), largest_of(law)) == (5, 9)


@pytest.mark.parametrize(
    ("photons", "said"),
    [
        ({"mean": 100, "law": "normal"}, "photons.sd: required"),
        ({"mean": 100, "sdd": 5}, "photons.sdd: unknown key, did you mean 'sd'?"),
        ({"median": 100, "sigm": 0.5}, "photons.sigm: unknown key, did you mean 'sigma'?"),
        ({"mean": 100, "law": "exponental"}, "photons: law 'exponental' is not accepted, did you mean 'exponential'?"),
        ({"mean": 0, "law": "exponential"}, "photons.mean: 0 is out of range; give a number above 0"),
        ({"mx": 3, "min": 1}, "photons.mx: unknown key, did you mean 'max'?"),
        (-1, "photons: -1 is out of range; give a number above 0, or a mapping with min, max, law"),
    ],
)
def test_a_wrong_law_is_named_by_its_nearest_key(photons, said):
    with pytest.raises(ConfigError) as error:
        described({"photons": photons})
    assert said in str(error.value)


def write_table(path, photons):
    rows = "".join(f"{number},1,100,200,{value}\n" for number, value in enumerate(photons, 1))
    path.write_text(f'"id","frame","x [nm]","y [nm]","intensity [photon]"\n{rows}')
    return path


def test_photons_of_a_table_are_its_column_and_its_content_is_the_identity(tmp_path):
    one, two, other = (write_table(tmp_path / name, [300, 700]) for name in ("a.csv", "b.csv", "c.csv"))
    source = described({"photons": {"table": str(one)}, "field_px": 16})
    _, emitters = draw(source, psf.build(source.psf, Catalog()), 1, 20)
    assert set(emitters.photons.tolist()) == {300.0, 700.0}
    assert source.content() == described({"photons": {"table": str(two)}, "field_px": 16}).content()
    write_table(other, [300, 701])
    assert source.content() != described({"photons": {"table": str(other)}, "field_px": 16}).content()
    # what stood there before is not remembered
    write_table(one, [50])
    assert set(draw(source, psf.build(source.psf, Catalog()), 1, 20)[1].photons.tolist()) == {50.0}


def test_a_table_without_photons_is_refused_before_anything_is_drawn(tmp_path):
    from smlmbench.study.sources.description import Look

    bad = tmp_path / "a.csv"
    bad.write_text('"id","frame","x [nm]","y [nm]"\n1,1,100,200\n')
    look = Look(Catalog(), 0.0)
    ((place, said),) = described({"photons": {"table": str(bad)}}).check(look)
    assert place == ("simulate", "photons", "table")
    assert "does not say the photons" in said
    ((_, said),) = described({"photons": {"table": str(tmp_path / "b.csv")}}).check(look)
    assert "does not exist" in said
