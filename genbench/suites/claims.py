"""The suites that train and evaluate what the claims of the lectures lack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from genbench.leaderboard.claims.finding import Lack
from genbench.records.parts import DEFAULT
from genbench.suites.suite import Entry, Suite, load_suite
from genbench.system.locations import project_root

__all__ = ["claim_suites"]

RUNS = "runs/claims"


def claim_suites(lacks: Sequence[Lack], out: Path) -> list[Suite]:
    """One suite for all rows of the boards that need the same number of seeds, and one for each folder
    of claims that have an experiment of their own: claims/games is made by the suite claims-games.

    Args:
        lacks: What lacks.
        out: Folder with records/.

    Raises:
        InputError: A folder has no suite.
    """
    of_boards = [lack for lack in lacks if not lack.folder]
    suites = [
        board_suite([lack for lack in of_boards if lack.needed == needed], needed, out)
        for needed in sorted({lack.needed for lack in of_boards})
    ]
    for folder in sorted({lack.folder for lack in lacks if lack.folder}):
        suite = load_suite(folder.replace("/", "-"))
        needed = max(lack.needed for lack in lacks if lack.folder == folder)
        seeds = tuple(sorted({*suite.seeds, *range(needed)}))
        suites.append(replace(suite, out=out / folder, seeds=seeds))
    return suites


def board_suite(lacks: Iterable[Lack], needed: int, out: Path) -> Suite:
    """The suite of rows that need the same number of seeds. Records that are there are kept.

    Args:
        lacks: What lacks.
        needed: The number of seeds.
        out: Folder with records/.
    """
    variants: dict[str, list[str]] = {}
    for lack in lacks:
        variants.setdefault(f"{lack.dataset}/{lack.model}", []).append(lack.variant or DEFAULT)
    return Suite(
        name=f"claims-of-{needed}-seeds",
        out=out,
        runs=project_root() / RUNS,
        seeds=tuple(range(needed)),
        overrides={"wandb.mode": "offline"},
        entries=tuple(
            Entry(recipe, tuple(dict.fromkeys(names))) for recipe, names in variants.items()
        ),
    )
