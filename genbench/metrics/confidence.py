r"""Confidence: how sure a classifier is of its class for generated images.

    confidence = mean over images of max_y p(y | x)

of the class scores of the extractor, 1 / K to 1 for K classes. An image that lies between classes has
less than one of a class. It says nothing about diversity, and a classifier may be sure of an image that
shows nothing: it is read beside that of images of the data, which the row of the noise floor has.

The standard error is that of a mean over images.
"""

from __future__ import annotations

import math

from genbench.metrics.finite import require_finite
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "measure_confidence"]

METRICS = {
    "confidence": MetricInfo(
        "Confidence", "higher", 3, inputs=("extractor", "class scores"), range=Range(0, 1.0001)
    ),
}


def measure_confidence(samples: Samples) -> Estimate:
    """The mean of the largest class probability of a generated image, and its standard error."""
    logits = present(samples.generated, "the class scores of the generated images").logits
    require_finite(logits, what="class scores")
    largest = logits.double().softmax(1).amax(1)
    return float(largest.mean()), float(largest.std()) / math.sqrt(len(largest))
