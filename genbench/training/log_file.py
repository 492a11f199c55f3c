"""What would clutter the terminal goes to the run's log file."""

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
    """What libraries say goes to the run's log; what genbench warns of goes there and to the
    terminal.
    """
    with stop_if_disk_full(path):
        path.parent.mkdir(
            parents=True, exist_ok=True
        )  # a rank may be here before the first one, which makes the rest
    handler = _Log(path, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    named = [
        logging.getLogger(name)
        for name in ("genbench", "lightning.pytorch", "lightning.fabric", "py.warnings")
    ]
    before = [(logger.propagate, list(logger.handlers)) for logger in named]
    for logger in named:
        logger.addHandler(handler)
    for logger in named[1:]:
        logger.propagate = False
        logger.handlers = [handler]
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        for logger, (propagate, handlers) in zip(named, before):
            logger.propagate = propagate
            logger.handlers = handlers
        with contextlib.suppress(OSError):
            handler.close()


class _Log(logging.FileHandler):
    """A log that a full disk cuts short: how the run ends is for what it must keep to say."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        pass
