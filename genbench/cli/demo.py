"""genbench demo: exact statements of the lectures, each with a figure and numbers that are known."""

from __future__ import annotations

from typing import Any

from genbench.cli.arguments import path_argument
from genbench.errors import GenbenchError, InputError, nearest

__all__ = ["add_demo", "run_demo"]


def add_demo(commands: Any) -> None:
    """Add the command demo."""
    demo = commands.add_parser(
        "demo", help="exact statements of the lectures: a figure, and numbers that are known"
    )
    demo.add_argument(
        "name",
        nargs="?",
        metavar="NAME|all",
        help="a demonstration, or all; without it: their list",
    )
    demo.add_argument(
        "--out",
        type=path_argument,
        help="folder of a page, which gets demos/ (leaderboards, in the checkout or here)",
    )
    demo.set_defaults(act=run_demo)


def run_demo(arguments: Any) -> None:
    """Run demonstrations, write their files and print their numbers; or list them.

    Raises:
        InputError: There is no such demonstration, or its files cannot be written.
        GenbenchError: A number disagrees with what it should be.
    """
    from genbench.demos.command import demonstration_names

    summaries = demonstration_names()
    if arguments.name is None:
        width = max(map(len, summaries))
        for name, summary in summaries.items():
            print(f"{name:{width}}  {summary}")
        return
    if arguments.name != "all" and arguments.name not in summaries:
        raise InputError(
            f"no demonstration {arguments.name!r}; {nearest(arguments.name, summaries)}"
        )
    _run(list(summaries) if arguments.name == "all" else [arguments.name], arguments.out)


def _run(names: list[str], out: Any) -> None:
    """Run demonstrations one after the other."""
    from genbench.demos.command import write_demonstration
    from genbench.records.demonstration import demonstration_path, figure_path
    from genbench.system.files import check_target
    from genbench.system.locations import project_root

    out = out or project_root() / "leaderboards"
    for name in names:
        check_target(demonstration_path(out, name))
        check_target(figure_path(out, name))
    failed = []
    for name in names:
        record = write_demonstration(name, out)
        print(f"{name}: {record.title}")
        for value in record.values:
            verdict = "agrees" if value.passed else "DISAGREES"
            print(
                f"  {value.quantity}: {value.value:.6g}, expected {value.expected:.6g} "
                f"within {value.tolerance:.1g}: {verdict}"
            )
        print(f"  {figure_path(out, name)} and .json", flush=True)
        if not record.passed:
            failed.append(name)
    if failed:
        raise GenbenchError(f"demo: numbers disagree with their closed forms: {', '.join(failed)}")
