"""ANNA-PALM's game: a discriminator, a network that makes widefields of dense images, then the generator."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smlmbench.losses.msssim_l1 import MsssimL1, msssim

CARD = {
    "version": 1,
    "summary": "Least-squares adversarial, MS-SSIM with L1, and consistency with the widefield (ANNA-PALM)",
    "settings": {
        "weight": {"default": 50.0, "min": 0.0, "help": "lambda of MS-SSIM and L1"},
        "adversarial": {"default": 1.0, "min": 0.0, "help": "weight of what the discriminator says"},
        "consistency": {
            "default": 25.0,
            "min": 0.0,
            "help": "weight of the agreement with the widefield; 0 as in the authors' simulated runs, 25 with tables",
        },
        "features": {"default": 64, "min": 4, "max": 256, "help": "maps of the discriminator's first layer"},
    },
    "search": {
        "weight": {"low": 5.0, "high": 500.0, "log": True},
        "consistency": {"low": 1.0, "high": 100.0, "log": True},
    },
    "tiny": {"features": 4},
    "accepts": ["dense_image"],
    "players": 3,
    "recipe": "players",
    "paper": (
        "Ouyang et al. 2018, Deep learning massively accelerates super-resolution localization microscopy. Nature"
        " Biotechnology 36:460"
    ),
    "doi": "10.1038/nbt.4106",
    "fidelity": "verified",
    "deviations": [
        "targets are divided by one typical brightest pixel of the training and cut at 1; the authors bring the lowest "
        "and highest value of each batch to 0 and 1",
        "consistency compares the widefields made of the answer and of the dense image (the authors' mode lr_predict)",
        "not found: activation and rate of dropout in the network of widefields; ReLU and 0.5 here",
    ],
}

TIMES = 4  # render pixels along a pixel of what the network of widefields makes
LEAST_RANGE = 50.0  # of a widefield
SPREAD = 0.02  # of the weights at the start


def standardised(sparse: Tensor) -> Tensor:
    """Sparse images (B, K, H, W), cut at 255, of mean 0 and deviation 1 each, times 2 less 1 as the authors have it."""
    cut = sparse.clamp(0, 255)
    deviation, mean = torch.std_mean(cut, dim=(1, 2, 3), keepdim=True, correction=0)
    least = (cut.shape[1] * cut.shape[2] * cut.shape[3]) ** -0.5
    return (cut - mean) / deviation.clamp_min(least) * 2 - 1


def ranged(widefield: Tensor) -> Tensor:
    """Widefields (B, 1, h, w) from lowest to highest as 0 to 1, the range being 50 at least."""
    low = widefield.amin(dim=(1, 2, 3), keepdim=True)
    high = widefield.amax(dim=(1, 2, 3), keepdim=True)
    return (widefield - low) / (high - low).clamp_min(LEAST_RANGE)


def is_there(widefield: Tensor) -> Tensor:
    """Which widefields (B, 1, h, w) are not blank, (B,) bool."""
    return widefield.amax(dim=(1, 2, 3)) > widefield.amin(dim=(1, 2, 3))


def seen(given: Tensor) -> Tensor:
    """Inputs (B, K + 2, H, W) as networks see them: sparse images, the widefield in -1 .. 1 (blank: 0), the code."""
    widefield = given[:, -2:-1]
    there = is_there(widefield)[:, None, None, None]
    scaled = torch.where(there, 2 * ranged(widefield) - 1, torch.zeros_like(widefield))
    return torch.cat((standardised(given[:, :-2]), scaled, given[:, -1:]), dim=1)


class Discriminator(nn.Sequential):
    """A verdict for each patch of an input with its code and an image; batch statistics always."""

    def __init__(self, inside: int, features: int) -> None:
        wide = [features, 2 * features, 4 * features, 8 * features]
        layers: list[nn.Module] = [nn.Conv2d(inside, wide[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for before, after, stride in zip(wide, wide[1:], (2, 2, 1), strict=False):
            layers += [nn.Conv2d(before, after, 4, stride, 1, bias=False)]
            layers += [nn.BatchNorm2d(after, track_running_stats=False), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(wide[-1], 1, 4, 1, 1, bias=False))
        started(self)


class LowResolution(nn.Sequential):
    """Makes a widefield in 0 .. 1 at a quarter of the sides from a dense image in 0 .. 1."""

    def __init__(self, inside: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inside, 8, 5, padding=2), nn.ReLU()]
        for before, after in ((8, 16), (16, 32)):
            layers += [nn.Conv2d(before, after, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(after, track_running_stats=False), nn.Dropout(0.5)]
        super().__init__(*layers, nn.Conv2d(32, 1, 5, padding=2), nn.Sigmoid())


def started(network: nn.Module) -> None:
    """Normal weights of deviation 0.02, those of a normalisation around 1."""
    for name, weight in network.named_parameters():
        if name.endswith("weight"):
            nn.init.normal_(weight, 1.0 if weight.ndim == 1 else 0.0, SPREAD)


@contextmanager
def held(*networks: nn.Module) -> Iterator[None]:
    """Within it, what these networks say is a function of their inputs alone: their weights are given no gradient."""
    weights = [one for network in networks for one in network.parameters() if one.requires_grad]
    for one in weights:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in weights:
            one.requires_grad_(True)


class AnnaPalm(nn.Module):
    """The three losses of a batch; a `Game` of the recipe players.

    Source:
        Ouyang et al. 2018, doi:10.1038/nbt.4106, and the authors' repository (losses, weights, order of the players).
    """

    def __init__(self, settings: Mapping[str, Any], colors: int) -> None:
        super().__init__()
        self.settings = dict(settings)
        self.players = nn.ModuleDict(
            {
                "discriminator": Discriminator(2 * colors + 2, settings["features"]),
                "low_resolution": LowResolution(colors),
            }
        )
        self.alike = MsssimL1(0.84)

    def turns(self, raw: Tensor, targets: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        """The discriminator's, where there is a widefield that of its network, and the generator's."""
        judge, low = self.players["discriminator"], self.players["low_resolution"]
        given, real = seen(targets["given"].float()), targets["dense"].float().clamp(0, 1)
        right = judge(torch.cat((given, signed(real)), dim=1)) - 1
        wrong = judge(torch.cat((given, signed(raw.detach())), dim=1))
        loss = right.square().mean() + wrong.square().mean()
        yield "discriminator", loss, {"discriminator": loss.detach()}
        there = is_there(targets["given"][:, -2:-1])
        wanted = functional.avg_pool2d(ranged(targets["given"][:, -2:-1].float()), TIMES)
        if there.any():
            loss = unlike(low(real), wanted, there)
            yield "low_resolution", loss, {"low_resolution": loss.detach()}
        with held(judge, low):
            turn = self._generator(raw, targets, given, there)
        yield "network", *turn

    def _generator(
        self, raw: Tensor, targets: Mapping[str, Tensor], given: Tensor, there: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        judge, low = self.players["discriminator"], self.players["low_resolution"]
        scored = self.alike(raw, targets)
        loss = self.settings["weight"] * scored.pop("loss")
        fooled = (judge(torch.cat((given, signed(raw)), dim=1)) - 1).square().mean()
        loss = loss + self.settings["adversarial"] * fooled
        parts = {**scored, "adversarial": fooled.detach()}
        if self.settings["consistency"] and there.any():
            with torch.no_grad():
                made = low(targets["dense"].float().clamp(0, 1))
            away = unlike(low(raw), made, there)
            loss, parts["consistency"] = loss + self.settings["consistency"] * away, away.detach()
        return loss, parts


def signed(image: Tensor) -> Tensor:
    """An image in 0 .. 1 as -1 .. 1."""
    return 2 * image - 1


def unlike(made: Tensor, wanted: Tensor, there: Tensor) -> Tensor:
    """1 - MS-SSIM of widefields (B, 1, h, w), mean over those that are there."""
    with torch.autocast(made.device.type, enabled=False):
        made, wanted = made.float(), wanted.float()
        rows, columns = (min(sides) for sides in zip(made.shape[-2:], wanted.shape[-2:], strict=True))
        alike = msssim(made[..., :rows, :columns], wanted[..., :rows, :columns])[:, 0]
    mean: Tensor = (1 - alike)[there].mean()
    return mean


def build(settings: Mapping[str, Any], output_settings: Mapping[str, Any]) -> AnnaPalm:
    """Make the game; the number of colours is what the data add to the output kind's settings (`colors`)."""
    return AnnaPalm(settings, int(output_settings.get("colors", 1)))
