r"""Posteriors q(z|x) of d latents, from noise e ~ N(0, I) and what an encoder says of x, the vector h.

    Diagonal     z = m + s e,                                  h = (m, log s)
    Isotropic    z = m + s e, one s for all entries,           h = (m, log s)
    IAF          z_0 = m + s e,  z_t = sigma_t z_{t-1} + (1 - sigma_t) mu_t,    (mu_t, g_t) = net_t(z_{t-1}, c),
                 sigma_t = sigmoid(g_t + 2),                   h = (m, log s, c)      (Kingma et al., Algorithm 1)
    Planar       z_0 = m + s e,  z_t = z_{t-1} + u_t tanh(w_t . z_{t-1} + b_t),
                                                               h = (m, log s, all u_t, w_t, b_t)      (Rezende and Mohamed, eq. 10)

    log q(z|x) = log N(e; 0, I) - log|det dz/de|

An entry of mu_t and g_t depends on earlier entries of z_{t-1} alone, so that dz_t/dz_{t-1} is
triangular, with determinant prod sigma_t; the order of the entries is turned from step to step. All
entries of a draw are computed at once. The density of a z that was not drawn would need the inverse,
an entry at a time, or has none in closed form (planar).

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes. arXiv:1312.6114
    Rezende, Mohamed (2015), Variational inference with normalizing flows. arXiv:1505.05770
    Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling (2016), Improving variational inference with inverse autoregressive flow.
    arXiv:1606.04934
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.formulas.likelihood import gaussian_kl, gaussian_log_density, sum_dims
from genbench.nets.masked_mlp import MaskedMLP

__all__ = [
    "IAF",
    "Diagonal",
    "GaussianPosterior",
    "Isotropic",
    "LogDensity",
    "Parts",
    "Planar",
    "Posterior",
    "PosteriorFactory",
]

# These are what h consists of, the mean m first, (B, ...) each.
Parts = tuple[Tensor, ...]
# This function without arguments gives log q(z|x) of a draw, by its parts.
LogDensity = Callable[[], Tensor]
# An untrained step of IAF keeps sigmoid(2) = 0.88 of z.
_KEPT = 2.0
# w . u of a planar step stays above -1 by more than rounding.
_LEAST_PRODUCT = -0.999


class Posterior(nn.Module, ABC):
    """q(z|x).

    The constructor of every posterior begins with `(latent: int)`: the model gives it, the
    configuration gives the rest.

    Args:
        latent: d.

    Attributes:
        numbers: Length of h.
    """

    numbers: int

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.d = latent

    @abstractmethod
    def split(self, h: Tensor) -> Parts:
        """h (B, numbers) -> what it consists of, phi."""

    @abstractmethod
    def forward(self, phi: Parts, e: Tensor) -> tuple[Tensor, LogDensity]:
        """phi, e (B, d) -> z (B, d), and what gives its log q(z|x) to whom needs it, in nats of parts
        that add up, (B, d) or (B, 1).
        """

    def centre(self, phi: Parts) -> Tensor:
        """z of e = 0, (B, d): the mean of a Gaussian."""
        z, _ = self(phi, torch.zeros_like(phi[0]))
        return z

    def kl(self, phi: Parts) -> Tensor | None:
        """KL(q(z|x) || N(0, I)) in nats of every entry, (B, d); None where it has no closed form."""
        return None


class GaussianPosterior(Posterior):
    """N(m, diag s^2), phi = (m, log s), (B, d) each: a density at any z, and a divergence in closed
    form.
    """

    def forward(self, phi: Parts, e: Tensor) -> tuple[Tensor, LogDensity]:
        m, log_s = phi
        z = m + log_s.exp() * e
        return z, lambda: gaussian_log_density(z, m, log_s)

    def centre(self, phi: Parts) -> Tensor:
        return phi[0]

    def kl(self, phi: Parts) -> Tensor | None:
        m, log_s = phi
        return gaussian_kl(m, log_s, torch.zeros_like(m), torch.zeros_like(m))


class Diagonal(GaussianPosterior):
    """A standard deviation for every entry."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.numbers = 2 * latent

    def split(self, h: Tensor) -> Parts:
        return h.chunk(2, dim=1)


