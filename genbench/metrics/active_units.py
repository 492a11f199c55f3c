r"""What a model with an encoder uses of its latents, over the images of a split.

    active units    number of latents j with Var_x(E[z_j | x]) > 0.01           (Burda et al., section 5.2)
    KL, bits        mean over x of KL(q(z|x) || p(z)) / log 2, the rate of an image

A latent whose mean hardly moves with the image says nothing of it: the posterior has collapsed onto
the prior there. Without a closed form the KL of an image is log q(z|x) - log p(z) of one draw, as the
ELBO has it. The variance is that of a sample, with n - 1.

References:
    Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders. arXiv:1509.00519
"""

from __future__ import annotations

import math

from genbench.metrics.finite import require_finite
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "measure_active_units", "measure_kl_bits"]

METRICS = {
    "active_units": MetricInfo("Active units", None, 1, inputs=("encodings",), range=Range(0)),
    "kl_bits": MetricInfo("KL, bits", None, 2, inputs=("divergences",)),
}

_ACTIVE = 0.01


def measure_active_units(samples: Samples) -> Estimate:
    """Number of active latents; its error is not known."""
    z = present(samples.encodings, "the encodings of the reference images", "active_units")
    require_finite(z, "encoding")
    return float((z.double().var(0) > _ACTIVE).sum()), None


def measure_kl_bits(samples: Samples) -> Estimate:
    """Mean divergence of an image in bits, and the standard error of this mean."""
    kl = present(samples.divergences, "the divergences of the reference images", "kl_bits")
    bits = kl.double() / math.log(2)
    return float(bits.mean()), float(bits.std()) / math.sqrt(len(bits))
