"""What a suite reports while it runs."""

from __future__ import annotations

import typing

__all__ = ["Reporter"]


class Reporter(typing.Protocol):
    """An object that is told how a suite proceeds."""

    def begin(self, steps: int) -> None:
        """Take the number of steps that there are to do."""

    def step(self, what: str, images: int = 0) -> None:
        """Note that the next step begins. It trains this number of images; 0 for any other step."""

    def progress(self, images: int, loss: float | None) -> None:
        """Take the images that the run in training has seen, and its loss."""

    def note(self, line: str) -> None:
        """Take a line that the user should know."""

    def beside(self) -> Reporter:
        """Another reporter, for a run that goes on at the same time; it counts its steps among
        these.
        """

    def end(self) -> None:
        """Note that the last step is over, and that none follows for now."""
