"""Squared errors of spikes and, where these are, of heights."""

CARD = {"version": 1, "summary": "Spikes and heights", "accepts": ["spikes_with_height"]}


def build(settings, output_settings):
    """The loss."""

    def loss(raw, targets):
        spikes = (raw[:, :1] - targets["spikes"]).square().mean()
        there = targets["spikes"] > 0
        heights = (raw[:, 1:] - targets["heights"])[there].square().mean()
        return {"loss": spikes + 10 * heights, "heights": heights}

    return loss
