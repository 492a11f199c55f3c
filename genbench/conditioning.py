"""What a model of p(x | y) is conditioned on: which kinds of y it takes, and how its networks are
given them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genbench.formulas.pixels import to_real
from genbench.spec import Image, Labels, Y

__all__ = ["encoded", "refusal"]


def refusal(model: str, conditions: Sequence[type[Y]], y: Y | None) -> str:
    """The message that refuses a model of p(x | y) on data whose y it cannot be conditioned on.

    Args:
        model: Name of its class.
        conditions: The kinds of y that it can be conditioned on.
        y: The kind of y of the data, None where there is none.
    """
    wanted = " or ".join(kind.plural for kind in conditions)
    if Labels not in conditions:
        kind = "missing" if y is None else y.plural
        return f"{model} is a model of p(x | y) of {wanted} y; y of these data: {kind}"
    if y is None:
        return (
            "conditional is true, but the data have no labels y to condition on; p(x) needs "
            "conditional: false"
        )
    return (
        f"conditional is true, but {model} takes {wanted} y, not {y.plural}; p(x) needs "
        "conditional: false"
    )


def encoded(y: Tensor, kind: Y, dtype: torch.dtype) -> Tensor:
    """y as networks are given it, in their floating type.

    Args:
        y: Labels (B,), images (B, C, H, W) or texts (B, L), as integers.
        kind: The kind of y: labels, images or texts.
        dtype: The floating type.

    Returns:
        Of labels one-hot (B, K), of images bin centres in [-1, 1], of texts one-hot
        (B, L, vocabulary).

    Examples:
        >>> encoded(torch.tensor([2, 0]), Labels(3), torch.float32).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if isinstance(kind, Image):
        return to_real(y, kind.levels, dtype)
    symbols = kind.classes if isinstance(kind, Labels) else kind.vocabulary
    return nn.functional.one_hot(y, symbols).to(dtype)
