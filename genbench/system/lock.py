"""A folder that is written to has one owner: a lock file that says who, and signs of life."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genbench.errors import InputError, Stopped
from genbench.system.files import errors_about, link, log, read_text, stop_if_disk_full
from genbench.system.json_files import canonical_json, parse_json

__all__ = ["in_use", "lock"]

# seconds between two signs of life of a lock's owner, and how many may be missing: shared file
# systems stand still for minutes
_BEAT = 20.0
_SILENT = 15
_WATCHED = 3


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder alone, by the rules above.

    Raises:
        Stopped: A living process holds it.
    """
    path = folder / "lock"
    here = {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
    }
    owner_text = canonical_json({**here, **_job(), "beat": _BEAT})
    with errors_about(path), stop_if_disk_full(path):
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(path, owner_text)
    over = threading.Event()
    heart = threading.Thread(target=_live, args=(path, owner_text, over), daemon=True)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()
        # not a lock that somebody else has taken since this one was removed by hand
        if path.is_file() and read_text(path) == owner_text:
            path.unlink(missing_ok=True)


def in_use(folder: Path) -> bool:
    """Whether a living process holds a run folder."""
    return (owner := _owner(folder / "lock")) is not None and owner.state == "lives"


def _live(path: Path, owner_text: str, over: threading.Event) -> None:
    """Touch the lock until it is given back; end where another process has it, or may have had it."""
    touched = (
        time.time()
    )  # of the wall clock: others do not stop while this process or its machine does
    while not over.wait(_BEAT):
        with suppress(OSError):  # a file system that is away: the next beat
            if not _is_held(path, owner_text, touched):
                owner = "another process, which has ended"
                with suppress(OSError):
                    owner = read_text(path)
                print(
                    f"genbench: {path.parent} was taken over by {owner}: this process ends",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(
                    Stopped.exit_code
                )  # nothing more may be written, not by anything that would catch an exception either
            os.utime(path)
            touched = time.time()


def _is_held(path: Path, owner_text: str, touched: float) -> bool:
    """Whether the lock is ours. One that is missing, removed by hand or moved away by a process
    that looks at it, is put back: but not where we last touched it so long ago that another process
    may have taken the folder, and given it back.
    """
    try:
        return read_text(path) == owner_text
    except FileNotFoundError:
        if abs(time.time() - touched) > _SILENT * _BEAT:
            return False
        beside = _beside(path)
        try:
            _write(beside, owner_text)
            return link(beside, path) or read_text(path) == owner_text
        finally:
            beside.unlink(missing_ok=True)


def _acquire(path: Path, owner_text: str) -> None:
    beside = _beside(path)
    try:
        _write(beside, owner_text)
        while not link(beside, path):
            if owner := _living_owner(path) or _remove_dead(path):
                said = f"{path.parent} is in use by a running process {owner.content}; wait for it, or remove {path}"
                if owner.beat:
                    said += f"; {_SILENT * owner.beat:.0f} seconds after its last sign of life it is taken over"
                raise Stopped(said)
    finally:
        beside.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".lock.{uuid.uuid4().hex[:8]}.tmp")


def _write(path: Path, content: str) -> None:
    """On the disk before it is linked: a node that loses its power leaves no empty lock."""
    with path.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove_dead(path: Path) -> _Owner | None:
    """Two processes may find the same dead owner: what is moved away is looked at once more, and
    put back if it lives.
    """
    away = _beside(path)
    try:
        path.rename(away)
        owner = _owner(away)
        if owner is None or owner.state != "lives":
            return None
        link(away, path)
        return owner
    except FileNotFoundError:
        return None
    finally:
        away.unlink(missing_ok=True)


class _Owner(NamedTuple):
    """Who a lock names.

    Args:
        content: The lock.
        state: lives, or may live; dead; silent, which is almost dead.
        beat: Seconds between its signs of life; 0 where it gives none.
        seen: Time of the last one.
    """

    content: str
    state: Literal["lives", "dead", "silent"]
    beat: float
    seen: float


def _living_owner(path: Path) -> _Owner | None:
    """The owner who lives, or stirs while it is watched: the file system may have stood still, and
    not the owner.
    """
    owner = _owner(path)
    if owner is None or owner.state == "dead":
        return None
    if owner.state == "silent":
        log.warning(
            "%s: its owner seems dead, and is watched for %.0f seconds", path, _WATCHED * owner.beat
        )
        time.sleep(_WATCHED * owner.beat)
        later = _owner(path)
        if later is not None and (later.content, later.seen) != (owner.content, owner.seen):
            return later
        return None
    return owner


