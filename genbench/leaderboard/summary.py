"""One quantity over the training seeds of a row."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, stdev

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True)
class Summary:
    """One quantity of a row over its training seeds.

    Attributes:
        values: One per run that finished, in the order of the seeds.
        error: Mean standard error of the single measurements; None where one is unknown.
    """

    values: tuple[float, ...]
    error: float | None = None

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean over training seeds."""
        return fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over training seeds; None for one seed."""
        if self.n > 1:
            return stdev(self.values)
        return None

    @property
    def is_near_zero(self) -> bool:
        """Whether ratios to this quantity are noise: a value is not positive, or the mean lies
        within two errors of zero.
        """
        return min(self.values) <= 0 or (self.error is not None and self.mean <= 2 * self.error)

    @property
    def spread(self) -> float:
        """The spread e of `genbench.leaderboard.board`: standard deviation over seeds, for one seed
        the error of the measurement, and 0 where that is unknown.
        """
        if self.sd is not None:
            return self.sd
        return self.error or 0.0


def summarise(measurements: list[tuple[float, float | None]]) -> Summary | None:
    """A quantity over seeds.

    Args:
        measurements: Value and standard error of each run.

    Returns:
        The values with their mean error, which is known only if every error is. None without values.
    """
    if not measurements:
        return None
    values = tuple(float(value) for value, _ in measurements)
    errors = [error for _, error in measurements if error is not None]
    if len(errors) < len(values):
        return Summary(values)
    return Summary(values, fmean(errors))
