r"""KL(data || model), estimated from reference images where log p of the data is known.

    KL(p || q)  =  H(p, q) - H(p)  =  E_p[log p(x) - log q(x)]  ~  1/s sum_n (log p(x_n) - log q(x_n))

over the reference images x_n ~ p that the likelihood is measured on: the cross-entropy of the model
minus the entropy of the data, in nats. Both terms are taken on the same images, so that the
estimate has no bias, its error is small where the model is close to the data, and a model that is
the distribution itself has KL 0 without an error. Where log q is a lower bound, it is an upper
bound.
"""

from __future__ import annotations

import math

from genbench.errors import InputError
from genbench.metrics.known import known_log_prob
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo

__all__ = ["METRICS", "measure_kl_estimate"]

METRICS = {
    "kl_estimate": MetricInfo(
        "KL(data ‖ model)", "lower", 4, inputs=("known probabilities", "density")
    ),
}


def measure_kl_estimate(samples: Samples) -> Estimate:
    """Mean of log p - log q over the reference images, and its standard error, nats."""
    log_q = present(samples.log_scores, "the density of the model", "kl_estimate")
    reference = present(samples.reference_images, "the reference images", "kl_estimate")
    log_p = known_log_prob(samples, reference[: len(log_q)], "kl_estimate")
    if not log_p.isfinite().all():
        raise InputError("kl_estimate: a reference image cannot occur under the known distribution")
    difference = log_p - log_q.to(log_p)
    error = float(difference.std()) / math.sqrt(len(difference)) if len(difference) > 1 else None
    return float(difference.mean()), error
