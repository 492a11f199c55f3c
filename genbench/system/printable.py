"""Messages that hold names from files and from users."""

from __future__ import annotations

__all__ = ["as_one_line"]


def as_one_line(text: str) -> str:
    """A message as a terminal may show it. Characters that are not printable, such as line breaks
    and escape sequences in the names of files, are written as Python writes them.

    Examples:
        >>> as_one_line("no run a\\nb: \\x1b[31mred")
        'no run a\\\\nb: \\\\x1b[31mred'
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
