"""A smooth background of each frame: a surface of splines, fitted to what emitters leave."""

import torch

KNOT = 12.0  # in sigma of the PSF: distance of the knots
STIFF = 1e-2  # weight of second differences of the knots, in the mean weight of a knot


def basis(size: int, step: float) -> torch.Tensor:
    """Cubic B-splines along one axis (size, knots) float64, about `step` pixels apart."""
    parts = max(1, round(size / step))
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size * parts
    away = (at[:, None] - torch.arange(-1, parts + 2)).abs()
    near, far = 2 / 3 - away**2 + away**3 / 2, (2 - away).clamp_min(0) ** 3 / 6
    return torch.where(away < 1, near, far)


class Surface:
    """Surfaces on frames of one size (height, width)."""

    def __init__(self, height: int, width: int, sigma_px: float, device: torch.device) -> None:
        down, across = (basis(size, KNOT * sigma_px) for size in (height, width))
        self._shape = down.shape[1], across.shape[1]
        self._down, self._across = down.to(device), across.to(device)
        ends = [torch.eye(size, dtype=torch.float64) for size in self._shape]
        tall, wide = (eye.diff(n=2, dim=0).T @ eye.diff(n=2, dim=0) for eye in ends)
        self._rough = (torch.kron(tall, ends[1]) + torch.kron(ends[0], wide)).to(device)

    def fitted(self, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Weighted least squares of values (F, H, W), a surface each."""
        down, across = self._down, self._across
        weights = weights.double()
        right = (down.T @ (weights * values.double()) @ across).flatten(1)
        pairs_down = (down[:, :, None] * down[:, None, :]).flatten(1)
        pairs_across = (across[:, :, None] * across[:, None, :]).flatten(1)
        tall, wide = self._shape
        normal = (pairs_down.T @ weights @ pairs_across).view(-1, tall, tall, wide, wide)
        normal = normal.permute(0, 1, 3, 2, 4).reshape(-1, tall * wide, tall * wide)
        level = normal.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
        knots = torch.linalg.solve(normal + STIFF * level * self._rough, right).view(-1, tall, wide)
        found: torch.Tensor = (down @ knots @ across.T).to(values.dtype)
        return found
