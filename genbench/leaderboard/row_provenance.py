"""The commands behind a row, by the names of its recipe, and the records that hold the resolved
configuration of each run.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from genbench.leaderboard.rows import Row
from genbench.records.contents import FOREIGN, NOISE_FLOOR
from genbench.records.parts import DEFAULT
from genbench.records.record import Record
from genbench.records.store import record_path

__all__ = ["Link", "RowProvenance", "record_address", "row_provenance"]


@dataclass(frozen=True)
class Link:
    """A file beside the page that belongs to one training seed.

    Attributes:
        seed: The training seed.
        address: Path of the file from the page, as an address.
    """

    seed: int
    address: str


@dataclass(frozen=True)
class RowProvenance:
    """Where the figures of a row come from.

    Attributes:
        commands: The commands, one per line; empty for the noise floor, which is made beside others.
        config_hash: First digits of the hash of the resolved configuration without its seed.
        commits: Commits of the code that evaluated, with a remark where it held uncommitted
            changes.
        records: The record of each training seed.
    """

    commands: str
    config_hash: str
    commits: tuple[str, ...]
    records: tuple[Link, ...]


def row_provenance(row: Row) -> RowProvenance:
    """Where the figures of a row come from."""
    commits = sorted({commit_text(record) for record in row.records})
    lines: list[str] = []
    if row.first.model != NOISE_FLOOR:
        lines = [line for record in row.records for line in commands_of(record)]
    links = tuple(Link(record.seed, record_address(record)) for record in row.records)
    config_hash = row.first.provenance.config_hash[:12]
    return RowProvenance("\n".join(lines), config_hash, tuple(commits), links)


def commands_of(record: Record) -> list[str]:
    """The commands that made a record: training, then evaluation."""
    if record.family == FOREIGN:
        known = ["--data", record.dataset, "--name", record.model, f"--seed={record.seed}"]
        return [shlex.join(["genbench", "evaluate", "--samples", "PATH", *known])]
    name = f"{record.dataset}/{record.model}"
    training = ["genbench", "train", "-c", name, f"--seed={record.seed}"]
    evaluation = [
        "genbench",
        "evaluate",
        f"runs/{name}/s{record.seed}",
        "--variant",
        record.variant or DEFAULT,
    ]
    if record.status == "diverged":
        return [shlex.join(training)]
    return [shlex.join(training), shlex.join(evaluation)]


def commit_text(record: Record) -> str:
    """The first digits of the commit of a record, with a remark on uncommitted changes."""
    name = (record.provenance.commit or "unknown")[:10]
    if record.provenance.dirty:
        return f"{name} with uncommitted changes"
    return name


def record_address(record: Record) -> str:
    """The address of a record's file from the page."""
    path = record_path(Path(), record.dataset, record.model, record.variant, record.seed, record.id)
    return quote(path.as_posix())
