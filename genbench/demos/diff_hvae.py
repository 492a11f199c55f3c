"""Diffusion is a hierarchical VAE with a fixed encoder: its bound is a sum of KL terms, and depth tightens it.

    E[-log p(x_0)] <= E_q [log q(x_{1:T} | x_0) / p(x_{0:T})] = L_T + sum_{t=2}^T L_{t-1} + L_0

The log signal-to-noise ratio falls evenly along the chain. Data x_0 ~ N(0, c^2) make everything Gaussian. The exact denoiser is
E[x_0 | x_t] = k_t x_t, and x_0 given x_t has the variance u_t:

    k_t = alpha_t c^2 / (alpha_t^2 c^2 + sigma_t^2),    u_t = c^2 sigma_t^2 / (alpha_t^2 c^2 + sigma_t^2)
    L_T     = (sigma_T^2 + alpha_T^2 c^2 - 1 - log sigma_T^2) / 2
    L_{t-1} = A_t^2 u_t / (2 v_t),  where q(x_{t-1} | x_t, x_0) = N(A_t x_0 + B_t x_t, v_t)
    L_0     = log(2 pi e u_1) / 2,  with p(x_0 | x_1) = N(k_1 x_1, u_1)

The middle expression is computed from the covariances of the T + 1 variables under q and under p, as
H(q(x_0)) + KL(q(x_{0:T}) || p(x_{0:T})).

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models, eq. 5. arXiv:2006.11239
    Kingma, Salimans, Poole, Ho (2021), Variational diffusion models. arXiv:2107.00630
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, panels
from genbench.formulas.chain import Chain
from genbench.formulas.noise import Level
from genbench.formulas.samplers import ancestral_step

__all__ = ["demonstrate"]

c = 0.5
ENTROPY = 0.5 * math.log(2 * math.pi * math.e * c**2)


def levels(T: int) -> list[Level]:
    """The levels 0, 1, ..., T of a chain whose log SNR falls evenly from 6 to -12."""
    abar = torch.linspace(6, -12, T, dtype=torch.float64).sigmoid()
    chain = Chain(torch.cat((torch.ones(1, dtype=torch.float64), abar)))
    return [chain.level(t / T) for t in range(T + 1)]


def posterior(level: Level) -> tuple[float, float]:
    """k_t and u_t."""
    total = level.alpha**2 * c**2 + level.sigma**2
    return level.alpha * c**2 / total, c**2 * level.sigma**2 / total


def step(t: Level, s: Level) -> tuple[float, float, float]:
    """A_t, B_t and v_t of q(x_s | x_t, x_0)."""
    zero = torch.zeros(1, dtype=torch.float64)
    A, v = ancestral_step(zero, zero + 1, t, s)
    B, _ = ancestral_step(zero + 1, zero, t, s)
    return float(A), float(B), v


def terms(T: int) -> list[float]:
    """L_0, L_1, ..., L_T, nats."""
    chain = levels(T)
    parts = [0.5 * math.log(2 * math.pi * math.e * posterior(chain[1])[1])]
    for t in range(2, T + 1):
        A, _, v = step(chain[t], chain[t - 1])
        parts.append(A**2 * posterior(chain[t])[1] / (2 * v))
    noise = chain[T]
    parts.append(0.5 * (noise.sigma**2 + noise.alpha**2 * c**2 - 1) - math.log(noise.sigma))
    return parts


def covariances(T: int) -> tuple[Tensor, Tensor]:
    """Covariances of x_0, ..., x_T under q and under p, (T + 1, T + 1) each."""
    chain = levels(T)
    # A row writes one variable as a combination of independent standard normals.
    q = torch.zeros(T + 1, T + 1, dtype=torch.float64)
    p = torch.zeros_like(q)
    q[0, 0] = c
    for t in range(1, T + 1):
        ratio = chain[t].alpha / chain[t - 1].alpha
        q[t] = ratio * q[t - 1]
        q[t, t] = math.sqrt(1 - ratio**2)
    p[T, T] = 1.0
    for t in range(T, 0, -1):
        k, u = posterior(chain[t])
        A, B, v = step(chain[t], chain[t - 1]) if t > 1 else (1.0, 0.0, u)
        p[t - 1] = (A * k + B) * p[t]
        p[t - 1, t - 1] = math.sqrt(v)
    return q @ q.T, p @ p.T


def direct(T: int) -> Tensor:
    """H(q(x_0)) + KL(q || p) over all T + 1 variables, nats."""
    q, p = covariances(T)
    trace = torch.linalg.solve(p, q).trace()
    return ENTROPY + 0.5 * (trace - (T + 1) + torch.logdet(p) - torch.logdet(q))


def demonstrate(seed: int = 0) -> Demonstration:
    """The bound both ways, its terms, and its gap over the depth T.

    Args:
        seed: Not used: nothing is random.
    """
    depths = [4, 8, 16, 32, 64, 128, 256, 512]
    gaps = [sum(terms(T)) - ENTROPY for T in depths]
    parts = terms(20)
    figure, (left, right) = panels(2)
    left.bar(range(2, 21), parts[1:-1], color=BLUE)
    left.set(xlabel="t", ylabel="L_{t-1}, nats (T = 20)", xticks=range(2, 21, 3))
    right.loglog(depths, gaps, "o-", color=BLUE, label="bound - entropy of the data")
    slope = [gaps[-1] * depths[-1] / T for T in depths]
    right.loglog(depths, slope, color=BLACK, linestyle=":", label="proportional to 1 / T")
    right.set(xlabel="depth T", ylabel="nats")
    right.legend()
    order = math.log2(gaps[-2] / gaps[-1])
    return Demonstration(
        title="The bound of diffusion is a sum of KL terms, and depth tightens it",
        formula=(
            "E[-log p(x_0)] <= L_T + sum_{t=2}^T L_{t-1} + L_0 = H(q(x_0)) + KL(q(x_{0:T}) ||"
            " p(x_{0:T}))"
        ),
        sentence=(
            "The sum of the KL terms of the steps is the bound of one VAE with T layers of latents;"
            " with an exact denoiser its gap falls as 1 / T: depth costs nothing but steps."
        ),
        values=(
            exact("bound by covariances, T = 4", direct(4), sum(terms(4))),
            exact("bound by covariances, T = 20", direct(20), sum(parts)),
            exact("bound by covariances, T = 100", direct(100), sum(terms(100)), tolerance=1e-7),
            exact("order in 1 / T, from T = 256 to 512", order, 1, tolerance=0.05),
        ),
        figure=figure,
    )
