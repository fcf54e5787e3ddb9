"""Scaling of photons inside a model; its statistics are frozen in the state dict."""

import torch
from torch import Tensor, nn

from smlmbench.data.contracts import Statistics
from smlmbench.errors import ConfigError, suggest

KINDS = ("photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled")
SMALLEST_SPAN = 1e-6
WINDOW_PX = 15  # of the local background: several widths of a PSF; twice as much is seen, by both means
ANSCOMBE = 3 / 8


class Normalisation(nn.Module):
    """Bring frames in photons to the range a network is trained on.

    | kind | result |
    |---|---|
    | photon_scale | x / 99.9 percentile of the training pixels |
    | train_zscore | (x - mean) / standard deviation of the training pixels |
    | frame_minmax | each frame to 0 .. 1 by its own extremes |
    | noise_scaled | sqrt(x + 3/8) - sqrt(b + 3/8), b the local background: Poisson noise has 0.5 at any level |
    | frame_minmax_zscore | frame_minmax, then a z-score with the training statistics on the scale of low .. high |

    The local background is the mean over 15 x 15 px, taken again with pixels cut off one standard deviation above it,
    so that spots count little (Anscombe 1948, doi:10.1093/biomet/35.3-4.246, for the root).

    A constant frame, or training statistics without spread, divide by 1. The statistics (of training pixels, in
    photons) are kept as the buffers `offset` and `scale`, so they travel. Another kind raises ConfigError.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, kind: str, statistics: Statistics) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"normalisation: '{kind}' is not accepted, {suggest(kind, KINDS)}")
        self.kind = kind
        offset, scale = _constants(kind, statistics)
        self.register_buffer("offset", torch.tensor(float(offset)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    @property
    def reach_px(self) -> int:
        """Camera pixels to every side that a scaled pixel depends on."""
        return 2 * (WINDOW_PX // 2) if self.kind == "noise_scaled" else 0

    @property
    def per_frame(self) -> bool:
        """Whether it looks at the extremes of each frame."""
        return self.kind.startswith("frame_")

    def forward(self, frames: Tensor, frame_range: Tensor | None = None) -> Tensor:
        """Normalise photons (B, C, H, W).

        `frame_range` (B, 2) is the lowest and highest value of each whole frame, where `frames` are tiles of larger
        ones; by default those of `frames`. Kinds that do not look at frames ignore it.
        """
        if self.kind == "noise_scaled":
            frames = (frames.clamp_min(0) + ANSCOMBE).sqrt() - (_background(frames) + ANSCOMBE).sqrt()
        elif self.per_frame:
            frames = _stretched(frames, frame_range)
        return (frames - self.offset) / self.scale

    def extra_repr(self) -> str:
        """The kind, for `print(model)`."""
        return self.kind


def _constants(kind: str, statistics: Statistics) -> tuple[float, float]:
    if kind == "photon_scale":
        return 0.0, _span(statistics.high)
    if kind == "train_zscore":
        return statistics.mean, _span(statistics.std)
    if kind == "frame_minmax":
        return 0.0, 1.0
    if kind == "noise_scaled":
        return 0.0, 2.0
    span = _span(statistics.high - statistics.low)
    return (statistics.mean - statistics.low) / span, _span(statistics.std / span)


def _background(frames: Tensor) -> Tensor:
    mean = _mean(frames).clamp_min(0)
    return _mean(torch.minimum(frames, mean + (mean + 1).sqrt())).clamp_min(0)


def _mean(frames: Tensor) -> Tensor:
    """Mean over a window around each pixel, of what lies in the frame."""
    reach = WINDOW_PX // 2
    for size, padding in (((WINDOW_PX, 1), (reach, 0)), ((1, WINDOW_PX), (0, reach))):
        frames = nn.functional.avg_pool2d(frames, size, stride=1, padding=padding, count_include_pad=False)
    return frames


def _span(value: float) -> float:
    return value if value > SMALLEST_SPAN else 1.0


def _stretched(frames: Tensor, frame_range: Tensor | None) -> Tensor:
    if frame_range is None:
        low, high = frames.amin(dim=(1, 2, 3), keepdim=True), frames.amax(dim=(1, 2, 3), keepdim=True)
    else:
        low, high = (frame_range[:, side].reshape(-1, 1, 1, 1) for side in (0, 1))
    span = high - low
    return (frames - low) / torch.where(span > SMALLEST_SPAN, span, torch.ones_like(span))
