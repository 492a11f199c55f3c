"""What a suite reports while it runs."""

from __future__ import annotations

import typing

__all__ = ["Reporter"]


class Reporter(typing.Protocol):
    """Who is told how a suite proceeds."""

    def begin(self, steps: int) -> None:
        """There are so many steps to do."""

    def step(self, what: str, images: int = 0) -> None:
        """The next step begins: training so many images, or something else."""

    def progress(self, images: int, loss: float | None) -> None:
        """Images seen by the run in training."""

    def note(self, line: str) -> None:
        """Something to know."""

    def beside(self) -> Reporter:
        """Another reporter, for a run that goes on at the same time; it counts its steps among
        these.
        """

    def end(self) -> None:
        """The last step is over, and none follows for now."""
