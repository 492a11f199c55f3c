r"""Priors p(z) of d latents that are learnt with the model.

    GaussianMixture    p(z) = sum_k pi_k N(z; mu_k, diag s_k^2)
    VampPrior          p(z) = 1/C sum_k q(z|u_k),  pseudo-inputs u_k in [-1, 1]^D      (Tomczak and Welling, eq. 9)
    FlowPrior          log p(z) = log N(f(z); 0, I) + log|det df/dz|,  f affine couplings

The prior that is best for a decoder and an encoder is the mean of q(z|x) over the data, the
aggregate posterior, which VampPrior imitates by few images that are learnt.

References:
    Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP. arXiv:1605.08803
    Tomczak, Welling (2018), VAE with a VampPrior. arXiv:1705.07120
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn

from genbench.formulas.likelihood import gaussian_log_density, sum_dims
from genbench.formulas.mixtures import DiagonalMixture
from genbench.formulas.priors import Reals
from genbench.nets.bijections.bijection import Chain
from genbench.nets.bijections.coupling import AffineCoupling, parity_mask
from genbench.nets.net import NetFactory
from genbench.nets.posteriors import GaussianPosterior, Parts, Posterior
from genbench.rng import Rng
from genbench.spec import Shape

__all__ = [
    "Encode",
    "FlowPrior",
    "GaussianMixture",
    "LearntPrior",
    "LearntPriorFactory",
    "VampPrior",
]

# An encoder maps images u, reals (C, *shape), to what q(z|u) is made of, (C, ...) each.
Encode = Callable[[Tensor], Parts]
# Quantiles and norm of a flow are estimated by this many draws.
_DRAWS = 10_000


class LearntPrior(nn.Module, ABC):
    """The parameters of p(z).

    The constructor of every prior begins with `(shape: Shape, latent: int)`: the model gives these
    two, the configuration gives the rest.
    """

    @abstractmethod
    def law(self, encode: Encode) -> Reals:
        """p(z) with the parameters of now, through which gradients go.

        Args:
            encode: Reals (C, *shape) -> what q(z|u) is made of.
        """

    def check(self, posterior: Posterior) -> None:
        """Check that this prior can be learnt beside a posterior.

        Raises:
            ValueError: It needs more of q(z|x) than that offers.
        """


class GaussianMixture(LearntPrior):
    """Gaussians of diagonal covariances, of weights pi.

    Args:
        shape: Shape of an image.
        latent: d.
        components: Number of Gaussians.
    """

    def __init__(self, shape: Shape, latent: int, components: int = 10) -> None:
        super().__init__()
        _check_components(components)
        self.mean = nn.Parameter(torch.randn(components, latent))
        self.log_s = nn.Parameter(torch.zeros(components, latent))
        self.logits = nn.Parameter(torch.zeros(components))

    def law(self, encode: Encode) -> Reals:
        return DiagonalMixture(self.mean, self.log_s, self.logits.log_softmax(0))


class VampPrior(LearntPrior):
    """The mean of q(z|u_k) over pseudo-inputs (Tomczak and Welling, section 2.2).

    Args:
        shape: Shape of an image.
        latent: d.
        components: Number of pseudo-inputs.
    """

    def __init__(self, shape: Shape, latent: int, components: int = 50) -> None:
        super().__init__()
        _check_components(components)
        self.w = nn.Parameter(torch.randn(components, *shape))

    def law(self, encode: Encode) -> Reals:
        # u lies within the range of pixels.
        mean, log_s = encode(torch.tanh(self.w))
        return DiagonalMixture(mean, log_s, mean.new_full((len(mean),), -math.log(len(mean))))

    def check(self, posterior: Posterior) -> None:
        if not isinstance(posterior, GaussianPosterior):
            raise ValueError(
                "posterior: VampPrior needs q(z|x) at any z, which Diagonal and Isotropic have, not"
                f" {type(posterior).__name__}"
            )


def _check_components(components: int) -> None:
    if components < 1:
        raise ValueError(f"components is at least 1, not {components}")


class FlowPrior(LearntPrior):
    """Normal noise through affine couplings of the even and of the odd latents, in turn
    (Dinh et al., section 3.2).

    Args:
        shape: Shape of an image.
        latent: d, at least 2.
        net: Network of a coupling, (d, 1, 1) -> (2d, 1, 1).
        couplings: Number of couplings.
    """

    def __init__(self, shape: Shape, latent: int, net: NetFactory, couplings: int = 4) -> None:
        super().__init__()
        if latent < 2:
            raise ValueError(
                f"FlowPrior: latent is at least 2, not {latent}: one has none to couple"
            )
        if couplings < 2:
            raise ValueError(
                f"FlowPrior: couplings is at least 2, not {couplings}: a coupling leaves half of the"
                " entries alone"
            )
        self.d = latent
        entries = (latent, 1, 1)
        self.f = Chain(
            AffineCoupling.with_net(parity_mask(entries, i % 2), net, 0) for i in range(couplings)
        )

    def law(self, encode: Encode) -> Reals:
        return _Transformed(self.f, self.d)


class _Transformed(Reals):
    """z = f^{-1}(eps), eps ~ N(0, I).

    Args:
        f: Bijection of (d, 1, 1).
        d: Entries of z.
    """

    name = "a flow"

    def __init__(self, f: Chain, d: int) -> None:
        self.f = f
        self.d = d

    def log_density(self, z: Tensor) -> Tensor:
        eps, log_det = self.f(z[..., None, None])
        zero = torch.zeros_like(eps)
        return (sum_dims(gaussian_log_density(eps, zero, zero)) + log_det)[:, None]

    def draw(self, rng: Rng, shape: tuple[int, ...]) -> Tensor:
        eps = rng.normal((math.prod(shape), 1, 1))
        return self.f.inverse(eps).flatten(1).unflatten(1, shape)

    @cached_property
    def _drawn(self) -> Tensor:
        """Draws from fixed streams, (n, d)."""
        parameter = next(self.f.parameters())
        rng = Rng(0, range(_DRAWS), parameter.dtype, parameter.device).split("quantiles")
        with torch.no_grad():
            return self.draw(rng, (self.d,))

    def quantiles(self, score: Tensor, dims: int) -> Tensor:
        """Quantiles of 10,000 draws, since no closed form is known."""
        share = torch.special.ndtr(score).to(self._drawn)
        return torch.quantile(self._drawn, share, dim=0)

    def norm(self, dims: int) -> float:
        """The norm of 10,000 draws, the root of the mean of |z|^2."""
        return math.sqrt(float(self._drawn.square().sum(1).mean()))


# A factory makes p(z) for the shape of an image and a number of latents.
LearntPriorFactory = Callable[[Shape, int], LearntPrior]
