"""Hint training (FitNets): the student first learns a hidden layer of its teacher, then the task."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from smlmbench.recipes.contracts import Answer, Lesson
from smlmbench.recipes.distilled import Distilled
from smlmbench.recipes.supervised import Loss, Targets

CARD = {
    "version": 1,
    "summary": "A hidden layer of the teacher is learned first, through an adapter that is dropped; then the task",
    "settings": {
        "teacher_layer": {"default": "", "help": "hidden layer of the teacher; empty: the default pair of both cards"},
        "student_layer": {"default": "", "help": "hidden layer of the student; empty: the default pair of both cards"},
        "stages": {
            "default": "two",
            "choices": ["two", "joint"],
            "help": "two: the hint first, then the task; joint: both in every step",
        },
        "hint_share": {
            "default": 0.25,
            "min": 0.01,
            "max": 0.9,
            "help": "share of the student's steps in the first stage",
        },
        "hint_weight": {"default": 1.0, "min": 0.0, "max": 1000.0, "help": "multiplies the hint"},
        "resize": {
            "default": "convolution",
            "choices": ["convolution", "interpolation", "none"],
            "help": "how maps of different size are brought together; none refuses them",
        },
        "alpha": {
            "default": 1.0,
            "min": 0.0,
            "max": 1.0,
            "help": "weight of the truth in the second stage; the rest is imitation of the teacher's answer",
        },
    },
    "paper": "Romero et al. 2015, FitNets: hints for thin deep nets",
    "doi": "10.48550/arXiv.1412.6550",
    "fidelity": "reconstruction",
    "deviations": [
        "the second stage learns the truth alone (alpha 1); the paper adds soft targets, which answers here are not",
        "both stages are parts of one training with one schedule: the student gets no more samples than without",
        "hints are scaled to zero mean and unit deviation per channel, and averaged, not summed",
        "adapter: 1 x 1, strided or transposed convolution, linear, without normalisation",
    ],
    "facts": {"teacher": True, "hints": True},
}


def build(
    network: nn.Module,
    loss: Loss,
    targets: Targets,
    device: torch.device,
    settings: Mapping[str, Any],
    answer: Answer | None = None,
    *,
    lesson: Lesson,
) -> Distilled:
    """Build the recipe.

    Args:
        network: The student, on the device.
        loss: Compares raw output with targets.
        targets: Makes them from a batch.
        device: Where student and teacher are.
        settings: All settings of the card.
        answer: Runs the student, where it must be given frames in another way than as they come (padded).
        lesson: The teacher and what surrounds it.

    Raises:
        UserError: Layers that do not exist or whose maps cannot be brought together.
    """
    return Distilled(network, (loss, targets, answer or network), device, {**settings, "hints": True}, lesson)
