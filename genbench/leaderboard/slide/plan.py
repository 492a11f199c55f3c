"""configs/slide.yaml: the columns and rows of the slide.

A claim says itself in which row and column it stands. `configs/claims.yaml` names the row of a board
that stands for a family; boards show it first. What a family can answer is said here where no record
says it; a test holds it against the classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from genbench.leaderboard.claims.claim_settings import Settings, load_settings
from genbench.leaderboard.rows import Row
from genbench.system.locations import shipped
from genbench.system.typed import Text, read_yaml_as

__all__ = [
    "ColumnPlan",
    "Kind",
    "OtherFamily",
    "RowPlan",
    "SlidePlan",
    "label_on",
    "representatives",
    "slide_plan",
]

Kind = Literal["tractable", "variational", "Markov chain", "implicit"]


@dataclass(frozen=True)
class ColumnPlan:
    """A column of the slide.

    Attributes:
        title: Its head.
        words: Words of the claims that stand in it, the most important first.
    """

    title: Text
    words: tuple[Text, ...]


@dataclass(frozen=True)
class RowPlan:
    """A row of the slide.

    Attributes:
        family: The family's name in records and claims.
        name: Its name on the slide.
        kind: How its models have a density, or that they have none.
        latent: Whether p(z | x) is known: exact, approx. (a variational distribution in its place)
            or no.
        given: What samples can be conditioned on, separated by commas.
    """

    family: Text
    name: Text
    kind: Kind
    latent: Literal["exact", "approx.", "no"]
    given: Text


@dataclass(frozen=True)
class OtherFamily:
    """A family that is not on the slide.

    Attributes:
        family: Its name in records.
        stands: Its name in configs/claims.yaml.
    """

    family: Text
    stands: Text


@dataclass(frozen=True)
class SlidePlan:
    """What stands on the slide.

    Attributes:
        columns: The columns.
        phrases: What the lectures say, in a word or two, by the id of a claim.
        rows: The families on the slide.
        others: The other families.
        units: Short names of quantities, for cells.
    """

    columns: tuple[ColumnPlan, ...]
    phrases: dict[str, Text]
    rows: tuple[RowPlan, ...]
    others: tuple[OtherFamily, ...] = ()
    units: dict[str, Text] = field(default_factory=dict)

    @property
    def stands(self) -> dict[str, str]:
        """Family in records -> its name in configs/claims.yaml."""
        on_slide = {row.family: row.family for row in self.rows}
        return {**on_slide, **{other.family: other.stands for other in self.others}}


@cache
def slide_plan() -> SlidePlan:
    """The plan of the slide.

    Raises:
        InputError: The file is wrong.
    """
    return read_yaml_as(SlidePlan, shipped("configs", "slide.yaml"))


@cache
def claim_settings() -> Settings:
    """What configs/claims.yaml says.

    Raises:
        InputError: The file is wrong.
    """
    return load_settings()


def label_on(dataset: str, family: str) -> str:
    """Label of the row that stands for a family on a data set; empty without one.

    Args:
        dataset: Name of the data set.
        family: The family's name in records.
    """
    labels = claim_settings().representatives.get(dataset, {})
    return labels.get(slide_plan().stands.get(family, ""), "")


def representatives(dataset: str, rows: Iterable[Row]) -> dict[str, Row]:
    """Family -> the row that stands for it.

    Args:
        dataset: Name of the data set.
        rows: Rows of a board of that data set.
    """
    return {row.family: row for row in rows if row.label == label_on(dataset, row.family)}
