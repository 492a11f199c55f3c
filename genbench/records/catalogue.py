"""Every metric, once: its name, what it is called in tables, which direction is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genbench.records.parts import Protocol

__all__ = [
    "IMAGE_METRICS",
    "METRICS",
    "MOMENT_METRICS",
    "TABLE_METRICS",
    "MetricInfo",
    "diversity_metric",
    "metric_info",
    "quality_metric",
]

IMAGE_METRICS = (
    "fid", "fid_infinity", "is", "kid", "precision", "recall", "density", "coverage", "class_recall", "memorisation",
)  # fmt: skip

# what mean and covariance of the reference features are enough for
MOMENT_METRICS = ("fid", "is")
TABLE_METRICS = ("energy_distance", "modes_covered", "high_quality", "kl")


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is printed and ranked.

    Attributes:
        title: Column head.
        better: Which direction is better, or None: not ranked.
        digits: Decimals.
        of_likelihood: It is computed from log p(x), and so is of the same kind: an upper bound
            where that is a lower one.
    """

    title: str
    better: Literal["lower", "higher"] | None
    digits: int
    of_likelihood: bool = False


METRICS = {
    "fid": MetricInfo("FID", "lower", 2),
    "fid_infinity": MetricInfo("FID∞", "lower", 2),
    "is": MetricInfo("IS", "higher", 2),
    "kid": MetricInfo("KID", "lower", 4),
    "precision": MetricInfo("Precision", "higher", 3),
    "recall": MetricInfo("Recall", "higher", 3),
    "density": MetricInfo(
        "Density", None, 3
    ),  # of neighbours: 1 for the data itself, above 1 is no better
    "coverage": MetricInfo("Coverage", "higher", 3),
    "class_recall": MetricInfo("Recall of the worst class", "higher", 3),
    "memorisation": MetricInfo(
        "Memorisation", None, 3
    ),  # 0.05 for fresh data, 1 for copies: neither end is better
    "energy_distance": MetricInfo("Energy distance", "lower", 4),
    "modes_covered": MetricInfo("Modes covered", "higher", 1),
    "high_quality": MetricInfo("High quality", "higher", 3),
    "kl": MetricInfo("KL(data ‖ model)", "lower", 4, of_likelihood=True),
}


def metric_info(name: str) -> MetricInfo:
    """A metric by name; one that is not known here is printed under its own name and not ranked."""
    return METRICS.get(name, MetricInfo(name, None, 4))


def quality_metric(protocol: Protocol) -> str | None:
    """The metric that stands for sample quality."""
    return next(
        (name for name in ("fid", "energy_distance", "kl", "kid") if name in protocol.metrics), None
    )


def diversity_metric(protocol: Protocol) -> str | None:
    """The metric that stands for diversity."""
    return next(
        (name for name in ("recall", "coverage", "modes_covered") if name in protocol.metrics), None
    )
