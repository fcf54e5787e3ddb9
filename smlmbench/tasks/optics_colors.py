"""Optics design for colours: how well are they told apart on scenes that are drawn through the map that was learned?"""

from smlmbench.registry import Catalog
from smlmbench.tasks.optics import Optics

CARD = {
    "version": 1,
    "summary": "Which mask lets a network tell colours best? Scenes in, the mask and scores of classes out",
    "facts": {
        "primary": "macro_f1",
        "direction": "up",
        "headline": ["macro_f1", "accuracy", "utilisation_at_1", "ece", "mask_roughness_rad", "mask_rms_rad"],
        "truths": ["color_scenes"],
        "default_for": ["color_scenes"],
        "inner": "classification",
        "whole_units": True,
        "keeps_table": False,
        "most_lost": 0.5,
        "predicts": ["_classes.csv"],
    },
}


def build(name: str, catalog: Catalog) -> Optics:
    """The task."""
    return Optics(name, catalog)
