"""Nothing is measured on numbers that are not finite: one such image would spoil a mean
unnoticed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.errors import InputError

__all__ = ["require_finite"]


def require_finite(rows: Tensor, image: str = "image", what: str = "features") -> None:
    """Refuse the first row that holds NaN or infinity.

    Args:
        rows: One row per image, (N, F).
        image: What an image of this set is called, such as "generated image".
        what: What the rows are.

    Raises:
        InputError: A row is not finite. The message names the index of the image.
    """
    bad = (~torch.isfinite(rows).all(1)).nonzero()
    if len(bad):
        raise InputError(
            f"{what} of {image} {int(bad[0])} are not finite; a metric needs the extractor to give "
            "numbers for it"
        )
