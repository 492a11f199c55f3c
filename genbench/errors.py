"""The four ways in which a command ends.

`cli.main` turns them into one line on stderr and an exit code.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["Diverged", "GenbenchError", "InputError", "Stopped", "Unwritable", "nearest", "reason"]


class GenbenchError(Exception):
    """Ends a command with one clear line."""

    exit_code = 1


class InputError(GenbenchError):
    """Bad input: the line names the thing and what would be right. Nothing was changed."""

    exit_code = 2


class Diverged(GenbenchError):
    """The loss became NaN or infinite. Recorded and final."""

    exit_code = 3


class Stopped(GenbenchError):
    """Stopped before the end; the same command resumes."""

    exit_code = 75


class Unwritable(OSError):
    """A file or a folder that cannot be written: its errno, the reason, and the path that was asked
    for.
    """

    def __str__(self) -> str:
        return f"{self.filename} cannot be written: {self.strerror}"


def reason(error: BaseException) -> str:
    """What an exception says, in one line: of a file that cannot be read without number and path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


# A message lists at most this many choices, so that it stays on one line.
_MANY = 30


def nearest(name: str, choices: Iterable[str]) -> str:
    """A sentence that says what would be right: "did you mean 'vae'?", or the choices. Of many
    choices only the first ones are named.
    """
    choices = sorted(set(choices))
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.55)
    if close:
        return f"did you mean {close[0]!r}?"
    if len(choices) > _MANY:
        return f"choose from {len(choices)}: {', '.join(choices[:3])}, ..."
    return f"choose from: {', '.join(choices) or 'nothing is there'}"
