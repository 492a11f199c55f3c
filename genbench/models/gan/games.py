r"""What the two players of an adversarial game minimise.

A game sees nothing but logits: d(x) of real images x ~ p and d(G(z)) of generated ones, whose
distribution is q. `GAN` has one logit for an image, (B, 1), and `Pix2Pix` one for the patch around
every pixel, (B, 1, H, W); a game takes the mean over all of them. With the discriminator that is
best against q, its value is a divergence of p and q, which the generator makes small.

    game            value V(d), which the discriminator makes large       max_d V
    Minimax         E_p [log D] + E_q [log(1 - D)],  D = sigma(d)         2 JSD(p, q) - log 4
    NonSaturating   the same; the generator minimises -E_q [log D]        2 JSD(p, q) - log 4
    LeastSquares    -E_p [(d - b)^2] / 2 - E_q [(d - a)^2] / 2            -(b - a)^2 / 2 sum pq / (p + q)
    Wasserstein     E_p [d] - E_q [d],  d 1-Lipschitz                     W_1(p, q)
    FDivergence     E_p [g(d)] - E_q [f*(g(d))]                           D_f(p || q)

The last line is the variational bound of an f-divergence D_f(p || q) = E_q [f(p / q)]: f is convex,
f(1) = 0, its conjugate is f*(t) = sup_u {u t - f(u)}, and the output activation g maps a logit into
the domain of f*. The best d solves g(d) = f'(p / q).

    divergence       f(u)                                    g(d)            f*(t)
    KL               u log u                                 d               exp(t - 1)
    ReverseKL        -log u                                  -exp(-d)        -1 - log(-t)
    PearsonChi2      (u - 1)^2                               d               t^2 / 4 + t
    SquaredHellinger (sqrt u - 1)^2                          1 - exp(-d)     t / (1 - t)
    JensenShannon    u log u - (u + 1) log((u + 1) / 2)      log 2 sigma(d)  -log(2 - exp t)

References:
    Goodfellow et al. (2014), Generative Adversarial Networks. arXiv:1406.2661
    Mao et al. (2016), Least Squares Generative Adversarial Networks. arXiv:1611.04076
    Nowozin, Cseke, Tomioka (2016), f-GAN. arXiv:1606.00709
    Arjovsky, Chintala, Bottou (2017), Wasserstein GAN. arXiv:1701.07875
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from genbench.steps import Losses

__all__ = [
    "KL",
    "FDivergence",
    "Game",
    "JensenShannon",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "PearsonChi2",
    "ReverseKL",
    "SquaredHellinger",
    "Wasserstein",
]


class Game(ABC):
    """The losses of both players as functions of logits.

    Attributes:
        lipschitz: Whether the value is a distance only for a discriminator that is 1-Lipschitz.
    """

    lipschitz: bool = False

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Losses:
        """What the discriminator minimises, -V, as entry "loss"; further entries are logged. All
        are scalars.

        Args:
            real: Logits d(x) of real images, (B, 1) or (B, 1, H, W).
            fake: Logits d(G(z)) of generated images, of the same shape.
        """

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """What the generator minimises, a scalar.

        Args:
            fake: Logits d(G(z)) of generated images, (B, 1) or (B, 1, H, W).
        """


class Minimax(Game):
    """Both players play for one value (Goodfellow et al., equation 1)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Losses:
        return _cross_entropy(real, fake)

    def generator(self, fake: Tensor) -> Tensor:
        """E log(1 - D(G(z)))."""
        return -F.softplus(fake).mean()


