"""Frames of Gaussian spots at given places, made without the code that measures them."""

import math

import numpy as np
import torch

from smlmbench.camera import Camera
from smlmbench.references.photometry import Places

SIGMA_PX = 1.3
CAMERAS = {
    "ideal": Camera(),
    "scmos": Camera(kind="scmos", baseline_adu=100, e_per_adu=0.5, read_noise_e=1.6),
    "emccd": Camera(kind="emccd", baseline_adu=100, e_per_adu=45, em_gain=300, read_noise_e=74.4),
}


def places(x_px, y_px, frame=None):
    """Emitters at these places, all of frame 0 where none are given."""
    x_px, y_px = (np.atleast_1d(np.asarray(at, dtype=np.float64)) for at in (x_px, y_px))
    frame = np.zeros(len(x_px)) if frame is None else frame
    return Places(np.asarray(frame, dtype=np.int64), x_px, y_px)


def share(at_px, sigma_px, pixels):
    """Light of a spot in each of a row of pixels."""
    steps = [math.erf((edge - at_px) / (math.sqrt(2) * sigma_px)) for edge in range(pixels + 1)]
    return np.diff(steps) / 2


def expected(at, photons, background, shape, sigma_px=SIGMA_PX):
    """Mean photo-electrons of frames of this shape."""
    frames = np.full(shape, float(background))
    for frame, x_px, y_px, light in zip(at.frame, at.x_px, at.y_px, np.broadcast_to(photons, len(at)), strict=True):
        frames[frame] += light * np.outer(share(y_px, sigma_px, shape[1]), share(x_px, sigma_px, shape[2]))
    return frames


def seen(mean, camera, seed=0):
    """Frames as a camera sees them, in photo-electrons again."""
    generator = torch.Generator().manual_seed(seed)
    return camera.to_photons(camera.expose(torch.from_numpy(mean).float(), generator).numpy())
