"""Two gradients of an expectation: through the sample, and through the density.

For z ~ N(m, s^2 I) in d dimensions and f(z) = |z|^2, the derivative of E f = d (m^2 + s^2) in m_1 is 2 m. Two estimates by one draw
z = m + s eps:

    pathwise          d f(m + s eps) / d m_1 = 2 z_1                            variance 4 s^2
    score function    f(z) d log N(z; m, s^2 I) / d m_1 = f(z) eps_1 / s        variance below

    E (f eps_1 / s)^2 - 4 m^2,    E f^2 eps_1^2 = A + 2 B (d - 1) C + V
    A = E z_1^4 eps_1^2 = m^4 + 18 m^2 s^2 + 15 s^4,    B = E z_1^2 eps_1^2 = m^2 + 3 s^2,    C = m^2 + s^2
    V = E (z_2^2 + ... + z_d^2)^2 = (d - 1) (4 m^2 s^2 + 2 s^4) + (d - 1)^2 C^2

The first does not depend on d; the second grows with its square.

References:
    Kingma, Welling (2014), Auto-encoding variational Bayes, section 2.4. arXiv:1312.6114
    Williams (1992), Simple statistical gradient-following algorithms (REINFORCE). Machine Learning 8
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, average, exact
from genbench.demos.drawing import BLUE, ORANGE, panels
from genbench.formulas.likelihood import gaussian_log_density
from genbench.rng import Rng

__all__ = ["demonstrate"]

m = 1.0
s = 1.0
DRAWS = 20_000


def gradients(d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Both estimates of the derivative in m_1, one per draw: (DRAWS,) each."""
    eps = Rng(seed, range(DRAWS)).split("eps", d).normal((d,)).double()
    mean = torch.full_like(eps, m, requires_grad=True)
    z = mean + s * eps
    (pathwise,) = torch.autograd.grad(z.square().sum(), mean)
    fixed = z.detach()
    log_q = gaussian_log_density(fixed, mean, torch.full_like(fixed, s).log()).sum(1)
    f = fixed.square().sum(1)
    (score,) = torch.autograd.grad((f * log_q).sum(), mean)
    return pathwise[:, 0], score[:, 0]


def score_variance(d: int) -> float:
    """Variance of the estimate by the score function, in closed form."""
    A = m**4 + 18 * m**2 * s**2 + 15 * s**4
    B = m**2 + 3 * s**2
    C = m**2 + s**2
    V = (d - 1) * (4 * m**2 * s**2 + 2 * s**4) + (d - 1) ** 2 * C**2
    return (A + 2 * B * (d - 1) * C + V) / s**2 - 4 * m**2


def demonstrate(seed: int = 0) -> Demonstration:
    """Means and variances of both, over the number of dimensions.

    Args:
        seed: Seed of the draws.
    """
    dims = [1, 2, 4, 8, 16, 32]
    draws = {d: gradients(d, seed) for d in dims}
    figure, (left, right) = panels(2)
    bins = torch.linspace(-30, 40, 71).tolist()
    for values, colour, label in zip(draws[1], (BLUE, ORANGE), ("pathwise", "score function")):
        left.hist(values, bins, color=colour, alpha=0.6, histtype="stepfilled", label=label)
    left.axvline(2 * m, color="black", linestyle=":", label="true gradient")
    left.set(xlabel="estimate of the gradient, d = 1", ylabel="draws", yscale="log")
    right.loglog(dims, [4 * s**2 for _ in dims], color=BLUE)
    right.loglog(dims, [score_variance(d) for d in dims], color=ORANGE, linestyle="--")
    measured = [[float(value.var()) for value in draws[d]] for d in dims]
    right.loglog(dims, [pair[0] for pair in measured], "s", color=BLUE, label="pathwise")
    right.loglog(dims, [pair[1] for pair in measured], "o", color=ORANGE, label="score function")
    right.set(xlabel="dimensions d of z", ylabel="variance of one draw")
    right.set_xticks(dims, [str(d) for d in dims])
    for axes in (left, right):
        axes.legend()
    pathwise, score = draws[1]
    of_path, of_score = draws[32]
    return Demonstration(
        title="The gradient through the sample has the smaller variance",
        formula="d/dm E f(z) = E d f(m + s eps)/dm = E f(z) d log q(z)/dm",
        sentence=(
            "Both estimates are right on average. In one dimension the score function has "
            f"{score_variance(1) / (4 * s**2):g} times the variance, in 32 dimensions "
            f"{score_variance(32) / (4 * s**2):,.0f} times, and a VAE has many latents."
        ),
        values=(
            average("mean of the pathwise gradient, d = 1", pathwise, 2 * m),
            average("mean of the score-function gradient, d = 1", score, 2 * m),
            average("variance, pathwise, d = 1", (pathwise - 2 * m) ** 2, 4 * s**2),
            average("variance, score function, d = 1", (score - 2 * m) ** 2, score_variance(1)),
            average("variance, pathwise, d = 32", (of_path - 2 * m) ** 2, 4 * s**2),
            average(
                "variance, score function, d = 32", (of_score - 2 * m) ** 2, score_variance(32)
            ),
            exact("ratio of the variances, d = 1", score_variance(1) / (4 * s**2), 7.5),
        ),
        figure=figure,
    )
