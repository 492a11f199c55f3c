"""The comparison on a terminal: one line a model, within its width, and sentences that are true of the numbers."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import sys

import pytest
from rich.console import Console
from test_leaderboard import lecture, make, write

from genbench.cli.output import print_anything
from genbench.leaderboard.board import boards
from genbench.leaderboard.terminal import print_comparison, rounded, sentences


def board_of(*rows):
    (board,) = boards([record for records in rows for record in records])
    return board


GAN = make("gan", (2.0, 2.1, 2.2), "gan", density="implicit", speed=100.0)
VAE = make("vae", (5.0, 5.1, 5.2), kind="bound", bits=(1.96,), speed=40_000.0)
PIXELCNN = make(
    "pixelcnn", (4.0, 4.1, 4.2), "autoregressive", kind="exact", bits=(1.78,), speed=2_500.0
)


def test_two_sentences_say_what_the_numbers_say():
    first, second = sentences(board_of(GAN, VAE, PIXELCNN))
    assert (
        first
        == "gan has the lowest FID, 2.10, at 102 images/s; vae, with FID 5.10, makes 400 times as many."
    )
    assert (
        second
        == "The lowest likelihood figure is that of pixelcnn, 1.78 bits/dim (exact); by FID it is number 2 of 3."
    )
    close = make("gan", (2.0, 4.1, 6.2), "gan", density="implicit", speed=100.0)
    assert "4.10 (its lead may be chance), at" not in sentences(board_of(GAN, PIXELCNN))[0]
    assert "(its lead may be chance)" in sentences(board_of(close, VAE))[0]
    fast = make("gan", (2.0, 2.1, 2.2), "gan", density="implicit", speed=10**6)
    assert sentences(board_of(fast, VAE))[0].endswith(
        "2.10, and is the fastest, with 1,020,000 images/s."
    )
    unsure = make("gan", (2.0, 2.1, 2.2), "gan", density="implicit", speed=50_000.0)
    slower = make("vae", (5.0, 5.1, 5.2), "vae", kind="bound", bits=(2.0,), speed=49_000.0)
    assert "is the fastest, with 51,000 images/s" in sentences(board_of(unsure, slower))[0]
    spread = [
        dataclasses.replace(r, speed=dataclasses.replace(r.speed, images_per_second=s))
        for r, s in zip(unsure, (20_000.0, 60_000.0, 90_000.0))
    ]
    assert (
        "is the fastest (its lead may be chance), with 56,700 images/s"
        in sentences(board_of(spread, slower[:1]))[0]
    )
    assert sentences(board_of(GAN)) == []
    assert rounded(56_666.7, 3) == "56,700"
    assert [rounded(x) for x in (0.191, 9.96, 45.6, 2_345.0)] == ["0.19", "10", "46", "2,300"]


def test_columns_are_straight_where_the_terminal_lacks_signs(tmp_path):
    print_anything()
    write(tmp_path, lecture())
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="genbench")
    console = Console(file=file, force_terminal=True, width=100, highlight=False, color_system=None)
    print_comparison(tmp_path, console)
    file.flush()
    lines = file.buffer.getvalue().decode("ascii").splitlines()
    assert not [line for line in lines if "\\u" in line or "\\x" in line]
    head = next(line for line in lines if line.startswith("Model"))
    rows = [line for line in lines if line.startswith(("vae ", "noise-floor "))]
    assert "FID v" in head and "+-" in "".join(rows)
    end = head.index("FID v") + len("FID v")
    assert all(line[end - 1] != " " and line[end] == " " for line in rows)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_every_model_has_one_line_that_fits(tmp_path, width):
    write(tmp_path, lecture())
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, highlight=False, color_system=None
    )
    print_comparison(tmp_path, console)
    lines = console.file.getvalue().splitlines()
    assert max(len(line) for line in lines) <= min(width, 100)
    for model in ("vae", "iwae", "ddpm@ddim50", "noise-floor"):
        assert len([line for line in lines if re.match(rf"{model}\s", line)]) == 1
    if width >= 80:
        assert not any("…" in line for line in lines)


def test_what_is_printed_elsewhere_is_markdown_and_needs_no_torch(tmp_path):
    write(tmp_path, lecture())
    code = (
        "import sys; from pathlib import Path; from genbench.leaderboard.terminal import print_comparison\n"
        "print_comparison(Path(sys.argv[1]))\n"
        "assert not {'torch', 'lightning'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("## digits: protocol digits") and "| Model |" in done.stdout
