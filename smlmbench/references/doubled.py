"""Is a fitted spot two emitters? A score test for a second one along the direction in which it would show most.

Two emitters a little apart differ from one of their summed light by its second derivative along the line between them.
What is left of a window after the fit is asked for the second derivatives xx, xy and yy, less what a change of the
fitted parameters would do as well. Their mean over directions and their amplitude around a circle are added, in
standard deviations: the greatest score of all directions. Noise makes the first a normal and the second a Rayleigh
number, and their sum has a law that is known; that they are independent of each other and round is exact for an emitter
in the middle or at the corner of a pixel, and elsewhere good enough (the tests hold ranks of lone emitters against it).

A deviance of all pixels has a degree of freedom for each; this one has three, and finds far dimmer pairs.
"""

import torch

from smlmbench.references.likelihood import Pixels, Spot, X, Y, solved, weighed

STEP_PX = 0.05  # of a derivative
AT_ONCE = 4096  # windows
FLAT, TINY = 1e-9, 1e-20  # a variance where the fitted parameters explain all of it


def doubled(spot: Spot, at: torch.Tensor, pixels: Pixels, mean: torch.Tensor) -> torch.Tensor:
    """Chance (n,) that noise alone stretches one emitter as much.

    Args:
        spot: A round Gaussian, of fixed or free width.
        at: Its fitted parameters (p, n), with places from the corner of windows.
        pixels: The windows.
        mean: What the fit expects of their pixels without others' light (side, side, n).
    """
    parts = torch.split(torch.arange(len(pixels), device=at.device), AT_ONCE)
    return torch.cat([_chance(*_scores(spot, at[:, rows], pixels.rows(rows), mean[..., rows])) for rows in parts])


def _scores(spot: Spot, at: torch.Tensor, pixels: Pixels, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of xx, xy and yy (3, n) beside the fitted parameters, and their covariance (3, 3, n)."""
    side = len(mean)
    bends = [_bend(spot, at, side, *axes) for axes in ((X, X), (X, Y), (Y, Y))]
    _, weight, residual = weighed(pixels, mean)
    slopes = torch.cat([torch.stack(bends), spot.slopes(at, side), torch.ones_like(weight)[None]])
    gradient = torch.einsum("kyxn,yxn->kn", slopes, residual)
    information = torch.einsum("kyxn,yxn,myxn->kmn", slopes, weight, slopes)
    known = torch.cat([information[3:, :3], gradient[3:, None]], dim=1)
    taken = torch.einsum("kmn,mjn->kjn", information[:3, 3:], solved(information[3:, 3:], known))
    return gradient[:3] - taken[:, 3], information[:3, :3] - taken[:, :3]


def _bend(spot: Spot, at: torch.Tensor, side: int, slope: int, along: int) -> torch.Tensor:
    """Second derivative of the light (side, side, n)."""
    ahead, behind = at.clone(), at.clone()
    ahead[along] += STEP_PX
    behind[along] -= STEP_PX
    return (spot.slopes(ahead, side)[slope] - spot.slopes(behind, side)[slope]) / (2 * STEP_PX)


def _chance(score: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Of a mean over directions (normal) and an amplitude around the circle (Rayleigh) as great as these."""
    first, cross, last, both = spread[0, 0], spread[1, 1], spread[2, 2], spread[0, 2]
    middle, across = (score[0] + score[2]) / 2, (score[0] - score[2]) / 2
    of_middle, of_across = (first + last + 2 * both) / 4, (first + last - 2 * both) / 4
    circle = ((of_across + cross) / 2).clamp_min(TINY)
    of_middle = of_middle.clamp_min(0.0) + FLAT * circle
    radius = (across.square() / of_across.clamp_min(TINY) + score[1].square() / cross.clamp_min(TINY)).sqrt()
    height = (middle + circle.sqrt() * radius) / (of_middle + circle).sqrt()
    alpha, beta = (of_middle / (of_middle + circle)).sqrt(), (circle / (of_middle + circle)).sqrt()
    normal = torch.special.ndtr
    found: torch.Tensor = normal(-height / alpha) + beta * (-height.square() / 2).exp() * normal(height * beta / alpha)
    return found
