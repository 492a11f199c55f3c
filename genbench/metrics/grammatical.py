"""The share of generated images that can occur under the known distribution of the data.

For texts of a grammar: the share of grammatical samples.
"""

from __future__ import annotations

import math

from genbench.metrics.known import known_log_prob
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "measure_grammatical"]

METRICS = {
    "grammatical": MetricInfo(
        "Grammatical", "higher", 3, inputs=("known probabilities",), range=Range(0, 1)
    ),
}


def measure_grammatical(samples: Samples) -> Estimate:
    """The share, with the standard error of a frequency, sqrt(s (1 - s) / n)."""
    images = present(samples.images, "the generated images", "grammatical")
    share = float(known_log_prob(samples, images, "grammatical").isfinite().double().mean())
    return share, math.sqrt(share * (1 - share) / len(images))
