"""DECODE: one U-Net for each frame of a window, one for their features, and four heads for a Gaussian mixture."""

from torch import Tensor, nn

from smlmbench.data.contracts import Given, Settings
from smlmbench.models.mixture import MixtureHeads, PhotonScaling, of_each_frame, start
from smlmbench.models.unet import UNet, reach_across_px

CARD = {
    "version": 1,
    "summary": "Two U-Nets over three frames; probability, position, brightness and their uncertainties (DECODE).",
    "output": "gaussian_mixture",
    "upsamples": "inside",
    "settings": {
        "context": {"default": 3, "choices": [1, 3, 5], "help": "frames seen at once, the middle one is answered"},
        "features": {
            "default": 48,
            "min": 2,
            "max": 256,
            "help": "channels of the first level; each further one has twice",
        },
        "depth": {"default": 2, "choices": [1, 2], "help": "levels below the first, each of half the resolution"},
        "p_bias": {
            "default": -6.0,
            "min": -10.0,
            "max": 0.0,
            "help": "logit of p before training: -6 expects 0.0025 emitters in a pixel",
        },
        "head_start": {
            "default": 0.1,
            "min": 0.001,
            "max": 1.0,
            "help": "multiplies the first weights of the last convolutions, so that p_bias tells; 1.0 is the authors'",
        },
    },
    "search": {"features": {"low": 16, "high": 64, "log": True}, "context": {"choices": [1, 3]}},
    "tiny": {"features": 4, "depth": 1},
    "training": {"optimiser": "adamw", "lr": 2e-4, "weight_decay": 0.1, "clip": 0.03, "batch_size": 64},
    "parameters": {
        "context=3": 2199418,
        "context=1": 2157946,
        "features=16": 245210,
    },
    "receptive_field_px": 89.0,
    "losses": [{"name": "decode_nll"}],
    "paper": (
        "Speiser, Mueller et al. 2021, Deep learning enables fast and dense single-molecule localization with "
        "high accuracy. Nature Methods 18:1082"
    ),
    "doi": "10.1038/s41592-021-01236-x",
    "fidelity": "verified",
    "deviations": [
        "learning rate of one cycle over the budget; the authors' falls by 0.9 every ten of a thousand epochs",
        "no new start where the loss stays high",
        "heads start at a tenth (head_start): at the authors' start a frame of 1024 pixels expects 782 emitters here",
    ],
    "facts": {
        "review": {
            "row": 8,
            "input": "three consecutive camera frames",
            "output": "set of emitters in 3-D with uncertainties: a Gaussian mixture per pixel, and the background",
            "training_data": "simulated frames of the measured PSF and camera",
            "architecture": "two stacked U-Nets with four heads",
        },
        "review_says": {"output": "image reconstruction"},
        "multiple_fine_px": 4,
        "shift_px": 4,
        "translation": True,
        "hint_layers": [{"layer": "context_net", "camera_px": 1}],
    },
}


class Decode(nn.Module):
    """Frames of a window in photons (B, context * C, H, W) to raw (B, 10, H, W); sides multiples of 2^depth.

    Source:
        Speiser, Mueller et al. 2021, doi:10.1038/s41592-021-01236-x ("SigmaMUNet" of model_speced_impl.py).
    """

    def __init__(self, settings: Settings, given: Given) -> None:
        super().__init__()
        features, depth, self.context = settings["features"], settings["depth"], given.context
        self.scaling = PhotonScaling(given)
        self.frame_net = UNet(given.channels // given.context, features, features, depth)
        self.context_net = UNet(given.context * features, features, features, depth)
        self.heads = MixtureHeads(features)
        start(self, self.heads, settings["p_bias"], settings["head_start"])

    def forward(self, frames: Tensor) -> Tensor:
        """Photons to the ten maps of `gaussian_mixture`."""
        seen = of_each_frame(self.scaling(frames), self.context, self.frame_net)
        raw: Tensor = self.heads(self.context_net(seen))
        return raw


def build(settings: Settings, given: Given) -> nn.Module:
    """Make a DECODE network from all settings of the card."""
    return Decode(settings, given)


def receptive_field_px(settings: Settings, upsampling: int) -> float:
    """Camera pixels across that the answer in one of them can see."""
    del upsampling
    return reach_across_px(2, settings["depth"])
