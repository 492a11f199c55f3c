"""What the file of a claim may say; `genbench.leaderboard.claims.claim` shows one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from genbench.system.typed import Natural, Pattern, Text

__all__ = ["ClaimFile", "Comparison"]

Folder = Annotated[str, Pattern(r"(claims/[\w-]+)?", "a folder such as claims/games, or nothing")]


@dataclass(frozen=True)
class Comparison:
    """Who is compared with whom on one data set.

    Args:
        subject: What the claim is about: a family, or the label of a row.
        rivals: What it is compared with, of which noise-floor stands for images of the data; none
            where the claim is about the subject alone.
    """

    subject: Text
    rivals: tuple[Text, ...] = ()


@dataclass(frozen=True)
class ClaimFile:
    """What the file of a claim may say.

    Args:
        says: The lecture's words, in ours.
        topic: Topic of the lecture.
        quantity: What is measured.
        support: What counts as support.
        contradiction: What counts as contradiction.
        test: class_path of a test, and its arguments.
        family: Row of the slide; none: it is not on the slide.
        word: Column of the slide; none: it is not on the slide.
        compare: Who is compared with whom, by data set; empty for a demonstration.
        budgets: Further folders of records in which the rows have something in common, by what that
            is: {equal images: claims/equal-images}.
        folder: Folder of the records below the leaderboard's; empty: that of the boards.
        seeds: How many training seeds a verdict needs; None: as many as configs/claims.yaml says.
    """

    says: Text
    topic: Text
    quantity: Text
    support: Text
    contradiction: Text
    test: dict[str, Any]
    family: Text = "none"
    word: Text = "none"
    compare: dict[str, Comparison] = field(default_factory=dict)
    budgets: dict[str, Folder] = field(default_factory=dict)
    folder: Folder = ""
    seeds: Natural | None = None

    @property
    def folders(self) -> dict[str, str]:
        """Folders of records by budget. The empty budget is that of the recipes."""
        return {"": self.folder, **self.budgets}
