r"""Learning-rate schedules: which share of its learning rate a step is taken with.

    rate of a step = lr * warm-up * factor(s, n)

s is the number of images that the run has seen before the step, n that of its budget, 0 <= s < n.
A schedule is a value: it has no counter, so that an interrupted run goes on with the rates of one
that was not. All players of a game follow the same factor.

References:
    Loshchilov, Hutter (2017), SGDR: stochastic gradient descent with warm restarts. arXiv:1608.03983
        (cosine, without restarts)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

__all__ = ["CosineDecay", "LearningRateSchedule", "LinearDecay", "StepDecay"]


class LearningRateSchedule(ABC):
    """A factor of the learning rate as a function of the images seen."""

    @abstractmethod
    def factor(self, images: int, budget: int) -> float:
        """The factor of one step.

        Args:
            images: Images seen before the step, over all players and processes.
            budget: Images of the whole run.
        """

    def check_budget(self, budget: int) -> None:  # noqa: B027, a schedule may check nothing
        """Refuse a budget in which the schedule would not do what it is named for.

        Args:
            budget: Images of the whole run.

        Raises:
            ValueError: The message says what would be right.
        """


class CosineDecay(LearningRateSchedule):
    """Half a period of a cosine, from 1 to `final`.

    Args:
        final: Factor at the end of the budget, 0 to 1.

    Examples:
        >>> [round(CosineDecay(final=0.1).factor(s, 400), 3) for s in (0, 100, 200, 300)]
        [1.0, 0.868, 0.55, 0.232]
    """

    def __init__(self, final: float = 0.0) -> None:
        if not 0 <= final <= 1:
            raise ValueError(f"final is from 0 to 1, not {final:g}")
        self.final = final

    def factor(self, images: int, budget: int) -> float:
        """final + (1 - final) (1 + cos(pi s / n)) / 2."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * images / budget)) / 2


class LinearDecay(LearningRateSchedule):
    """1 for a while, then along a straight line to 0 at the end of the budget.

    Args:
        constant_images: Images before the decay begins.

    Examples:
        >>> [LinearDecay(constant_images=200).factor(s, 400) for s in (0, 100, 200, 300, 399)]
        [1.0, 1.0, 1.0, 0.5, 0.005]
    """

    def __init__(self, constant_images: int = 0) -> None:
        if constant_images < 0:
            raise ValueError(f"constant_images is at least 0, not {constant_images}")
        self.constant_images = constant_images

    def check_budget(self, budget: int) -> None:
        if self.constant_images >= budget:
            raise ValueError(
                f"constant_images is below budget.images, not {self.constant_images:,} of "
                f"{budget:,}: the rate would never fall"
            )

    def factor(self, images: int, budget: int) -> float:
        """min(1, (n - s) / (n - constant_images))."""
        if images <= self.constant_images:
            return 1.0
        return (budget - images) / (budget - self.constant_images)


class StepDecay(LearningRateSchedule):
    """Multiplied by gamma whenever so many images have been seen.

    Args:
        every: Images from one drop to the next.
        gamma: Factor of each drop, above 0 and at most 1.

    Examples:
        >>> [StepDecay(every=150, gamma=0.5).factor(s, 400) for s in (0, 149, 150, 300)]
        [1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, every: int, gamma: float = 0.1) -> None:
        if every < 1 or not 0 < gamma <= 1:
            raise ValueError(
                f"every is at least 1 and gamma above 0 and at most 1, not {every} and {gamma:g}"
            )
        self.every = every
        self.gamma = gamma

    def check_budget(self, budget: int) -> None:
        if self.every >= budget:
            raise ValueError(
                f"every is below budget.images, not {self.every:,} of {budget:,}: the rate would "
                "never fall"
            )

    def factor(self, images: int, budget: int) -> float:
        """gamma to the power of the drops so far."""
        return self.gamma ** (images // self.every)
