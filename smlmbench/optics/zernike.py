"""Zernike polynomials by Noll's index, each with root mean square 1 on the unit disc.

Source: Noll 1976, doi:10.1364/JOSA.66.000207 (1 piston, 2 and 3 tilts, 4 defocus, 5 and 6 astigmatism, 7 and 8 coma,
9 and 10 trefoil, 11 spherical). Even numbers go with the cosine of the angle, odd ones with the sine.
"""

import math
from collections.abc import Mapping

import torch

from smlmbench.errors import ConfigError

MOST = 231  # up to the radial order 20
GIVE = f"give root mean squares in mlambda by Noll's index from 2 to {MOST}, such as {{6: 80, 11: -30}}"


def orders(index: int) -> tuple[int, int]:
    """Radial order n and azimuthal order m of Noll's index from 1; m < 0 where it goes with the sine."""
    if index < 1:
        raise ValueError(f"{index} is no index of Noll; they begin at 1")
    n = (math.isqrt(8 * index - 7) - 1) // 2
    within = index - n * (n + 1) // 2  # from 1 to n + 1
    m = 2 * (within // 2) if n % 2 == 0 else 2 * ((within - 1) // 2) + 1
    return n, m if index % 2 == 0 else -m


def polynomial(index: int, radius: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Its values at radii from 0 to 1 and angles in radians, in their shape."""
    n, m = orders(index)
    along = abs(m)
    radial = torch.zeros_like(radius)
    for k in range((n - along) // 2 + 1):
        whole = math.factorial(k) * math.factorial((n + along) // 2 - k) * math.factorial((n - along) // 2 - k)
        radial = radial + (-1) ** k * math.factorial(n - k) / whole * radius ** (n - 2 * k)
    if m == 0:
        return math.sqrt(n + 1) * radial
    return math.sqrt(2 * (n + 1)) * radial * (torch.cos(along * angle) if m > 0 else torch.sin(along * angle))


def phase(mlambda: Mapping[str, float], radius: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Phase in radians of aberrations in mlambda rms by Noll's index.

    Raises:
        ConfigError: A key that is no index from 2 to 231.
    """
    total = torch.zeros_like(radius)
    for key, size in mlambda.items():
        if not (str(key).isdecimal() and 2 <= int(key) <= MOST):
            raise ConfigError(f"psf.zernike: {key!r} is no index of an aberration; {GIVE}")
        total = total + 2 * math.pi * size / 1000 * polynomial(int(key), radius, angle)
    return total