class NonSaturating(Game):
    """The generator has strong gradients while the discriminator wins (Goodfellow et al., section
    3): the fixed point is that of `Minimax`.
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Losses:
        return _cross_entropy(real, fake)

    def generator(self, fake: Tensor) -> Tensor:
        """-E log D(G(z))."""
        return F.softplus(-fake).mean()


def _cross_entropy(real: Tensor, fake: Tensor) -> Losses:
    """-E log D(x) - E log(1 - D(G(z))): -log sigma(d) is softplus(-d)."""
    loss = F.softplus(-real).mean() + F.softplus(fake).mean()
    return {"loss": loss, "accuracy": _accuracy(real, fake, 0.0)}


def _accuracy(real: Tensor, fake: Tensor, threshold: float) -> Tensor:
    """How often a logit is on its side of a threshold."""
    return 0.5 * ((real > threshold).float().mean() + (fake < threshold).float().mean())


@dataclass(frozen=True)
class LeastSquares(Game):
    """Logits are regressed on targets (Mao et al., equation 2).

    With targets -1 and 1, and 0 for the generator, the criterion of the generator, its loss on real
    and generated images, is half of Pearson's chi^2 of p + q from 2 q (equation 8).

    Args:
        fake_target: a, the target of the discriminator on generated images.
        real_target: b, its target on real images.
        generator_target: c, the target of the generator on generated images.
    """

    fake_target: float = 0.0
    real_target: float = 1.0
    generator_target: float = 1.0

    def __post_init__(self) -> None:
        targets = (self.fake_target, self.real_target, self.generator_target)
        if not all(math.isfinite(target) for target in targets):
            raise ValueError(f"the targets of the game are finite, not {targets}")
        if self.real_target <= self.fake_target:
            raise ValueError(
                f"real_target is above fake_target, not {self.real_target} and {self.fake_target}"
            )
        if self.generator_target <= self.fake_target:
            raise ValueError(
                "generator_target is above fake_target, "
                f"not {self.generator_target} and {self.fake_target}"
            )

    def discriminator(self, real: Tensor, fake: Tensor) -> Losses:
        on_real = (real - self.real_target).square().mean()
        on_fake = (fake - self.fake_target).square().mean()
        middle = (self.real_target + self.fake_target) / 2
        return {
            "loss": 0.5 * (on_real + on_fake),
            "accuracy": _accuracy(real, fake, middle),
        }

    def generator(self, fake: Tensor) -> Tensor:
        return 0.5 * (fake - self.generator_target).square().mean()


class Wasserstein(Game):
    """A distance also of distributions that do not overlap (Arjovsky et al., equation 3)."""

    lipschitz = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Losses:
        distance = real.mean() - fake.mean()
        return {"loss": -distance, "distance": distance}

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True)
class FDivergence(Game):
    """The variational bound of an f-divergence (Nowozin et al., equation 6, tables 2 and 6).

    Args:
        saturating: Whether the generator minimises the bound (Algorithm 1). False: it maximises
            E_q [g(d)], with strong gradients while the discriminator wins (section 3.2).
    """

    saturating: bool = True

    @abstractmethod
    def activation(self, d: Tensor) -> Tensor:
        """g(d), from all reals into the domain of f*."""

    @abstractmethod
    def conjugate(self, d: Tensor) -> Tensor:
        """f*(g(d)), as one function of the logit, so that nothing is rounded in between."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Losses:
        divergence = self.activation(real).mean() - self.conjugate(fake).mean()
        return {"loss": -divergence, "divergence": divergence}

    def generator(self, fake: Tensor) -> Tensor:
        if self.saturating:
            return -self.conjugate(fake).mean()
        return -self.activation(fake).mean()


class KL(FDivergence):
    """KL(p || q)."""

    def activation(self, d: Tensor) -> Tensor:
        return d

    def conjugate(self, d: Tensor) -> Tensor:
        return (d - 1).exp()


class ReverseKL(FDivergence):
    """KL(q || p)."""

    def activation(self, d: Tensor) -> Tensor:
        return -(-d).exp()

    def conjugate(self, d: Tensor) -> Tensor:
        return d - 1


class PearsonChi2(FDivergence):
    """sum (p - q)^2 / q."""

    def activation(self, d: Tensor) -> Tensor:
        return d

    def conjugate(self, d: Tensor) -> Tensor:
        return d.square() / 4 + d


class SquaredHellinger(FDivergence):
    """sum (sqrt p - sqrt q)^2."""

    def activation(self, d: Tensor) -> Tensor:
        return -(-d).expm1()

    def conjugate(self, d: Tensor) -> Tensor:
        return d.expm1()


class JensenShannon(FDivergence):
    """KL(p || m) + KL(q || m) of m = (p + q) / 2: twice the Jensen-Shannon divergence."""

    def activation(self, d: Tensor) -> Tensor:
        return math.log(2) + F.logsigmoid(d)

    def conjugate(self, d: Tensor) -> Tensor:
        return F.softplus(d) - math.log(2)
