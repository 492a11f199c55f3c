"""A reverse step is Gaussian only where the forward step is small.

    q(x_{t-1} | x_t)  ~  p(x_{t-1}) N(x_t; sqrt(1 - beta) x_{t-1}, beta)

With y = x_t / sqrt(1 - beta) and v = beta / (1 - beta) it is p(x) N(x; y, v) up to a constant. For small v its skewness, 0 for a
Gaussian, and its divergence from the Gaussian of equal mean and variance are

    skewness  = v^{3/2} (log p)'''(y) (1 + O(v)),        KL = skewness^2 / 12 (1 + O(v))

A p that is Gaussian has a Gaussian reverse step for every beta.

Reference:
    Sohl-Dickstein, Weiss, Maheswaranathan, Ganguli (2015), Deep unsupervised learning using
    nonequilibrium thermodynamics. arXiv:1503.03585
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, GREEN, ORANGE, panels
from genbench.demos.line_mixture import LineMixture, mixture
from genbench.formulas.likelihood import gaussian_log_density

__all__ = ["demonstrate"]

DATA = mixture([0.5, 0.5], [-1.5, 1.5], [0.7, 0.7])
GAUSSIAN = mixture([1.0], [0.5], [0.7])
PLACE = 0.4


def reverse_step(p: LineMixture, beta: float, y: float = PLACE) -> tuple[Tensor, Tensor]:
    """A grid of x_{t-1} and log q(x_{t-1} | x_t) there."""
    v = beta / (1 - beta)
    x = y + v**0.5 * torch.linspace(-12, 12, 4801, dtype=torch.float64)
    log_q = p.log_density(x) + gaussian_log_density(x, x.new_tensor(y), x.new_tensor(v).log() / 2)
    log_q = log_q - log_q.max()
    return x, log_q - torch.trapezoid(log_q.exp(), x).log()


def moments(x: Tensor, log_q: Tensor) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness."""
    q = log_q.exp()
    mean = torch.trapezoid(q * x, x)
    sd = torch.trapezoid(q * (x - mean) ** 2, x).sqrt()
    skewness = torch.trapezoid(q * ((x - mean) / sd) ** 3, x)
    return float(mean), float(sd), float(skewness)


def gaussian_of(x: Tensor, log_q: Tensor) -> Tensor:
    """Log density of the Gaussian of the same mean and variance."""
    mean, sd, _ = moments(x, log_q)
    return gaussian_log_density(x, x.new_tensor(mean), x.new_tensor(sd).log())


def divergence(p: LineMixture, beta: float) -> float:
    """KL of the reverse step from the Gaussian of its mean and variance, nats."""
    x, log_q = reverse_step(p, beta)
    return float(torch.trapezoid(log_q.exp() * (log_q - gaussian_of(x, log_q)), x))


def third_derivative(p: LineMixture, y: float) -> float:
    """(log p)'''(y)."""
    x = torch.tensor([y], dtype=torch.float64, requires_grad=True)
    value = p.log_density(x)
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    return value.item()


def demonstrate(seed: int = 0) -> Demonstration:
    """Reverse steps over beta, and their limit.

    Args:
        seed: Not used: nothing is random.
    """
    figure, (left, right) = panels(2)
    for beta, colour in ((0.9, BLUE), (0.4, GREEN), (0.05, ORANGE)):
        x, log_q = reverse_step(DATA, beta)
        inside = (x.abs() < 3.5).nonzero().flatten()
        near = inside[:: max(1, len(inside) // 200)]
        left.plot(x[near], log_q[near].exp(), color=colour, label=f"beta = {beta:g}")
        left.plot(
            x[near], gaussian_of(x, log_q)[near].exp(), color=BLACK, linestyle=":", linewidth=1.5
        )
    left.set(xlabel="x_{t-1}", ylabel="q(x_{t-1} | x_t), dotted: Gaussian")
    left.legend()
    betas = torch.logspace(-2, -0.05, 30, dtype=torch.float64).tolist()
    third = third_derivative(DATA, PLACE)
    limit = [(beta / (1 - beta)) ** 3 * third**2 / 12 for beta in betas]
    right.loglog(
        betas, [divergence(DATA, beta) for beta in betas], color=BLUE, label="reverse step"
    )
    right.loglog(betas[:20], limit[:20], color=BLACK, linestyle=":", label="limit for small beta")
    right.set(xlabel="beta", ylabel="KL from a Gaussian, nats")
    right.legend()
    ratios = []
    for v in (0.002, 0.001):
        *_, skewness = moments(*reverse_step(DATA, v / (1 + v)))
        ratios.append(skewness / (v**1.5 * third))
    *_, skewness = moments(*reverse_step(DATA, 0.01))
    small = skewness**2 / 12
    return Demonstration(
        title="The reverse step is Gaussian only for a small beta",
        formula=(
            "KL(q(x_{t-1} | x_t) || Gaussian) = v^3 ((log p)''')^2 / 12 (1 + O(v)),   v = beta / (1"
            " - beta)"
        ),
        sentence=(
            "One large step back has two modes, which no Gaussian can be; its divergence from a "
            "Gaussian falls with the third power of beta, so that many small steps may be Gaussian."
        ),
        values=(
            # Twice the second ratio minus the first removes the term that is linear in v. The error
            # that is left is of order v^2.
            exact("skewness / limit, v -> 0", 2 * ratios[1] - ratios[0], 1, tolerance=1e-4),
            exact("KL / (skewness^2 / 12) at beta = 0.01", divergence(DATA, 0.01) / small, 1, 0.05),
            exact("KL for a Gaussian p at beta = 0.9", divergence(GAUSSIAN, 0.9), 0),
        ),
        figure=figure,
    )
