"""The log file of a run, which takes what would clutter the terminal."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from genbench.system.files import stop_if_disk_full

__all__ = ["log_to_file"]


@contextlib.contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Write log messages to a file inside the `with` block.

    Messages of libraries go to the file alone, and messages of genbench to the terminal as well.

    Args:
        path: The log file, which is appended to.
    """
    with stop_if_disk_full(path):
        # One of several processes may come before the first, which makes the rest of the folder.
        path.parent.mkdir(parents=True, exist_ok=True)
    handler = _Log(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    loggers = [
        logging.getLogger(name)
        for name in ("genbench", "lightning.pytorch", "lightning.fabric", "py.warnings")
    ]
    before = [(logger.propagate, list(logger.handlers)) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
    for logger in loggers[1:]:
        logger.propagate = False
        logger.handlers = [handler]
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        for logger, (propagate, handlers) in zip(loggers, before):
            logger.propagate = propagate
            logger.handlers = handlers
        with contextlib.suppress(OSError):
            handler.close()


class _Log(logging.FileHandler):
    """A log that a full disk cuts short.

    A full disk ends the run where a checkpoint, the state or the metrics cannot be written.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        pass
