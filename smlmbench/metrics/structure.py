"""Structural similarity of images of any size: torchmetrics' value, computed strip by strip.

A convolution of one channel is blown up to sixteen inside torch, so that an image of 2048 x 2048 would take 1.5 GB.
A pixel's similarity depends on its window alone, so strips that overlap by the reach of the window give the same.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from smlmbench.metrics.images import ImagePair

REACH_PX = 5  # of the window of 11 taps, each way
STRIP_PIXELS = 2**18
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # exponents of Wang et al. 2003, finest scale first


def tensors(pair: ImagePair) -> tuple[Tensor, Tensor]:
    """Image and truth (1, 1, H, W) in units of the range: there float32 is exact to 1e-6, and 20 times faster."""
    image, truth = (torch.from_numpy(each / pair.peak)[None, None].float() for each in (pair.image, pair.truth))
    return image, truth


def similarity(image: Tensor, truth: Tensor) -> float:
    """Mean SSIM of images (1, 1, H, W) of range 1; mirrored at the edges."""
    total = 0.0
    for kept, part in _strips(image.shape[2], image.shape[3]):
        _, whole = ssim(image[:, :, part], truth[:, :, part], data_range=1.0, return_full_image=True)
        total += float(whole[:, :, kept.start - part.start : kept.stop - part.start].sum(dtype=torch.double))
    return total / image.numel()


def contrast(image: Tensor, truth: Tensor) -> float:
    """Mean SSIM without its part for luminance, of all pixels whose window is inside."""
    total, rows = 0.0, image.shape[2] - 2 * REACH_PX
    for _, part in _strips(image.shape[2], image.shape[3]):
        _, mean = ssim(image[:, :, part], truth[:, :, part], data_range=1.0, return_contrast_sensitivity=True)
        total += float(torch.as_tensor(mean)) * (part.stop - part.start - 2 * REACH_PX) / rows
    return total


def multiscale_similarity(image: Tensor, truth: Tensor) -> float:
    """MS-SSIM of images (1, 1, H, W) of range 1; negative terms count as 0."""
    product = 1.0
    for number, exponent in enumerate(SCALES, start=1):
        measure = similarity if number == len(SCALES) else contrast
        product *= max(0.0, measure(image, truth)) ** exponent
        image, truth = (functional.avg_pool2d(each, 2) for each in (image, truth))
    return product


def _strips(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Rows of each strip, and the rows that their windows see; every strip has more rows than the window."""
    step = max(4 * REACH_PX, STRIP_PIXELS // width)
    tops = list(range(0, max(1, height - 2 * REACH_PX), step))
    for top, bottom in zip(tops, [*tops[1:], height], strict=True):
        yield slice(top, bottom), slice(max(0, top - REACH_PX), min(height, bottom + REACH_PX))
