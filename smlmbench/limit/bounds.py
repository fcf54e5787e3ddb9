"""The bounds of a table of true emitters whose PSF and camera are known."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from smlmbench.camera import Camera
from smlmbench.camera.information import fisher_weights
from smlmbench.limit.inverse import inverses
from smlmbench.limit.scene import Known, Scene
from smlmbench.predictions import Floats, Ints, Localizations, concatenate
from smlmbench.psf.contracts import Canvas, Psf, Spots
from smlmbench.truths.bounds import Bounds

TRIED = 64  # emitters whose shapes are drawn to see whether they differ


@dataclass(frozen=True, slots=True)
class Limit:
    """What must be known of frames to bound the emitters in them.

    Called with a table of those in the field, all frames of it, and of those around it where they are known. All rows
    count, dim ones too. The background of a frame is the mean that its emitters state, and flat. Emitters outside the
    field that shine into it stand in no table of a file: there their light and their unknown places are left out, which
    makes bounds too good near the edge, by some percent in a small field at 5 emitters/um2 and more where spots are
    wide.

    Attributes:
        optics, camera, pixel_size_nm: Known exactly.
        deep: Whether z is unknown too.
        prior: What is known of photons and background, for the second bound; None for only one.
        variance_e2: Variance of the read noise of each pixel (height, width) where a map is known, else the camera's.
    """

    optics: Psf
    camera: Camera
    pixel_size_nm: float
    deep: bool = False
    prior: Known | None = None
    variance_e2: Floats | None = None

    def __call__(self, table: Localizations, around: Localizations | None = None) -> Bounds | str:
        """The bounds of a table's rows, or why there are none."""
        made = self.scene(table, around)
        if isinstance(made, str):
            return made
        scene, order = made
        known = [Known()] if self.prior is None else [Known(), self.prior]
        places, found = scene.places, []
        for inverse in inverses(scene, known):
            own = np.empty((len(order), places, places))
            own[order] = inverse.own[:, :places, :places].numpy()
            found.append(own[: len(table)])
        return Bounds(found[0], None if self.prior is None else found[1], table.frame, table.molecule)

    def scene(self, table: Localizations, around: Localizations | None = None) -> tuple[Scene, Ints] | str:
        """The frames of a table as they are known, or why they are not.

        Emitters stand in the order of frames; with it comes which row each is, those of `around` counted on.
        """
        if np.isnan(table.photons).any():
            return "the photons of the true emitters are not known"
        if np.isnan(table.background_photons).any():
            return "the background of the true emitters is not known"
        if self.optics.depth_nm is not None and np.isnan(table.z_nm).any():
            return "the depth of the true emitters is not known"
        shapes = self.optics.shapes(TRIED, torch.Generator().manual_seed(0))
        if any(bool((values != values[:1]).any()) for values in shapes.values()):
            return "the PSF differs from emitter to emitter, in ways that the truth does not hold"
        beside = [] if around is None else [around]
        everyone = concatenate([table, *beside], n_frames=table.n_frames, field_nm=table.field_nm)
        order = np.argsort(everyone.frame, kind="stable")
        return self._scene(everyone, order), order

    def _scene(self, table: Localizations, order: Ints) -> Scene:
        width, height = (round(extent / self.pixel_size_nm) for extent in table.field_nm)
        frame = table.frame[order]
        depth = np.nan_to_num(table.z_nm[order])
        columns = (table.x_nm[order], table.y_nm[order], depth, table.photons[order])
        spots = Spots(torch.from_numpy(frame), *(torch.from_numpy(column) for column in columns))
        each = np.maximum(np.bincount(frame, minlength=table.n_frames), 1)
        background = np.bincount(frame, table.background_photons[order], table.n_frames) / each
        alike = self.optics.shapes(1, torch.Generator().manual_seed(0))
        shapes = {name: values.expand(len(order), *values.shape[1:]) for name, values in alike.items()}
        canvas = Canvas(table.n_frames, height, width, self.pixel_size_nm)
        return Scene(spots, shapes, canvas, torch.from_numpy(background), self.optics, self._weigh, self.deep)

    def _weigh(self, mean: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(fisher_weights(self.camera, mean.numpy(), self.variance_e2))


def drawn_from(table: Localizations) -> Known:
    """What is known of photons and background by who knows what they are drawn from: 1 / variance.

    The law is taken as it was realised in a frozen set. What does not vary at all is known exactly.
    """
    return Known(*(_told_by(values) for values in (table.photons, table.background_photons)))


def _told_by(values: Floats) -> float:
    if len(values) < 2 or np.isnan(values).any():
        return 0.0
    return 1 / float(values.var()) if np.ptp(values) > 0 else math.inf
