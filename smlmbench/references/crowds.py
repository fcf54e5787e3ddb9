"""Emitters of a known PSF fitted together with their neighbours: who belongs to whom, their windows, who stays.

Neighbours are joined by distance, nearest first, as long as a group has few enough emitters and fits a window; the
light of all others is taken as it was found before. Of a group whose faintest emitter explains too little (the deviance
of the rest alone is not higher by as much as noise seldom makes) that one is taken out, and the rest is fitted again.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from scipy.spatial import cKDTree

from smlmbench.predictions import Ints
from smlmbench.psf.contracts import Canvas, Stand, Window
from smlmbench.psf.contracts import Spots as Shining
from smlmbench.references.bank import Bank, Maxima, seen
from smlmbench.references.likelihood import Pixels, climb, spiked
from smlmbench.references.splined import PER_SPOT, Splined, Spots

Z = 2  # place of the depth among parameters
STARTS = 3  # depths from which an emitter is fitted first

KEPT = 0.9  # of the height: that of an emitter that stays, where it is fitted
SURE = 8.0  # photons over their bound of emitters that stay without a further look
LANES, CLIMBS = 4, 15  # groups are fitted in such multiples and steps
ROUNDED = 8  # px: windows of groups are of few sizes
SPIKE_PX = 9  # side of the windows in which an emitter is told from a bright pixel
VALUES_AT_ONCE = 4_000_000  # of slopes
LATERAL = 1e6  # px between frames, for a search among all at once


@dataclass(frozen=True, slots=True)
class Plan:
    """What frames are fitted with.

    Attributes:
        excess, added: Variance of a pixel, excess * mean + added (1, H, W), as in `Noise`.
        optics: The PSF on windows of `side` pixels of `pixel_nm`.
        bank: Filters that find emitters.
        height: Photons over their error, of filters, with which an emitter is found.
        together: Emitters that are fitted jointly.
        rounds: How often the rest is searched.
    """

    excess: float
    added: torch.Tensor
    pixel_nm: float
    optics: Splined
    side: int
    bank: Bank
    height: float
    together: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Found:
    """Emitters, (n,) each; errors are standard deviations: their bounds beside those that are fitted with them.

    Attributes:
        further_nm: Other depths from which a fit may begin, (n, STARTS - 1), nan where there are no more.
    """

    frame: torch.Tensor
    x_px: torch.Tensor
    y_px: torch.Tensor
    z_nm: torch.Tensor
    photons: torch.Tensor
    background: torch.Tensor
    x_error_px: torch.Tensor
    y_error_px: torch.Tensor
    z_error_nm: torch.Tensor
    photons_error: torch.Tensor
    further_nm: torch.Tensor

    @classmethod
    def joined(cls, *parts: "Found") -> "Found":
        """One after the other."""
        return cls(*(torch.cat([getattr(part, one.name) for part in parts]) for one in fields(cls)))

    @classmethod
    def none(cls) -> "Found":
        """No emitters."""
        columns = [torch.zeros(0, dtype=torch.float64) for _ in fields(cls)]
        columns[0], columns[-1] = columns[0].long(), torch.zeros(0, STARTS - 1, dtype=torch.float64)
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, rows: torch.Tensor) -> "Found":
        """Some of them."""
        return Found(*(getattr(self, one.name)[rows] for one in fields(self)))

    def light(self, shape: Sequence[int], plan: Plan) -> torch.Tensor:
        """Their expected light on frames of a shape (F, H, W)."""
        places = (self.x_px * plan.pixel_nm, self.y_px * plan.pixel_nm, self.z_nm)
        canvas = Canvas(shape[0], shape[1], shape[2], plan.pixel_nm)
        return plan.optics.render(Shining(self.frame, *places, self.photons.float()), {}, canvas)


def localized(frames: torch.Tensor, plan: Plan) -> Found:
    """All emitters of frames (F, H, W) in photo-electrons."""
    found = Found.none()
    for _ in range(plan.rounds):
        more = search(frames, found.light(frames.shape, plan), plan)
        if not len(more):
            break
        changed = torch.isin(found.frame, more.frame)
        fitted = fit_together(frames, Found.joined(found.select(changed), more), plan)
        busy = torch.bincount(fitted.frame, minlength=len(frames))[fitted.frame] > 1
        again = fit_together(frames, fitted.select(busy), plan)  # now beside neighbours that are fitted
        found = Found.joined(found.select(~changed), fitted.select(~busy), again)
    found = found.select(~_spikes(frames, found, plan))
    return found.select(torch.argsort(found.frame, stable=True))


def _spikes(frames: torch.Tensor, found: Found, plan: Plan) -> torch.Tensor:
    """Which emitters (n,) are one bright pixel rather than light of the PSF."""
    if not len(found):
        return torch.zeros(0, dtype=torch.bool)
    pixels, left, top = _windows(frames, found.light(frames.shape, plan), found, 1, SPIKE_PX, plan)
    stand = Stand((found.x_px - left) * plan.pixel_nm, (found.y_px - top) * plan.pixel_nm, found.z_nm)
    light = plan.optics.drawn(stand, {}, Window(len(pixels.values), plan.pixel_nm), torch.float64)[:, 0]
    mean = (light * found.photons[:, None, None]).permute(1, 2, 0) + found.background
    return spiked(pixels, found.background, pixels.deviance(mean).sum(dim=(0, 1)))


def search(frames: torch.Tensor, known: torch.Tensor, plan: Plan) -> Found:
    """Where emitters may be beside light that is known already, not yet fitted."""
    maxima = seen(frames, plan.bank, plan.excess, plan.added, known, plan.height)
    depths = _depths(maxima, plan.bank.z_nm)
    columns = [maxima.frame, maxima.column.double() + 0.5, maxima.row.double() + 0.5, depths[:, 0]]
    columns += [maxima.photons.double().clamp_min(1.0), maxima.background.double().clamp_min(0.0)]
    columns += [torch.full((len(maxima),), torch.nan, dtype=torch.float64)] * 4
    return Found(*[*columns, depths[:, 1:]])


def _depths(maxima: Maxima, z_nm: torch.Tensor) -> torch.Tensor:
    """Depths (n, STARTS) whose filters answer more than their neighbours, the most first; nan where there are fewer."""
    padded = torch.nn.functional.pad(maxima.heights, (1, 1), value=-torch.inf)
    top = (maxima.heights >= padded[:, :-2]) & (maxima.heights > padded[:, 2:])
    order = torch.where(top, maxima.heights, -torch.inf).sort(dim=1, descending=True, stable=True)
    chosen = torch.where(order.values > -torch.inf, z_nm[order.indices], torch.nan)
    return chosen[:, :STARTS]


def fit_together(frames: torch.Tensor, found: Found, plan: Plan) -> Found:
    """Fit emitters in groups from where they are; those that explain too little are taken out one by one."""
    total, kept = found.light(frames.shape, plan), [Found.none()]
    waiting = _groups(found, plan)
    while waiting:
        gone, later = list[int](), list[Ints]()
        for rows, side in _batches(found, waiting, plan):
            fitted, faintest, gain = _fitted(frames, total, found, rows, side, plan)
            good = gain > (KEPT * plan.height) ** 2
            kept.append(fitted.select(good.repeat_interleave(rows.shape[1])))
            for k in (~good).nonzero()[:, 0].tolist():
                gone.append(int(rows[k, faintest[k]]))
                later.append(np.delete(rows[k], int(faintest[k])))
        total = total - found.select(torch.tensor(gone, dtype=torch.int64)).light(frames.shape, plan)
        waiting = [group for group in later if len(group)]
    return Found.joined(*kept)


def _groups(found: Found, plan: Plan) -> list[Ints]:
    """Rows of emitters that are fitted jointly."""
    x, y, frame = (np.asarray(each, dtype=np.float64) for each in (found.x_px, found.y_px, found.frame))
    pairs = cKDTree(np.stack([x, y, frame * LATERAL], axis=1)).query_pairs(plan.side // 2 + 1, output_type="ndarray")
    apart = np.hypot(x[pairs[:, 0]] - x[pairs[:, 1]], y[pairs[:, 0]] - y[pairs[:, 1]])
    owner, members = list(range(len(found))), {k: [k] for k in range(len(found))}
    for one, other in pairs[np.argsort(apart, kind="stable")].tolist():
        first, second = owner[one], owner[other]
        if first == second or len(both := members[first] + members[second]) > plan.together:
            continue
        if max(np.ptp(x[both]), np.ptp(y[both])) > plan.side:
            continue
        members[first] = both
        for k in members.pop(second):
            owner[k] = first
    return [np.array(group) for group in members.values()]


def _batches(found: Found, groups: Sequence[Ints], plan: Plan) -> Iterator[tuple[Ints, int]]:
    """Groups of one number of emitters (groups, emitters) and the side of their windows, some at a time."""
    x, y, alike = found.x_px.numpy(), found.y_px.numpy(), defaultdict[tuple[int, int], list[Ints]](list)
    for group in groups:
        span = max(np.ptp(x[group]), np.ptp(y[group]))
        alike[len(group), plan.side + ROUNDED * int(np.ceil(span / ROUNDED))].append(group)
    for (count, side), those in sorted(alike.items()):
        each = max(1, VALUES_AT_ONCE // (count * 4 * side**2))
        for start in range(0, len(those), each):
            yield np.stack(those[start : start + each]), side


def _fitted(
    frames: torch.Tensor, total: torch.Tensor, found: Found, rows: Ints, side: int, plan: Plan
) -> tuple[Found, torch.Tensor, torch.Tensor]:
    """Groups (groups, emitters) fitted on windows, the light of all others as in `total`.

    Also the faintest emitter of each group, and by how much the deviance falls for its sake: where its photons are far
    above their bound, and where it is alone, by their ratio alone.
    """
    many, count = rows.shape
    own = found.select(torch.from_numpy(rows.reshape(-1)))
    pixels, left, top = _windows(frames, total, own, count, side, plan)
    each = torch.stack([own.x_px - left, own.y_px - top, own.z_nm, own.photons], dim=1)
    background = own.background.view(many, count).mean(dim=1)
    start = torch.cat([each.reshape(many, -1), background[:, None]], dim=1).T
    at, covariance, misfit = _climbed(start, pixels, plan)
    for z_nm in own.further_nm.T if count == 1 else ():
        tried = torch.isfinite(z_nm).nonzero()[:, 0]
        if not len(tried):
            break
        again = start[:, tried].clone()
        again[Z] = z_nm[tried]
        other, shape, fresh = _climbed(again, pixels.rows(tried), plan)
        better = fresh < misfit[tried]
        taken = tried[better]
        at[:, taken], covariance[..., taken], misfit[taken] = other[:, better], shape[..., better], fresh[better]
    read = _read(at, covariance, own, (left, top))
    ratio, faintest = (read.photons / read.photons_error).nan_to_num(0.0).view(many, count).min(dim=1)
    gain, weak = ratio.square(), (ratio < SURE).nonzero()[:, 0]
    if count > 1 and len(weak):
        rest = torch.ones(len(weak), count * PER_SPOT + 1, dtype=torch.bool)
        first = faintest[weak, None] * PER_SPOT + torch.arange(PER_SPOT)
        without = start[:, weak].T[rest.scatter(1, first, value=False)].view(len(weak), -1).T
        gain[weak] = _climbed(without, pixels.rows(weak), plan)[2] - misfit[weak]
    return read, faintest, gain


def _climbed(start: torch.Tensor, pixels: Pixels, plan: Plan) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Parameters, their covariance and the deviance of windows fitted from a start (4 emitters + 1, n)."""
    fits = climb(Spots(plan.optics, plan.pixel_nm, len(start) // PER_SPOT), pixels, start, CLIMBS, LANES)
    return fits.at, fits.covariance, pixels.deviance(fits.mean).sum(dim=(0, 1))


def _windows(
    frames: torch.Tensor, total: torch.Tensor, own: Found, count: int, side: int, plan: Plan
) -> tuple[Pixels, torch.Tensor, torch.Tensor]:
    """Pixels around groups of `count` emitters, and the first column and row of each emitter's window."""
    many, side = len(own) // count, min(side, *frames.shape[1:])
    left, top = (
        ((at.view(many, count).amin(1) + at.view(many, count).amax(1) - side) / 2).round().long().clamp(0, size - side)
        for at, size in ((own.x_px, frames.shape[2]), (own.y_px, frames.shape[1]))
    )
    frame, span = own.frame.view(many, count)[:, 0], torch.arange(side)
    at = (frame[None, None], top + span[:, None, None], left + span[:, None])
    left, top = left.repeat_interleave(count), top.repeat_interleave(count)
    stand = Stand((own.x_px - left) * plan.pixel_nm, (own.y_px - top) * plan.pixel_nm, own.z_nm)
    light = plan.optics.drawn(stand, {}, Window(side, plan.pixel_nm), torch.float32)[:, 0] * own.photons[:, None, None]
    beside = total[at].double() - light.view(many, count, side, side).sum(dim=1).permute(1, 2, 0)
    shift = plan.added.expand(frames.shape)[at].double() / plan.excess
    return Pixels(frames[at].double(), torch.tensor(plan.excess, dtype=torch.float64), shift, beside), left, top


def _read(at: torch.Tensor, covariance: torch.Tensor, own: Found, corner: tuple[torch.Tensor, torch.Tensor]) -> Found:
    """Emitters of fitted parameters (4 emitters + 1, groups)."""
    count = len(at) // PER_SPOT
    variance = covariance.diagonal(dim1=0, dim2=1).T
    (x, y, z, photons), errors = (
        list(each[:-1].view(count, PER_SPOT, -1).permute(1, 2, 0).reshape(PER_SPOT, -1))
        for each in (at, variance.clamp_min(0).sqrt())
    )
    columns = [own.frame, x + corner[0], y + corner[1], z, photons, at[-1].repeat_interleave(count), *errors]
    return Found(*[*columns, torch.full_like(own.further_nm, torch.nan)])
