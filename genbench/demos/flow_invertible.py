"""Change of variables on the line: an invertible map gives a density, draws and an exact inverse.

    z = f(x) ~ N(0, 1),    log p(x) = log N(f(x); 0, 1) + log |f'(x)|,    x = f^{-1}(z)
    P(X < x) = Phi(f(x)),  since f increases

f is a chain of three bijections, f(x) = a_2 sinh(a_1 x + b_1) + b_2, whose log-determinants add up. It is flat in the middle, so
that p has two modes although z has one.

References:
    Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP, eq. 2. arXiv:1605.08803
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, average, exact
from genbench.demos.drawing import BLUE, GREY, ORANGE, panels
from genbench.formulas.priors import Normal
from genbench.nets.bijections.bijection import Bijection, Chain
from genbench.rng import Rng

__all__ = ["demonstrate"]

DRAWS = 20_000


class Affine(Bijection):
    """y = a x + b."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a = a
        self.b = b

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.a * x + self.b, x.new_full((len(x),), math.log(self.a))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        return (y - self.b) / self.a


class Sinh(Bijection):
    """y = sinh x."""

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.sinh(), x.cosh().log().sum(1)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        return y.asinh()


def log_density(f: Bijection, x: Tensor) -> Tensor:
    """log p(x) in nats, (B, 1) -> (B,)."""
    z, log_det = f(x)
    return Normal().log_density(z).sum(1) + log_det


def demonstrate(seed: int = 0) -> Demonstration:
    """Inverse, log-determinant, total mass, a probability and draws.

    Args:
        seed: Seed of the draws.
    """
    f = Chain([Affine(1.6, 0.2), Sinh(), Affine(0.4, 0.1)])
    x = torch.linspace(-4, 4, 4001, dtype=torch.float64)[:, None].requires_grad_()
    z, log_det = f(x)
    (slope,) = torch.autograd.grad(z.sum(), x)
    x = x.detach()
    z = z.detach()
    p = log_density(f, x).exp()
    below = x[:, 0] <= 0.5
    draws = f.inverse(Normal().draw(Rng(seed, range(DRAWS)), (1,)).double())
    figure, (left, right) = panels(2)
    shown = slice(800, 3201, 12)
    left.plot(x[shown, 0], z[shown, 0], color=BLUE)
    left.set(xlabel="x", ylabel="z = f(x)")
    right.hist(
        draws[:, 0].numpy(),
        60,
        density=True,
        color=GREY,
        alpha=0.5,
        histtype="stepfilled",
        label="f^{-1}(z), z ~ N(0, 1)",
    )
    right.plot(x[shown, 0], p[shown], color=BLUE, label="N(f(x)) |f'(x)|")
    right.plot(
        x[shown, 0],
        Normal().log_density(x[shown, 0]).exp(),
        color=ORANGE,
        linestyle="--",
        label="density of z",
    )
    right.set(xlabel="x", ylabel="density", ylim=(0, 0.75))
    right.legend()
    second = torch.trapezoid(p * x[:, 0] ** 2, x[:, 0])
    return Demonstration(
        title="Change of variables: density, draws and inverse from one map",
        formula="log p(x) = log N(f(x); 0, 1) + log |f'(x)|,   x = f^{-1}(z)",
        sentence=(
            "Where f is steep, much of z lies between near x, and the density of x is high; the map"
            " turns one mode into two, and is undone to the last digits."
        ),
        values=(
            exact("largest |f^{-1}(f(x)) - x|", (f.inverse(z) - x).abs().max(), 0),
            exact("largest |log-det - log f'|", (log_det - slope[:, 0].log()).abs().max(), 0),
            exact("integral of p", torch.trapezoid(p, x[:, 0]), 1),
            exact(
                "P(X < 1/2)",
                torch.trapezoid(p[below], x[below, 0]),
                torch.special.ndtr(f(x.new_tensor([[0.5]]))[0]),
                1e-5,
            ),
            average("mean x^2 of draws", draws[:, 0] ** 2, second),
        ),
        figure=figure,
    )