def _owner(path: Path) -> _Owner | None:
    """Who holds a lock; None where there is none.

    Raises:
        InputError: It is no lock.
    """
    try:
        status = path.stat()
        seen = status.st_mtime
        if not stat.S_ISREG(status.st_mode):  # a FIFO would be waited for
            raise ValueError
        content = read_text(path)
        if not content:  # of a node that lost its power
            return _Owner(content, "silent", _BEAT, seen)
        owner = parse_json(content)
        host = owner["host"]
        pid = int(owner["pid"])
        started = owner["started"]
        beat = float(owner.get("beat", 0))
        if int(owner.get("requeued", 0)) < 0 or not 0 <= beat <= 3600 or not 0 < pid < 2**31:
            raise ValueError
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InputError(
            f"{path} is not a lock of genbench; remove it if no run is using its folder"
        ) from None
    if host == socket.gethostname() and owner.get("machine", _machine()) == _machine():
        start = _started(pid)
        if start is not None and start == started:
            return _Owner(content, "lives", beat, seen)
        if (
            start != "unknown"
        ):  # another user's process, where /proc hides it: known by its signs of life
            return _Owner(content, "dead", beat, seen)
    if _requeued_here(owner):
        return _Owner(
            content, "silent" if beat and host != socket.gethostname() else "dead", beat, seen
        )
    # clocks of two machines differ: a sign of life from the future is as old as it is far
    silent = beat > 0 and (_job_is_over(owner) or abs(time.time() - seen) > _SILENT * beat)
    return _Owner(content, "silent" if silent else "lives", beat, seen)


def _machine() -> str:
    """This boot of this machine, and its process numbers: containers may share its name, or number
    their processes anew.
    """
    try:
        return (
            Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            + " "
            + str(Path("/proc/self/ns/pid").readlink())
        )
    except OSError:  # no /proc on this system
        return ""


def _job() -> dict[str, Any]:
    """The job of a cluster that this process belongs to, and how often it was requeued before."""
    job = os.environ.get("SLURM_JOB_ID")
    cluster = os.environ.get("SLURM_CLUSTER_NAME", "")
    if job:
        return {
            "job": job,
            "requeued": int(os.environ.get("SLURM_RESTART_COUNT", 0)),
            "cluster": cluster,
        }
    return {}


def _requeued_here(owner: dict[str, Any]) -> bool:
    """Whether this is the same job as a lock's owner, started again: its node may be gone."""
    job = _job()
    same = (
        bool(job) and owner.get("job") == job["job"] and owner.get("cluster", "") == job["cluster"]
    )
    return same and int(owner.get("requeued", 0)) < job["requeued"]


def _job_is_over(owner: dict[str, Any]) -> bool:
    """Whether SLURM says that a lock's owner runs no more.

    It is asked inside a job of the same cluster.
    """
    job = str(owner.get("job", ""))
    cluster = _job().get("cluster")
    if not (job.isdigit() and cluster and owner.get("cluster") == cluster):
        return False
    command = ["squeue", "--noheader", f"--jobs={job}", "--Format=State:|,RestartCnt:|"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if asked.returncode:  # of a job that ended some time ago, or of a queue that does not answer
        return "Invalid job id" in asked.stderr
    return not any(
        _runs(line, int(owner.get("requeued", 0)))
        for line in asked.stdout.splitlines()
        if line.strip()
    )


def _runs(line: str, requeued: int) -> bool:
    """Whether squeue's line is of a job that runs, and was not requeued more often than that."""
    state, restarts, *_ = (word.strip() for word in f"{line}||".split("|"))
    return (
        state not in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED")
        and int(restarts or 0) <= requeued
    )


def _started(pid: int) -> str | None:
    """Start time of a process, so that a reused process id is not taken for the old owner; None if
    there is no such process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # a zombie has ended, though nobody has asked for its exit code
        if fields[0] in "ZX":
            return None
        return fields[19]
    except (FileNotFoundError, ProcessLookupError):
        pass
    try:  # no /proc on this system
        os.kill(pid, 0)
        return "unknown"
    except ProcessLookupError:
        return None
    except PermissionError:
        return "unknown"
