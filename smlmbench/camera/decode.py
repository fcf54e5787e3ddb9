"""The block `Camera` of DECODE's parameter files as the facts of a camera here.

DECODE draws floor((Gamma(Poisson(qe * photons + spur_noise), em_gain) + N(0, read_sigma)) / e_per_adu) + baseline,
without the gamma where em_gain is blank. Its network gets ((ADU - baseline) * e_per_adu / em_gain - spur_noise) / qe.
Photons here are detected ones: its photons times qe.
Source: Speiser et al. 2021, doi:10.1038/s41592-021-01236-x.
"""

import math
from collections.abc import Mapping
from typing import Any

BLOCK = "Camera"
SAME = {
    "baseline": "baseline_adu",
    "e_per_adu": "e_per_adu",
    "read_sigma": "read_noise_e",  # after the gain register, as here
    "spur_noise": "spurious_e",
    "qe": "quantum_efficiency",
}
NEEDED = ("em_gain", *SAME)
PIXEL = "px_size"
TO_PHOTONS = ("photon_units", "convert2photons")  # what its network is given; a movie's counts are what they are
OWN = tuple(key for key in (*SAME, PIXEL, *TO_PHOTONS) if key not in SAME.values())  # by which its block is known


def decode_block(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The block in a parameter file, or the mapping itself where it is such a block; None where it is none."""
    if BLOCK in given:
        return given[BLOCK] if isinstance(given[BLOCK], Mapping) else {}
    ours = set(given) - {"em_gain", *SAME, PIXEL, *TO_PHOTONS}
    return given if not ours and sum(key in given for key in OWN) > 1 else None


def facts_of(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block's numbers under the names of a camera here.

    `px_size` is left out: a pixel size is stated beside a camera, not in it.

    Raises:
        ValueError: A key is missing, not known, or says what cannot be used.
    """
    if missing := [key for key in NEEDED if key not in block]:
        raise ValueError(f"DECODE's block Camera lacks {', '.join(missing)}; give a number (em_gain: null for none)")
    if unknown := [str(key) for key in block if key not in (*NEEDED, PIXEL, *TO_PHOTONS)]:
        raise ValueError(f"{', '.join(unknown)} in DECODE's block Camera is not known here; leave it out if it may be")
    for key in TO_PHOTONS:
        if block.get(key, True) is not True:
            raise ValueError(f"{key}: {block[key]} in DECODE's block Camera is not known here; only true is")
    _check_pixel(block.get(PIXEL))
    gain = block["em_gain"]
    numbers = {name: _number(key, block[key]) for key, name in SAME.items()}
    if gain is None:
        return {"kind": "scmos", **numbers}
    return {"kind": "emccd", "em_gain": _number("em_gain", gain), **numbers}


def _check_pixel(size: Any) -> None:
    """Refuse what has no one size."""
    if isinstance(size, list | tuple) and len(set(size)) > 1:
        told = " x ".join(map(str, size))
        raise ValueError(f"px_size {told} in DECODE's block Camera: pixels that are not square cannot be used")


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{key}: {value!r} in DECODE's block Camera is not a number")
    return float(value)
