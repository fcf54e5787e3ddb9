"""Maximum-likelihood fits of many small windows of pixels at once, in torch, on any device.

A pixel that expects mu photo-electrons has the variance excess * mu + added; its likelihood is that of a Poisson number
of mean mu + added / excess, in units of the excess: read noise as in Huang et al. 2013 (doi:10.1038/nmeth.2488), an
EM register as twice the variance (Mortensen et al. 2010, doi:10.1038/nmeth.1447). The climb is Fisher scoring with a
damping for each window (Smith et al. 2010, doi:10.1038/nmeth.1449), and its matrix at the end the Cramér-Rao bound.

A Gaussian integrated over pixels is a product of two axes, and so is each of its derivatives: the sums over pixels of
the Fisher matrix are taken along x once for each pair of factors, and along y afterwards. Windows lie along the LAST
axis of every tensor, so that all arithmetic is of long rows, and what one window gives does not depend on the others.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

X, Y, PHOTONS, BACKGROUND, SHAPE = range(5)  # parameters of a spot; widths or depth from SHAPE on
DARKEST = 0.05  # photo-electrons, read noise counted: a mean is never darker
MOST_STEPS, SETTLED = 30, 1e-4  # of twice the log-likelihood
DAMPING = (1e-4, 1e-6, 1e6)
LANES = 64  # windows are fitted in multiples, so that every one of them takes the same path through a processor
LONGEST_PX = 1.0  # step of a place

Curve = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Pixels:
    """Windows of pixels in photo-electrons, (side, side, n), y first.

    Attributes:
        values: What was read.
        excess: Variance per photo-electron, a number or (n,).
        shift: `added / excess`, that broadcasts against the values.
        beside: Light that is expected of others, that broadcasts against the values.
    """

    values: torch.Tensor
    excess: torch.Tensor
    shift: torch.Tensor
    beside: torch.Tensor

    def __len__(self) -> int:
        return int(self.values.shape[-1])

    def rows(self, chosen: torch.Tensor) -> "Pixels":
        """Some windows."""
        parts = (self.values, self.excess, self.shift, self.beside)
        return Pixels(*(each[..., chosen] if each.shape[-1:] == (len(self),) else each for each in parts))

    def seen(self) -> torch.Tensor:
        """Values on the scale of the expected ones of a Poisson number; below 0 where read noise is."""
        return self.values + self.shift

    def expected(self, mean: torch.Tensor) -> torch.Tensor:
        """Means on that scale."""
        return (mean + self.beside + self.shift).clamp_min(DARKEST)

    def deviance(self, mean: torch.Tensor) -> torch.Tensor:
        """Of each pixel from its mean, >= 0: twice the log-likelihood that a mean of its own would add."""
        seen, expected = self.seen().clamp_min(0.0), self.expected(mean)
        return 2 / self.excess * (torch.xlogy(seen, seen / expected) - (seen - expected))


def spiked(pixels: Pixels, flat: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Which windows (n,) one bright pixel and a level explain better than a deviance `own` (n,) of what was fitted.

    `flat` (n,) is about the level without light; the bright pixel is explained by itself, the others by their mean.
    """
    rest = pixels.values - pixels.beside
    top = (pixels.deviance(flat.expand_as(rest)) * (rest > flat)).flatten(0, 1).max(dim=0)
    level = (rest.sum(dim=(0, 1)) - rest.flatten(0, 1).gather(0, top.indices[None])[0]) / (
        rest.shape[0] * rest.shape[1] - 1
    )
    each = pixels.deviance(level.clamp_min(0.0).expand_as(rest)).flatten(0, 1)
    return each.sum(dim=0) - each.gather(0, top.indices[None])[0] < own


@dataclass(frozen=True, slots=True)
class Look:
    """A model at its parameters: its mean (side, side, n), and sums over pixels.

    `gradient` (p, n) and `information` (p, p, n) are of twice the log-likelihood over two: information^-1 is the
    covariance, and information^-1 gradient the step.
    """

    mean: torch.Tensor
    misfit: torch.Tensor  # (n,): minus twice the log-likelihood, but for a constant
    gradient: torch.Tensor
    information: torch.Tensor


