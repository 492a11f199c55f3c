"""The commands behind a row, by the names of its recipe, and the records that hold the resolved
configuration of each run.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from genbench.leaderboard.rows import Row
from genbench.records.record import FOREIGN, NOISE_FLOOR, Record
from genbench.records.store import record_path

__all__ = ["Link", "Source", "source"]


@dataclass(frozen=True)
class Link:
    """A file beside the page that belongs to one training seed."""

    seed: int
    address: str


@dataclass(frozen=True)
class Source:
    """Where the figures of a row come from.

    Attributes:
        commands: One per line; empty for the noise floor, which no command of its own makes.
        config_hash: First digits of the hash of the resolved configuration without its seed.
        commits: Of the code that evaluated, with a remark where it held uncommitted changes.
        records: One per training seed.
    """

    commands: str
    config_hash: str
    commits: tuple[str, ...]
    records: tuple[Link, ...]


def source(row: Row) -> Source:
    """What made a row."""
    commits = sorted({_commit(record) for record in row.records})
    lines = (
        []
        if row.first.model == NOISE_FLOOR
        else [line for record in row.records for line in _commands(record)]
    )
    links = tuple(Link(record.seed, _address(record)) for record in row.records)
    return Source("\n".join(lines), row.first.provenance.config_hash[:12], tuple(commits), links)


def _commands(record: Record) -> list[str]:
    if record.family == FOREIGN:
        known = ["--data", record.dataset, "--name", record.model, f"--seed={record.seed}"]
        return [shlex.join(["genbench", "evaluate", "--samples", "PATH", *known])]
    name = f"{record.dataset}/{record.model}"
    train = ["genbench", "train", "-c", name, f"--seed={record.seed}"]
    evaluate = [
        "genbench",
        "evaluate",
        f"runs/{name}/s{record.seed}",
        "--variant",
        record.variant or "default",
    ]
    if record.status == "diverged":
        return [shlex.join(train)]
    return [shlex.join(train), shlex.join(evaluate)]


def _commit(record: Record) -> str:
    name = (record.provenance.commit or "unknown")[:10]
    if record.provenance.dirty:
        return f"{name} with uncommitted changes"
    return name


def _address(record: Record) -> str:
    path = record_path(Path(), record.dataset, record.model, record.variant, record.seed, record.id)
    return quote(path.as_posix())
