"""Where a record comes from: commit, versions, configuration."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
from typing import Any

from genbench.records.parts import Provenance
from genbench.system.locations import checkout

__all__ = ["new_provenance", "now", "portable_tree"]


def portable_tree(resolved: dict[str, Any]) -> dict[str, Any]:
    """The configuration without the keys that say where the run lay and who watched it: a record
    names no folder of anybody's machine.
    """
    data = {key: value for key, value in resolved["data"].items() if key != "root"}
    portable = {
        key: value for key, value in resolved.items() if key not in ("run_dir", "wandb", "recipe")
    } | {"data": data}
    if "needs" in resolved:
        return portable | {"needs": {k: portable_tree(v) for k, v in resolved["needs"].items()}}
    return portable


def new_provenance(
    config: dict[str, Any], config_hash: str, weights_hash: str | None
) -> Provenance:
    """The provenance of a measurement by the present code.

    Args:
        config: The resolved configuration.
        config_hash: Its hash without the seed.
        weights_hash: SHA-256 of the recorded weights; None where there are none.
    """
    packages = ("torch", "lightning", "torchmetrics", "numpy")
    return Provenance(
        commit=_COMMIT,
        dirty=_DIRTY,
        config=config,
        config_hash=config_hash,
        weights_hash=weights_hash,
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    )


def now() -> str:
    """The time in UTC to the second, as ISO 8601 writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _git(*arguments: str) -> str | None:
    root = checkout()
    if root is None:
        # An installed genbench may lie in the repository of something else.
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


# Git is asked when the program starts: the checkout may have moved on by the time a record is
# written.
_COMMIT = _git("rev-parse", "HEAD")
_DIRTY = bool(_git("status", "--porcelain", "--", "genbench", "configs"))
