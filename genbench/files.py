"""Files appear whole or not at all: written beside, flushed, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genbench.errors import InputError, Stopped

__all__ = [
    "canonical_json",
    "digest",
    "file_digest",
    "in_use",
    "last_line",
    "lock",
    "project_root",
    "stop_if_disk_full",
    "write_atomic",
    "write_json",
    "write_once",
]


def project_root() -> Path:
    """The checkout: what holds configs/, runs/ and leaderboards/."""
    return Path(__file__).resolve().parent.parent


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of a plain JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old one or the new one, whatever happens in between.

    Raises:
        Stopped: The disk is full; the old file is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with stop_if_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_once(path: Path, content: str) -> bool:
    """`write_atomic` for a file that never changes: of several writers the first one wins. Returns whether it was this one.

    Raises:
        Stopped: The disk is full.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.once")
    try:
        write_atomic(beside, content)
        return _link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def last_line(path: Path) -> str:
    """Of a log; empty where there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextmanager
def stop_if_disk_full(path: Path) -> Iterator[None]:
    """Turn a full disk into exit code 75: free some space, and the same command resumes."""
    try:
        yield
    except OSError as error:
        # numpy's short write has no number
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or (error.errno is None and "written" in str(error)):
            raise Stopped(f"disk full while writing {path}: free some space and give the same command again") from None
        raise


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a run folder alone. A dead owner's lock is taken over.

    Raises:
        Stopped: A living process holds it.
    """
    path = folder / "lock"
    mine = canonical_json({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid()), **_job()})
    with stop_if_disk_full(path):
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(path, mine)
    try:
        yield
    finally:
        # not a lock that somebody else has taken since this one was removed by hand
        if path.exists() and path.read_text() == mine:
            path.unlink(missing_ok=True)


def in_use(folder: Path) -> bool:
    """Whether a living process holds a run folder."""
    return _living_owner(folder / "lock") is not None


def _acquire(path: Path, mine: str) -> None:
    beside = path.with_name(f".lock.{uuid.uuid4().hex[:8]}.tmp")
    try:
        beside.write_text(mine)
        while not _link(beside, path):
            if owner := _living_owner(path) or _remove_dead(path):
                raise Stopped(f"{path.parent} is in use by a running process {owner}; wait for it, or remove {path}")
    finally:
        beside.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> bool:
    """Atomic also on shared file systems; False where the target exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def _remove_dead(path: Path) -> str | None:
    """Two processes may find the same dead owner: what is moved away is looked at once more, and put back if it lives."""
    away = path.with_name(f".lock.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.rename(away)
        if owner := _living_owner(away):
            _link(away, path)
        return owner
    except FileNotFoundError:
        return None
    finally:
        away.unlink(missing_ok=True)


def _living_owner(path: Path) -> str | None:
    """The content of a lock whose owner lives, or may live: other hosts cannot be seen from here."""
    try:
        content = path.read_text()
        owner = json.loads(content)
        host, pid, started = owner["host"], int(owner["pid"]), owner["started"]
        elsewhere = host != socket.gethostname() and not _requeued_here(owner)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is not a lock of genbench; remove it if no run is using its folder") from None
    here = host == socket.gethostname() and started is not None and _started(pid) == started
    return content if elsewhere or here else None


def _job() -> dict[str, Any]:
    """The job of a cluster that this process belongs to, and how often it was requeued before."""
    job = os.environ.get("SLURM_JOB_ID")
    return {"job": job, "requeued": int(os.environ.get("SLURM_RESTART_COUNT", 0))} if job else {}


def _requeued_here(owner: dict[str, Any]) -> bool:
    """Whether this is the same job as a lock's owner, started again: its node may be gone, and it cannot run twice."""
    job = _job()
    return bool(job) and owner.get("job") == job["job"] and int(owner.get("requeued", 0)) < job["requeued"]


def _started(pid: int) -> str | None:
    """Start time of a process, so that a reused process id is not taken for the old owner; None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # a zombie has ended, though nobody has asked for its exit code
        return None if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        pass
    try:  # no /proc on this system
        os.kill(pid, 0)
        return "unknown"
    except ProcessLookupError:
        return None
    except PermissionError:
        return "unknown"
