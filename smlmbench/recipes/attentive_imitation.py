"""Attentive imitation: the teacher's answer is a second target, less so where the teacher itself errs."""

from smlmbench.recipes.distilled import build as build

CARD = {
    "version": 1,
    "summary": "alpha * loss to the truth + (1 - alpha) * attention * error to the teacher's answer",
    "settings": {
        "alpha": {"default": 0.5, "min": 0.0, "max": 1.0, "help": "weight of the truth; 1 is plain training exactly"},
        "phi": {
            "default": "per_sample",
            "choices": ["per_sample", "shifted", "seed"],
            "help": "attention: 1 - e/eta of each sample; shifted: 1 - (e - e_min)/eta; seed: one value per batch",
        },
        "phi_samples": {"default": 0, "min": 0, "help": "training samples that eta is measured on; 0: all"},
        "clamp": {"default": True, "help": "keep the attention within 0 to 1"},
    },
    "paper": "Saputra et al. 2019, Distilling knowledge from a deep pose regressor network. In ICCV 2019",
    "doi": "10.48550/arXiv.1908.00858",
    "fidelity": "reconstruction",
    "deviations": [
        "answers alone, in one stage; the paper's first stage is attentive_hint",
        "the study's loss takes the place of the squared error to the truth",
        "the error to the teacher is squared, of maps blurred by one fine pixel, in the unit of the study's loss",
        "attention is kept within 0 to 1 (clamp: false leaves it as in the paper); alpha is not in the paper",
        "phi: seed takes one value per batch from the history of the teacher's training loss, as DL4SMLM does",
    ],
    "facts": {"teacher": True, "maps": True},
}
