"""Attentive hint training: hints and answers of the teacher weigh less where the teacher itself errs."""

from smlmbench.recipes.distilled import build as build

CARD = {
    "version": 1,
    "summary": "Hints weighted by the teacher's success on each sample; then that part is frozen and the rest imitates",
    "settings": {
        "teacher_layer": {"default": "", "help": "hidden layer of the teacher; empty: the default pair of both cards"},
        "student_layer": {"default": "", "help": "hidden layer of the student; empty: the default pair of both cards"},
        "stages": {
            "default": "two",
            "choices": ["two", "joint"],
            "help": "two: the hint first, then the task; joint: both in every step",
        },
        "hint_share": {
            "default": 0.5,
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
        "phi": {
            "default": "per_sample",
            "choices": ["per_sample", "shifted", "seed"],
            "help": "attention: 1 - e/eta of each sample; shifted: 1 - (e - e_min)/eta; seed: one value per batch",
        },
        "phi_samples": {"default": 0, "min": 0, "help": "training samples that eta is measured on; 0: all"},
        "clamp": {"default": True, "help": "keep the attention within 0 to 1"},
        "freeze": {"default": True, "help": "freeze the student up to its guided layer in the second stage"},
        "alpha": {
            "default": 0.5,
            "min": 0.0,
            "max": 1.0,
            "help": "weight of the truth in the second stage; the rest is attentive imitation",
        },
    },
    "paper": "Saputra et al. 2019, Distilling knowledge from a deep pose regressor network. In ICCV 2019",
    "doi": "10.48550/arXiv.1908.00858",
    "fidelity": "reconstruction",
    "deviations": [
        "the study's loss takes the place of the squared error to the truth",
        "the error to the teacher is squared, of maps blurred by one fine pixel, in the unit of the study's loss",
        "attention is kept within 0 to 1 (clamp: false leaves it as in the paper); alpha is not in the paper",
        "both stages are parts of one training with one schedule: the student gets no more samples than without",
        "hints are scaled to zero mean and unit deviation per channel, an adapter maps the student's layer to them",
    ],
    "facts": {"teacher": True, "hints": True, "maps": True},
}