class Model(ABC):
    """What is fitted to windows."""

    @abstractmethod
    def look(self, at: torch.Tensor, pixels: Pixels) -> Look:
        """The model at parameters (p, n)."""

    @abstractmethod
    def limits(self, side: int) -> tuple[list[float], list[float]]:
        """Lowest and highest value of each parameter, in windows of a side."""

    def longest(self) -> list[float]:
        """Longest step of each parameter."""
        return [math.inf] * len(self.limits(1)[0])


@dataclass(frozen=True, slots=True)
class Fits:
    """Fits of n windows.

    Attributes:
        at: Parameters, (p, n).
        covariance: The Cramér-Rao bound at them, (p, p, n).
        mean: What the model expects of each pixel, without the light of others, (side, side, n).
        settled: Whether the last step changed twice the log-likelihood by less than 1e-4.
    """

    at: torch.Tensor
    covariance: torch.Tensor
    mean: torch.Tensor
    settled: torch.Tensor


def weighed(pixels: Pixels, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Misfit (n,), weights 1 / variance and weighed residuals (side, side, n) of pixels from a mean."""
    seen, expected = pixels.seen(), pixels.expected(mean)
    misfit = (2 / pixels.excess) * (expected - seen * expected.log()).sum(dim=(0, 1))
    weight = 1 / (pixels.excess * expected)
    return misfit, weight, (seen - expected) * weight


def climb(model: Model, pixels: Pixels, start: torch.Tensor, steps: int = MOST_STEPS, lanes: int = LANES) -> Fits:
    """Fit every window from its start (p, n), in so many steps at most, and in multiples of `lanes`."""
    n, side = len(pixels), pixels.values.shape[0]
    room = torch.arange(-(-n // lanes) * lanes, device=start.device).clamp_max(max(n - 1, 0))
    whole, at = pixels.rows(room), start[:, room]
    low, high, longest = (
        torch.tensor(each, dtype=at.dtype, device=at.device)[:, None] for each in (*model.limits(side), model.longest())
    )
    at = at.clamp(low, high)
    seen = model.look(at, whole)
    misfit, gradient, information = seen.misfit, seen.gradient, seen.information
    damping = torch.full_like(misfit, DAMPING[0])
    settled = torch.zeros_like(misfit, dtype=torch.bool)
    active, own = torch.arange(len(room), device=at.device), whole
    for _ in range(steps):
        matrix = information[..., active].clone()
        matrix.diagonal(dim1=0, dim2=1).mul_(1 + damping[active, None]).add_(1e-30)
        slope, before = gradient[:, active], at[:, active]
        step = solved(matrix, slope[:, None])[:, 0]
        trial = (before + step.clamp(-longest, longest)).clamp(low, high)
        fresh = model.look(trial, own)
        gained, hoped = misfit[active] - fresh.misfit, (slope * (trial - before)).sum(dim=0)
        better = (gained > -SETTLED) & torch.isfinite(fresh.misfit)
        taken = active[better]
        at[:, taken], misfit[taken] = trial[:, better], fresh.misfit[better]
        gradient[:, taken], information[..., taken] = fresh.gradient[:, better], fresh.information[..., better]
        damping[active] = (damping[active] * torch.where(better, 0.1, 10.0)).clamp(*DAMPING[1:])
        done = better & (hoped < SETTLED) & (gained < SETTLED)
        settled[active[done]] = True
        stuck = damping[active] >= DAMPING[2]
        left = active[~done & ~stuck]
        if not len(left):
            break
        if -(-len(left) // lanes) < len(active) // lanes:
            active = left[torch.arange(-(-len(left) // lanes) * lanes, device=at.device).clamp_max(len(left) - 1)]
            own = whole.rows(active)
    last = model.look(at, whole)
    matrix = last.information.clone()
    matrix.diagonal(dim1=0, dim2=1).add_(1e-30)
    unit = torch.eye(len(at), dtype=at.dtype, device=at.device)[..., None].expand_as(matrix)
    covariance = solved(matrix, unit)
    return Fits(at[:, :n], covariance[..., :n], last.mean[..., :n], settled[:n])


def solved(matrix: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Solutions (p, q, n) of symmetric positive systems (p, p, n), all at once."""
    p = len(matrix)
    scale = matrix.diagonal(dim1=0, dim2=1).T.clamp_min(1e-30).rsqrt()
    whole = torch.cat([matrix * scale[None], right], dim=1) * scale[:, None]
    for k in range(p):
        row = whole[k] / whole[k, k].clamp_min(1e-12)
        factor = whole[:, k].clone()
        factor[k] = 0
        whole -= factor[:, None] * row
        whole[k] = row
    return whole[:, p:] * scale[:, None]


class Flat(Model):
    """A background alone: one parameter."""

    def look(self, at: torch.Tensor, pixels: Pixels) -> Look:
        """The same for every pixel."""
        mean = at[0].expand_as(pixels.values)
        misfit, weight, residual = weighed(pixels, mean)
        return Look(mean, misfit, residual.sum(dim=(0, 1))[None], weight.sum(dim=(0, 1))[None, None])

    def limits(self, side: int) -> tuple[list[float], list[float]]:
        """Not below 0."""
        del side
        return [0.0], [math.inf]


class Spot(Model):
    """A Gaussian on a constant background: x, y, photons, background, and what its `widths` need.

    Places are in pixels from the outer corner of a window's first pixel. Widths are in pixels: `fixed` (x, y), or None
    where they are fitted from `SHAPE` on: one, or with `elliptic` one along x and one along y. With a `curve` from
    depths to widths along x and y and their derivatives by depth, SHAPE is a depth within `depth`.
    """

    def __init__(
        self,
        fixed: tuple[float, float] | None = None,
        *,
        elliptic: bool = False,
        curve: Curve | None = None,
        depth: tuple[float, float] = (-math.inf, math.inf),
        widest: tuple[float, float] = (0.3, 10.0),
    ) -> None:
        self._fixed, self._elliptic, self._curve, self._depth, self._widest = fixed, elliptic, curve, depth, widest

    @property
    def names(self) -> list[str]:
        """Of its parameters."""
        first = ["x", "y", "photons", "background"]
        if self._curve is not None:
            return [*first, "depth"]
        if self._fixed is not None:
            return first
        return [*first, "sigma_x", "sigma_y"] if self._elliptic else [*first, "sigma"]

    @property
    def round(self) -> bool:
        """Whether its width is the same along every direction."""
        even = self._fixed is None or self._fixed[0] == self._fixed[1]
        return even and self._curve is None and not self._elliptic

    def limits(self, side: int) -> tuple[list[float], list[float]]:
        """A place in the window, some light, no negative background, widths and depths as they may be."""
        more = self._depth if self._curve is not None else self._widest
        count = len(self.names) - SHAPE
        return [0.0, 0.0, 1e-3, 0.0] + [more[0]] * count, [side, side, math.inf, math.inf] + [more[1]] * count

    def longest(self) -> list[float]:
        """A pixel for a place, a third of the depths, 0.3 px for a width."""
        reach = (self._depth[1] - self._depth[0]) / 3 if self._curve is not None else 0.3
        return [LONGEST_PX, LONGEST_PX, math.inf, math.inf] + [reach] * (len(self.names) - SHAPE)

    def widths(self, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        """Widths along x and y (n,), and their derivatives by each parameter from SHAPE on."""
        one, zero = torch.ones_like(at[X]), torch.zeros_like(at[X])
        if self._curve is not None:
            x, y, by_x, by_y = self._curve(at[SHAPE])
            return x, y, [(by_x, by_y)]
        if self._fixed is not None:
            return one * self._fixed[0], one * self._fixed[1], []
        if self._elliptic:
            return at[SHAPE], at[SHAPE + 1], [(one, zero), (zero, one)]
        return at[SHAPE], at[SHAPE], [(one, one)]

    def light(self, at: torch.Tensor, side: int) -> torch.Tensor:
        """Expected photo-electrons of the spots alone, without background, (side, side, n)."""
        sigma_x, sigma_y, _ = self.widths(at)
        across, down = axis(at[X], sigma_x, side)[0], axis(at[Y], sigma_y, side)[0]
        return (at[PHOTONS] * down)[:, None] * across[None]

    def slopes(self, at: torch.Tensor, side: int) -> torch.Tensor:
        """Derivatives of the light by every parameter but the background, (p - 1, side, side, n)."""
        sigma_x, sigma_y, chain = self.widths(at)
        (x, by_x, wide_x), (y, by_y, wide_y) = axis(at[X], sigma_x, side), axis(at[Y], sigma_y, side)
        bright = at[PHOTONS]
        found = [(bright * y)[:, None] * by_x, (bright * by_y)[:, None] * x, y[:, None] * x]
        for along_x, along_y in chain:
            found.append((bright * y)[:, None] * (along_x * wide_x) + (bright * along_y * wide_y)[:, None] * x)
        return torch.stack(found)

    def look(self, at: torch.Tensor, pixels: Pixels) -> Look:
        """Sums by the product of both axes."""
        side = pixels.values.shape[0]
        sigma_x, sigma_y, chain = self.widths(at)
        across, down = axis(at[X], sigma_x, side), axis(at[Y], sigma_y, side)
        photons = at[PHOTONS]
        bright = photons * down[0]
        mean = bright[:, None] * across[0][None] + at[BACKGROUND]
        misfit, weight, residual = weighed(pixels, mean)
        # each derivative is a factor along y (none: 1) times one along x (none: 1)
        parts: list[tuple[torch.Tensor | None, int | None]] = [
            (bright, 1), (photons * down[1], 0), (down[0], 0), (None, None),
        ]  # fmt: skip
        if chain:
            parts += [(bright, 2), (photons * down[2], 0)]
        gradient, information = _sums(parts, across, weight, residual)
        if chain:
            gradient, information = _chained(gradient, information, chain)
        return Look(mean, misfit, gradient, information)


def axis(place: torch.Tensor, sigma: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Share of the light in each of `side` pixels (side, n), and its derivatives by place and by sigma."""
    edges = torch.arange(side + 1, dtype=place.dtype, device=place.device)[:, None]
    scaled = (edges - place) / sigma
    light = torch.erf(scaled * math.sqrt(0.5)).diff(dim=0) / 2
    bell = torch.exp(scaled.square() * -0.5) / (sigma * math.sqrt(2 * math.pi))
    return light, -bell.diff(dim=0), -(scaled * bell).diff(dim=0)


def _sums(
    parts: list[tuple[torch.Tensor | None, int | None]],
    across: tuple[torch.Tensor, ...],
    weight: torch.Tensor,
    residual: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient (p, n) and information (p, p, n) of derivatives that are products of both axes."""
    along: dict[tuple[int, ...], torch.Tensor] = {}

    def summed(image: torch.Tensor, factors: tuple[int, ...], name: tuple[int, ...]) -> torch.Tensor:
        """Over x, (side, n)."""
        if name not in along:
            product = math.prod((across[k] for k in factors[1:]), start=across[factors[0]]) if factors else None
            along[name] = (image if product is None else image * product).sum(dim=1)
        return along[name]

    p, n = len(parts), weight.shape[-1]
    gradient, information = weight.new_empty(p, n), weight.new_empty(p, p, n)
    for k, (down, x) in enumerate(parts):
        own = () if x is None else (x,)
        slope = summed(residual, own, (-1, *own))
        gradient[k] = (slope if down is None else slope * down).sum(dim=0)
        for m, (other, with_x) in enumerate(parts[: k + 1]):
            factors = tuple(sorted(own if with_x is None else (*own, with_x)))
            found = summed(weight, factors, factors)
            for factor in (down, other):
                found = found if factor is None else found * factor
            information[k, m] = information[m, k] = found.sum(dim=0)
    return gradient, information


def _chained(
    gradient: torch.Tensor, information: torch.Tensor, chain: list[tuple[torch.Tensor, torch.Tensor]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by what both widths follow from instead of by the widths, the last two."""
    first = SHAPE
    slopes = gradient[first:]
    told = [gradient[:first]] + [(slopes[0] * x + slopes[1] * y)[None] for x, y in chain]
    half = [information[:, :first]] + [(information[:, first] * x + information[:, first + 1] * y)[:, None]
                                       for x, y in chain]  # fmt: skip
    columns = torch.cat(half, dim=1)
    rows = [columns[:first]] + [(columns[first] * x + columns[first + 1] * y)[None] for x, y in chain]
    return torch.cat(told), torch.cat(rows)
