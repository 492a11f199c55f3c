"""genbench table, compare and list: what records and folders say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genbench.cli.arguments import file_argument, path_argument
from genbench.errors import InputError

__all__ = ["add_tables", "run_compare", "run_list", "run_table"]


def add_tables(commands: Any) -> None:
    """Add the commands table, compare and list."""
    table = commands.add_parser("table", help="print the tables of a folder of records")
    table.add_argument(
        "out",
        nargs="?",
        type=path_argument,
        help="folder with records/ (leaderboards, in the checkout or here)",
    )
    table.add_argument(
        "--format",
        choices=("md", "csv", "latex", "svg", "png", "pptx"),
        help="of tables: md, csv, latex (md); of the slide: svg, png, pptx, latex (svg)",
    )
    table.add_argument(
        "--slide",
        action="store_true",
        help=(
            "instead write the comparison slide into a file: every word of the lectures with its"
            " verdict"
        ),
    )
    table.add_argument("--data", metavar="NAME", help="data set of the slide")
    table.add_argument(
        "-o",
        "--output",
        type=file_argument,
        help="file of the slide (slide.svg, .png, .pptx or .tex in the working folder)",
    )
    table.add_argument(
        "--write",
        action="store_true",
        help="also write <dataset>.md and index.html into the folder",
    )
    table.set_defaults(act=run_table)

    comparer = commands.add_parser(
        "compare", help="two rows of a table: better, worse or not resolved"
    )
    comparer.add_argument("a", help="a row as the tables name it: ddpm@ddim50, noise-floor")
    comparer.add_argument("b", help="another row")
    comparer.add_argument("--dataset", help="only its boards")
    comparer.add_argument(
        "--out",
        type=path_argument,
        help="folder with records/ (leaderboards, in the checkout or here)",
    )
    comparer.set_defaults(act=run_compare)

    lister = commands.add_parser(
        "list", help="models with their papers, configurations, suites, and runs with their state"
    )
    lister.add_argument(
        "--classes",
        action="store_true",
        help="instead: class paths of models, data sets and networks",
    )
    lister.set_defaults(act=run_list)


def run_table(arguments: Any) -> None:
    """Print the tables of a folder of records, or write its slide.

    Raises:
        InputError: The folder has no records, or arguments contradict each other.
    """
    from genbench.system.locations import project_root

    out = arguments.out or project_root() / "leaderboards"
    if not (out / "records").is_dir():
        raise InputError(f"{out} has no records/; genbench bench or genbench evaluate writes them")
    if arguments.slide:
        print_slide(arguments, out)
    else:
        print_tables(arguments, out)


def print_slide(arguments: Any, out: Path) -> None:
    """Write the slide, and print the path of its file.

    Args:
        arguments: The arguments.
        out: Folder with records/.

    Raises:
        InputError: An argument is of tables, or the slide cannot be drawn.
    """
    from genbench.leaderboard.slide.write import write_slide

    if arguments.write:
        raise InputError("table --slide writes the slide alone; leave --write out")
    print(write_slide(out, arguments.output, arguments.format or "svg", arguments.data))


def print_tables(arguments: Any, out: Path) -> None:
    """Print the tables, and write tables and page where that was asked for.

    Args:
        arguments: The arguments.
        out: Folder with records/.

    Raises:
        InputError: An argument is of the slide, or a record is bad.
    """
    from genbench.leaderboard import build, render_tables

    given_slide_only = arguments.data is not None or arguments.output is not None
    if given_slide_only or arguments.format in ("svg", "png", "pptx"):
        raise InputError("table: svg, png, pptx, --data and --output are of the slide; add --slide")
    print(render_tables(out, arguments.format or "md"), end="")
    if arguments.write:
        build(out)


def run_compare(arguments: Any) -> None:
    """Print which of two rows is better, metric by metric."""
    from genbench.leaderboard.compare import compare
    from genbench.system.locations import project_root

    for line in compare(
        arguments.out or project_root() / "leaderboards",
        arguments.a,
        arguments.b,
        arguments.dataset,
    ):
        print(line)


def run_list(arguments: Any) -> None:
    """Print models, configurations, suites and runs; or class paths."""
    from genbench.cli.listing import class_lines, lines
    from genbench.system.printable import as_one_line

    for line in class_lines() if arguments.classes else lines():
        print(as_one_line(line))
