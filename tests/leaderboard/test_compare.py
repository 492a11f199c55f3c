"""Better, worse or not resolved: Welch's interval, and what the kinds of likelihood prove."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel
from test_leaderboard import POINTS, lecture, make, write

from genbench.cli.main import main
from genbench.errors import InputError
from genbench.leaderboard.board import boards
from genbench.leaderboard.compare import compare, compare_rows
from genbench.leaderboard.intervals import paired, welch
from genbench.leaderboard.words import quality_words
from genbench.records.catalogue import metric_info
from genbench.records.store import records_in


def verdicts(*records):
    """Of the first row against the second, by quantity."""
    (board,) = boards([record for group in records for record in group])
    a, b = (next(row for row in board.rows if row.first == group[0]) for group in records)
    return {one.quantity.split()[0]: one for one in compare_rows(board, a, b)}


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 3), (3, 7), (10, 4)])
def test_the_interval_is_that_of_scipy(n, m):
    draw = np.random.default_rng(n)
    a, b = draw.normal(1, 1, n), draw.normal(0, 3, m)
    expected = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert welch(a.tolist(), b.tolist()) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_the_interval_holds_what_it_promises():
    """Three seeds a row: a true difference lies inside about 95 times in a hundred."""
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        low, high = welch(draw.normal(2, 1, 3).tolist(), draw.normal(0, 1, 3).tolist())
        inside += low <= 2 <= high
    assert 0.93 <= inside / 1000 <= 0.99


def test_seeds_without_spread_and_seeds_alone():
    assert welch((2.0, 2.0), (1.0, 1.0)) is None
    assert welch((2.0,), (1.0, 1.1)) is None
    # shares k/n whose differences are all 10/719, up to the last bit
    shares = [k / 719 for k in (701, 700, 695)]
    lower_shares = [k / 719 for k in (691, 690, 685)]
    assert paired(shares, lower_shares) is None
    assert welch((0.1 + 0.2, 0.3, 0.3), (0.2, 0.2, 0.2)) is None
    assert paired((1.0, 2.0, 3.0), (0.9, 1.9, 2.8)) is not None
    one = verdicts(make("vae", (5.0,)), make("gan", (1.0, 1.1)))["FID"]
    assert (one.verdict, one.interval, one.reason) == (
        "not resolved",
        None,
        "one seed of vae: its spread is unknown",
    )


@pytest.mark.parametrize("paired_seeds", [False, True])
def test_equal_values_at_all_seeds_resolve_nothing_and_say_why(paired_seeds):
    """8, 8, 8 against 7, 7, 7: an interval of no width is no measurement of the error."""
    more = {"variant": "other", "config": "x", "sampler": {"steps": 5}} if paired_seeds else {}
    a = make("a", (8.0, 8.0, 8.0), config="x")
    b = make("a" if paired_seeds else "b", (7.0, 7.0, 7.0), **more)
    found = verdicts(a, b)["FID"]
    reason = "the same difference at every seed: no spread to measure it by"
    assert (found.verdict, found.interval, found.reason) == ("not resolved", None, reason)
    (board,) = boards([*a, *b])
    assert board.mark(board.rows[1], "fid") == ""
    assert "may be chance" in quality_words(board, board.rows[0], "fid")
    # one of them with a spread is enough for an interval
    assert verdicts(a, make("b", (7.0, 7.1, 6.9)))["FID"].verdict == "worse"


def test_better_and_worse_follow_the_direction_of_the_metric():
    low = make("low", (1.0, 1.1, 0.9), recall=(0.3, 0.31, 0.29))
    high = make("high", (5.0, 5.1, 4.9), recall=(0.9, 0.91, 0.89))
    found = verdicts(low, high)
    assert found["FID"].verdict == "better" and found["FID"].effect == pytest.approx(-4)
    assert found["Recall"].verdict == "worse"
    assert "Density" not in found  # it has no better side
    back = verdicts(high, low)
    assert (back["FID"].verdict, back["Recall"].verdict) == ("worse", "better")
    assert (
        verdicts(make("a", (1.0, 3.0, 5.0)), make("b", (2.0, 4.0, 6.0)))["FID"].verdict
        == "not resolved"
    )


def test_survivors_win_nothing():
    found = verdicts(make("a", (1.0, 1.1, 0.9, 1.0), diverged=(3,)), make("b", (5.0, 5.1, 4.9)))[
        "FID"
    ]
    assert (found.verdict, found.reason) == ("not resolved", "1 of 4 runs of a diverged")
    assert (
        verdicts(make("a", (9.0, 9.1, 8.9, 9.0), diverged=(3,)), make("b", (5.0, 5.1, 4.9)))[
            "FID"
        ].verdict
        == "worse"
    )


@pytest.mark.parametrize(
    ("kind", "other", "verdict"),
    [("exact", "exact", "better"), ("bound", "exact", "better"), ("exact", "bound", "not resolved"),
     ("bound", "bound", "not resolved"), ("estimate", "exact", "not resolved"), ("exact", "estimate", "not resolved")],
)  # fmt: skip
def test_likelihoods_resolve_what_their_kinds_prove(kind, other, verdict):
    fid = (1.0, 1.1, 1.2)
    a, b = (
        make("a", fid, kind=kind, bits=(2.0, 2.01, 2.02)),
        make("b", fid, kind=other, bits=(3.0, 3.01, 3.02)),
    )
    assert verdicts(a, b)["bits/dim"].verdict == verdict
    assert verdicts(b, a)["bits/dim"].verdict == {"better": "worse"}.get(verdict, verdict)


def test_samplers_of_the_same_weights_are_paired_by_seed():
    """What the seeds have in common drops out."""
    seeds = np.array([10.0, 20.0, 30.0])
    a, b = seeds + np.array([1.0, 1.1, 0.9]), seeds
    expected = ttest_rel(a, b).confidence_interval(0.95)
    assert paired(a.tolist(), b.tolist()) == pytest.approx((expected.low, expected.high), rel=1e-9)
    variants = (
        make("vae", tuple(a), config="x"),
        make("vae", tuple(b), config="x", variant="mean", sampler={"decoder": "mean"}),
    )
    assert verdicts(*variants)["FID"].verdict == "worse"
    assert verdicts(make("a", tuple(a)), make("b", tuple(b)))["FID"].verdict == "not resolved"


def test_what_a_table_calls_best_is_better_than_every_rival():
    """One rule for both: bold in the lecture's table and on the committed boards."""
    for records in (lecture(), records_in(Path(__file__).parents[2] / "leaderboards")):
        best = 0
        for board in boards(records):
            for row, metric in (
                (row, metric) for row in board.rows for metric in board.protocol.metrics
            ):
                if board.mark(row, metric) == "best":
                    rivals = [
                        other
                        for other in board.rows_like(row)
                        if other is not row and other.metric(metric)
                    ]
                    title = metric_info(metric).title
                    found = [
                        one
                        for other in rivals
                        for one in compare_rows(board, row, other)
                        if one.quantity[:-2] == title
                    ]
                    assert len(found) == len(rivals) > 0 and all(
                        one.verdict == "better" for one in found
                    )
                    best += 1
        tested = any(board.tests_differences for board in boards(records))
        assert best > 0 or not tested


