"""A small source of crops of several colours."""

from smlmbench.camera import Camera
from smlmbench.registry import Catalog
from smlmbench.study.sources import PluginSource

PHOTONS = {"min": 1000.0, "max": 9000.0, "law": "log_uniform"}


def source(**settings) -> PluginSource:
    """As a study would write it, with an ideal camera."""
    stated = {"z_nm": {"min": -200.0, "max": 200.0}, "photons": PHOTONS, **settings}
    psf = {"name": "scalar_pupil", "reach_nm": 1000.0, "zernike_mlambda": {"6": 15.0, "11": 10.0}}
    filled = Catalog().card("data", "color_crops").fill("color_crops", stated)
    return PluginSource(kind="color_crops", settings=filled, psf=psf, camera=Camera(), pixel_size_nm=110.0)
