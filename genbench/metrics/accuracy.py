r"""Classification by a model of images and labels: the share of images of which Bayes' rule finds the class.

    y^(x) = argmax_y p(y) q(x | y)        accuracy = 1/s sum_n [y^(x_n) = y_n]        over the first s reference images

q(x | y) is the model's density, or the bound or estimate of it that the record prints: of bounds whose gaps differ
between classes, the largest may be that of another class. p(y) is the frequency of a class in training, or
the model's own where it is one of the joint p(x, y).

The standard error is that of a frequency, sqrt(a (1 - a) / s).
"""

from __future__ import annotations

import math

from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "measure_accuracy"]

METRICS = {
    "accuracy": MetricInfo(
        "Accuracy", "higher", 3, inputs=("joint density", "labels"), range=Range(0, 1)
    ),
}


def measure_accuracy(samples: Samples) -> Estimate:
    """The share of reference images whose class has the largest p(y) q(x | y), and its error."""
    log_joint = present(samples.log_joint, "the joint density of the model", "accuracy")
    labels = present(samples.labels, "the labels of the reference images", "accuracy")
    right = log_joint.argmax(1) == labels[: len(log_joint)].to(log_joint.device)
    share = float(right.double().mean())
    return share, math.sqrt(share * (1 - share) / len(right))
