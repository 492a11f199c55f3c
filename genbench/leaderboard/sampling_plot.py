"""The quality of samples over network evaluations: several samplers of one training, a line a model.

A sampler has enough evaluations where its quality is not told apart from that of the best one of
its model, by the 95 % interval of their difference over training seeds, which are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.leaderboard.board import Board, boards
from genbench.leaderboard.plots import Line, Point, floor_mean, scatter
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.records.catalogue import metric_info, quality_metric
from genbench.records.store import records_in

__all__ = [
    "Sampling",
    "enough_evaluations",
    "sampling_plot",
    "sampling_sentence",
    "samplings_of_claims",
]

# A model needs this many different numbers of network evaluations for a line.
FEWEST = 3


@dataclass(frozen=True)
class Sampling:
    """A plot of the page.

    Attributes:
        dataset: Name of the data set.
        plot: An SVG document.
        sentence: How many network evaluations are enough; None where it cannot be said.
    """

    dataset: str
    plot: str
    sentence: str | None


def samplings_of_claims(out: Path) -> list[Sampling]:
    """The plots that the records of claims with suites of their own allow.

    Args:
        out: The leaderboard's folder, with claims/<name>/records/.

    Raises:
        InputError: A record is bad.
    """
    folders = sorted(path.parent for path in (out / "claims").glob("*/records"))
    every = [board for folder in folders for board in boards(records_in(folder))]
    return [
        Sampling(board.protocol.dataset, plot, sampling_sentence(board))
        for board in every
        if (plot := sampling_plot(board))
    ]


def sampling_plot(board: Board) -> str | None:
    """The quality of samples against network evaluations, means over training seeds, as an SVG
    document; None where no model has samplers of three numbers of evaluations.
    """
    metric = quality_metric(board.protocol)
    if metric is None:
        return None
    points = []
    lines = []
    for rows in sampled_models(board, metric):
        ends = [quantities(row, metric) for row in rows]
        lines.append(Line(rows[0].family, tuple(ends)))
        labels = [row.first.variant or row.label for row in rows]
        points += [Point(label, rows[0].family, *end) for label, end in zip(labels, ends)]
    title = metric_info(metric).title
    return scatter(
        points,
        f"{title} over network evaluations",
        "network evaluations of a sample",
        f"{title} (lower is better)",
        floor=floor_mean(board, metric),
        log_x=True,
        lines=lines,
    )


def sampling_sentence(board: Board) -> str | None:
    """How many network evaluations are enough for each model; None where it cannot be said."""
    metric = quality_metric(board.protocol)
    if metric is None:
        return None
    title = metric_info(metric).title_in_text
    parts = []
    for rows in sampled_models(board, metric):
        enough = enough_evaluations(rows, metric)
        if enough is None:
            continue
        best = best_row(rows, metric)
        counts = ", ".join(f"{quantities(row, metric)[0].mean:,.0f}" for row in rows)
        parts.append(
            f"{rows[0].first.model}: of {counts} network evaluations the fewest whose {title} is"
            f" not told apart from the lowest ({best.label}) are"
            f" {quantities(enough, metric)[0].mean:,.0f}"
        )
    if not parts:
        return None
    return f"{'; '.join(parts)}. 95 % intervals over training seeds, not corrected."


def sampled_models(board: Board, metric: str) -> Iterator[list[Row]]:
    """The rows of each model with samplers of at least three numbers of network evaluations, those
    of few evaluations first.

    Args:
        board: The board.
        metric: Name of the metric that every row must have.
    """
    models: dict[tuple[str, str], list[Row]] = {}
    for row in board.rows:
        if row.network_evaluations and row.metric(metric):
            models.setdefault(row.model_key, []).append(row)
    for rows in models.values():
        if len({quantities(row, metric)[0].mean for row in rows}) >= FEWEST:
            yield sorted(rows, key=lambda row: quantities(row, metric)[0].mean)


def enough_evaluations(rows: Sequence[Row], metric: str) -> Row | None:
    """The row of the fewest network evaluations that is not told apart from the best one.

    Args:
        rows: Samplers of one model, those of few evaluations first.
        metric: Name of the metric, of which lower is better.

    Returns:
        The row; None where a row has one training seed, which shows no spread.
    """
    best = best_row(rows, metric)
    lowest = quantities(best, metric)[1]
    if any(quantities(row, metric)[1].n < 2 for row in rows):
        return None
    for row in rows:
        interval = row.difference(best, quantities(row, metric)[1], lowest)
        if row is best or interval is None or interval[0] <= 0:
            return row
    return best


def best_row(rows: Sequence[Row], metric: str) -> Row:
    """The row with the lowest mean of a metric."""
    return min(rows, key=lambda row: quantities(row, metric)[1].mean)


def quantities(row: Row, metric: str) -> tuple[Summary, Summary]:
    """Network evaluations and metric over the seeds of a row that has both."""
    evaluations = row.network_evaluations
    value = row.metric(metric)
    assert evaluations is not None and value is not None
    return evaluations, value
