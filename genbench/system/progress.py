"""Progress on the terminal: one bar for the suite and one for every run in progress; one line per
step where there is no terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from genbench.system.launch import is_primary
from genbench.system.printable import as_one_line

__all__ = ["Bars", "Lines", "reporter"]


class Lines:
    """Progress as lines: one at the beginning of each step. That of a training is printed when its
    first images have been trained on, since a finished training has nothing to say.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._done = 0
        self._start = time.perf_counter()
        self._pending = ""

    def begin(self, steps: int) -> None:
        self.steps = steps

    def step(self, what: str, images: int = 0) -> None:
        line = self.line(what, images)
        self._pending = line if images else ""
        if not images:
            print(line, file=sys.stderr)

    def line(self, what: str, images: int = 0) -> str:
        """Count a step.

        Args:
            what: What is done.
            images: Number of images of a training; 0 for any other step.

        Returns:
            The line about it.
        """
        self._done += 1
        of = f"[{self._done}/{self.steps}] " if self.steps else ""
        return (
            f"{of}{what}{f', {images:,} images' if images else ''}"
            f" ({time.perf_counter() - self._start:.0f} s)"
        )

    def progress(self, images: int, loss: float | None) -> None:
        if self._pending:  # The losses are in the metrics file.
            print(self._pending, file=sys.stderr)
            self._pending = ""

    def note(self, line: str) -> None:
        print(f"genbench: {as_one_line(line)}", file=sys.stderr)

    def beside(self) -> Lines:
        return LinesBeside(self)

    def end(self) -> None:
        """Do nothing: a step that is over has no line."""


class LinesBeside(Lines):
    """Progress of one of several runs that go on side by side. Steps of all are counted together, in
    the order of their lines.

    Args:
        suite: The lines that are counted.
    """

    def __init__(self, suite: Lines) -> None:
        super().__init__()
        self.suite = suite
        self._unsaid: tuple[str, int] | None = None

    def step(self, what: str, images: int = 0) -> None:
        self.end()
        if images:
            self._unsaid = what, images
        else:
            self.suite.step(what)

    def progress(self, images: int, loss: float | None) -> None:
        if self._unsaid is not None:
            print(self.suite.line(*self._unsaid), file=sys.stderr)
            self._unsaid = None

    def end(self) -> None:
        """Count a training that had been finished before, without a line."""
        if self._unsaid is not None:
            self.suite.line(*self._unsaid)
            self._unsaid = None


class Silence(Lines):
    """No progress at all, for the processes of a distributed run other than the first."""

    def step(self, what: str, images: int = 0) -> None:
        """Do nothing: the first process has the line."""

    def progress(self, images: int, loss: float | None) -> None:
        """Do nothing: the first process has the line."""

    def note(self, line: str) -> None:
        """Do nothing: the first process has the line."""


class Bars:
    """Progress as bars: one for the steps of the suite, and one for each run in progress, with
    images, images/s, loss and time left.

    Args:
        progress: The display of all bars.
        suite: The bars that count the steps; None: this object counts them itself.
    """

    def __init__(self, progress: Progress, suite: Bars | None = None) -> None:
        self.steps = 0
        self._progress = progress
        self._owner = suite or self
        self._suite: TaskID | None = None
        self._run: TaskID | None = None
        self._since = 0.0
        self._first: int | None = None

    def begin(self, steps: int) -> None:
        self.steps = steps
        self._suite = self._progress.add_task("suite", total=steps, detail="")

    def step(self, what: str, images: int = 0) -> None:
        self.end()
        self._run = self._progress.add_task(what, total=images or None, detail="")
        self._first = None

    def end(self) -> None:
        """Remove the bar of the step that is over."""
        if self._run is not None:
            self._progress.remove_task(self._run)
            self._run = None
            if self._owner._suite is not None:
                self._progress.advance(self._owner._suite)

    def beside(self) -> Bars:
        return Bars(self._progress, self._owner)

    def progress(self, images: int, loss: float | None) -> None:
        assert self._run is not None
        # Images that were seen before a run was resumed do not count for its speed.
        if self._first is None:
            self._first = images
            self._since = time.perf_counter()
        speed = (images - self._first) / max(time.perf_counter() - self._since, 1e-9)
        detail = f"{speed:,.0f} images/s" + ("" if loss is None else f"  loss {loss:.4g}")
        self._progress.update(self._run, completed=images, detail=detail)

    def note(self, line: str) -> None:
        self._progress.console.print(f"genbench: {as_one_line(line)}", markup=False)


@contextmanager
def reporter() -> Iterator[Bars | Lines]:
    """Inside the `with` block, progress as bars on a terminal, and as lines elsewhere."""
    if not is_primary():
        yield Silence()
        return
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console

    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, TextColumn("{task.fields[detail]}"), console=Console(stderr=True)
    ) as progress:
        yield Bars(progress)