class Isotropic(GaussianPosterior):
    """One standard deviation for all entries."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent)
        self.numbers = latent + 1

    def split(self, h: Tensor) -> Parts:
        m, log_s = h.tensor_split((self.d,), dim=1)
        return m, log_s.expand_as(m)


class IAF(Posterior):
    """Inverse autoregressive flow (Kingma et al., section 4), by masked networks.

    Args:
        latent: d.
        steps: Steps T of the flow.
        context: Length of c, which the encoder gives to all networks.
        width: Hidden units of a network; at least d for an entry to see all earlier ones.
        depth: Hidden layers of a network.
    """

    def __init__(
        self, latent: int, steps: int = 2, context: int = 16, width: int = 64, depth: int = 1
    ) -> None:
        super().__init__(latent)
        if steps < 1 or context < 1:
            raise ValueError(f"IAF: steps and context are at least 1, not {steps} and {context}")
        self.numbers = 2 * latent + context
        self.nets = nn.ModuleList(
            MaskedMLP((latent,), (2, latent), context, width, depth) for _ in range(steps)
        )

    def split(self, h: Tensor) -> Parts:
        return h.tensor_split((self.d, 2 * self.d), dim=1)

    def forward(self, phi: Parts, e: Tensor) -> tuple[Tensor, LogDensity]:
        m, log_s, c = phi
        z = m + log_s.exp() * e
        log_q = gaussian_log_density(z, m, log_s)
        for t, net in enumerate(self.nets):
            if t:
                z = z.flip(1)
                log_q = log_q.flip(1)
            mu, g = net(z, c).to(z.dtype).unbind(1)
            g = g + _KEPT
            # Algorithm 1: sigma z + (1 - sigma) mu
            z = torch.sigmoid(g) * z + torch.sigmoid(-g) * mu
            log_q = log_q - F.logsigmoid(g)
        return z, lambda: log_q


class Planar(Posterior):
    """Planar flow (Rezende and Mohamed, section 4.1), whose vectors the encoder gives.

    Args:
        latent: d.
        steps: Steps T of the flow.
    """

    def __init__(self, latent: int, steps: int = 4) -> None:
        super().__init__(latent)
        if steps < 1:
            raise ValueError(f"Planar: steps is at least 1, not {steps}")
        self.numbers = 2 * latent + steps * (2 * latent + 1)

    def split(self, h: Tensor) -> Parts:
        return h.tensor_split((self.d, 2 * self.d), dim=1)

    def forward(self, phi: Parts, e: Tensor) -> tuple[Tensor, LogDensity]:
        m, log_s, flows = phi
        z = m + log_s.exp() * e
        log_q = sum_dims(gaussian_log_density(z, m, log_s))[:, None]
        for vectors in flows.split(2 * self.d + 1, dim=1):
            u, w, b = vectors.tensor_split((self.d, 2 * self.d), dim=1)
            u = invertible(u, w)
            t = torch.tanh((w * z).sum(1, keepdim=True) + b)
            z = z + u * t
            # Eqs. 11 and 12: psi = tanh' w, |det| = |1 + u . psi|
            log_q = log_q - torch.log1p((1 - t**2) * (u * w).sum(1, keepdim=True))
        return z, lambda: log_q


def invertible(u: Tensor, w: Tensor) -> Tensor:
    """u, moved along w until w . u > -1, without which a planar step has no inverse
    (Rezende and Mohamed, appendix A.1), and not nearer to it than rounding is.

    Examples:
        >>> w = torch.tensor([[1.0, 0.0]])
        >>> u = invertible(torch.tensor([[-5.0, 2.0]]), w)
        >>> bool((u * w).sum() > -1), u[0, 1].item()
        (True, 2.0)
    """
    product = (w * u).sum(1, keepdim=True)
    length = w.square().sum(1, keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
    # m(a) = -1 + log(1 + e^a) is shifted so that m(0) = 0: u = 0 stays no flow.
    bounded = _LEAST_PRODUCT + F.softplus(product + math.log(math.expm1(-_LEAST_PRODUCT)))
    return u + (bounded - product) * w / length


# A factory makes q(z|x) for a number of latents.
PosteriorFactory = Callable[[int], Posterior]
