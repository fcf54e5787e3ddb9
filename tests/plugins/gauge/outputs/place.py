"""One number per spectrum: the place of its line, and how sure it is."""

import torch

CARD = {"version": 1, "summary": "A place", "facts": {"tasks": ["gauge"]}}


def targets(batch, settings):
    """The true places."""
    return {"place": torch.from_numpy(batch.truth.place)}


def decode(raw, settings, threshold):
    """Places (n,) and sureness (n,)."""
    return raw[:, 0].numpy(), torch.sigmoid(raw[:, 1]).numpy()
