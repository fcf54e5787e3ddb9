"""The middle of a crop, for networks that end in dense layers and so see crops of one size."""

from torch import Tensor

from smlmbench.errors import SizeError


def middle_of(crops: Tensor, side: int, name: str) -> Tensor:
    """The middle side x side pixels of crops (B, C, H, W); of an even rest one more is left out at the end.

    Raises:
        SizeError: The crops are smaller; `name` is the network's.
    """
    height, width = crops.shape[-2:]
    if height < side or width < side:
        raise SizeError(
            f"{name} sees {side} x {side} px, and these crops have {width} x {height}; "
            f"set side_px: {min(height, width)} for it, or give larger crops"
        )
    top, left = (height - side) // 2, (width - side) // 2
    return crops[..., top : top + side, left : left + side]
