"""Two layers on a spectrum."""

from torch import nn

CARD = {
    "version": 1,
    "summary": "Two layers on a spectrum",
    "output": "place",
    "upsamples": "none",
    "settings": {"width": {"default": 16, "min": 2, "max": 512, "help": "hidden units"}},
    "tiny": {"width": 4},
    "training": {"lr": 0.01},
    "parameters": {"width=16": 562},
    "receptive_field_px": 1.0,
    "losses": [{"name": "place_mse"}],
}


class LineNet(nn.Module):
    def __init__(self, width, given):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(32, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, spectra):
        return self.layers(spectra / spectra.sum(dim=-1, keepdim=True).clamp_min(1) * 10)


def build(settings, given):
    """The network."""
    return LineNet(settings["width"], given)
