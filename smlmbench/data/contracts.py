"""What a data source hands over: training batches, frozen sets, and what a model is told about its data.

A source is a file of this room with

    training_set(description, identity, scope, catalog) -> TrainingSet
    condition(name, description, identity, asked, catalog) -> Condition

and brings one kind of truth (a file of the room `truths`, or a plug-in's own).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from smlmbench.errors import ConfigError, SizeError
from smlmbench.movies import Frames, OneOf

if TYPE_CHECKING:
    import torch

    from smlmbench.psf.contracts import Psf

Identity = Mapping[str, Any]  # digests of files, and the description without paths
Settings = Mapping[str, Any]  # of a card, all of them, as a study sets them
Known = TypeVar("Known")


class Truth(Protocol):
    """What is known about a frozen set."""

    @property
    def kind(self) -> str:
        """Name of its kind, as on the cards of tasks."""

    def __len__(self) -> int:
        """Number of its things: emitters, images, crops."""

    def part(self, start: int, stop: int) -> Self:
        """The truth of units start .. stop - 1, counted from 0 there."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples `first` .. `first + len - 1` of a training stream.

    Attributes:
        inputs: (B, C, H, W) or (B, C, L) float32, photo-electrons (or counts where uncalibrated). Channels are the
            detectors or colours of a frame, those of the first frame of a window first.
        truth: What a network is taught of them; the output kind makes its targets of it.
        first: Global number of the first sample.
        frame_range: (B, 2) float32, lowest and highest value of the whole frame that each sample is a crop of; None
            where the samples are whole frames.
    """

    inputs: "torch.Tensor"
    truth: Any
    first: int = 0
    frame_range: "torch.Tensor | None" = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of training pixels, frozen in a model's state: mean, standard deviation, 0.1 and 99.9 percentile."""

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Given:
    """What a model is told when it is built.

    Attributes:
        channels: Of its input: those of a frame times `context`.
        upsampling: Fine pixels per camera pixel along one axis.
        pixel_size_nm: Camera pixel; NaN where it is unknown.
        statistics: Of training pixels.
        context: Frames that it sees at once, the middle one being answered.
        output: Settings of its output kind, with what the data add; empty in checkpoints of before.
        unit_sides: Height and width of its inputs, or the length of spectra, where they are never of other sides (fact
            `whole_units` of the task); empty where frames of any size come.
    """

    channels: int
    upsampling: int
    pixel_size_nm: float
    statistics: Statistics
    context: int = 1
    output: Settings = field(default_factory=dict)
    unit_sides: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """Where the samples of a training stream come from: the seed of the study, and the repeat, which moves the stream.

    `augment` turns and mirrors crops of files. A sample has `context` consecutive frames and the truth of the middle.
    """

    root_seed: int
    repeat: int = 0
    augment: bool = True
    context: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """Which frozen set of a description is wanted; two roles (val, test, holdout, apply) never share draws.

    Of `extras`, further sets that the task wants, a source draws those that it can. `taught` is the source that rows
    are trained on, where that is known: where it has other laws, those of a test are not known to its rows.
    """

    role: str
    root_seed: int
    extras: tuple[str, ...] = ()
    taught: Any = None


class TrainingSet(Protocol):
    """An addressable stream: sample k is the same whatever the batch size.

    It may have `taught`, a mapping of how far the numbers of taught emitters go, those that are known: `photons_high`
    (99.9 % have fewer), `background_high` (of the brightest frame), `z_low_nm` and `z_high_nm`. They join the settings
    of an output kind whose card asks for them (fact `asks`).
    """

    def batch(self, first: int, count: int) -> Batch:
        """Samples first .. first + count - 1."""

    @property
    def statistics(self) -> Statistics:
        """Statistics of training pixels."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Channels and sides of one frame of a sample, (C, H, W) or (C, L); windows have more channels."""

    @property
    def output_settings(self) -> Mapping[str, Any]:
        """What the data add to the settings of an output kind: `pixel_size_nm` (NaN where unknown), names of classes.

        Plain values, as JSON has them; they are stored with the network.
        """


