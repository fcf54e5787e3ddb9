"""Hint training (FitNets): the student first learns a hidden layer of its teacher, then the task."""

from smlmbench.recipes.distilled import build as build

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
    "paper": "Romero et al. 2015, FitNets: hints for thin deep nets. In ICLR 2015",
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
