"""Further options of the functions of the Python interface, named as those of the commands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict


class Running(TypedDict, total=False):
    """Further options of `run`, as those of the command.

    Attributes:
        device: auto, cpu, cuda or mps for training and scoring.
        infer_device: Another one for scoring and predicting.
        retry_failed: Repeat failed and collapsed cells.
        max_hours: Begin no new cell after this time.
        workers: Cells that are trained at a time, each in a process of its own.
        scheduler: Address of a running Dask scheduler.
        cluster: YAML file of a job queue.
        system_metrics: Log the load of processor, memory and GPU beside each run, in MLflow.
    """

    device: str
    infer_device: str | None
    retry_failed: bool
    max_hours: float | None
    workers: int | None
    scheduler: str | None
    cluster: Path | None
    system_metrics: bool


class Predicting(TypedDict, total=False):
    """Further options of `predict`, as those of the command.

    Attributes:
        device: auto, cpu, cuda or mps.
        runtime: auto, eager, compiled, onnxruntime, openvino ...
        number_format: fp32 or bf16.
        settings: Of a classical fitter.
        bad_pixels: refuse, or median for those that are NaN or infinite.
        measure: False leaves out photons, background and uncertainty, which are fitted at the positions of a network.
        psf_sigma_nm: Width of the PSF for that, instead of what the movie's own spots say.
    """

    device: str
    runtime: str
    number_format: str | None
    settings: Mapping[str, Any]
    bad_pixels: Literal["refuse", "median"]
    measure: bool
    psf_sigma_nm: float | None


class Calibrating(TypedDict, total=False):
    """Further options of `calibrate`, as those of the command.

    Attributes:
        em_gain: Of a gain register, where no camera is stated.
        frames: First frame and the one after the last, from 0; None takes all.
        overwrite: Replace files that exist.
    """

    em_gain: float | None
    frames: tuple[int, int] | None
    overwrite: bool


class Reading(TypedDict, total=False):
    """How `evaluate` reads its files.

    Attributes:
        found_format, truth_format: Registered names.
        found_as, truth_as: What a table's file does not say: first_frame, origin (corner or centre), columns.
        label_rule: floor, or ds for files of Deep-STORM.
        widefield: Image of the same field as a camera sees it; with it no truth is needed.
    """

    found_format: str | None
    truth_format: str | None
    found_as: Mapping[str, Any]
    truth_as: Mapping[str, Any]
    label_rule: Literal["floor", "ds"]
    widefield: Path | None


class Studying(TypedDict, total=False):
    """Further options of `write_study`, as those of the command `study`.

    Attributes:
        dark: Movie of dark frames of the same camera.
        em_gain: Of a gain register, where no camera is stated.
        frames: First frame and the one after the last that are measured, from 0.
        truth: Table of the movie's positions: a test condition of the study.
        samples: Of each training.
        minutes: Instead of samples: about how long the study may take on two cores.
        overwrite: Replace the file.
    """

    dark: Path | None
    em_gain: float | None
    frames: tuple[int, int] | None
    truth: Path | None
    samples: int | None
    minutes: float | None
    overwrite: bool
