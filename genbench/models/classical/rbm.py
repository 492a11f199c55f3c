r"""Restricted Boltzmann machine: binary pixels v, binary hidden units h, and weights between them.

    E(v, h) = -b.v - c.h - v W h                           v in {0, 1}^D,  h in {0, 1}^H,  p(v, h) = exp(-E(v, h)) / Z
    F(v) = -b.v - sum_j log(1 + exp(c_j + (v W)_j))        free energy: p(v) = exp(-F(v)) / Z
    p(h_j = 1 | v) = sigma(c_j + (v W)_j),   p(v_i = 1 | h) = sigma(b_i + (W h)_i)                       block Gibbs

Learning follows a gradient of which one part is over images v' of a Markov chain of Gibbs sweeps:

    -d log p(v) = dF(v) - E_{v' ~ p} dF(v'),   by loss = F(v) - F(v')

    CD-k    k sweeps from v itself (Hinton, section 3)
    PCD     k sweeps from where the chain was at the batch before (Tieleman, section 2.3): each image of a batch has a chain

Z by annealed importance sampling from independent pixels with log odds a, those of the training
images (Salakhutdinov & Murray, eqs. 13 to 17); unbiased at any T, so that log Z is too low on average:

    f_t(v) = exp(((1 - t) a + t b).v) prod_j (1 + exp(t (c_j + (v W)_j))),   0 = t_0 < ... < t_T = 1,   Z_0 = 2^H prod_i (1 + e^{a_i})
    v_0 ~ f_0,   v_n by a sweep that leaves f_{t_n} invariant,   log w = sum_n log f_{t_n}(v_{n-1}) - log f_{t_{n-1}}(v_{n-1})
    Z = Z_0 E w,   and samples are what such chains end at

References:
    Hinton (2002), Training products of experts by minimizing contrastive divergence. Neural
        Computation 14
    Tieleman (2008), Training restricted Boltzmann machines using approximations to the likelihood
        gradient. ICML
    Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.batch import Batch, ImageBuffer
from genbench.formulas.ais import temperatures
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["RBM"]


class RBM(GenerativeModel):
    """Binary images by weights between pixels and hidden units.

    Args:
        spec: The images, of two levels.
        optimizer: Optimizer of W, b and c.
        hidden: Number H of hidden units.
        k: Sweeps of Gibbs for each step.
        chains: Persistent Markov chains, at least as many as a batch has images; 0: contrastive
            divergence, whose chains begin at the images. They are saved and resumed bit for bit on any
            number of processes; the weights that they meet there differ by rounding, as sums are
            taken in other parts, and a bit drawn near its probability may then flip.
        ais_chains: Chains by which log Z is estimated at the end.
        ais_temperatures: T, their steps.
    """

    likelihood = "estimate"
    a: Tensor
    log_z: Tensor
    log_z_error: Tensor

    def __init__(
        self,
        spec: Spec,
        optimizer: OptimizerFactory,
        hidden: int = 128,
        k: int = 1,
        chains: int = 100,
        ais_chains: int = 500,
        ais_temperatures: int = 2_000,
    ) -> None:
        super().__init__(spec, optimizer)
        if spec.levels != 2:
            raise ValueError(
                f"an RBM needs data of 2 levels, as BinaryDigits has, not {spec.levels}"
            )
        if min(hidden, k, ais_temperatures) < 1 or ais_chains < 2 or chains < 0:
            raise ValueError(
                "hidden, k and ais_temperatures are at least 1, ais_chains at least 2 and chains"
                f" at least 0, not {hidden}, {k}, {ais_temperatures}, {ais_chains} and {chains}"
            )
        self.k = k
        self.ais = (ais_temperatures, ais_chains)
        # small weights at first (Hinton 2010, A practical guide, section 8)
        self.W = nn.Parameter(0.01 * torch.randn(spec.dims, hidden))
        self.b = nn.Parameter(torch.zeros(spec.dims))
        self.c = nn.Parameter(torch.zeros(hidden))
        self.chains: ImageBuffer | None = None
        if chains:
            self.chains = ImageBuffer(torch.randint(2, (chains, spec.dims), dtype=spec.dtype))
        self.register_buffer("a", torch.zeros(spec.dims))
        self.register_buffer("log_z", torch.zeros((), dtype=torch.float64))
        self.register_buffer("log_z_error", torch.zeros((), dtype=torch.float64))

    # --- the model --------------------------------------------------------------------------------

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) of binary reals v, (B, D) -> (B,) nats."""
        return -v @ self.b - F.softplus(self.c + v @ self.W).sum(1)

    def energy(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """F(v) of integer images, (B,) nats."""
        return self.free_energy(self._flat(x))

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None
    ) -> dict[str, Tensor]:
        """-log p(x) = F(v) + log Z, (B,) nats each."""
        return {"free_energy": self.energy(x), "log_Z": self.log_z.expand(len(x))}

    def shared_error(self) -> float:
        """Standard error of log Z, nats."""
        return float(self.log_z_error)

    # --- learning ---------------------------------------------------------------------------------

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """F(v) - F(v'), whose gradient is that of -log p(v) where the chain has reached p."""
        v = self._flat(x)
        chain = v if self.chains is None else self.chains.read(rng).to(v)
        with torch.no_grad():
            for _ in range(self.k):
                chain = self.sweep(chain, rng)
        if self.chains is not None:
            self.chains.keep(rng, chain)
        data = self.free_energy(v).mean()
        model = self.free_energy(chain).mean()
        return {"loss": data - model, "data": data, "model": model}

    def sweep(self, v: Tensor, rng: Rng, t: float = 1.0) -> Tensor:
        """Draw h given v, then v given h, (B, D) -> (B, D): leaves f_t invariant, p at t = 1."""
        return self._draw_v(self.c + v @ self.W, rng, t)

    def _draw_v(self, inputs: Tensor, rng: Rng, t: float) -> Tensor:
        """A sweep from the inputs c + v W of the hidden units, (B, H) -> (B, D)."""
        h = (rng.uniform(self.c.shape) < torch.sigmoid(t * inputs)).to(inputs)
        log_odds = torch.lerp(self.a, self.b + h @ self.W.T, t)
        return (rng.uniform(self.b.shape) < torch.sigmoid(log_odds)).to(inputs)

    # --- annealing --------------------------------------------------------------------------------

    def anneal(self, v: Tensor, rng: Rng, T: int) -> Iterator[tuple[Tensor, Tensor]]:
        """v_n, (B, D), and what the step adds to log w, (B,), for n = 1, ..., T, from v_0."""
        for before, now in pairwise(temperatures(T)):
            inputs = self.c + v @ self.W
            ratio = F.softplus(now * inputs) - F.softplus(before * inputs)
            gain = (now - before) * (v @ (self.b - self.a)) + ratio.sum(1)
            v = self._draw_v(inputs, rng, now)
            yield v, gain

    @torch.no_grad()
    def trajectory(
        self, x: Tensor, rng: Rng, y: Tensor | None = None, steps: int = 200
    ) -> Iterator[Tensor]:
        """Annealed Gibbs sampling from independent pixels.

        Args:
            x: Standard normal, which makes v_0.
            rng: One stream per image.
            y: Not looked at.
            steps: T, temperatures on the way.
        """
        if steps < 1:
            raise ValueError(f"steps is at least 1, not {steps}")
        v = (torch.special.ndtr(x.flatten(1)) < torch.sigmoid(self.a)).to(self.dtype)
        for state, _ in self.anneal(v, rng, steps):
            yield self.to_real(state.view_as(x))

    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """a by the training images, then log Z."""
        self.estimate(batches, rng, *self.ais)

    def finalize_preview(self, batches: Iterable[Batch], rng: Rng) -> None:
        """The same by few chains of few temperatures."""
        self.estimate(batches, rng, T=100, chains=64)

    @torch.no_grad()
    def estimate(self, batches: Iterable[Batch], rng: Rng, T: int, chains: int) -> None:
        """a, and log Z with its standard error, to first order the relative one of the mean weight."""
        images = torch.cat([self._flat(x) for x, _, _ in batches])
        self.a.copy_(torch.logit((images.sum(0) + 1) / (len(images) + 2)))  # no pixel is certain
        log_w = self.log_weights(Rng(int(rng.bits()), range(chains), rng.dtype, rng.device), T)
        log_Z_0 = len(self.c) * math.log(2) + F.softplus(self.a.double()).sum()
        w = (log_w - log_w.max()).exp()
        self.log_z.copy_(log_Z_0 + log_w.max() + w.mean().log())
        self.log_z_error.copy_(w.std() / w.mean() / math.sqrt(chains))

    @torch.no_grad()
    def log_weights(self, rng: Rng, T: int) -> Tensor:
        """log w of one annealed chain per stream, float64 (len(rng),)."""
        v = (rng.uniform(self.a.shape) < torch.sigmoid(self.a)).to(self.dtype)
        log_w = torch.zeros(len(rng), dtype=torch.float64, device=v.device)
        for _, gain in self.anneal(v, rng, T):
            log_w = log_w + gain
        return log_w

    def _flat(self, x: Tensor) -> Tensor:
        """Integer images -> binary reals, (B, D)."""
        return x.flatten(1).to(self.dtype)
