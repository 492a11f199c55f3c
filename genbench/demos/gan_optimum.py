"""The best discriminator is p / (p + q), and against it the value of the game is 2 JSD(p, q) - log 4.

    V(D) = E_p log D + E_q log(1 - D)
    max_D V(D)  at  D* = p / (p + q),    V(D*) = 2 JSD(p, q) - log 4,    which is -log 4 at p = q

p and q are tables over five cells. The game sees the logits of 20 real and 20 generated images, so that its means are
exact expectations, and a search over the five logits finds D* without knowing the formula.

Reference:
    Goodfellow et al. (2014), Generative Adversarial Networks, proposition 1, theorem 1.
    arXiv:1406.2661
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, ORANGE, panels
from genbench.models.gan.games import Minimax

__all__ = ["demonstrate"]

# Each cell holds this many of 20 images.
REAL = torch.tensor([8, 6, 3, 2, 1])
FAKE = torch.tensor([1, 2, 4, 6, 7])


def best_discriminator(real: Tensor, fake: Tensor) -> tuple[Tensor, float]:
    """D of every cell that a search finds, and V(D), nats."""
    d = torch.zeros(len(real), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [d],
        max_iter=300,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        losses = Minimax().discriminator(d.repeat_interleave(real), d.repeat_interleave(fake))
        losses["loss"].backward()
        return losses["loss"]

    search.step(loss)
    return d.detach().sigmoid(), -loss().item()


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """JSD(p, q), nats."""
    m = (p + q) / 2
    return 0.5 * ((p * (p / m).log()).sum() + (q * (q / m).log()).sum())


def demonstrate(seed: int = 0) -> Demonstration:
    """D* and its value by search, for a q that is far from p and for q = p.

    Args:
        seed: Not used: nothing is random.
    """
    p = REAL.double() / REAL.sum()
    q = FAKE.double() / FAKE.sum()
    D, value = best_discriminator(REAL, FAKE)
    even, value_at_p = best_discriminator(REAL, REAL)
    # While q goes from FAKE to p, V(D*) falls to -log 4.
    share = torch.linspace(0, 1, 41, dtype=torch.float64)
    curve = [2 * jensen_shannon(p, (1 - t) * q + t * p) - math.log(4) for t in share]
    figure, (left, right) = panels(2)
    cell = torch.arange(1, 6).double()
    left.bar((cell - 0.2).numpy(), p.numpy(), width=0.38, color=BLUE, label="p")
    left.bar((cell + 0.2).numpy(), q.numpy(), width=0.38, color=ORANGE, hatch="//", label="q")
    left.plot(cell, D, "D", color=BLACK, markersize=8, label="D by search")
    left.plot(cell, p / (p + q), color=BLACK, linestyle=":", label="p / (p + q)")
    left.set(xlabel="cell", ylabel="probability")
    left.legend()
    right.plot(share, curve, color=BLUE, label="2 JSD(p, q) - log 4")
    right.plot([0, 1], [value, value_at_p], "D", color=BLACK, markersize=8, label="V(D) by search")
    right.axhline(-math.log(4), color=ORANGE, linestyle="--", label="-log 4")
    right.set(xlabel="share of p in the generator's mixture", ylabel="V(D*), nats")
    right.legend()
    expected = 2 * jensen_shannon(p, q) - math.log(4)
    return Demonstration(
        title="The best discriminator is p / (p + q)",
        formula="max_D E_p log D + E_q log(1 - D) = 2 JSD(p, q) - log 4,   D* = p / (p + q)",
        sentence=(
            "A discriminator that has converged is the ratio p / (p + q); what the generator then"
            " minimises is the Jensen-Shannon divergence, and its smallest value, -log 4, is"
            " reached at p = q alone, where D is 1/2 everywhere."
        ),
        values=(
            exact("largest |D - p / (p + q)|", (D - p / (p + q)).abs().max(), 0, tolerance=1e-6),
            exact("V(D*)", value, expected),
            exact("V(D*) at p = q", value_at_p, -math.log(4)),
            exact("largest |D - 1/2| at p = q", (even - 0.5).abs().max(), 0, tolerance=1e-6),
        ),
        figure=figure,
    )
