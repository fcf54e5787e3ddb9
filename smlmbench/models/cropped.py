"""The middle of a crop, for networks that end in dense layers and so see crops of one size."""

from torch import Tensor

from smlmbench.data.contracts import Given
from smlmbench.errors import SizeError


def check_sides(given: Given, side: int, name: str) -> None:
    """Whether inputs are crops that hold side x side pixels; `name` is the network's.

    Raises:
        SizeError: They are no crops of one size, or smaller ones.
    """
    shown = " x ".join(map(str, given.unit_sides)) or "any size"
    if len(given.unit_sides) != 2:
        raise SizeError(f"{name} sees crops of {side} x {side} px, not inputs of {shown}; choose another network")
    if min(given.unit_sides) < side:
        least = min(given.unit_sides)
        raise SizeError(
            f"{name} sees {side} x {side} px, and these crops have {shown}; set side_px: {least}, or give larger crops"
        )


def middle_of(crops: Tensor, side: int) -> Tensor:
    """The middle side x side pixels of crops (B, C, H, W); of an odd rest one more is left out at the end."""
    top, left = ((size - side) // 2 for size in crops.shape[-2:])
    return crops[..., top : top + side, left : left + side]
