"""Commands that read records: table, compare, list."""

from __future__ import annotations

from typing import Any

from genbench.errors import InputError

__all__ = ["run_compare", "run_list", "run_table"]


def run_table(given: Any) -> None:
    from genbench.leaderboard import build, render_tables
    from genbench.system.locations import project_root

    out = given.out or project_root() / "leaderboards"
    if not (out / "records").is_dir():
        raise InputError(f"{out} has no records/; genbench bench or genbench evaluate writes them")
    print(render_tables(out, given.format), end="")
    if given.write:
        build(out)


def run_compare(given: Any) -> None:
    from genbench.leaderboard.compare import compare
    from genbench.system.locations import project_root

    for line in compare(
        given.out or project_root() / "leaderboards", given.a, given.b, given.dataset
    ):
        print(line)


def run_list(given: Any) -> None:
    from genbench.cli.listing import class_lines, lines

    for line in class_lines() if given.classes else lines():
        print(line)
