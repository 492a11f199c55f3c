"""What every network has in common, and nothing else.

A network knows its shapes and its conditioning vector. It knows no objective, no time, no label and
no Lightning: a model turns time and labels into the vector `cond`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from genbench.spec import Shape

__all__ = ["Net", "NetFactory"]


class Net(nn.Module, ABC):
    """A network from tensors of shape (B, *inputs) to tensors of shape (B, *outputs).

    The constructor of every network begins with `(inputs: Shape, outputs: Shape, cond: int)`: the
    model gives these three, the configuration gives the rest. Networks are what `trainer.precision`
    and `trainer.compile` act on; losses stay in float32.
    """

    @abstractmethod
    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Args: x of shape (B, *inputs); cond of shape (B, cond), or None where cond = 0.

        Returns shape (B, *outputs).
        """


# A `NetFactory` makes a network from its `inputs`, `outputs` and `cond`.
NetFactory = Callable[[Shape, Shape, int], Net]
