"""A process of `genbench bench --jobs N`: it trains and scores the runs that its parent names, one
after another.

Parent and worker each hold one end of a connection. The parent sends a Task, or None when there is
nothing more to do; the worker answers with messages:

    ("step", what, images)      a step begins
    ("progress", images, loss)  images seen by the run in training
    ("note", line)              a line that the user should know
    ("end", outcome, line)      the task is over; outcome is done, diverged, stopped or failed

A worker ends with its parent, however that ends: its end of the connection is closed then.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from genbench.config.config import Config
from genbench.errors import Diverged, GenbenchError, Stopped

__all__ = ["Task", "work"]


@dataclass(frozen=True)
class Task:
    """A run to train and to score.

    Args:
        config: Configuration of the run, with its run_dir.
        variants: Names of the evaluations that become rows.
        out: Folder with records/ and pictures/.
        device: Where it is evaluated.
        suite: Name of the suite.
        trust: Modules outside genbench that configurations may name.
    """

    config: Config
    variants: tuple[str, ...]
    out: Path
    device: str
    suite: str
    trust: tuple[str, ...]


class Messages:
    """A Reporter that sends what it is told to the parent process."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._turn = threading.Lock()

    def send(self, *message: Any) -> None:
        """Send a message; threads take turns."""
        with self._turn:
            self.connection.send(message)

    def begin(self, steps: int) -> None:
        """Do nothing: the parent counts the steps."""

    def step(self, what: str, images: int = 0) -> None:
        self.send("step", what, images)

    def progress(self, images: int, loss: float | None) -> None:
        self.send("progress", images, loss)

    def note(self, line: str) -> None:
        self.send("note", line)

    def beside(self) -> Messages:
        return self

    def end(self) -> None:
        """Do nothing: the message "end" of the worker says how the task ended."""


class Notes(logging.Handler):
    """A log handler that sends warnings of genbench to the parent, which has the terminal."""

    def __init__(self, messages: Messages) -> None:
        super().__init__()
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        """Send a message to the suite."""
        self.messages.note(record.getMessage())


def work(descriptor: int) -> None:
    """Do what the parent sends over the connection with this file descriptor, until there is
    nothing more to do.
    """
    # An interrupt from the keyboard reaches the parent too, which then sends SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    messages = Messages(Connection(descriptor))
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(messages.connection, tasks), daemon=True).start()
    logging.getLogger("genbench").addHandler(Notes(messages))
    while (task := tasks.get()) is not None:
        outcome, line = finish(task, messages)
        messages.send("end", outcome, line)


def receive(connection: Connection, tasks: queue.SimpleQueue[Task | None]) -> None:
    """Put what the parent sends into a queue; end this process at once when the parent has ended."""
    try:
        while True:
            tasks.put(connection.recv())
    except (EOFError, OSError):
        os._exit(Stopped.exit_code)


def finish(task: Task, messages: Messages) -> tuple[str, str]:
    """Train and score a run.

    Args:
        task: The run.
        messages: Take what there is to report.

    Returns:
        The outcome, done, diverged, stopped or failed, and a line about it.
    """
    from genbench.suites.plan import Plan
    from genbench.suites.stages import train_and_score
    from genbench.system.processes import settle_torch

    settle_torch()
    try:
        plan = Plan(task.config, task.variants, task.out, task.device)
        train_and_score(plan, task.suite, messages, task.trust)
    except Diverged as error:
        return "diverged", str(error)
    except Stopped as error:
        return "stopped", str(error)
    except GenbenchError as error:
        return "failed", str(error)
    return "done", ""
