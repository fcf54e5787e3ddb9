"""Frames and truth of a description: emitters, photons, PSF, background, camera."""

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.psf.contracts import Psf
from smlmbench.psf.draws import drawn
from smlmbench.registry import Catalog
from smlmbench.seeds import derive_seed
from smlmbench.simulate.background import HOT_SIGMAS, sloped
from smlmbench.simulate.chance import Chance
from smlmbench.simulate.emitters import Emitters, plain
from smlmbench.simulate.exposure import exposed, seen
from smlmbench.simulate.molecules import Molecules
from smlmbench.simulate.places import Region
from smlmbench.simulate.scene import Ground, Scene, chance_of, independent
from smlmbench.study.sources import Blinking, SimulateSource

HOT_SHARE = 0.002
GRADIENT = 0.5


class Movie:
    """A movie of a description, drawn in blocks of frames; of independent frames, or of molecules that persist.

    Args:
        source: The description.
        psf: Its PSF.
        frames: First frame that is ever asked for, and the one after the last.
        seed: Of what persists; the same for all blocks.
        structure_seed: Gives one structure to all frames (one cell); None draws a new one for each independent frame,
            and one for a movie of molecules.
        catalog: Where structures are looked up; by default ours.
    """

    def __init__(
        self,
        source: SimulateSource,
        psf: Psf,
        frames: tuple[int, int],
        seed: int,
        structure_seed: int | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        self._source, self._psf = source, psf
        self._ground = Ground.of(source, psf, catalog or Catalog(), structure_seed)
        self._fixed_seed = derive_seed(seed, "camera")
        blinks = isinstance(source.track, Blinking)
        self._molecules = Molecules(self._ground, psf, frames, seed) if blinks else None

    def block(self, first: int, stop: int, seed: int) -> tuple[torch.Tensor, Emitters]:
        """Frames first .. stop - 1 and their truth, which counts them from 0; see `draw`."""
        chance = chance_of(self._source, seed)
        return exposed(self._source, self._psf, self._scene(first, stop, chance), chance, self._fixed_seed)

    def outside(self, first: int, stop: int, seed: int) -> Emitters:
        """Who stands in the margin around the field of a block, with the mean background of the frame."""
        scene = self._scene(first, stop, chance_of(self._source, seed))
        every = (scene.frame, scene.x_nm, scene.y_nm, scene.z_nm, scene.photons, scene.level[scene.frame])
        inside = Region(self._source.field_px * self._source.pixel_size_nm, 0.0).inside(scene.x_nm, scene.y_nm)
        return Emitters(*every, scene.molecule).select(~inside)

    def _scene(self, first: int, stop: int, chance: Chance) -> Scene:
        if self._molecules is None:
            return independent(self._ground, self._psf, stop - first, chance)
        return self._molecules.scene(first, stop, chance)


def draw(
    source: SimulateSource,
    psf: Psf,
    seed: int,
    count: int,
    structure_seed: int | None = None,
    catalog: Catalog | None = None,
) -> tuple[torch.Tensor, Emitters]:
    """Draw `count` frames F and their truth on the CPU, a movie of its own; same seed, same frames.

    Emitters are also placed in a margin around the field, at the same density, so that tails enter; the truth holds
    those inside the field, dim ones included. `density_per_um2` counts all independent ones; of those that blink, the
    ones of at least `min_photons` in a frame. A structure seed gives one structure to all frames (one cell); None draws
    a new one for each, of molecules that persist one for all. Without a catalog the structure is one of ours.

    Returns:
        Frames (F, H, W), or (F, C, H, W) of a PSF with channels, float32 in photo-electrons after the camera and its
        inverse (may be negative), and the truth.
    """
    movie = Movie(source, psf, (0, count), derive_seed(seed, "movie"), structure_seed, catalog)
    return movie.block(0, count, seed)


def draw_signal_free(source: SimulateSource, seed: int, count: int = 64, channels: int = 1) -> NDArray[np.float32]:
    """Draw frames (count, H, W) without emitters, float32 photo-electrons, for counting false detections.

    The first third is flat; in the second the background runs from 0.5 to 1.5 of its mean across the field, in a
    random direction per frame; in the rest 0.2 % of the pixels (at least two a frame) are hot, by 5 to 30 standard
    deviations of the background. Of a PSF with channels (count, C, H, W), with the same background in each.
    """
    chance = chance_of(source, seed)
    size, dtype = source.field_px, torch.float64 if source.draws == "frozen" else torch.float32
    background = drawn(plain(source.background_photons), count, chance).to(dtype)[:, None, None]
    expected = background.expand(count, size, size).clone()
    sloping, hot = slice(count // 3, 2 * (count // 3)), slice(2 * (count // 3), count)
    expected[sloping] *= sloped(len(expected[sloping]), size, GRADIENT, chance, dtype)
    expected[hot] += _hot_pixels(background[hot], size, chance)
    if channels > 1:
        expected = expected[:, None].expand(-1, channels, -1, -1)
    return np.asarray(seen(source, expected, chance).numpy(), dtype=np.float32)


def _hot_pixels(background: torch.Tensor, size: int, chance: Chance) -> torch.Tensor:
    n, each = len(background), max(2, round(HOT_SHARE * size * size))
    low, high = HOT_SIGMAS
    where = chance.uniform(n, size * size, dtype=background.dtype).topk(each, dim=1).indices
    sigmas = low + (high - low) * chance.uniform(n, each, dtype=background.dtype)
    extra = sigmas * background.view(n, 1).clamp_min(1.0).sqrt()
    return torch.zeros(n, size * size, dtype=background.dtype).scatter_(1, where, extra).view(n, size, size)
