r"""Whether two measurements put the same models in the same order: Kendall's tau, and an interval
that says how far the training seeds decide it.

    tau = sum_{i<j} s_ij t_ij / sqrt(sum s_ij^2 sum t_ij^2),   s_ij = sign(a_i - a_j), t_ij = sign(b_i - b_j)       (tau-b)

a_i and b_i are the means over the training seeds of model i in one and in the other measurement;
where higher is better, their signs are exchanged. tau is 1 for equal orders, 0 for unrelated ones,
-1 for opposite ones. Without ties, (1 + tau) / 2 is the share of pairs of models in one order.

Interval. The training seeds of every model are drawn anew with replacement, 2,000 times, and tau is
that of the means

    m* = m + (mean of the n drawn values - m) sqrt(n / (n - 1)) sqrt((n - 1) / q),   q ~ chi^2 of n - 1 degrees

The first root gives the drawn means the spread of a mean of n seeds, the second one the tails of
Student's t, for that spread is known from n values only. The metrics of one training are drawn
together. The noise of drawing comes on top of the noise in the means, and so tau of drawn means
lies nearer to zero than tau does, about as much as tau itself lies nearer to zero than the tau of
infinitely many seeds. With L and U the quantiles of 2.5 % and 97.5 %, the interval is therefore
that which holds both [L, U] and its mirror image at tau, [2 tau - U, 2 tau - L]. With three seeds
it covers the tau of infinitely many seeds in 95 % of cases or more where the means of the models
spread by at least twice the standard deviation over seeds, and in fewer where they lie closer,
where noise decides the order. The models are given: other models are in no interval.

References:
    Kendall (1945), The treatment of ties in ranking problems. doi:10.1093/biomet/33.3.239
    Davison, Hinkley (1997), Bootstrap methods and their application, sections 2.3 and 5.2
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from genbench.leaderboard.board import Board
from genbench.leaderboard.claims.claim_settings import load_settings
from genbench.leaderboard.claims.evidence import row_of
from genbench.leaderboard.intervals import CONFIDENCE, Interval
from genbench.leaderboard.rows import Row
from genbench.records.catalogue import QUALITY, metric_info, quality_metric
from genbench.system.json_files import digest

__all__ = ["Comparison", "Seeds", "comparisons", "interval_of_tau", "kendall_tau"]

DRAWS = 2000
FEWEST = 4
"""Models that two orders need in common: of three, one chance in six has equal orders."""


@dataclass(frozen=True)
class Seeds:
    """A model in one measurement.

    Attributes:
        training: What was trained. The seeds of one training are drawn together in all measurements.
        values: One per training seed, lower is better.
    """

    training: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """Two orders of the same models.

    Attributes:
        first: Name of one measurement, such as "FID on digits".
        second: Name of the other.
        models: Labels of the models in the first one.
        tau: Kendall's tau.
        interval: Its 95 % interval; None where a model has one seed, or a board is of the former
            protocol.
        same: Pairs of models that both put in the same order.
        pairs: All pairs of models.
    """

    first: str
    second: str
    models: tuple[str, ...]
    tau: float
    interval: Interval | None
    same: int
    pairs: int


def kendall_tau(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between the last axes of two arrays, (..., K); nan where all of one are equal.

    Examples:
        >>> float(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.0, 3.0])))
        0.3333333333333333
    """
    i, j = np.triu_indices(a.shape[-1], 1)
    s = np.sign(a[..., i] - a[..., j])
    t = np.sign(b[..., i] - b[..., j])
    with np.errstate(invalid="ignore"):
        return (s * t).sum(-1) / np.sqrt((s**2).sum(-1) * (t**2).sum(-1))


def interval_of_tau(first: Sequence[Seeds], second: Sequence[Seeds]) -> Interval | None:
    """The 95 % interval of tau by drawing training seeds.

    Args:
        first: The models in one measurement.
        second: The same models, in the same order, in the other measurement.

    Returns:
        Both ends; None where a model has one seed, or where tau of the means is not defined.
    """
    if min(len(model.values) for model in (*first, *second)) < 2:
        return None
    tau = float(kendall_tau(means(first), means(second)))
    if math.isnan(tau):
        return None
    drawn = kendall_tau(drawn_means(first), drawn_means(second))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail]).tolist()
    return max(-1.0, min(low, 2 * tau - high)), min(1.0, max(high, 2 * tau - low))


def means(models: Sequence[Seeds]) -> np.ndarray:
    """The mean of every model over its training seeds, (K,)."""
    return np.array([np.mean(model.values) for model in models])


