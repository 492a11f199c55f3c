"""What stands on the slide: rows of families, columns of the lectures' words, a verdict a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import NONE, join_words
from genbench.leaderboard.claims import Outcome, Verdict
from genbench.leaderboard.claims.numbers import interval_words, number_text
from genbench.leaderboard.rows import Row
from genbench.leaderboard.slide.colours import MARKS
from genbench.leaderboard.slide.plan import (
    ColumnPlan,
    RowPlan,
    SlidePlan,
    label_on,
    representatives,
)

__all__ = ["QUESTIONS", "Slide", "SlideCell", "SlideRow", "anchor", "make_slide"]

QUESTIONS = ("p(x)", "p(z | x)", "x given y")
TITLE = "Deep generative models, measured"


@dataclass(frozen=True)
class SlideCell:
    """A verdict on a word of the lectures.

    Attributes:
        phrase: What the lectures say, in a word or two.
        outcome: The verdict.
        number: The effect with its unit in short; empty where nothing was measured.
        error: Its interval, or what is missing, and the data set where it is another one.
        elsewhere: Budgets that disagree, and signs of the verdicts on other data sets.
        anchor: Where the page tells the whole.
        sentence: The verdict as a sentence.
    """

    phrase: str
    outcome: Outcome
    number: str
    error: str
    elsewhere: str
    anchor: str
    sentence: str


@dataclass(frozen=True)
class SlideRow:
    """A family.

    Attributes:
        family: Its name in records.
        name: Its name on the slide.
        kind: How its models have a density, or that they have none.
        stands: The row of the board that stands for it.
        sampling: Sequential network evaluations of a sample.
        cells: A cell a word; None where the lectures say nothing.
        answers: An answer a question of `QUESTIONS`.
    """

    family: str
    name: str
    kind: str
    stands: str
    sampling: str
    cells: tuple[SlideCell | None, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Slide:
    """The slide.

    Attributes:
        title: Its title.
        subtitle: What data and rows it is about.
        words: Words of the lectures, which are the columns.
        questions: Questions that a family may answer, which are the last columns.
        rows: The families.
        footnote: What the signs mean.
    """

    title: str
    subtitle: str
    words: tuple[str, ...]
    questions: tuple[str, ...]
    rows: tuple[SlideRow, ...]
    footnote: str


def make_slide(
    plan: SlidePlan, verdicts: Sequence[Verdict], boards: Iterable[Board], dataset: str
) -> Slide:
    """The slide of a data set.

    Args:
        plan: Its columns and rows.
        verdicts: The verdicts on all data sets.
        boards: The boards of all data sets, whose records say what a family can answer.
        dataset: The data set whose verdicts are shown. A claim that has none there shows that of
            another one, with its name.
    """
    chosen: dict[str, Row] = {}
    for board in boards:
        if board.protocol.dataset == dataset:
            chosen = {**representatives(dataset, board.rows), **chosen}
    lines = tuple(
        slide_row(plan, line, verdicts, chosen.get(line.family), dataset) for line in plan.rows
    )
    subtitle = (
        f"Data: {dataset}. The lectures' word, the verdict (corrected over all claims), the"
        " measured effect and its 95 % interval; ×: a ratio. Below a family: the row that stands"
        " for it."
    )
    signs = " · ".join(f"{mark.sign} {outcome}" for outcome, mark in MARKS.items())
    footnote = f"{signs} · empty: the lectures' slide says nothing"
    words = tuple(column.title for column in plan.columns)
    return Slide(TITLE, subtitle, words, QUESTIONS, lines, footnote)


def slide_row(
    plan: SlidePlan,
    line: RowPlan,
    verdicts: Sequence[Verdict],
    row: Row | None,
    dataset: str,
) -> SlideRow:
    """The row of a family.

    Args:
        plan: The plan of the slide.
        line: The plan of the row.
        verdicts: All verdicts.
        row: The measured row that stands for the family; None where nothing was measured.
        dataset: The data set of the slide.
    """
    own = [verdict for verdict in verdicts if verdict.claim.family == line.family]
    cells = tuple(slide_cell(plan, column, own, dataset) for column in plan.columns)
    answers = (density_answer(row), line.latent, line.given)
    stands = label_on(dataset, line.family)
    return SlideRow(line.family, line.name, line.kind, stands, sampling_text(row), cells, answers)


def slide_cell(
    plan: SlidePlan, column: ColumnPlan, own: Sequence[Verdict], dataset: str
) -> SlideCell | None:
    """The cell of a family in a column; None where the lectures say nothing.

    Args:
        plan: The plan of the slide.
        column: The column.
        own: The verdicts about the family.
        dataset: The data set of the slide.
    """
    chosen = [verdict for verdict in own if verdict.claim.word in column.words]
    chosen = [verdict for verdict in chosen if not verdict.budget]
    if not chosen:
        return None

    def order(verdict: Verdict) -> tuple[int, bool, bool]:
        word = column.words.index(verdict.claim.word)
        return word, verdict.dataset != dataset, not verdict.finding.is_measured

    first, *others = sorted(chosen, key=order)
    return SlideCell(
        phrase=plan.phrases.get(first.claim.id, first.claim.word),
        outcome=first.outcome,
        number=short_effect(first, plan.units),
        error=join_words(interval_text(first), lack_text(first), place_text(first, dataset)),
        elsewhere=elsewhere_text(first, others, dataset),
        anchor=anchor(first),
        sentence=first.sentence or first.claim.says,
    )


def elsewhere_text(first: Verdict, others: Sequence[Verdict], dataset: str) -> str:
    """Under which budgets a verdict is another one, and the signs of the other verdicts of a cell.

    Args:
        first: The verdict that is shown large.
        others: The same claim on other data sets, and other claims of the cell.
        dataset: The data set of the slide.
    """
    words = [f"not at {budget}" for budget in first.disagrees]
    for other in others:
        sign = MARKS[other.outcome].sign
        if other.claim.id == first.claim.id and other.finding.is_measured:
            words.append(f"{other.dataset} {sign}")
        elif other.claim.id != first.claim.id and other.dataset in (dataset, ""):
            words.append(f"{other.claim.word} {sign}")
    return join_words(*words)


def place_text(verdict: Verdict, dataset: str) -> str:
    """The data set of a verdict; empty where it is that of the slide, or there is none."""
    if verdict.dataset in (dataset, ""):
        return ""
    return f"on {verdict.dataset}"


def lack_text(verdict: Verdict) -> str:
    """How many of the seeds that a verdict needs are there; empty where all are."""
    if not verdict.lacks:
        return ""
    lack = max(verdict.lacks, key=lambda lack: len(lack.seeds))
    return f"{lack.needed - len(lack.seeds)} of {lack.needed} seeds"


def anchor(verdict: Verdict) -> str:
    """Name of the place in the page that tells a verdict whole."""
    parts = ("claim", verdict.claim.id, verdict.dataset, verdict.budget)
    return "-".join(part.replace(" ", "-") for part in parts if part)


def effect_text(verdict: Verdict) -> str:
    """The effect with its unit; empty where there is no verdict yet."""
    if verdict.effect is None or not verdict.finding.is_measured:
        return ""
    return f"{number_text(verdict.effect)} {verdict.unit}".strip()


def short_effect(verdict: Verdict, units: Mapping[str, str]) -> str:
    """The effect in as few letters as a cell has room for: a ratio as a multiple, to two digits.

    Args:
        verdict: The verdict.
        units: Short names of quantities.
    """
    quantity, _, scale = verdict.unit.rpartition(", ")
    if scale not in ("ratio", "difference") or not effect_text(verdict):
        return effect_text(verdict)
    sign = {"ratio": "×", "difference": "+" if (verdict.effect or 0) > 0 else ""}[scale]
    effect = number_text(verdict.effect or 0, digits=2)
    return f"{sign}{effect} {units.get(quantity, quantity)}"


def interval_text(verdict: Verdict) -> str:
    """The interval of the effect; empty where there is none, or no verdict yet."""
    if verdict.interval is None or not verdict.finding.is_measured:
        return ""
    return interval_words(verdict.interval)


def density_answer(row: Row | None) -> str:
    """Whether p(x) is known: exact, bound, estimate or no, as records say."""
    if row is None:
        return NONE
    if row.kind is None:
        return "no"
    return row.kind


def sampling_text(row: Row | None) -> str:
    """Sequential network evaluations of a sample, as records say; empty where it was not timed."""
    evaluations = row.network_evaluations if row else None
    if evaluations is None:
        return ""
    if evaluations.mean == 1:
        return "samples: 1 pass"
    return f"samples: {round(evaluations.mean):,} passes"
