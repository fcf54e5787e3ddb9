"""Checks of a structure: the density that is asked for, places in the region and its depths, the same from one seed."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from smlmbench.conformance.checks import Subject, require
from smlmbench.simulate import places
from smlmbench.simulate.chance import Chance, Fast, Frozen
from smlmbench.simulate.places import Place, Placed, Region

FLAT, DEEP = Region(12800.0, 600.0), Region(12800.0, 600.0, (-1500.0, 1500.0))
SAMPLES, MANY, EACH = 50, 1000, 20.0
OUTSIDE = 0.05  # share of the places that may lie just beyond the region, such as the wall of a tube that leaves it
STREAMS: tuple[Callable[[int], Chance], ...] = (Fast.of, Frozen)


def density_is_kept(subject: Subject) -> str:
    """The number of emitters in the field is the expected one, for one structure and for one of each sample's own."""
    with _built(subject) as place:
        shares = []
        for region in (FLAT, DEEP):
            for one, samples in ((5, MANY), (None, SAMPLES)):
                expected = torch.full((samples,), EACH, dtype=torch.float64)
                found = place(region, expected, Fast.of(3), None if one is None else Fast.of(one))
                share = float(region.inside(found.x_nm, found.y_nm).sum()) / (samples * EACH)
                # emitters may come in pairs, which doubles the variance
                most = 5 * (2 / (samples * EACH)) ** 0.5
                require(
                    abs(share - 1) <= most, f"the field has {share:.3f} of the emitters expected in {samples} samples"
                )
                shares.append(f"{share:.3f}")
        return f"{', '.join(shares)} of the expected"


def places_stay_in_the_region(subject: Subject) -> str:
    """Places are float64 in ascending order of the sample, in the field with its margin and within its depths."""
    with _built(subject) as place:
        share = 0.0
        for region in (FLAT, DEEP):
            found = _placed(place, region, None)
            require(found.sample.dtype == torch.int64, f"samples are {found.sample.dtype}, expected torch.int64")
            require(bool((found.sample.diff() >= 0).all()), "samples are not in ascending order")
            require(
                int(found.sample.min()) >= 0 and int(found.sample.max()) < SAMPLES, "a sample that was not asked for"
            )
            for at in (found.x_nm, found.y_nm, found.z_nm):
                if at is not None:
                    wanted = (torch.float64, found.sample.shape)
                    require((at.dtype, at.shape) == wanted, f"places are {at.dtype} {tuple(at.shape)}")
                    require(bool(at.isfinite().all()), "places are not finite")
            out = ~region.inside(found.x_nm, found.y_nm, margin_nm=region.margin_nm)
            share = max(share, float(out.double().mean()))
            require(share <= OUTSIDE, f"{share:.0%} of the places lie outside the field and its margin")
            if found.z_nm is not None:
                low, high = float(found.z_nm.min()), float(found.z_nm.max())
                within = region.depth_nm[0] <= low and high <= region.depth_nm[1]
                require(within, f"depths from {low:g} to {high:g} nm, of a region from {region.depth_nm}")
        return f"{share:.1%} just outside"


def same_seed_same_places(subject: Subject) -> str:
    """Of either stream of random numbers a seed gives the same places, another one others."""
    with _built(subject) as place:
        for stream in STREAMS:
            first, again, other = (_placed(place, DEEP, 5, seed, stream) for seed in (1, 1, 2))
            require(torch.equal(first.x_nm, again.x_nm), "the same seed gives other places")
            require(not torch.equal(first.x_nm, other.x_nm), "another seed gives the same places")
        return "of both streams"


def one_structure_serves_any_number_of_samples(subject: Subject) -> str:
    """The one structure of all samples is drawn alike however many there are, and nobody's own draws move it."""
    with _built(subject) as place:
        left = []
        for samples, seed in ((1, 1), (7, 2)):
            drawn = Fast.of(5)
            place(DEEP, torch.full((samples,), EACH, dtype=torch.float64), Fast.of(seed), drawn)
            left.append(float(drawn.uniform(1)))
        require(left[0] == left[1], "other numbers are drawn for the structure of 7 samples than for that of 1")
        return "of 1 and 7"


@contextmanager
def _built(subject: Subject) -> Iterator[Place]:
    """What places on the structure by its settings, on a table of points where it needs one."""
    settings = subject.settings(subject.card.tiny)
    with tempfile.TemporaryDirectory() as folder:
        if subject.card.facts.get("points"):
            table = Path(folder) / "points.csv"
            rows = [f"{400 * k % 12000},{700 * k % 11000},{100 * k % 2000 - 1000}" for k in range(60)]
            table.write_text("\n".join(["x [nm],y [nm],z [nm]", *rows]))
            settings["path"] = str(table)
        yield places.build({"name": subject.name, **settings}, subject.catalog)


def _placed(
    place: Place, region: Region, one: int | None, seed: int = 1, stream: Callable[[int], Chance] = Fast.of
) -> Placed:
    expected = torch.full((SAMPLES,), EACH, dtype=torch.float64)
    return place(region, expected, stream(seed), None if one is None else stream(one))
