"""Squared error of the place; sureness is taught to be high where that is small."""

from torch.nn import functional

CARD = {"version": 1, "summary": "Squared error of a place", "accepts": ["place"]}


def build(settings, output_settings):
    """The loss."""

    def loss(raw, targets):
        away = raw[:, 0] - targets["place"]
        sure = functional.binary_cross_entropy_with_logits(raw[:, 1], (away.detach().abs() < 0.05).float())
        return {"loss": away.square().mean() + 0.01 * sure, "square": away.square().mean()}

    return loss
