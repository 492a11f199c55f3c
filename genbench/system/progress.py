"""Progress on the terminal: one bar for the suite, one for every run in progress.

Where there is no terminal, one line per step.
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

__all__ = ["Bars", "Lines", "reporter"]


class Lines:
    """One line at the beginning of each step; of training, when its first images are through."""

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
        """Count a step; returns what is said of it."""
        self._done += 1
        of = f"[{self._done}/{self.steps}] " if self.steps else ""
        return f"{of}{what}{f', {images:,} images' if images else ''} ({time.perf_counter() - self._start:.0f} s)"

    def progress(self, images: int, loss: float | None) -> None:
        if self._pending:  # the metrics file has the rest
            print(self._pending, file=sys.stderr)
            self._pending = ""

    def note(self, line: str) -> None:
        print(f"genbench: {line}", file=sys.stderr)

    def beside(self) -> Lines:
        return LinesBeside(self)

    def end(self) -> None:
        """Nothing is shown of a step that is over."""


class LinesBeside(Lines):
    """Lines about a run that goes on beside others.

    Steps are counted together, in the order in which they are said.
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
        """Count training that was finished before, of which nothing is said."""
        if self._unsaid is not None:
            self.suite.line(*self._unsaid)
            self._unsaid = None


class Silence(Lines):
    """For all processes of a distributed run but the first."""

    def step(self, what: str, images: int = 0) -> None:
        """Said by the first process."""

    def progress(self, images: int, loss: float | None) -> None:
        """Said by the first process."""

    def note(self, line: str) -> None:
        """Said by the first process."""


class Bars:
    """A bar for the steps of the suite; for a run in progress one with images, images/s, loss and
    time left.
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
        if self._first is None:  # a resumed run does not count what was done before
            self._first = images
            self._since = time.perf_counter()
        speed = (images - self._first) / max(time.perf_counter() - self._since, 1e-9)
        detail = f"{speed:,.0f} images/s" + ("" if loss is None else f"  loss {loss:.4g}")
        self._progress.update(self._run, completed=images, detail=detail)

    def note(self, line: str) -> None:
        self._progress.console.print(f"genbench: {line}", markup=False)


@contextmanager
def reporter() -> Iterator[Bars | Lines]:
    """Bars on a terminal, lines elsewhere."""
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
