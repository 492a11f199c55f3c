"""log p of images under the true distribution of the data, for the metrics that need it."""

from __future__ import annotations

from torch import Tensor

from genbench.metrics.samples import Samples, present

__all__ = ["known_log_prob"]


def known_log_prob(samples: Samples, images: Tensor, metric: str) -> Tensor:
    """log p of images, (N,) float64, nats; minus infinity where an image cannot occur.

    Raises:
        InputError: The distribution is not known.
    """
    of = present(samples.known_log_prob, "the true probabilities", metric)
    return present(of(images), "the true probabilities", metric)
