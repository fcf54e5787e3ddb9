import pytest
import torch
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from smlmbench.metrics import structure


def images(height, width):
    torch.manual_seed(0)
    truth = torch.rand(1, 1, height, width) ** 8
    return (truth + 0.1 * torch.rand(1, 1, height, width)).clamp(0, 1), truth


@pytest.mark.parametrize(("strip_pixels", "strips"), [(1, 3), (60 * 29, 3), (60 * 30, 2), (60 * 59, 2), (2**18, 1)])
def test_strips_give_what_the_whole_image_gives(monkeypatch, strip_pixels, strips):
    monkeypatch.setattr(structure, "STRIP_PIXELS", strip_pixels)
    image, truth = images(70, 60)
    whole, contrast = structural_similarity_index_measure(
        image, truth, data_range=1.0, return_contrast_sensitivity=True
    )
    assert len(list(structure._strips(70, 60))) == strips
    assert structure.similarity(image, truth) == pytest.approx(float(whole), abs=1e-6)
    assert structure.contrast(image, truth) == pytest.approx(float(contrast), abs=1e-6)


@pytest.mark.parametrize("strip_pixels", [4000, 2**18])
def test_all_scales_give_what_torchmetrics_gives(monkeypatch, strip_pixels):
    monkeypatch.setattr(structure, "STRIP_PIXELS", strip_pixels)
    image, truth = images(190, 201)
    expected = float(multiscale_structural_similarity_index_measure(image, truth, data_range=1.0))
    assert 0.05 < expected < 0.99
    assert structure.multiscale_similarity(image, truth) == pytest.approx(expected, abs=1e-6)


def test_opposite_images_have_no_similarity_over_scales():
    truth = images(180, 180)[1]
    inverted = 1 - truth
    expected = float(multiscale_structural_similarity_index_measure(inverted, truth, data_range=1.0))
    assert structure.multiscale_similarity(inverted, truth) == expected == 0
