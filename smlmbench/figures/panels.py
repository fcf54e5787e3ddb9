"""What is shown of one unit or condition: input, answer and truth as images, and positions over them."""

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Panels:
    """Images of one field.

    Attributes:
        input_image: Camera image (H, W).
        prediction: Fine image (UH, UW), any U.
        truth: Of the prediction's shape, or None where there is no truth.
        pixel_nm: Camera pixel; NaN where it is unknown, lengths are then in px.
        unit: Unit of the input's pixels.
        fine_unit: Unit of the fine images' pixels.
        found_nm: Found positions (n, 2) as x, y from the outer corner, or None.
        truth_nm: True positions (n, 2), or None.
        said: What is counted in it, in words.
    """

    input_image: ArrayLike
    prediction: ArrayLike
    truth: ArrayLike | None = None
    pixel_nm: float = math.nan
    unit: str = "photons"
    fine_unit: str = "value"
    found_nm: ArrayLike | None = None
    truth_nm: ArrayLike | None = None
    said: str = ""
