"""Results of demonstrations as files: <leaderboard>/demos/<name>.json, and <name>.svg beside it.

A demonstration computes numbers of which the exact value is known from elsewhere, such as a closed
form. A file of results can therefore be checked by itself: every value is within its tolerance of
what is expected, or the demonstration has failed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from genbench.errors import InputError
from genbench.system.files import files_below
from genbench.system.typed import Amount, Filled, Line, Text, read_json_as

__all__ = [
    "CheckedValue",
    "DemonstrationRecord",
    "demonstration_path",
    "demonstrations_in",
    "figure_path",
    "read_demonstration",
]


@dataclass(frozen=True)
class CheckedValue:
    """A number of a demonstration, and what it should be.

    Attributes:
        quantity: What was computed.
        value: The number.
        expected: What it is by a closed form, or by another way to compute it.
        tolerance: Largest difference that rounding, or the error of a Monte Carlo mean, explains.

    Examples:
        >>> CheckedValue("a half", value=0.5001, expected=0.5, tolerance=0.001).passed
        True
    """

    quantity: Line
    value: float
    expected: float
    tolerance: Amount

    @property
    def error(self) -> float:
        """Difference from what is expected, without its sign."""
        return abs(self.value - self.expected)

    @property
    def passed(self) -> bool:
        """Whether the value is within its tolerance of what is expected."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class DemonstrationRecord:
    """The results of one demonstration.

    Attributes:
        name: Name of the demonstration, and of its files.
        title: What it shows, in a few words.
        formula: The formula, as plain text of one or more lines.
        sentence: What is seen in the figure and in the numbers.
        passed: Whether every value is within its tolerance.
        values: The numbers.
    """

    name: Line
    title: Line
    formula: Text
    sentence: Text
    passed: bool
    values: Annotated[tuple[CheckedValue, ...], Filled()]

    def __post_init__(self) -> None:
        if self.passed != all(value.passed for value in self.values):
            raise ValueError(f"passed is {self.passed}, and its values say otherwise")

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values of JSON."""
        return asdict(self)


def demonstration_path(out: Path, name: str) -> Path:
    """Where the numbers of a demonstration lie under a leaderboard's folder."""
    return out / "demos" / f"{name}.json"


def figure_path(out: Path, name: str) -> Path:
    """Where the figure of a demonstration lies under a leaderboard's folder."""
    return out / "demos" / f"{name}.svg"


def demonstrations_in(out: Path) -> list[DemonstrationRecord]:
    """The results of every demonstration under <out>/demos, sorted by name.

    Raises:
        InputError: One line that names the first bad file.
    """
    files = files_below(out / "demos", "*.json")
    return [read_demonstration(path) for path in files if not path.name.startswith(".")]


def read_demonstration(path: Path) -> DemonstrationRecord:
    """Read the results of one demonstration.

    Raises:
        InputError: One line that names the file and what is wrong with it.
        FileNotFoundError: There is no such file.
    """
    record = read_json_as(DemonstrationRecord, path, "genbench demo writes it again")
    if record.name != path.stem:
        raise InputError(f"{path}: the results of {record.name!r} are named {record.name}.json")
    return record
