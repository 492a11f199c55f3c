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
from genbench.leaderboard.compare import Comparison, compare_rows
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.leaderboard.table import board_table
from genbench.records.catalogue import metric_info
from genbench.system.files import write_atomic
from genbench.system.locations import project_root

__all__ = ["readme_board", "readme_with", "sentences"]

ROWS = ("vae", "gan", "pixelcnn", "flow_matching@heun10", "ddpm@ddim50")
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
            f"no board of digits has the rows {', '.join(ROWS)} with all their seeds: evaluate them first"
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
    text, found = _BLOCK.subn(lambda _: f"{OPEN}\n{paragraph}\n{CLOSE}", text)
    if found != 1:
        raise InputError(f"README.md has {found} places between {OPEN} and {CLOSE}; right is one")
    for meaning, example in examples(board).items():
        text, found = re.subn(rf"(?<=\| `)[^`]*(?=` \| {re.escape(meaning)})", example, text)
        if found != 1:
            raise InputError(f"README.md has {found} cells that mean {meaning!r}; right is one")
    return text


def examples(board: Board) -> dict[str, str]:
    """What cells of the table mean, and an example of each."""
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
    """What the README says of the board of the digits."""
    row = {row.label: row for row in board.rows}
    seeds = len(row["gan"].records)
    intro = (
        f"On digits, with {board.protocol.generated_images:,} samples each and {seeds} training seeds, among models of p(x), "
        "by the 95 % intervals of `genbench compare`:"
    )
    lead = [lead_sentence(board, name) for name in ("fid", "kid")]
    rivals = rivalry_sentence(board, row["flow_matching@heun10"], row["gan"])
    return [intro, *lead, rivals, speed_sentence(row), likelihood_sentence(board)]


def lead_sentence(board: Board, metric: str) -> str:
    """Which row has the lowest mean of a distance, and which rows its interval does not tell from
    it.
    """
    title = metric_info(metric).title
    rows = sorted(
        (row for row in board.rows if not row.conditional and row.metric(metric)),
        key=lambda row: _mean(row, metric),
    )
    leader = rows[0]
    tied = [
        f"`{row.label}` ({_value(row, metric)})"
        for row in rows[1:]
        if _verdict(board, leader, row, metric) != "better"
    ]
    head = f"the lowest {title} is that of `{leader.label}` ({_value(leader, metric)})"
    if not board.tests_differences:
        return f"{head}; no difference is tested (former protocol);"
    if tied:
        return f"{head}, which is not told apart from {_and(tied)};"
    return f"{head}, better than every other;"


def rivalry_sentence(board: Board, a: Row, b: Row) -> str:
    """In which metrics one row is better than another, worse, or neither."""
    found = [one for one in compare_rows(board, a, b) if one.quantity[:-2] in _titles(board)]
    groups = {
        verdict: [one.quantity[:-2] for one in found if one.verdict == verdict]
        for verdict in ("better", "worse")
    }
    words = [f"{verdict} in {_and(names)}" for verdict, names in groups.items() if names]
    rest = [one.quantity[:-2] for one in found if one.verdict == "not resolved"]
    words += [f"not told apart in {_and(rest)}"] if rest else []
    return f"against `{b.label}`, `{a.label}` is {', '.join(words)}."


def speed_sentence(row: dict[str, Row]) -> str:
    """How many times slower than the GAN others sample, one device for all."""
    fast = row["gan"].images_per_second
    assert fast is not None
    words = []
    for label in ("pixelcnn", "flow_matching@heun10", "ddpm@ddim50"):
        slow = row[label].images_per_second
        evaluations = row[label].network_evaluations
        assert slow is not None and evaluations is not None
        words.append(
            f"{_times(fast, slow)} times slower from `{label}` ({evaluations.mean:g} network evaluations an image)"
        )
    return f"Beside those of `gan`, samples come {_and(words)}."


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
        of_kind = sorted((r for r in rows.values() if r.kind == kind), key=_nll)
        if of_kind:
            words.append(
                f"{name}: {', '.join(f'`{r.first.model}` {sign}{_nll(r):.2f}' for r in of_kind)}"
            )
    return f"Bits/dim, {'; '.join(words)}. A value under a rival's upper bound or estimate proves nothing about the rival."


def _titles(board: Board) -> list[str]:
    return [metric_info(name).title for name in board.protocol.metrics]


def _verdict(board: Board, a: Row, b: Row, metric: str) -> str:
    found: dict[str, Comparison] = {one.quantity[:-2]: one for one in compare_rows(board, a, b)}
    return found[metric_info(metric).title].verdict


def _mean(row: Row, metric: str) -> float:
    summary = row.metric(metric)
    assert summary is not None
    return summary.mean


def _value(row: Row, metric: str) -> str:
    return f"{_mean(row, metric):.2f}"


def _nll(row: Row) -> float:
    summary = row.nll()
    assert summary is not None
    return summary.mean


def _times(fast: Summary, slow: Summary) -> str:
    return f"{float(f'{fast.mean / slow.mean:.2g}'):,g}"


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def rewrite_readme(root: Path) -> None:
    """Write the figures of <root>/leaderboards into <root>/README.md."""
    path = root / "README.md"
    board = readme_board(load_boards(root / "leaderboards"))
    write_atomic(path, readme_with(path.read_text(), board))


if __name__ == "__main__":
    rewrite_readme(project_root())
    sys.stdout.write("README.md\n")
