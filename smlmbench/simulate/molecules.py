"""A movie of molecules that persist: drawn once for all of its frames, and seen in any of them."""

import torch

from smlmbench.errors import ConfigError
from smlmbench.psf.contracts import Psf
from smlmbench.psf.draws import drawn
from smlmbench.simulate.blinking import Span, on_times, rate_per_um2, shining
from smlmbench.simulate.chance import Chance
from smlmbench.simulate.emitters import plain
from smlmbench.simulate.scene import Ground, Scene, chance_of, lit, rounded
from smlmbench.study.sources import Blinking


class Molecules:
    """Places, brightness and on-times of everybody who shines in the frames `first` .. `stop` - 1 of a movie.

    One density holds for all of it; without a structure seed the structure is its own. Photons of a description are
    those of a molecule that is on for a whole frame.

    Raises:
        ConfigError: No molecule reaches `min_photons`, by which density is counted.
    """

    def __init__(self, ground: Ground, psf: Psf, frames: tuple[int, int], seed: int) -> None:
        source = ground.source
        assert isinstance(source.track, Blinking)  # noqa: S101 (others have no molecules)
        self._source, chance = source, chance_of(source, seed)
        span = Span.of(source.track, *frames)
        density = float(drawn(plain(source.density_per_um2), 1, chance)[0])
        rate = rate_per_um2(source, source.track, density)
        if rate == float("inf"):
            said = f"no molecule reaches min_photons {source.min_photons:g}, by which density is counted"
            raise ConfigError(f"track blinking: {said}; give brighter photons or a smaller min_photons")
        where = ground.placed(torch.tensor([rate * span.frames], dtype=torch.float64), chance)
        self._times = on_times(source.track, len(where.sample), span, chance)
        # those who are nobody go; the others are numbered by their place
        who, molecule = torch.unique(self._times.molecule, return_inverse=True)
        self._times = self._times._replace(molecule=molecule)
        photons = drawn(plain(source.photons), len(who), chance)
        z_nm = ground.depths(where, who, chance)
        self._x_nm, self._y_nm, self._z_nm, self._photons = rounded(
            source, where.x_nm[who], where.y_nm[who], z_nm, photons
        )
        self._shapes = psf.shapes(len(who), chance)

    def scene(self, first: int, stop: int, chance: Chance) -> Scene:
        """The frames first .. stop - 1 of the movie, counted from 0 in the scene."""
        source, count = self._source, stop - first
        level = drawn(plain(source.background_photons), count, chance)
        seen = shining(self._times, first, stop)
        frame, molecule, photons = seen.frame, seen.molecule, self._photons[seen.molecule] * seen.share
        x_nm, y_nm, z_nm = (at[molecule] for at in (self._x_nm, self._y_nm, self._z_nm))
        *_, photons = rounded(source, x_nm, y_nm, z_nm, photons)
        kept = photons > 0
        if source.empty_frames:
            kept &= lit(source, count, chance)[frame]
        shapes = {name: values[molecule[kept]] for name, values in self._shapes.items()}
        return Scene(frame[kept], x_nm[kept], y_nm[kept], z_nm[kept], photons[kept], shapes, level, molecule[kept])
