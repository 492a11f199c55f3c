"""Rules about values say of a value that breaks them what would be right."""

from __future__ import annotations

import math
from typing import Annotated

import pytest

from genbench.system.typed import Count, Natural, Range, Seconds, Share, read_value


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Count, -1, "at least 0"),
        (Count, 2**62, "at most 4,611,686,018,427,387,903"),
        (Natural, 0, "at least 1"),
        (Natural, 2**62, "at most 4,611,686,018,427,387,903"),
        (Share, 1.5, "from 0 to 1"),
        (Seconds, 1e10, "from 0 to 3,153,600,000"),
        (Annotated[int, Range(2, 65_536)], 1, "from 2 to 65536"),
        (Annotated[float, Range(above=0)], 0.0, "above 0"),
        (Annotated[float, Range(above=0, high=1)], 1.5, "above 0 and at most 1"),
    ],
)
def test_the_words_of_a_range_are_untrue_of_what_it_refuses(kind, value, words):
    with pytest.raises(ValueError, match=f"it is {value}, not {words}$"):
        read_value(kind, value)


@pytest.mark.parametrize("kind", [Count, Natural])
def test_the_ends_of_a_range_are_in_it(kind):
    assert read_value(kind, 2**62 - 1) == 2**62 - 1
    assert read_value(kind, 1) == 1


def test_a_range_without_ends_holds_every_number():
    assert math.pi in Range()
