"""A pupil whose aberrations, or whose dipole's direction, differ from emitter to emitter: each is computed.

The fields are those of `scalar_pupil` and `vectorial_pupil`, on a coarser pupil: within 1 % of the peak of theirs.
There is no table, so an emitter costs milliseconds. The light can be differentiated by place, depth, amplitudes and
angles; photons are those that fall within the reach.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch

from smlmbench.errors import ConfigError
from smlmbench.optics import zernike
from smlmbench.optics.imaging import Pixels, image
from smlmbench.optics.pupil import Pupil
from smlmbench.optics.scalar import Scalar
from smlmbench.optics.vectorial import Layer, Vectorial
from smlmbench.psf.contracts import Psf, Shapes, Stand, Window
from smlmbench.psf.draws import drawn

CARD = {
    "version": 1,
    "summary": "Pupil whose aberrations or dipole differ from emitter to emitter, exact and without a table",
    "settings": {
        "fields": {
            "default": "scalar",
            "choices": ["scalar", "vectorial"],
            "help": "vectorial: a fixed dipole at matched indices, whose direction may vary",
        },
        "wavelength_nm": {"default": 670.0, "min": 300.0, "max": 1200.0, "help": "Of the emission, in vacuum"},
        "na": {"default": 1.4, "min": 0.1, "max": 1.7, "help": "Numerical aperture, below immersion_index"},
        "immersion_index": {"default": 1.518, "min": 1.0, "max": 1.8, "help": "Refractive index of oil, water or air"},
        "medium_index": {"default": 1.33, "min": 1.0, "max": 1.8, "help": "Refractive index around the emitters"},
        "focus_nm": {"default": 0.0, "min": -10000.0, "max": 10000.0, "help": "Focal plane as it were in immersion"},
        "z_min_nm": {"default": -600.0, "min": -10000.0, "max": 10000.0, "help": "Lowest depth; vectorial: from 0"},
        "z_max_nm": {"default": 600.0, "min": -10000.0, "max": 10000.0, "help": "Highest depth"},
        "reach_nm": {"default": 1500.0, "min": 300.0, "max": 10000.0, "help": "Half the side of a spot"},
        "blur_nm": {"default": 0.0, "min": 0.0, "max": 500.0, "help": "Standard deviation of a further Gaussian blur"},
        "zernike_mlambda": {"default": {}, "help": "Aberrations of all emitters {Noll's index: mlambda rms}"},
        "zernike_half_range_mlambda": {
            "default": {},
            "help": "How far aberrations of each emitter go around these, to both sides, by Noll's index",
        },
        "polar_deg": {
            "default": 45.0,
            "min": 0.0,
            "max": 90.0,
            "ranged": True,
            "help": "Of the dipole, from the optical axis; a range is drawn per emitter",
        },
        "azimuth_deg": {
            "default": 0.0,
            "min": 0.0,
            "max": 360.0,
            "ranged": True,
            "help": "Of the dipole, from x towards y; a range is drawn per emitter",
        },
    },
    "paper": (
        "Zhang et al. 2018, Analyzing complex single-molecule emission patterns with deep learning. Nature "
        "Methods 15:913"
    ),
    "doi": "10.1038/s41592-018-0153-5",
    "fidelity": "reconstruction",
    "deviations": [
        "no OTF rescaling; blur_nm blurs the image instead",
        "not found: cells of the authors' pupil in crops",
    ],
    "facts": {"depth": ["z_min_nm", "z_max_nm"]},
    "tiny": {"reach_nm": 800.0, "z_min_nm": -100.0, "z_max_nm": 100.0},
    "variants": {"fields=scalar": {"ignores": ["polar_deg", "azimuth_deg"]}},
}

LEAST_CELLS = 32  # over the diameter of the pupil
PERIODS = 4  # the image repeats after so many reaches
AT_ONCE = 64  # emitters
WHOLE_TURN = 360.0


class Varied(Psf):
    """The PSF with what varies; see the file's first lines."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self.depth_nm = (float(settings["z_min_nm"]), float(settings["z_max_nm"]))
        self._pupil = pupil = _pupil(settings)
        self._objective = _objective(settings, pupil)
        radius = pupil.radius.clamp(max=1.0)
        self._common = zernike.phase(settings["zernike_mlambda"], radius, pupil.angle)
        self._ranges = {int(key): float(size) for key, size in sorted(settings["zernike_half_range_mlambda"].items())}
        zernike.phase({str(key): 0.0 for key in self._ranges}, radius, pupil.angle)  # refuses what is no index
        turn = 2 * math.pi / 1000
        self._modes = {_named(key): turn * zernike.polynomial(key, radius, pupil.angle) for key in self._ranges}
        self._turned = settings["fields"] == "vectorial"
        self.periods = {"azimuth_deg": WHOLE_TURN} if self._turned else {}

    @property
    def sigma_nm(self) -> float:
        """Of a Gaussian as bright at its peak as the mean emitter in focus: 0.21 wavelengths over the aperture."""
        return math.hypot(0.21 * self._pupil.wavelength_nm / self._pupil.na, self._settings["blur_nm"])

    @property
    def reach_nm(self) -> float:
        """As set."""
        return float(self._settings["reach_nm"])

    def shapes(self, n: int, generator: Any) -> Shapes:
        """Amplitudes around those of all emitters, and angles of a dipole."""
        found = {
            _named(key): drawn({"min": -half, "max": half}, n, generator) + self._centre(key)
            for key, half in self._ranges.items()
        }
        if self._turned:
            found |= {name: drawn(self._settings[name], n, generator) for name in ("polar_deg", "azimuth_deg")}
        return found

    def _centre(self, key: int) -> float:
        return float(self._settings["zernike_mlambda"].get(str(key), 0.0))

    def light(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        """Exact at each place."""
        parts = []
        for start in range(0, len(stand), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            own = {name: values[rows] for name, values in shapes.items()}
            parts.append(self._lit(Stand(stand.x_nm[rows], stand.y_nm[rows], stand.z_nm[rows]), own, window))
        empty = torch.zeros(0, 1, window.side_px, window.side_px, dtype=torch.float64)
        return torch.cat(parts) if parts else empty

    def _lit(self, stand: Stand, shapes: Shapes, window: Window) -> torch.Tensor:
        pixel_nm, blur_nm = window.pixel_size_nm, float(self._settings["blur_nm"])
        phase = self._common
        for name, mode in self._modes.items():
            away = shapes[name] - self._centre(int(name.split("_")[1]))
            phase = phase + away[:, None, None] * mode
        fields = self._objective.fields(stand.z_nm, phase)
        if self._turned:
            fields = _of_dipole(fields, shapes["polar_deg"], shapes["azimuth_deg"])
        seen, middle = image(fields, self._pupil.period_nm), torch.zeros(1, dtype=torch.float64)
        along = (torch.arange(window.side_px, dtype=torch.float64) + 0.5) * pixel_nm
        pixels = Pixels(along - stand.x_nm[:, None], along - stand.y_nm[:, None], pixel_nm, blur_nm)
        whole_nm = (2 * math.ceil(self.reach_nm / pixel_nm) + 1) * pixel_nm
        share = seen.at(pixels) / seen.at(Pixels(middle, middle, whole_nm, blur_nm))
        columns, lines = (at.abs() <= whole_nm / 2 for at in (pixels.x_nm, pixels.y_nm))
        return (share.clamp_min(0.0) * (lines[:, :, None] & columns[:, None]))[:, None]


def _named(key: int) -> str:
    return f"zernike_{key}_mlambda"


def _of_dipole(fields: torch.Tensor, polar_deg: torch.Tensor, azimuth_deg: torch.Tensor) -> torch.Tensor:
    """Fields (n, 2, side, side) of fixed dipoles from those along x, y and z, (n, 6, side, side)."""
    polar, azimuth = (torch.deg2rad(angle) for angle in (polar_deg, azimuth_deg))
    across = torch.sin(polar)
    direction = torch.stack([across * torch.cos(azimuth), across * torch.sin(azimuth), torch.cos(polar)], dim=1)
    axes = fields.view(len(fields), 3, 2, *fields.shape[2:])
    return (direction[:, :, None, None, None] * axes).sum(dim=1)


def _pupil(settings: Mapping[str, Any]) -> Pupil:
    """As coarse as the image still repeats far outside of the reach."""
    wavelength_nm, na = settings["wavelength_nm"], settings["na"]
    cells = max(LEAST_CELLS, 2 * math.ceil(PERIODS * settings["reach_nm"] * na / wavelength_nm / 2))
    return Pupil(wavelength_nm, na, settings["immersion_index"], cells)


def _objective(settings: Mapping[str, Any], pupil: Pupil) -> Scalar | Vectorial:
    medium, focus_nm = settings["medium_index"], settings["focus_nm"]
    if settings["fields"] == "scalar":
        return Scalar(pupil, medium, focus_nm)
    if settings["z_min_nm"] < 0:
        raise ConfigError("psf: depths of vectorial fields count from the coverslip; give z_min_nm: 0 or more")
    layer = Layer(pupil.immersion_index, 0.0, pupil.immersion_index, 0.0)
    return Vectorial(pupil, medium, focus_nm, layer, layer)


def build(settings: Mapping[str, Any]) -> Varied:
    """Build it from filled settings.

    Raises:
        ConfigError: An aperture that the immersion cannot have, depths that it cannot have, or no index of Noll.
    """
    if settings["z_min_nm"] > settings["z_max_nm"]:
        raise ConfigError(f"psf: z_min_nm {settings['z_min_nm']:g} lies above z_max_nm {settings['z_max_nm']:g}")
    return Varied(settings)
