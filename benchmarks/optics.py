"""How near simulated frames of a tetrapod PSF come to real ones.

python benchmarks/optics.py --beads tetrapod_bead_stack.tiff --mask mask_tetrapod.mat --frames FOLDER [--tiny]

beads: the phase is retrieved from every other plane of the stack (scalar pupil, Zernike start, then free in every cell,
and a blur); noise is fitted on those planes; the others are simulated and compared.
frames: emitters at random in the mask's PSF, in the optics of its origin; brightness and white noise are fitted on the
first half of the frames; as many frames are simulated and compared with the second half. `no mask` is the control: the
same without the mask, near its focus. What it reaches, these numbers do not tell apart.

spectrum: ratio of the radially averaged Fourier amplitudes, each plane over its sum, in rings of one period per frame
up to the cut-off 2 NA / lambda; the worst and the median |ratio - 1|. Of the movie from one period in 2 um: what is
slower is its background. width: of the autocorrelation, the distance at which its radial mean falls to half of that at
one pixel (at zero it is noise), as ratio - 1; of beads also the second moment of the light around its centre. `worst`
is the worst plane.

Prints a table; the last line is one JSON object.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import torch

from smlmbench import psf
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.retrieval import Stack, model, retrieve
from smlmbench.optics.scalar import Scalar
from smlmbench.psf.contracts import Canvas, Spots
from smlmbench.registry import Catalog

Images = npt.NDArray[np.float64]
PIXEL_NM, STEP_NM = 110.0, 100.0
BEADS = {"wavelength_nm": 605.0, "na": 1.49, "immersion_index": 1.518}
STORM: dict[str, Any] = {
    "name": "scalar_pupil",
    "wavelength_nm": 670.0,
    "na": 1.45,
    "immersion_index": 1.518,
    "medium_index": 1.33,
    "z_min_nm": 0.0,
    "z_max_nm": 4000.0,
    "focus_nm": 1500.0,
    "reach_nm": 4000.0,
}
MASK_RADIUS_PX = 150e3 * 1.45 / 100 / 24  # focal length 150 mm, magnification 100, cells of 24 um
DENSITY_PER_UM2, PHOTONS = 0.05, (3.0, 3000.0)  # shape and scale of a gamma law, as of the origin
LONGEST_NM = 2000.0
TETRAPODS = [{6: sign * 1.35, 12: sign * 3.12, 24: sign * 0.31} for sign in (1, -1)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beads", type=Path)
    parser.add_argument("--mask", type=Path)
    parser.add_argument("--frames", type=Path, help="folder of <number>.tif")
    parser.add_argument("--tiny", action="store_true", help="few planes, frames and steps, to try the script")
    return parser.parse_args()


def power(images: Images) -> tuple[Images, npt.NDArray[np.int64]]:
    """Mean squared Fourier amplitudes in rings of one period per side, (rings,), and the ring of each frequency."""
    side = images.shape[-1]
    along = np.fft.fftfreq(side) * side
    ring = np.rint(np.hypot(along[:, None], along)).astype(np.int64)
    square = (np.abs(np.fft.fft2(images)) ** 2).mean(axis=0)
    return np.bincount(ring.ravel(), square.ravel()) / np.bincount(ring.ravel()), ring


def off(real: Images, simulated: Images, first: int, last: int) -> dict[str, float]:
    """Worst and median difference of two radial spectra (of powers) as shares of amplitude."""
    ratio = np.sqrt(simulated[first : last + 1] / real[first : last + 1])
    return {"spectrum_worst": float(np.abs(ratio - 1).max()), "spectrum_median": float(np.median(np.abs(ratio - 1)))}


def half_width(images: Images, longest: int) -> float:
    """Distance in pixels at which the radial mean of the autocorrelation is half of that at one pixel.

    Without what is slower than one period in `longest` pixels, 0 for everything.
    """
    side = images.shape[-1]
    square = (np.abs(np.fft.fft2(images)) ** 2).mean(axis=0)
    _, ring = power(images)
    if longest:
        square = np.where(ring >= side / longest, square, 0.0)
    told = np.fft.ifft2(square).real
    lag = np.bincount(ring.ravel(), told.ravel()) / np.bincount(ring.ravel())
    below = int(np.argmax(lag[1:] < lag[1] / 2)) + 1
    return float(below - 1 + (lag[below - 1] - lag[1] / 2) / (lag[below - 1] - lag[below]))


def moment(images: Images) -> Images:
    """Root of the second moment of each image around its centre, pixels."""
    y, x = np.mgrid[: images.shape[1], : images.shape[2]]
    share = images / images.sum(axis=(1, 2), keepdims=True)
    middle = [(share * at).sum(axis=(1, 2), keepdims=True) for at in (x, y)]
    found: Images = np.sqrt((share * ((x - middle[0]) ** 2 + (y - middle[1]) ** 2)).sum(axis=(1, 2)))
    return found


def noisy(expected: Images, per_count: float, threshold: float) -> Images:
    """Noise of a variance per count, then 0 below the threshold."""
    drawn = expected + np.random.default_rng(0).standard_normal(expected.shape) * np.sqrt(per_count * expected)
    return np.where(drawn < threshold, 0.0, drawn)


def noise_of(seen: Images, expected: Images, threshold: float, optical: int) -> float:
    """Variance per count by which the spectra have as much beyond the optical cut-off, a ring."""
    wanted, low, high = power(seen)[0][optical + 1 :].mean(), 0.0, 100.0
    while high - low > 0.01:
        middle = (low + high) / 2
        more = power(noisy(expected, middle, threshold))[0][optical + 1 :].mean() > wanted
        low, high = (low, middle) if more else (middle, high)
    return low


def beads(path: Path, tiny: bool) -> dict[str, float]:
    """The held-out planes of a bead stack against simulated ones."""
    frames = torch.from_numpy(tifffile.imread(path).astype(np.float64))
    if tiny:
        frames = frames[20:26, 40:81, 40:81]
    z_nm = (torch.arange(len(frames), dtype=torch.float64) - (len(frames) - 1) / 2) * STEP_NM
    stack = Stack(frames, z_nm, PIXEL_NM, float(frames[frames > 0].min()))
    pupil = Pupil(**BEADS, side=48 if tiny else 96)
    # the bead stays and the objective moves, through its own immersion
    fields = Scalar(pupil, pupil.immersion_index, 0.0).fields
    known, held_out = stack.part(slice(0, None, 2)), stack.part(slice(1, None, 2))
    found = retrieve(fields, pupil, known, TETRAPODS, steps=(2, 2) if tiny else (100, 250), blur_nm=100.0)
    expected = [model(fields, pupil, part, found.phase, found.blur_nm).numpy() for part in (known, held_out)]
    optical = int(2 * pupil.na / pupil.wavelength_nm * PIXEL_NM * frames.shape[1])
    per_count = noise_of(known.frames.numpy(), expected[0], stack.threshold, optical)
    simulated, real = noisy(expected[1], per_count, stack.threshold), held_out.frames.numpy()
    each = [images / images.sum(axis=(1, 2), keepdims=True) for images in (real, simulated)]
    last = min(optical, real.shape[1] // 2)
    moments = moment(simulated) / moment(real)
    widths = [half_width(one[None], 0) / half_width(two[None], 0) for one, two in zip(simulated, real, strict=True)]
    return {
        "residual": found.residual,
        "blur_nm": found.blur_nm,
        "noise_per_count": per_count,
        **off(power(each[0])[0], power(each[1])[0], 1, last),
        "width": half_width(each[1], 0) / half_width(each[0], 0) - 1,
        "width_worst": float(np.abs(np.array(widths) - 1).max()),
        "moment": float(moments.mean()) - 1,
        "moment_median": float(np.median(np.abs(moments - 1))),
        "moment_worst": float(np.abs(moments - 1).max()),
    }


def scene(optics: psf.contracts.Psf, count: int, side: int) -> Images:
    """Frames of emitters at random, in photons without noise."""
    draws = np.random.default_rng(0)
    edge_nm = optics.reach_nm
    n = draws.poisson(DENSITY_PER_UM2 * ((side * PIXEL_NM + 2 * edge_nm) / 1000) ** 2, count)
    total = int(n.sum())
    x_nm, y_nm = (torch.from_numpy(at) for at in draws.uniform(-edge_nm, side * PIXEL_NM + edge_nm, (2, total)))
    z_nm = torch.from_numpy(draws.uniform(*optics.depth_nm, total))
    photons = torch.from_numpy(draws.gamma(*PHOTONS, total).astype(np.float32))
    spots = Spots(torch.from_numpy(np.repeat(np.arange(count), n)), x_nm, y_nm, z_nm, photons)
    return optics.render(spots, {}, Canvas(count, side, side, PIXEL_NM)).numpy().astype(np.float64)


def storm(folder: Path, changed: dict[str, Any], tiny: bool) -> dict[str, float]:
    """Frames of a movie against simulated ones."""
    described = {**STORM, **changed, **({"z_min_nm": 1200.0, "z_max_nm": 1400.0} if tiny else {})}
    optics = psf.build(described, Catalog())
    files = sorted(folder.glob("*.tif"), key=lambda path: int(path.stem))[: 4 if tiny else None]
    side = 128 if tiny else 296
    movie = np.stack([tifffile.imread(path)[:side, :side] for path in files]).astype(np.float64)
    half, window = len(movie) // 2, np.hanning(side)[:, None] * np.hanning(side)
    clean = scene(optics, half, side)

    def seen(images: Images) -> Images:
        level = images.mean(axis=(1, 2), keepdims=True)
        return power((images - level) * window)[0]

    first = int(np.ceil(side * PIXEL_NM / LONGEST_NM))
    last = min(int(2 * 1.45 / 670 * PIXEL_NM * side), side // 2)
    known, light = seen(movie[:half])[first : last + 1], seen(clean)[first : last + 1]
    terms = np.stack([light, np.full_like(light, (window**2).sum())], axis=1) / known[:, None]
    gain, white = np.clip(np.linalg.lstsq(terms, np.ones_like(known), rcond=None)[0], 0, None)
    drawn = clean * gain**0.5 + np.random.default_rng(1).standard_normal(clean.shape) * white**0.5
    real = movie[half : 2 * half] - movie[half : 2 * half].mean(axis=(1, 2), keepdims=True)
    widths = [half_width(images * window, int(LONGEST_NM / PIXEL_NM)) for images in (drawn, real)]
    signal = gain * light / (gain * light + white * (window**2).sum())
    return {
        "noise_counts": float(white**0.5),
        "counts_of_a_mean_emitter": float(gain**0.5 * PHOTONS[0] * PHOTONS[1]),
        "rings_of_mostly_light": float((signal > 0.5).mean()),
        **off(seen(real), seen(drawn), first, last),
        "width": widths[0] / widths[1] - 1,
    }


def main() -> None:
    asked = arguments()
    torch.set_num_threads(1)
    found = {}
    if asked.beads:
        found["beads"] = beads(asked.beads, asked.tiny)
    if asked.mask and asked.frames:
        masked = {"mask": "file", "mask_path": str(asked.mask), "mask_radius_px": MASK_RADIUS_PX}
        found["frames"] = storm(asked.frames, masked, asked.tiny)
        found["no mask"] = storm(asked.frames, {"z_min_nm": 1000.0, "z_max_nm": 1600.0}, asked.tiny)
    for name, numbers in found.items():
        for key, value in numbers.items():
            print(f"{name:8}{key:28}{value:10.4f}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
