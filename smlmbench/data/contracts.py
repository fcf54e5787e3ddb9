"""What a data source hands over: training batches, frozen conditions, and what a model is told about its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from smlmbench.movies import Frames
from smlmbench.predictions import Localizations


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples `first` .. `first + len - 1` of a training stream, in photons.

    Attributes:
        frames: (B, C, H, W) float32 photo-electrons (or counts where uncalibrated).
        sample: (n,) int64, which frame of the batch each emitter is in.
        x_nm, y_nm, z_nm, photons: (n,) float32; targets only (emitters of at least min_photons inside the field).
        pixel_size_nm: Camera pixel; NaN where it is unknown (image pairs).
        first: Global number of the first sample.
        frame_range: (B, 2) float32, lowest and highest value of the whole frame that each sample is a crop of; None
            where the samples are whole frames.
        image: (B, 1, UH, UW) float32 target images in unit mass, instead of emitters; None where these are known.
    """

    frames: torch.Tensor
    sample: torch.Tensor
    x_nm: torch.Tensor
    y_nm: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor
    pixel_size_nm: float
    first: int = 0
    frame_range: torch.Tensor | None = None
    image: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of training pixels, frozen in a model's state: mean, standard deviation, 0.1 and 99.9 percentile."""

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Given:
    """What a model is told when it is built."""

    channels: int
    upsampling: int
    pixel_size_nm: float
    statistics: Statistics


class TrainingSet(Protocol):
    """An addressable stream: sample k is the same whatever the batch size."""

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""
        ...

    @property
    def statistics(self) -> Statistics:
        """Statistics of training pixels."""
        ...

    @property
    def pixel_size_nm(self) -> float:
        """Camera pixel; NaN where it is unknown."""
        ...

    @property
    def sample_px(self) -> tuple[int, int]:
        """Height and width of one sample."""
        ...

    @property
    def target_scale(self) -> float:
        """What target images are divided by to be of unit mass; 1 where there are emitters instead."""
        ...


class Pairs(Protocol):
    """Images and the images that a network is to make of them; they may differ in size from pair to pair."""

    @property
    def names(self) -> Sequence[str]:
        """One name per pair."""
        ...

    def __len__(self) -> int:
        """Number of pairs."""
        ...

    def __getitem__(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Input (H, W) in photons or counts, target (U*H, U*W) in its own unit."""
        ...


@dataclass(frozen=True, slots=True)
class Condition:
    """One frozen source to be scored: validation, or a named test condition.

    Attributes:
        name: Name in the study (`val`, or the condition's name).
        frames: Camera frames in photons.
        truth: All emitters, dim ones included (`min_photons` decides what is neutral); None where there is no truth.
        pixel_size_nm: Camera pixel.
        min_photons: Emitters below are neutral in scoring (NaN photons count as bright).
        digest: Identity of pixels and truth.
        truth_kind: simulated, pseudo, designed, unstated or none.
        calibrated: False where the frames are camera counts.
        signal_free: Extra frames without emitters (64, H, W) for false_per_1000um2; None on files.
        frame_shift: Smallest cyclic frame shift for chance scores (1 where frames are independent).
        shared_structure: True where train and test show the same structure (not ranked).
        facts: density_per_um2, density_local, isolated_fraction, overlap, ... (NaN left out).
        psf_sigma_nm: Width that classical rows are told, or None.
        background_photons: Mean background that classical rows are told, or None.
        pairs: Images with their targets, where the truth is an image for each of them; `frames` are their inputs.
        truth_image: True image (U*H, U*W) of a condition of a single frame, in its own unit; None elsewhere.
    """

    name: str
    frames: Frames
    truth: Localizations | None
    pixel_size_nm: float
    min_photons: float
    digest: str
    truth_kind: str = "unstated"
    calibrated: bool = True
    signal_free: NDArray[np.float32] | None = None
    frame_shift: int = 1
    shared_structure: bool = False
    facts: Mapping[str, float] = field(default_factory=dict)
    psf_sigma_nm: float | None = None
    background_photons: float | None = None
    pairs: Pairs | None = None
    truth_image: NDArray[np.float32] | None = None

    @property
    def field_nm(self) -> tuple[float, float]:
        """Extent along x and y."""
        return self.frames.width * self.pixel_size_nm, self.frames.height * self.pixel_size_nm


@dataclass(frozen=True, slots=True)
class ArrayFrames:
    """Frames held in memory (simulated splits are small)."""

    values: NDArray[np.float32]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.values)

    @property
    def height(self) -> int:
        """Rows of a frame."""
        return int(self.values.shape[1])

    @property
    def width(self) -> int:
        """Columns of a frame."""
        return int(self.values.shape[2])

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1."""
        return self.values[start:stop]
