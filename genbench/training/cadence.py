"""The times at which something is due, counted in images."""

from __future__ import annotations

__all__ = ["crossed"]


def crossed(before: int, now: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, now].

    Args:
        before: Images seen before a batch.
        now: Images seen after it.
        every: Images from one time to the next.

    >>> crossed(96, 128, every=100), crossed(128, 160, every=100)
    (True, False)
    """
    return now // every > before // every
