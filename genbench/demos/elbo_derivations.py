"""Three derivations of the ELBO give the same number, and so does its entropy form.

For a latent z of four values, x on the line and any q(z), by sums over z:

    Jensen        log p(x) = log E_q [p(x, z) / q(z)] >= E_q log [p(x, z) / q(z)]
    gap           log p(x) - KL(q(z) || p(z | x))
    two terms     E_q log p(x | z) - KL(q(z) || p(z))         reconstruction and distance from the prior
    entropy       E_q log p(x, z) + H(q)

References:
    Jordan, Ghahramani, Jaakkola, Saul (1999), An introduction to variational methods for graphical
    models. Machine Learning 37
    Kingma, Welling (2014), Auto-encoding variational Bayes, eq. 1 to 3. arXiv:1312.6114
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, ORANGE, one_panel
from genbench.demos.line_mixture import mixture
from genbench.formulas.likelihood import gaussian_log_density

__all__ = ["demonstrate"]

# The model has p(z) and p(x | z) for z = 1, ..., 4.
MODEL = mixture([0.4, 0.3, 0.2, 0.1], [-2.0, 0.0, 1.0, 3.0], [0.5, 0.8, 0.6, 1.0])
x = torch.tensor(0.7, dtype=torch.float64)
q = torch.tensor([0.1, 0.5, 0.3, 0.1], dtype=torch.float64)


def bound(q: Tensor) -> Tensor:
    """E_q log [p(x, z) / q(z)], nats."""
    return (q * (MODEL.log_joint(x) - q.log())).sum()


def kl(q: Tensor, p: Tensor) -> Tensor:
    """KL(q || p) of two tables, nats."""
    return (q * (q.log() - p.log())).sum()


def demonstrate(seed: int = 0) -> Demonstration:
    """The four forms, for one x and one q.

    Args:
        seed: Not used: nothing is random.
    """
    log_joint = MODEL.log_joint(x)
    log_p = MODEL.log_density(x)
    log_likelihood = gaussian_log_density(x, MODEL.m, MODEL.s.log())
    posterior = (log_joint - log_p).exp()
    jensen = bound(q)
    gap = log_p - kl(q, posterior)
    two_terms = (q * log_likelihood).sum() - kl(q, MODEL.w)
    entropy = (q * log_joint).sum() - (q * q.log()).sum()
    forms = {"Jensen": jensen, "gap": gap, "two terms": two_terms, "entropy": entropy}
    figure, axes = one_panel("nats", "derivation")
    names = list(forms)
    bounds = [float(value) for value in forms.values()]
    axes.hlines(names, bounds, float(log_p), color=ORANGE, linewidth=8, label="KL(q || p(z | x))")
    axes.plot(bounds, names, "D", color=BLUE, markersize=12, label="ELBO")
    axes.axvline(float(log_p), color=BLACK, linestyle="--", label="log p(x)")
    axes.set(xlim=(-3.1, -1.2), ylim=(3.6, -0.6))
    figure.legend(loc="outside upper center", ncols=3)
    return Demonstration(
        title="Three derivations of the ELBO, one number",
        formula=(
            "ELBO = E_q log [p(x, z) / q(z)] = log p(x) - KL(q(z) || p(z | x))\n"
            "     = E_q log p(x | z) - KL(q(z) || p(z)) = E_q log p(x, z) + H(q)"
        ),
        sentence=(
            "Jensen's inequality, the divergence from the posterior, reconstruction minus"
            " divergence from the prior, and energy plus entropy are one bound; the divergence says"
            " how far below log p(x) it lies."
        ),
        values=(
            exact("ELBO as log p(x) minus a KL", gap, jensen),
            exact("ELBO as reconstruction minus a KL", two_terms, jensen),
            exact("ELBO with the entropy of q", entropy, jensen),
            exact("ELBO + KL(q || posterior)", jensen + kl(q, posterior), log_p),
            exact("ELBO of q = p(z | x)", bound(posterior), log_p),
        ),
        figure=figure,
    )
