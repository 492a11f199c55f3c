"""What the README says of measured figures, written from the records of the leaderboard: `make
figures`.

Between the two comments `<!-- figures -->` and `<!-- /figures -->` stand sentences about the board
of the digits. Every number in them and every comparison (by the intervals of `genbench compare`) is
computed; so are the examples in the table of cells.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from genbench.errors import InputError
from genbench.leaderboard.board import Board
from genbench.leaderboard.compare import compare_rows
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.leaderboard.table import board_table
from genbench.records.catalogue import metric_info
from genbench.system.files import write_atomic
from genbench.system.locations import project_root

__all__ = ["readme_board", "readme_with", "sentences"]

ROWS = ("vae", "gan", "pixelcnn", "realnvp", "flow_matching@heun10", "ddpm@ddim50")
OPEN = "<!-- figures -->"
CLOSE = "<!-- /figures -->"
_BLOCK = re.compile(f"{OPEN}.*?{CLOSE}", re.DOTALL)
_WIDTH = 130


def readme_board(boards: Sequence[Board]) -> Board:
    """The board of the digits that holds every row that the README names; one of the former
    protocol only if no other does.

    Raises:
        InputError: There is none.
    """
    complete = [
        board
        for board in boards
        if board.protocol.dataset == "digits"
        and set(ROWS) <= {row.label for row in board.rows if not board.lacks(row)}
    ]
    if not complete:
        raise InputError(
            f"no board of digits has the rows {', '.join(ROWS)} with all their seeds: evaluate them"
            " first"
        )
    return min(complete, key=lambda board: board.protocol.is_former)


def readme_with(text: str, board: Board) -> str:
    """The README with its figures from a board.

    Raises:
        InputError: It has no place for them.
    """
    paragraph = textwrap.fill(
        " ".join(sentences(board)), _WIDTH, break_on_hyphens=False, break_long_words=False
    )
    text, count = _BLOCK.subn(lambda _: f"{OPEN}\n{paragraph}\n{CLOSE}", text)
    if count != 1:
        raise InputError(f"README.md has {count} places between {OPEN} and {CLOSE}; right is one")
    for meaning, example in examples(board).items():
        text, count = re.subn(rf"(?<=\| `)[^`]*(?=` \| {re.escape(meaning)})", example, text)
        if count != 1:
            raise InputError(f"README.md has {count} cells that mean {meaning!r}; right is one")
    return text


def examples(board: Board) -> dict[str, str]:
    """Examples for the README's table of cells.

    Returns:
        What a cell means -> the text of such a cell.
    """
    table = board_table(board)
    titles = [column.title for column in table.columns]
    lines = {line.cells[0].text: dict(zip(titles, line.cells)) for line in table.lines}
    exact = lines["pixelcnn"]["bits/dim p(x)"].sort
    bound = lines["vae"]["bits/dim p(x)"].sort
    return {
        "bits/dim, exact": f"{exact:.2f}",
        "an upper bound on it": f"<= {bound:.2f}",
        "mean and standard deviation over training seeds": lines["vae"]["FID"].text,
    }


def sentences(board: Board) -> list[str]:
    """The sentences of the README about the board of the digits."""
    row = {row.label: row for row in board.rows}
    seeds = seeds_words([len(each.records) for each in board.rows])
    intro = (
        f"On digits, with {board.protocol.generated_images:,} samples each and {seeds} training"
        " seeds, among models of p(x), by the 95 % intervals of `genbench compare`:"
    )
    lead = [lead_sentence(board, name) for name in ("fid", "kid")]
    rivals = rivalry_sentence(board, row["flow_matching@heun10"], row["gan"])
    return [intro, *lead, rivals, speed_sentence(row), likelihood_sentence(board)]


def seeds_words(numbers: Sequence[int]) -> str:
    """How many training seeds the rows have.

    Examples:
        >>> seeds_words([3, 5, 3]), seeds_words([3, 3])
        ('3 to 5', '3')
    """
    if min(numbers) == max(numbers):
        return str(numbers[0])
    return f"{min(numbers)} to {max(numbers)}"


def lead_sentence(board: Board, metric: str) -> str:
    """Which row has the lowest mean of a distance, and which rows its interval does not tell from
    it.
    """
    title = metric_info(metric).title
    rows = sorted(
        (row for row in board.rows if not row.conditional and row.metric(metric)),
        key=lambda row: metric_mean(row, metric),
    )
    leader = rows[0]
    tied = [
        f"`{row.label}` ({metric_text(row, metric)})"
        for row in rows[1:]
        if verdict_of(board, leader, row, metric) != "better"
    ]
    head = f"the lowest {title} is that of `{leader.label}` ({metric_text(leader, metric)})"
    if not board.tests_differences:
        return f"{head}; no difference is tested (former protocol);"
    if tied:
        return f"{head}, which is not told apart from {and_text(tied)};"
    return f"{head}, better than every other;"


def rivalry_sentence(board: Board, a: Row, b: Row) -> str:
    """In which metrics one row is better than another, worse, or neither.

    Args:
        board: Where both rows stand.
        a: The row that the sentence is about.
        b: The row that it is compared with.
    """
    groups: dict[str, list[str]] = {"better": [], "worse": [], "not resolved": []}
    for comparison in compare_rows(board, a, b):
        name = comparison.quantity[:-2]  # The arrow and the space before it are cut off.
        if name in metric_titles(board):
            groups[comparison.verdict].append(name)
    heads = {"better": "better in", "worse": "worse in", "not resolved": "not told apart in"}
    words = [f"{heads[verdict]} {and_text(names)}" for verdict, names in groups.items() if names]
    return f"against `{b.label}`, `{a.label}` is {', '.join(words)}."


def speed_sentence(row: dict[str, Row]) -> str:
    """How many times slower than the GAN others sample, one device for all.

    Args:
        row: The rows of the board by label. All were timed on one device.
    """
    fast = row["gan"].images_per_second
    assert fast is not None
    words = []
    for label in ("pixelcnn", "flow_matching@heun10", "ddpm@ddim50"):
        slow = row[label].images_per_second
        evaluations = row[label].network_evaluations
        assert slow is not None and evaluations is not None
        words.append(
            f"{times_text(fast, slow)} times slower from `{label}` ({evaluations.mean:g} network"
            " evaluations an image)"
        )
    return f"Beside those of `gan`, samples come {and_text(words)}."


def likelihood_sentence(board: Board) -> str:
    """Every likelihood of p(x) with its kind; one of samplers that share weights."""
    rows: dict[tuple[str, str], Row] = {}
    for row in board.rows:
        if row.nll() and not row.conditional:
            rows.setdefault(row.model_key, row)
    words = []
    for kind, sign, name in (
        ("exact", "", "exact"),
        ("bound", "<= ", "upper bounds"),
        ("estimate", "~ ", "estimates"),
    ):
        of_kind = sorted((r for r in rows.values() if r.kind == kind), key=nll_mean)
        if of_kind:
            words.append(
                f"{name}:"
                f" {', '.join(f'`{r.first.model}` {sign}{nll_mean(r):.2f}' for r in of_kind)}"
            )
    return (
        f"Bits/dim, {'; '.join(words)}. A value under a rival's upper bound or estimate proves"
        " nothing about the rival."
    )


def metric_titles(board: Board) -> list[str]:
    """Column heads of the metrics of a board."""
    return [metric_info(name).title for name in board.protocol.metrics]


def verdict_of(board: Board, a: Row, b: Row, metric: str) -> str:
    """Whether row a is better or worse than row b in a metric, or not told apart from it.

    Args:
        board: Where both rows stand.
        a: A row.
        b: Another row.
        metric: Name of a ranked metric.
    """
    title = metric_info(metric).title
    comparisons = compare_rows(board, a, b)
    return next(one.verdict for one in comparisons if one.quantity[:-2] == title)


def metric_mean(row: Row, metric: str) -> float:
    """Mean of a metric that the row has."""
    summary = row.metric(metric)
    assert summary is not None
    return summary.mean


def metric_text(row: Row, metric: str) -> str:
    """Mean of a metric that the row has, as text."""
    return f"{metric_mean(row, metric):.2f}"


def nll_mean(row: Row) -> float:
    """Mean of the likelihood of p(x) of a row that has one."""
    summary = row.nll()
    assert summary is not None
    return summary.mean


def times_text(fast: Summary, slow: Summary) -> str:
    """Ratio of two means to two significant digits."""
    return f"{float(f'{fast.mean / slow.mean:.2g}'):,g}"


def and_text(words: Sequence[str]) -> str:
    """Words in a sentence: "a, b and c"."""
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def rewrite_readme(root: Path) -> None:
    """Write the figures of <root>/leaderboards into <root>/README.md.

    Args:
        root: Folder of the project.
    """
    path = root / "README.md"
    board = readme_board(load_boards(root / "leaderboards"))
    write_atomic(path, readme_with(path.read_text(), board))


if __name__ == "__main__":
    rewrite_readme(project_root())
    sys.stdout.write("README.md\n")
