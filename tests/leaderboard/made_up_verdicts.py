"""Verdicts that no record stands behind, for tests of what is drawn from them."""

from __future__ import annotations

from genbench.leaderboard.claims import Claim, Finding, Lack, Outcome, Verdict
from genbench.leaderboard.claims.entry import ClaimFile
from genbench.leaderboard.rows import Row


def verdict(
    id: str,
    family: str,
    word: str,
    dataset: str,
    outcome: Outcome,
    effect: float | None = None,
    interval: tuple[float, float] | None = None,
    lacks: tuple[Lack, ...] = (),
    rows: tuple[Row, ...] = (),
    budget: str = "",
    disagrees: tuple[str, ...] = (),
) -> Verdict:
    """A verdict on a claim of one's own choice."""
    entry = ClaimFile(
        says=f"the lectures say {id}",
        topic="a lecture",
        quantity="a distance",
        support="It is lower.",
        contradiction="It is higher.",
        test={},
        family=family,
        word=word,
    )
    finding = Finding(
        dataset=dataset,
        sentence=f"what was measured of {id}",
        budget=budget,
        effect=effect,
        interval=interval,
        unit="" if effect is None else "FID, ratio",
        p_support=None if outcome == "not measured" else 0.5,
        rows=rows,
        lacks=lacks,
    )
    return Verdict(Claim(id, entry, None), finding, outcome, 0.01, 0.02, disagrees)
