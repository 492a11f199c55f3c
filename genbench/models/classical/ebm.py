r"""Energy model: a density of reals whose logarithm is a network, but for a constant.

    p(v) = exp(-E(v)) / Z,    E(v) = f(v) / T + |v|^2 / (2 s^2)          v in R^D;  f a network with one output

The second term is a Gaussian that f tilts: with it Z is finite as long as f falls no faster. Energies
of images are steep, and with a small T a network of moderate outputs has them. An integer pixel fills
its cell, of width 2 / (levels - 1) around its real.

Nobody computes Z. Its gradient is a mean over p, of which chains of Langevin (`genbench.formulas.langevin`) are draws, nearly:

    -d log p(v) = dE(v) - E_{v' ~ p} dE(v'),   by loss = f(v) - f(v') + alpha (f(v)^2 + f(v')^2)

    v'      after `steps` steps of size eps from where the chain was at a batch before; now and then one begins anew,
            in uniform noise on [-1, 1]^D                                      (Du & Mordatch, algorithm 1)
    alpha   keeps f near 0, where gradients are moderate: p does not depend on a constant in f

Chains of so few steps do not reach p where it has far modes, and they have a finite eps. What is learnt
is an E whose short chains end at the data (Nijkamp et al.); samples are the ends of such chains from
noise, whose density has no formula: it is implicit, while E ranks images, up to a constant.

References:
    Du, Mordatch (2019), Implicit generation and generalization in energy-based models. arXiv:1903.08689
    Nijkamp, Hill, Zhu, Wu (2019), Learning non-convergent non-persistent short-run MCMC toward
        energy-based model. arXiv:1904.09770
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genbench.batch import ImageBuffer
from genbench.formulas.langevin import langevin_step
from genbench.formulas.likelihood import sum_dims
from genbench.model import GenerativeModel
from genbench.nets.net import NetFactory
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["EnergyModel"]


class EnergyModel(GenerativeModel):
    """Implicit density: samples are where chains in a learnt energy end.

    Args:
        spec: The images.
        net: f, reals (C, H, W) -> (1,).
        optimizer: Optimizer of f.
        steps: Langevin steps of a chain between two batches.
        eps: Size of a step, in the square of the unit of the reals: about the square of the finest
            detail, and less.
        temperature: T.
        scale: s, the standard deviation of the Gaussian.
        alpha: Weight of the squares of f.
        chains: Persistent Markov chains, at least as many as a batch has images. They are saved and
            resumed.
        restart: Probability that a chain begins anew.
    """

    likelihood = None

    def __init__(
        self,
        spec: Spec,
        net: NetFactory,
        optimizer: OptimizerFactory,
        steps: int = 20,
        eps: float = 1e-3,
        temperature: float = 1.0,
        scale: float = 1.0,
        alpha: float = 0.01,
        chains: int = 2_000,
        restart: float = 0.05,
    ) -> None:
        super().__init__(spec, optimizer)
        if min(steps, chains) < 1:
            raise ValueError(f"steps and chains are at least 1, not {steps} and {chains}")
        if min(eps, temperature, scale) <= 0 or alpha < 0:
            raise ValueError(
                "eps, temperature and scale are positive and alpha is not negative, not"
                f" {eps:g}, {temperature:g}, {scale:g} and {alpha:g}"
            )
        if not 0 <= restart <= 1:
            raise ValueError(f"restart is a probability, not {restart:g}")
        self.net = net(spec.shape, (1,), 0)
        self.steps = steps
        self.eps = eps
        self.T = temperature
        self.scale = scale
        self.alpha = alpha
        self.restart = restart
        self.chains = ImageBuffer(2 * torch.rand(chains, *spec.shape) - 1)

    def energy(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """E at the reals of integer images, (B,) nats: -log p but for a constant."""
        return self.energy_of_reals(self.to_real(x))

    def energy_of_reals(self, v: Tensor) -> Tensor:
        """E(v), (B, C, H, W) -> (B,) nats."""
        return self.net(v)[:, 0] / self.T + sum_dims(v.square()) / (2 * self.scale**2)

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """f(v) - f(v') and alpha times their squares, whose gradient is T times that of -log p where
        alpha is 0 and the chains have reached p: the Gaussian has nothing to learn.
        """
        width = 2 / (self.spec.levels - 1)
        v = self.to_real(x) + width * (rng.uniform(self.spec.shape) - 0.5)
        chain = self.chains.read(rng).to(v)
        restarts = rng.uniform((1, 1, 1)) < self.restart
        chain = torch.where(restarts, 2 * rng.uniform(self.spec.shape) - 1, chain)
        for z in rng.normal((self.steps, *self.spec.shape)).unbind(1):
            chain = langevin_step(self.energy_of_reals, chain, self.eps, z)
        self.chains.keep(rng, chain)
        data = self.net(v)[:, 0]
        model = self.net(chain)[:, 0]
        squares = (data.square() + model.square()).mean()
        difference = data.mean() - model.mean()
        return {
            "loss": difference + self.alpha * squares,
            "difference": difference,
            "data": data.mean(),
        }

    @torch.no_grad()
    def trajectory(
        self, x: Tensor, rng: Rng, y: Tensor | None = None, steps: int = 500
    ) -> Iterator[Tensor]:
        """A chain from uniform noise.

        Args:
            x: Standard normal, which makes the uniform noise.
            rng: One stream per image.
            y: Not looked at.
            steps: Langevin steps, of the size of training.
        """
        if steps < 1:
            raise ValueError(f"steps is at least 1, not {steps}")
        v = 2 * torch.special.ndtr(x) - 1
        for _ in range(steps):
            v = langevin_step(self.energy_of_reals, v, self.eps, rng.normal(v.shape[1:]))
            yield v
