"""Evaluations that lack only their speed.

Speed is measured on a machine that does nothing else, so `genbench bench --jobs N` measures it
after everything that runs side by side. Until then an evaluation waits in the folder of its run, as
pending/<name of its record>: the record, without a speed. A command that is killed goes on from
there. The file counts only if it is whole, by its own digest, and if code, configuration, weights
and protocol are still those that it was measured with.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genbench.errors import InputError
from genbench.records.record import Record
from genbench.records.store import read_record
from genbench.system.files import write_atomic

__all__ = ["discard_pending", "read_pending", "write_pending"]


def pending_file(run: Path, record: Path) -> Path:
    """Where the evaluation of a run waits that will become a record."""
    return run / "pending" / record.name


def write_pending(run: Path, record: Path, scores: Record) -> None:
    """Keep an evaluation until its speed is measured.

    Args:
        run: The run's folder.
        record: The file that its record will have.
        scores: The record without a speed.
    """
    write_atomic(pending_file(run, record), scores.to_json())


def read_pending(run: Path, record: Path, blank: Record) -> Record | None:
    """Read what `write_pending` has written; None where nothing waits, or something else.

    Args:
        run: The run's folder.
        record: The file that its record will have.
        blank: The record as it would be without measurements: all but them must agree.
    """
    try:
        scores = read_record(pending_file(run, record))
    except InputError:
        return None
    unmeasured = replace(scores, metrics={}, likelihood=None, evaluated_at=blank.evaluated_at)
    if unmeasured.to_dict() == blank.to_dict():
        return scores
    return None


def discard_pending(run: Path, record: Path) -> None:
    """Remove an evaluation that has become a record."""
    path = pending_file(run, record)
    path.unlink(missing_ok=True)
    if path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()
