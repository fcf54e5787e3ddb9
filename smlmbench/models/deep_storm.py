"""Deep-STORM: an encoder and decoder on the fine grid, without skip connections."""

from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.blocks import FineNetwork, Hourglass, down_and_up, field_px, refuse_ignored, widths

CARD = {
    "version": 1,
    "summary": "Encoder and decoder on the nearest-upsampled frame (Deep-STORM), accurate and heavy.",
    "output": "raster",
    "upsamples": "before",
    "settings": {
        "variant": {
            "default": "published",
            "choices": ["published", "seed"],
            "help": "seed: wired as in the DL4SMLM package",
        },
        "width": {"default": 1.0, "min": 0.03125, "max": 4.0, "help": "multiplies the channels 32, 64, 128, 512"},
        "normalisation": {
            "default": "train_zscore",
            "choices": ["photon_scale", "train_zscore", "frame_minmax", "frame_minmax_zscore", "noise_scaled"],
            "help": "how photons are scaled; frame_minmax_zscore is the authors'",
        },
        "zero_last": {"default": True, "help": "start from an all-zero output; not with seed"},
        "context": {
            "default": 1,
            "choices": [1, 3],
            "later": True,
            "help": "frames seen at once: 3 adds those before and after the one that is answered",
        },
    },
    "search": {"width": {"low": 0.25, "high": 1.0, "log": True}},
    "tiny": {"width": 0.125},
    "training": {"optimiser": "adam", "lr": 1e-3, "batch_size": 16},
    "parameters": {
        "upsampling=2": 1366208,
        "upsampling=4": 1366208,
        "upsampling=8": 1366208,
        "upsampling=8,width=0.5": 342112,
        "context=3,upsampling=8": 1366784,
        "colours=2,upsampling=8": 1366240,
        "upsampling=8,variant=seed": 1367171,
    },
    "receptive_field_px": 7.0,
    "paper": (
        "Nehme, Weiss, Michaeli, Shechtman 2018, Deep-STORM: super-resolution single-molecule microscopy by deep "
        "learning. Optica 5(4):458"
    ),
    "doi": "10.1364/OPTICA.5.000458",
    "fidelity": "verified",
    "deviations": [
        "normalisation: z-score by training statistics; the authors' min-max before it is frame_minmax_zscore",
        "frame_minmax_zscore: constants from percentiles of all training pixels, not averaged over patches",
        "the output layer starts at zero (zero_last: false gives the orthogonal start)",
        "schedule: one cycle with clipped gradients instead of reduction on a plateau",
        "labels: floor(x / fine pixel), colliding emitters summed (output settings label_rule, collisions)",
        "crops of files are turned and mirrored (training: augment); none is left out for fewer than 7 emitters",
        "the frame is upsampled by nearest neighbours inside the network, not beforehand",
        "output setting colours: a map for each, after Hershko et al. 2019 (doi:10.1364/OE.27.006158), whose layers "
        "and loss were not found",
        "context 3: the frames beside the one that is answered are further channels; the authors' sees one",
        "maximum pooling comes before the ReLU: the same numbers with less memory traffic",
    ],
    "facts": {
        "review": {
            "row": 1,
            "input": "one camera frame of many molecules",
            "output": "image of emitter positions, 8 times finer",
            "training_data": "simulated frames",
            "architecture": "convolutional encoder and decoder",
        },
        "translation": True,
        "multiple_fine_px": 8,
        "hint_layers": [
            {"layer": "bottleneck", "fine_px": 8},
            {"layer": "decoder.0", "fine_px": 4},
            {"layer": "decoder.1", "fine_px": 2},
            {"layer": "decoder.2", "fine_px": 1},
        ],
    },
    "variants": {
        "variant=seed": {
            "fidelity": "seed",
            "ignores": ["zero_last"],
            "receptive_field_px": 5.0,
            "facts": {
                "idle": ["*.0.bias"],
                "hint_layers": [
                    {"layer": "bottleneck", "fine_px": 4},
                    {"layer": "decoder.0", "fine_px": 2},
                    {"layer": "decoder.1", "fine_px": 1},
                    {"layer": "decoder.2", "fine_px": 1},
                ],
            },
            "deviations": [
                "wired as the DL4SMLM package, whose decoder works at twice the published resolution",
                "a bias in every convolution, which batch normalisation cancels; batch normalisation of the output",
                "frames are brought to the fine grid inside the network by nearest neighbours, there beforehand",
                "normalisation, loss, optimiser and schedule are those of the study, there the user's",
                "width, which that package does not have",
            ],
        },
        "context=3": {},
    },
}

CHANNELS = (32, 64, 128, 512)


class DeepStorm(FineNetwork):
    """Three pooled blocks, a bottleneck at 1/8 of the fine grid, three upsampled blocks, a linear 1 x 1 output.

    Variant seed upsamples before the bottleneck already, and its output is normalised.

    Source:
        Layers of the authors' CNN_Model.py; Nehme et al. 2018, doi:10.1364/OPTICA.5.000458.
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__(settings, given)
        first, second, third, deep = widths(CHANNELS, settings)
        trunk = Hourglass(
            (given.channels, first, second, third), (deep, third, second, first), seed=self.seed, early=self.seed
        )
        self.encoder, self.bottleneck, self.decoder = trunk.encoder, trunk.bottleneck, trunk.decoder
        self._end(first, 1, settings)

    def _answer(self, fine: Tensor) -> Tensor:
        raw: Tensor = self.head(down_and_up(fine, self.encoder, (self.bottleneck, *self.decoder), early=self.seed))
        return raw


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a Deep-STORM network from all settings of the card; ConfigError: one without meaning with variant seed."""
    refuse_ignored(CARD, settings)
    return DeepStorm(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the output within one camera pixel can see; larger at smaller upsampling.

    The poolings work on blocks of 8 fine pixels; as published the reach is 32 / U - 1 camera pixels each way for U > 1.
    """
    return field_px("cpcpcpucucucc" if settings["variant"] == "seed" else "cpcpcpcucucuc", upsampling)