@dataclass(frozen=True, slots=True)
class Condition:
    """One frozen set to be scored: validation, or a named test condition.

    Attributes:
        name: Name in the study (`val`, or the condition's name).
        frames: Its inputs; a unit is a frame (crop, spectrum, image).
        truth: None where there is none.
        digest: Identity of inputs and truth.
        facts: density_per_um2, isolated_fraction, ...; drawn and printed, never interpreted outside the task.
        told: What rows without training may know: pixel_size_nm, psf_sigma_nm, background_photons, the camera's noise
            (`Noise.told`).
        noise_map: `Noise.added` of each pixel (H, W) where pixels differ; None where all are as `told` says.
        optics: The PSF that the source states, which rows without training may know; None where it states none, or
            where the width that is told is not that of the PSF.
        block: Units that belong together in a bootstrap; the smallest cyclic shift for chance scores.
        truth_kind: simulated, pseudo, designed, unstated or none.
        calibrated: False where the inputs are camera counts.
        shared_structure: True where train and test show the same structure (not ranked).
        apart: A step of a robustness sheet, which counts in no mean over conditions and has no picture.
        extras: Further sets that the task asked for, by name.
    """

    name: str
    frames: Frames
    truth: Truth | None
    digest: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, float] = field(default_factory=dict)
    block: int = 1
    truth_kind: str = "unstated"
    calibrated: bool = True
    shared_structure: bool = False
    apart: bool = False
    extras: Mapping[str, "Condition"] = field(default_factory=dict)
    noise_map: NDArray[np.float64] | None = None
    optics: "Psf | None" = None

    @property
    def pixel_size_nm(self) -> float:
        """Camera pixel; NaN where it is unknown."""
        return self.told.get("pixel_size_nm", float("nan"))

    @property
    def field_nm(self) -> tuple[float, float]:
        """Extent along x and y."""
        return self.frames.width * self.pixel_size_nm, self.frames.height * self.pixel_size_nm

    def known(self, kind: type[Known], what: str) -> Known:
        """Its truth of a kind.

        Raises:
            ConfigError: It has none, said with what is wanted and what to do.
        """
        if not isinstance(self.truth, kind):
            raise ConfigError(f"condition '{self.name}' has no {what}")
        return self.truth

    def part(self, start: int, stop: int) -> "Condition":
        """Units start .. stop - 1 with their truth, without further sets; held in memory where they are of one size.

        Raises:
            SizeError: No such units.
        """
        if not 0 <= start < stop <= self.frames.n_frames:
            raise SizeError(
                f"condition '{self.name}' has {self.frames.n_frames} units, not {start + 1} ... {stop}; give fewer"
            )
        frames: Any = self.frames
        if hasattr(frames, "part"):
            frames = frames.part(start, stop)
        else:
            frames = ArrayFrames(np.ascontiguousarray(frames.read(start, stop)), getattr(frames, "axes", 2))
        truth = None if self.truth is None else self.truth.part(start, stop)
        return replace(self, frames=frames, truth=truth, extras={})

    def unit(self, number: int) -> "Condition":
        """One unit as `part`; what sees several frames at once still sees those around it."""
        one = self.part(number, number + 1)
        return one if hasattr(self.frames, "part") else replace(one, frames=OneOf(self.frames, number))


class ArrayFrames:
    """Frames held in memory: (n, H, W), (n, C, H, W) or spectra (n, C, L), whose height is 1 and width L.

    One channel has 2 `axes`, of a spectrum 1.
    """

    def __init__(self, values: NDArray[np.float32], axes: int = 2) -> None:
        self.values, self.axes = values, axes
        self.n_frames, self.width = len(values), int(values.shape[-1])
        self.height = int(values.shape[-2]) if axes == 2 else 1

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Frames start .. stop - 1."""
        return self.values[start:stop]
