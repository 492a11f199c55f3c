"""What every bijection has in common, and how several become one.

A bijection knows its shape, its conditioning vector and its log-determinant. It knows no prior, no
dequantisation and no objective: those are the model's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import cast

from torch import Tensor, nn

from genbench.spec import Shape

__all__ = ["Bijection", "BijectionFactory", "Chain"]


class Bijection(nn.Module, ABC):
    """An invertible map of images, applied to each one by itself.

    A bijection that a recipe names begins its constructor with `(shape: Shape, cond: int)`, and maps
    images of that shape to vectors of their D entries: the model gives these two, the configuration
    gives the rest.
    """

    @abstractmethod
    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x of shape (B, ...), cond c of shape (B, cond) -> y = f(x; c) and log|det df/dx|, nats of
        shape (B,).
        """

    @abstractmethod
    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        """y, cond c -> x = f^{-1}(y; c)."""


class Chain(Bijection):
    """f_n o ... o f_1.

    Args:
        bijections: f_1, ..., f_n.
    """

    def __init__(self, bijections: Iterable[Bijection]) -> None:
        super().__init__()
        self.bijections = nn.ModuleList(bijections)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        for f in self.bijections:
            x, part = f(x, cond)
            log_det = log_det + part
        return x, log_det

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        for f in reversed(self.bijections):
            y = cast(Bijection, f).inverse(y, cond)
        return y


# A `BijectionFactory` makes a bijection from its shape and `cond`, the length of the conditioning
# vector.
BijectionFactory = Callable[[Shape, int], Bijection]
