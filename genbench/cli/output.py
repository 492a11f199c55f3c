"""Text for terminals that may not have its letters."""

from __future__ import annotations

import codecs
import io
import logging
import sys

from genbench.system.letters import PLAIN
from genbench.system.printable import as_one_line

__all__ = ["print_anything", "to_terminal"]


def print_anything() -> None:
    """Let stdout and stderr print every text in whatever encoding they have: `+-` for `±`, and
    `\\u2026` for what has no such form.

    A table is printed after a record is written: a terminal of ASCII must not end the command
    there.
    """
    codecs.register_error("genbench", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="genbench")


def _in_plain_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    plain = "".join(
        PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode()
        for letter in letters
    )
    return plain, error.end


class _OneLine(logging.Formatter):
    """Formats a message as one printable line."""

    def format(self, record: logging.LogRecord) -> str:
        return as_one_line(super().format(record))


def to_terminal() -> logging.Handler:
    """A handler that writes every message as one line of standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("genbench: %(message)s"))
    return handler
