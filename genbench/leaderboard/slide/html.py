"""The slide and its verdicts as the first part of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import join_words, range_text
from genbench.leaderboard.claims import Outcome, Verdict
from genbench.leaderboard.claims.text import number
from genbench.leaderboard.claims.verdict import OUTCOMES
from genbench.leaderboard.row_provenance import Link, record_address
from genbench.leaderboard.slide.colours import MARKS
from genbench.leaderboard.slide.grid import anchor, effect_text, interval_text, make_slide
from genbench.leaderboard.slide.plan import representatives, slide_plan

__all__ = ["slide_datasets", "slide_globals", "slide_part"]


def slide_datasets(boards: Sequence[Board]) -> list[str]:
    """Data sets on which a family of the slide was measured: those of most families first."""
    families = {plan.family for plan in slide_plan().rows}
    counts: dict[str, int] = {}
    for board in boards:
        chosen = representatives(board.protocol.dataset, board.rows)
        count = len(families & chosen.keys())
        counts[board.protocol.dataset] = max(count, counts.get(board.protocol.dataset, 0))
    known = [dataset for dataset, count in counts.items() if count]
    return sorted(known, key=lambda dataset: (-counts[dataset], dataset))


def slide_part(verdicts: Sequence[Verdict], boards: Sequence[Board]) -> dict[str, Any]:
    """What the template needs of the slide: one for every data set that has a verdict of its own,
    at least one, and the verdicts by outcome.

    Args:
        verdicts: All verdicts.
        boards: All boards.
    """
    measured = {verdict.dataset for verdict in verdicts if verdict.finding.is_measured}
    datasets = slide_datasets(boards)
    chosen = datasets[:1] + [dataset for dataset in datasets[1:] if dataset in measured]
    slides = [(name, make_slide(slide_plan(), verdicts, boards, name)) for name in chosen]
    groups = [
        (outcome, [verdict for verdict in verdicts if verdict.outcome == outcome])
        for outcome in OUTCOMES
    ]
    return {"slides": slides, "verdicts": [group for group in groups if group[1]]}


def slide_globals() -> dict[str, Any]:
    """What the templates of slide and verdicts call."""
    return {
        "marks": MARKS,
        "anchor_of": anchor,
        "outcome_class": outcome_class,
        "record_links": record_links,
        "verdict_facts": verdict_facts,
        "verdict_title": verdict_title,
    }


def outcome_class(outcome: Outcome) -> str:
    """The style class of a verdict."""
    return outcome.replace(" ", "-")


def verdict_title(verdict: Verdict) -> str:
    """Data set, budget and outcome."""
    place = join_words(verdict.dataset or "exact", verdict.budget)
    return f"{place}: {verdict.words}"


def verdict_facts(verdict: Verdict) -> list[tuple[str, str]]:
    """Names and texts of what a verdict rests on."""
    rows = verdict.finding.rows
    seeds = ", ".join(f"{row.label} {len(row.records)}" for row in rows)
    seconds = ", ".join(f"{row.label} {number(row.train_seconds.mean)}" for row in rows)
    images = range_text(record.images_in_all for record in verdict.records)
    parameters = range_text(record.cost.parameters for record in verdict.records)
    facts = [
        ("Effect", effect_text(verdict)),
        ("95 % interval", interval_text(verdict)),
        ("Corrected p", p_text(verdict)),
        ("Seeds", seeds),
        ("Images seen", images if rows else ""),
        ("Training seconds", seconds),
        ("Parameters", parameters if rows else ""),
        ("The other way at", ", ".join(verdict.disagrees)),
        ("Runs missing", "; ".join(map(str, verdict.lacks))),
    ]
    return [(name, text) for name, text in facts if text]


def p_text(verdict: Verdict) -> str:
    """The p value of what was concluded, after the correction over all claims."""
    values = {
        "supported": verdict.adjusted_support,
        "contradicted": verdict.adjusted_contradiction,
    }
    value = values.get(verdict.outcome)
    if value is None:
        return ""
    return f"{value:.2g}"


def record_links(verdict: Verdict) -> list[tuple[str, list[Link]]]:
    """Labels of the rows that were compared, each with the records of its training seeds."""
    folder = verdict.claim.entry.folders.get(verdict.budget, "")
    prefix = f"{quote(folder)}/" if folder else ""
    return [
        (row.label, [Link(r.seed, prefix + record_address(r)) for r in row.records])
        for row in verdict.finding.rows
    ]
