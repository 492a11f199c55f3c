"""One affine map, and the map with its transposed matrix.

x -> a(W x + b)             z -> W^T z + c
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.nets.net import Net
from genbench.spec import Shape

__all__ = ["Linear", "Transposed", "transposed"]

Activation = Literal["none", "sigmoid", "relu"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
}


class Linear(Net):
    """Flattens, maps by a(W x + b), reshapes.

    Args:
        inputs: Shape of an input.
        outputs: Shape of an output.
        cond: Length of the conditioning vector, appended to the input.
        activation: a. none: the map is affine; sigmoid: one layer of neurons; relu: outputs that
            are not negative.
    """

    def __init__(
        self, inputs: Shape, outputs: Shape, cond: int = 0, activation: Activation = "none"
    ) -> None:
        super().__init__()
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"Linear: activation is one of {', '.join(_ACTIVATIONS)}, not {activation!r}"
            )
        self.inputs = inputs
        self.outputs = outputs
        self.map = nn.Linear(math.prod(inputs) + cond, math.prod(outputs))
        self.activation = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        h = x.flatten(1) if cond is None else torch.cat((x.flatten(1), cond), dim=1)
        return self.activation(self.map(h)).unflatten(1, self.outputs)


class Transposed(nn.Module):
    """z -> W^T z + c, with the W of a linear net, which remains its only owner: c is learnt here.

    Args:
        net: The linear net, without a conditioning vector.

    Examples:
        >>> net = Linear((1, 2, 2), (3,))
        >>> z = torch.ones(1, 3)
        >>> torch.equal(Transposed(net)(z).flatten(1), z @ net.map.weight)
        True
    """

    def __init__(self, net: Linear) -> None:
        super().__init__()
        # In a tuple the layer does not become a module of this one: W would be stored twice.
        self.owner = (net,)
        self.c = nn.Parameter(torch.zeros(math.prod(net.inputs)))

    def forward(self, z: Tensor) -> Tensor:
        (net,) = self.owner
        return (z.flatten(1) @ net.map.weight + self.c).unflatten(1, net.inputs)


def transposed(net: Net) -> Transposed:
    """A linear net with its matrix transposed, for weights that are tied.

    Raises:
        ValueError: The net is another one.
    """
    if not isinstance(net, Linear):
        raise ValueError(
            f"decoder is null, for tied weights, where the encoder is a Linear, not {type(net).__name__}"
        )
    return Transposed(net)
