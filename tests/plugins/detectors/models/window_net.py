"""Three frames of two detectors in, spikes and heights out."""

from torch import nn
from torch.nn import functional

CARD = {
    "version": 1,
    "summary": "Three frames of two detectors",
    "output": "spikes_with_height",
    "upsamples": "inside",
    "settings": {"width": {"default": 12, "min": 2, "max": 64, "help": "channels"}},
    "tiny": {"width": 4},
    "training": {"lr": 0.01},
    "parameters": {"width=12": 2438},
    "receptive_field_px": 7.0,
    "facts": {"context": 3},
    "losses": [{"name": "spikes_and_heights"}],
}


class WindowNet(nn.Module):
    def __init__(self, width, given):
        super().__init__()
        assert (given.channels, given.context) == (6, 3)
        self.first = nn.Conv2d(6, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 2, 5, padding=2)

    def forward(self, frames):
        maps = functional.relu(self.second(functional.relu(self.first(frames / 100))))
        return self.last(functional.interpolate(maps, scale_factor=2.0))


def build(settings, given):
    """The network."""
    return WindowNet(settings["width"], given)


def receptive_field_px(settings, upsampling):
    """Camera pixels across."""
    return 7.0