def test_samplers_of_one_model_have_one_likelihood():
    a = make("ddpm", (1.0, 1.1), kind="bound", bits=(2.0, 2.1), config="x")
    b = make(
        "ddpm",
        (2.0, 2.1),
        kind="bound",
        bits=(2.0, 2.1),
        config="x",
        variant="ddim50",
        sampler={"steps": 50},
    )
    assert "bits/dim" not in verdicts(a, b)


def test_the_command_prints_every_board_that_holds_both(tmp_path, capsys):
    write(tmp_path, lecture() + lecture(POINTS, scale=0.01))
    assert main(["compare", "ddpm@ddim50", "ddpm", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("A = ddpm@ddim50 (3 seeds), B = ddpm (3 seeds)") == 2
    lines = list(compare(tmp_path, "vae", "noise-floor", "digits"))
    assert any("noise-floor (1 seed)" in line for line in lines)
    assert any("the more they overlap" in line for line in lines)
    assert main(["compare", "ddpm", "dpm", "--out", str(tmp_path)]) == 2
    assert "no row 'dpm'" in capsys.readouterr().err


def test_rows_of_different_boards_are_not_compared(tmp_path):
    write(tmp_path, make("a") + make("b", protocol=POINTS))
    with pytest.raises(InputError, match="a and b are on no board together"):
        list(compare(tmp_path, "a", "b"))
    with pytest.raises(InputError, match=r"no board of 'digit'.*; did you mean 'digits'"):
        list(compare(tmp_path, "a", "b", "digit"))
