"""Which keys of a configuration decide the weights, and which may change between two commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from genbench.config.tree import leaves_of

__all__ = [
    "MAY_CHANGE",
    "changes",
    "decides_needed_run",
    "edits",
    "is_local",
    "may_change",
    "own_key",
]

# These keys may differ between two commands on one run folder: where the run computes, who watches
# it, and how many samples a point of the quality curve has. None of them changes the weights.
MAY_CHANGE = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.accumulate",
    "trainer.curve_images",
    "wandb",
    "data.root",
    "run_dir",
    "evaluations",
    "protocol",
    "recipe",
)

# The key needs.teacher.budget.images is the budget.images of a needed run.
_NEED = re.compile(r"^(needs\.[^.]+\.)+")


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Differences between two configurations that one run folder may not have.

    A larger budget is allowed, unless a learning-rate schedule is defined over it, and so are the
    keys of `MAY_CHANGE`.

    Args:
        old: The configuration that the run was begun with.
        new: The configuration of the present command.

    Returns:
        One text "key was old, is now new" for each such key.
    """
    lines = []
    scheduled = any(key.startswith("optimization.schedule.") for key, _ in leaves_of(new))
    for key, was, now in _differences(old, new):
        larger_budget = (
            key == "budget.images" and isinstance(now, int) and isinstance(was, int) and now > was
        )
        if larger_budget and scheduled:
            lines.append(
                f"{key} was {was}, is now {now}, over which the learning rate is scheduled"
            )
        elif not may_change(key) and not larger_budget:
            lines.append(f"{key} was {was}, is now {now}")
    return lines


def edits(noted: dict[str, Any], tree: dict[str, Any]) -> list[str]:
    """Differences between two configurations that would show in records.

    Args:
        noted: The configuration that training has noted.
        tree: The configuration in a file.

    Returns:
        One text "key was old, is now new" for each key that differs and is not local.
    """
    return [
        f"{key} was {was}, is now {now}"
        for key, was, now in _differences(noted, tree)
        if not is_local(key)
    ]


def _differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The keys in which two trees differ, with both values; "absent" for a missing one."""
    before = dict(leaves_of(old))
    after = dict(leaves_of(new))
    for key in sorted(before.keys() | after.keys()):
        was = before.get(key, "absent")
        now = after.get(key, "absent")
        if was != now:
            yield key, was, now


def own_key(key: str) -> str:
    """A key of a needed run's configuration as that run itself calls it.

    >>> own_key("needs.teacher.needs.teacher.budget.images"), own_key("seed")
    ('budget.images', 'seed')
    """
    return _NEED.sub("", key)


def may_change(key: str) -> bool:
    """Whether a key may change between two commands on one run folder.

    >>> may_change("trainer.devices"), may_change("needs.teacher.run_dir"), may_change("seed")
    (True, True, False)
    """
    key = own_key(key)
    return any(key == free or key.startswith(free + ".") for free in MAY_CHANGE)


def is_local(key: str) -> bool:
    """Whether a key says where a run lies or who watches it.

    >>> is_local("wandb.project"), is_local("evaluations")
    (True, False)
    """
    key = own_key(key)
    return key in ("run_dir", "data.root", "recipe") or key.partition(".")[0] == "wandb"


def decides_needed_run(key: str) -> bool:
    """Whether another value of a key makes another run of a needed run, or another place for it.

    The seed of what a needed run needs in its turn is not such a key: it is that of the needed run.

    >>> decides_needed_run("run_dir"), decides_needed_run("needs.teacher.seed")
    (True, False)
    """
    if key != "seed" and own_key(key) == "seed":
        return False
    return not may_change(key) or own_key(key) in ("run_dir", "data.root")
