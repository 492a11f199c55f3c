"""The curve over the images seen on a board: one line a model, and what the rule of the lowest point would have given."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from test_leaderboard import make

from genbench.leaderboard.board import boards
from genbench.leaderboard.curves import curve_plot, curve_sentence
from genbench.leaderboard.markdown import board_markdown
from genbench.records.curve import Curve, CurvePoint


def with_curves(records, curves, variant=""):
    return [
        replace(
            record,
            curve=Curve(
                "fid",
                64,
                100,
                variant,
                tuple(CurvePoint(100 * (i + 1), value) for i, value in enumerate(values)),
            ),
        )
        for record, values in zip(records, curves, strict=True)
    ]


def test_the_sentence_counts_the_runs_and_the_mean_gain():
    vae = with_curves(make("vae", (20.0, 22.0)), [(30.0, 25.0, 21.0), (30.0, 20.0, 23.0)])
    gan = with_curves(make("gan", (9.0, 8.0), family="gan"), [(30.0, 5.0, 9.0), (30.0, 6.0, 8.0)])
    (board,) = boards([*vae, *gan])
    sentence = curve_sentence(board)
    assert "lowest FID of 64 samples against 100 validation images" in sentence
    assert "before the end in 3 of 4 runs" in sentence
    assert "lower by at most 3.00 (gan, mean over 2 seeds)" in sentence
    assert "chance among 3 points" in sentence
    assert sentence in board_markdown(board)


def test_a_model_is_one_line_whatever_its_samplers():
    plain = with_curves(make("ddpm", (4.0, 5.0)), [(9.0, 4.0), (7.0, 6.0)])
    other = with_curves(
        make("ddpm", (4.0, 5.0), variant="ddim50", sampler={"steps": 3}), [(9.0, 4.0), (7.0, 6.0)]
    )
    (board,) = boards([*plain, *other])
    picture = ElementTree.fromstring(curve_plot(board))
    paths = [node.get("d") for node in picture.iter() if "L" in node.get("d", "")]
    assert len(paths) == 1
    (start, end) = (
        tuple(map(float, corner.split())) for corner in paths[0].removeprefix("M").split("L")
    )
    assert start[0] < end[0]
    assert start[1] < end[1]  # from a mean of 8 down to one of 5
    assert curve_sentence(board).endswith("in 0 of 2 runs.")


def test_records_without_curves_have_neither_plot_nor_sentence():
    (board,) = boards(make("vae", (20.0, 22.0)))
    assert curve_plot(board) is None
    assert curve_sentence(board) is None