def drawn_means(models: Sequence[Seeds]) -> np.ndarray:
    """Means over training seeds that are drawn anew, (DRAWS, K)."""
    columns = []
    for model in models:
        n = len(model.values)
        values = np.array(model.values)
        generator = np.random.default_rng(int(digest([model.training])[:15], 16))
        drawn = values[generator.integers(n, size=(DRAWS, n))].mean(1)
        scale = np.sqrt(n / generator.chisquare(n - 1, size=DRAWS))
        columns.append(values.mean() + scale * (drawn - values.mean()))
    return np.stack(columns, axis=1)


def comparisons(boards: Sequence[Board]) -> list[Comparison]:
    """Every comparison that some boards allow: of the quality metrics within a board, over all its
    rows, and of the boards of two data sets, over the representatives of the families.

    A board of the former protocol has no intervals, for its spread over trainings leaves out the
    noise of sampling. It is left out where its data has another board.
    """
    current = {board.protocol.dataset for board in boards if board.tests_differences}
    compared = [
        board
        for board in boards
        if board.tests_differences or board.protocol.dataset not in current
    ]
    within = [one for board in compared for one in within_board(board)]
    across = [
        between(a, b)
        for a, b in combinations(compared, 2)
        if a.protocol.dataset != b.protocol.dataset
    ]
    return [*within, *(one for one in across if one)]


def within_board(board: Board) -> list[Comparison]:
    """The orders of all rows of a board, but for those that are told labels, under each two metrics
    that stand for the quality of samples.
    """
    names = [name for name in QUALITY if name in board.protocol.metrics]
    rows = [row for row in board.rows if not row.conditional]
    orders = []
    for a, b in combinations(names, 2):
        measured = [row for row in rows if row.metric(a) and row.metric(b)]
        orders.append(compare(board, a, measured, board, b, measured))
    return [one for one in orders if one]


def between(a: Board, b: Board) -> Comparison | None:
    """The orders of the families' representatives on two boards, under the quality metric of each.

    Returns:
        The comparison; None where fewer than four families are measured on both.
    """
    first = quality_metric(a.protocol)
    second = quality_metric(b.protocol)
    if first is None or second is None:
        return None
    rows_a = representatives(a, first)
    rows_b = representatives(b, second)
    families = [family for family in rows_a if family in rows_b]
    return compare(
        a, first, [rows_a[f] for f in families], b, second, [rows_b[f] for f in families]
    )


def representatives(board: Board, metric: str) -> dict[str, Row]:
    """The row that stands for each family on a data set, as configs/claims.yaml names it, where it
    has the metric.
    """
    labels = load_settings().representatives.get(board.protocol.dataset, {})
    rows = {family: row_of(board, label) for family, label in labels.items()}
    return {family: row for family, row in rows.items() if row and row.metric(metric)}


def compare(
    a: Board, first: str, rows_a: Sequence[Row], b: Board, second: str, rows_b: Sequence[Row]
) -> Comparison | None:
    """Two orders of the same models.

    Args:
        a: The board of one measurement.
        first: Its metric.
        rows_a: The models on that board.
        b: The board of the other measurement.
        second: Its metric.
        rows_b: The same models on that board.

    Returns:
        The comparison; None of fewer than four models, or where all values of one are equal.
    """
    if len(rows_a) < FEWEST:
        return None
    values_a = [seeds_of(row, first) for row in rows_a]
    values_b = [seeds_of(row, second) for row in rows_b]
    tau = float(kendall_tau(means(values_a), means(values_b)))
    if math.isnan(tau):
        return None
    signs = [
        np.sign(np.subtract.outer(means(v), means(v)))[np.triu_indices(len(v), 1)]
        for v in (values_a, values_b)
    ]
    interval = None
    if a.tests_differences and b.tests_differences:
        interval = interval_of_tau(values_a, values_b)
    return Comparison(
        measurement_name(a, first),
        measurement_name(b, second),
        tuple(row.label for row in rows_a),
        tau,
        interval,
        same=int((signs[0] * signs[1] > 0).sum()),
        pairs=len(signs[0]),
    )


def seeds_of(row: Row, metric: str) -> Seeds:
    """A row in a metric, its values with exchanged signs where higher is better."""
    summary = row.metric(metric)
    assert summary is not None
    sign = -1 if metric_info(metric).better == "higher" else 1
    training = " ".join(row.model_key)
    return Seeds(training, tuple(sign * value for value in summary.values))


def measurement_name(board: Board, metric: str) -> str:
    """A metric and its board in words: "FID on digits"; the protocol's name where it differs."""
    protocol = board.protocol
    place = protocol.dataset
    if protocol.name != place:
        place = f"{place}, protocol {protocol.name}"
    if board.apart:
        place = f"{place} ({board.apart})"
    return f"{metric_info(metric).title} on {place}"
