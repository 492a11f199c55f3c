"""What the README says of measured figures is what the records say: numbers, comparisons, and what was not measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_leaderboard import make

from genbench.data.digits import Digits
from genbench.errors import InputError
from genbench.leaderboard.board import boards
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.readme_figures import (
    ROWS,
    lead_sentence,
    readme_board,
    readme_with,
    rivalry_sentence,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def committed():
    return load_boards(ROOT / "leaderboards")


def test_figures_and_comparisons_of_the_readme_are_those_of_the_records(committed):
    assert readme_with(README, readme_board(committed)) == README, "make figures writes them"


def test_a_figure_or_a_claim_that_is_changed_by_hand_is_seen(committed):
    board = readme_board(committed)
    (block,) = re.findall(r"<!-- figures -->.*?<!-- /figures -->", README, re.DOTALL)
    for number in set(re.findall(r"\d+\.\d+", block)):
        changed = README.replace(
            block, block.replace(number, number[:-1] + str((int(number[-1]) + 1) % 10), 1)
        )
        assert readme_with(changed, board) != changed
    for word, other in (("lowest", "second lowest"), ("against", "beside"), ("exact", "estimate")):
        changed = README.replace(block, block.replace(word, other, 1))
        assert changed != README
        assert readme_with(changed, board) == README
    example = re.search(r"\| `([\d.]+)` \| bits/dim, exact", README)
    changed = README.replace(f"| `{example[1]}` | bits/dim, exact", "| `1.00` | bits/dim, exact")
    assert readme_with(changed, board) == README
    with pytest.raises(InputError, match="0 places between"):
        readme_with(README.replace("<!-- figures -->", ""), board)


def test_the_sentences_follow_the_intervals():
    lead = make("a", (1.0, 1.1, 0.9), recall=0.9)
    near, far = (
        make("b", (1.1, 1.2, 0.8), "gan", recall=0.5),
        make("c", (9.0, 9.1, 8.9), "gan", recall=0.5),
    )
    given = make(
        "d", (0.1, 0.2, 0.1), kind="exact", bits=(1.0,), conditional=True
    )  # ranked among its like
    (board,) = boards([*lead, *near, *far, *given])
    assert (
        lead_sentence(board, "fid")
        == "the lowest FID is that of `a` (1.00), which is not told apart from `b` (1.03);"
    )
    rows = {row.label: row for row in board.rows}
    sentence = rivalry_sentence(board, rows["a"], rows["c"])
    # the other values are equal at all seeds: nothing is resolved by them
    assert (
        sentence
        == "against `c`, `a` is better in FID, not told apart in IS, KID, Precision, Recall and Coverage."
    )
    (board,) = boards([*lead, *far])
    assert (
        lead_sentence(board, "fid")
        == "the lowest FID is that of `a` (1.00), better than every other;"
    )


def test_a_board_without_the_rows_is_not_taken():
    with pytest.raises(InputError, match="no board of digits has the rows vae, gan"):
        readme_board(boards(make("vae", (1.0, 1.1, 0.9))))
    assert len(ROWS) == 6


def test_what_the_readme_says_of_errors_data_and_labels(committed):
    """Every metric of samples has a standard error; the models of p(x | y); sizes and accuracies."""
    current = [board for board in committed if not board.protocol.is_former]
    for board in current:
        for row in (*board.rows, *board.floor):
            for record in row.records:
                lacking = {name for name, metric in record.metrics.items() if metric.error is None}
                assert lacking <= {"kl"}, (row.label, lacking)
    conditional = {row.label for board in committed for row in board.rows if row.conditional}
    assert (
        conditional == {"pixelcnn-class", "gmm-joint", "rbm-joint"}
        and "of models of p(x | y) only a PixelCNN, a mixture and an RBM of digits have" in README
    )
    digits = Digits()
    images = sum(len(digits.arrays(split)[0]) for split in ("train", "val", "test"))
    assert f"{images:,} scanned digits" in README
    (accuracy,) = re.findall(
        r"^test_accuracy: ([\d.]+)", (ROOT / "configs/features/cifar10.yaml").read_text(), re.M
    )
    assert f"(test accuracy {float(accuracy):.2f})" in README
