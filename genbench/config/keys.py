"""Which keys of a configuration decide the weights, and what may change from one command to the
next.
"""

from __future__ import annotations

import re
from typing import Any

from genbench.config.tree import leaves_of

__all__ = ["changes", "decides_needed_run", "edits", "may_change", "own_key"]

# What may differ between two commands on one run folder: where it runs and who watches. None of it
# changes the weights.
_FREE = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.accumulate",
    "wandb",
    "data.root",
    "run_dir",
    "evaluations",
    "protocol",
    "recipe",
)

# needs.teacher.budget.images is the budget.images of a needed run
_NEED = re.compile(r"^(needs\.[^.]+\.)+")


def decides_needed_run(key: str) -> bool:
    """Whether a needed run would be another, or elsewhere, with another value: its own needs have
    its seed.
    """
    return (not may_change(key) or own_key(key) in ("run_dir", "data.root")) and not (
        own_key(key) == "seed" != key
    )


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two configurations of one run folder and may not: "key was old, is now
    new".
    """
    before = dict(leaves_of(old))
    after = dict(leaves_of(new))
    found = []
    for key in sorted(before.keys() | after.keys()):
        was = before.get(key, "absent")
        now = after.get(key, "absent")
        larger_budget = (
            key == "budget.images" and isinstance(now, int) and isinstance(was, int) and now > was
        )
        if was != now and not may_change(key) and not larger_budget:
            found.append(f"{key} was {was}, is now {now}")
    return found


def edits(noted: dict[str, Any], tree: dict[str, Any]) -> list[str]:
    """What differs between two configurations and stands in records: everything but folders, and
    who watches.

    Args:
        noted: What training has noted.
        tree: What a file says now.

    Returns:
        "key was old, is now new", of every such key.
    """
    before = dict(leaves_of(noted))
    after = dict(leaves_of(tree))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        was = before.get(key, "absent")
        now = after.get(key, "absent")
        if was != now and not _is_local(key):
            lines.append(f"{key} was {was}, is now {now}")
    return lines


def _is_local(key: str) -> bool:
    """Whether a key says where a run lies or who watches it."""
    key = own_key(key)
    return key in ("run_dir", "data.root", "recipe") or key.partition(".")[0] == "wandb"


def own_key(key: str) -> str:
    """A key of a needed run's configuration as that run calls it."""
    return _NEED.sub("", key)


def may_change(key: str) -> bool:
    key = own_key(key)
    return any(key == free or key.startswith(free + ".") for free in _FREE)
