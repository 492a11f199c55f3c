r"""Modes that a classifier tells apart: which of its K classes generated images have, and how evenly.

    class of an image     argmax_y p(y | x)
    modes covered         number of classes that at least one of the n images has
    KL(modes || uniform)  sum_k s_k log(K s_k),  s_k = share of the images in class k, in nats

Both depend on n. Of n images whose modes are equally frequent, K exp(-n / K) modes are missed on
average, and the KL is (K - 1) / (2 n), not 0. The row of the noise floor says what images of the data
have. A classifier gives a class to every image, also to one that shows nothing: the metrics say
which modes are there, and nothing about how good the images are.

The standard errors are those of random halves of the images (`genbench.metrics.resampling`). That of
the number of modes is rough: it is too large where nearly all modes are covered, since half of the
images miss more. That of the KL is too large where the modes are equally frequent, as that of any
distance between equal distributions.

References:
    Metz, Poole, Pfau, Sohl-Dickstein (2017), Unrolled Generative Adversarial Networks.
    arXiv:1611.02163 (section 3.3.1: 1,000 modes of stacked MNIST, by a classifier)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genbench.metrics.finite import require_finite
from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "covered_modes", "measure_class_modes", "measure_class_modes_kl", "modes_kl"]

METRICS = {
    "class_modes": MetricInfo(
        "Modes covered",
        "higher",
        1,
        inputs=("extractor", "class scores"),
        range=Range(1),
        largest="classes",
    ),
    "class_modes_kl": MetricInfo(
        "KL(modes ‖ uniform)",
        "lower",
        4,
        inputs=("extractor", "class scores"),
        range=Range(-0.0001),
        largest="log classes",
    ),
}


def measure_class_modes(samples: Samples) -> Estimate:
    """How many classes the generated images have, with its standard error."""
    return estimate(samples, lambda counts: float(covered_modes(counts)))


def measure_class_modes_kl(samples: Samples) -> Estimate:
    """KL of the classes of the generated images to equal shares, in nats, with its standard error."""
    return estimate(samples, modes_kl)


def covered_modes(counts: Tensor) -> int:
    """Number of classes that have an image.

    Args:
        counts: Images of each class, integers (K,).
    """
    return int((counts > 0).sum())


def modes_kl(counts: Tensor) -> float:
    """KL of the shares of the classes to equal ones, in nats: 0 to log K.

    Args:
        counts: Images of each class, integers (K,).
    """
    share = counts.double() / counts.sum()
    return float(torch.special.xlogy(share, len(counts) * share).sum())


def estimate(samples: Samples, statistic: Callable[[Tensor], float]) -> Estimate:
    """A statistic of the counts of the classes, with its standard error by random halves."""
    labels, classes = samples.once(predicted)
    everything = torch.ones(len(labels), dtype=torch.bool, device=labels.device)

    def of(mask: Tensor) -> float:
        return statistic(torch.bincount(labels[mask], minlength=classes))

    return of(everything), half_sample_error(of, (len(labels),), samples.rng.to(labels.device))


def predicted(samples: Samples) -> tuple[Tensor, int]:
    """The most probable class of each generated image, int64 (n,), and the number of classes."""
    logits = present(samples.generated, "the class scores of the generated images").logits
    require_finite(logits, what="class scores")
    return logits.argmax(1), logits.shape[1]
