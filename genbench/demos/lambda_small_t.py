"""The weights lambda_t of the variational bound are very large for small t.

    L_{t-1} = lambda_t E |eps - eps_hat|^2,    lambda_t = beta_t^2 / (2 sigma_t^2 (1 - beta_t) (1 - abar_t)),    t >= 2

with sigma_t^2 the posterior variance (1 - abar_{t-1}) / (1 - abar_t) beta_t. In the signal-to-noise ratio SNR_t = abar_t / (1 - abar_t),

    lambda_t = (SNR_{t-1} / SNR_t - 1) / 2

At t = 1 it would be infinite, and the bound has L_0 instead, a decoder of integer pixels. L_simple sets every weight to 1, and
so gives the small t, where hardly anything is left to denoise, a far smaller share.

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models, eq. 12. arXiv:2006.11239
    Kingma, Salimans, Poole, Ho (2021), Variational diffusion models. arXiv:2107.00630
"""

from __future__ import annotations

import torch

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, ORANGE, panels
from genbench.formulas.chain import bound_tables
from genbench.formulas.noise import Linear

__all__ = ["demonstrate"]

T = 1000


def demonstrate(seed: int = 0) -> Demonstration:
    """The weights of the chain of Ho et al., and the share of small t.

    Args:
        seed: Not used: nothing is random.
    """
    beta = Linear().betas(T)
    tables = bound_tables(beta, "posterior")
    abar = tables["abar"][1:]
    t = torch.arange(2, T + 1)
    lambda_t = tables["weight"][2:]
    snr = abar / (1 - abar)
    by_snr = (snr[:-1] / snr[1:] - 1) / 2
    share = lambda_t.cumsum(0) / lambda_t.sum()
    figure, (left, right) = panels(2)
    left.loglog(t, lambda_t, color=BLUE, label="bound: lambda_t")
    left.axhline(float(lambda_t.mean()), color=ORANGE, linestyle="--", label="L_simple: one weight")
    left.set(xlabel="t", ylabel="weight of |eps - eps_hat|^2")
    right.plot(t, share, color=BLUE, label="bound")
    right.plot([0, T], [0, 1], color=ORANGE, linestyle="--", label="L_simple")
    right.plot([100], [float(share[98])], "o", color=BLACK)
    right.annotate(
        f"{float(share[98]):.0%} at t = 100",
        (100, float(share[98])),
        (480, 0.2),
        arrowprops={"arrowstyle": "-", "color": BLACK},
    )
    right.set(xlabel="t", ylabel="share of the weights up to t")
    for axes in (left, right):
        axes.legend()
    relative = (lambda_t / by_snr - 1).abs().max()
    second = float(beta[1])
    known_first = second / (2 * (1 - second) * 1e-4)
    known_last = 0.02 / (2 * 0.98 * float(1 - abar[-2]))
    return Demonstration(
        title="lambda_t is very large for small t",
        formula=(
            "lambda_t = beta_t^2 / (2 sigma_t^2 (1 - beta_t) (1 - abar_t)) = (SNR_{t-1} / SNR_t -"
            " 1) / 2"
        ),
        sentence=(
            f"The bound gives the first tenth of the steps {float(share[98]):.0%} of all weight: t"
            f" = 2 has {known_first / known_last:.0f} times the weight of t = 1000. L_simple weighs"
            " all steps alike."
        ),
        values=(
            exact("largest relative difference of the two forms", relative, 0),
            exact("lambda_2", lambda_t[0], known_first),
            exact("lambda_1000", lambda_t[-1], known_last),
            exact("share of t <= 100", share[98], by_snr[:99].sum() / by_snr.sum()),
        ),
        figure=figure,
    )
