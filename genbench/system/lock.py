"""Locks: a folder that is written to has one owner.

The owner of a folder is the process that the file `lock` in it names. As a sign of life the owner
touches that file every 20 seconds. Another process takes over the lock of a dead owner:

    on this machine         at once, where there is no such process any more
    the same job, requeued  on the same node at once; on another node if there is no sign of life
                            during a minute, since a node that SLURM has lost may still run and write
    on another machine      if squeue says that its job is over, or its last sign of life is five
                            minutes old; and if, in both cases, there is no sign of life during a
                            minute. Likewise for a process of this machine that /proc hides

Nothing relies on locks of the file system, which shared file systems may lack. A process that was
suspended until it was taken for dead finds, when it wakes, that its lock is gone or another's, and
ends at once.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from genbench.errors import InputError, Stopped
from genbench.system.files import errors_about, link, log, read_text, stop_if_disk_full
from genbench.system.json_files import canonical_json, parse_json
from genbench.system.printable import as_one_line
from genbench.system.slurm_job import NotedJob, job_is_over, this_job, was_requeued
from genbench.system.typed import Range, read_value

__all__ = ["in_use", "lock"]

# The owner of a lock gives a sign of life after every interval of this many seconds.
_BEAT = 20.0
# An owner seems dead when this many signs are missing: shared file systems stand still for minutes.
_SILENT = 15
# The lock of an owner who seems dead is taken over after a wait of this many intervals.
_WATCHED = 3


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder alone inside the `with` block, by the rules above.

    Args:
        folder: The folder, which is made where it is missing.

    Raises:
        Stopped: A living process holds the folder.
    """
    path = folder / "lock"
    pid = os.getpid()
    owner = {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": pid,
        "started": _started(pid),
    }
    owner_text = canonical_json({**owner, **this_job(), "beat": _BEAT})
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
        # The lock may have been removed by hand, and may be another's by now.
        if path.is_file() and read_text(path) == owner_text:
            path.unlink(missing_ok=True)


def in_use(folder: Path) -> bool:
    """Whether a living process holds a run folder."""
    return (owner := _owner(folder / "lock")) is not None and owner.state == "lives"


def _live(path: Path, owner_text: str, over: threading.Event) -> None:
    """Touch the lock until it is given back. End this process if another one has the lock, or may
    have had it.

    Args:
        path: The lock.
        owner_text: Content of the lock while this process holds it.
        over: Set when the lock is given back.
    """
    # Time is read from the wall clock, which goes on while this process or its machine is
    # suspended.
    touched = time.time()
    while not over.wait(_BEAT):
        with suppress(OSError):
            # If the file system does not answer, the next beat tries again.
            if not _is_held(path, owner_text, touched):
                owner = "another process, which has ended"
                with suppress(OSError):
                    owner = f"another process, {_in_words(read_text(path))}"
                print(
                    f"genbench: {as_one_line(str(path.parent))} was taken over by {owner}: this process ends",
                    file=sys.stderr,
                    flush=True,
                )
                # An exception could be caught, and then more would be written.
                os._exit(Stopped.exit_code)
            os.utime(path)
            touched = time.time()


def _is_held(path: Path, owner_text: str, touched: float) -> bool:
    """Whether this process still holds the lock.

    A lock that is missing was removed by hand, or moved away by a process that looks at it, and is
    put back. It is not put back if its last sign of life is so old that another process may have
    taken the folder and given it back meanwhile.

    Args:
        path: The lock.
        owner_text: Content of the lock while this process holds it.
        touched: Time of the last sign of life, in seconds of the wall clock.
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
    """Take the lock, also that of a dead owner.

    Raises:
        Stopped: A living process holds it.
    """
    beside = _beside(path)
    try:
        _write(beside, owner_text)
        while not link(beside, path):
            if owner := _living_owner(path) or _remove_dead(path):
                message = (
                    f"{path.parent} is in use by a running process, {_in_words(owner.content)}; "
                    f"wait for it, or remove {path}"
                )
                if owner.beat:
                    seconds = f"{_SILENT * owner.beat:.0f} seconds"
                    message += f"; {seconds} after its last sign of life it is taken over"
                raise Stopped(message)
    finally:
        beside.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A name beside a lock that no other process uses."""
    return path.with_name(f".lock.{uuid.uuid4().hex[:8]}.tmp")


def _write(path: Path, content: str) -> None:
    """Write a file and flush it to the disk, so that a node that loses its power leaves no empty lock."""
    with path.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove_dead(path: Path) -> _Owner | None:
    """Remove the lock of a dead owner.

    Two processes may find the same dead owner, and one of them may have taken the lock since: so the
    lock is moved away, read once more, and put back if its owner lives.

    Returns:
        The owner if it lives after all, else None.
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


@dataclass(frozen=True, kw_only=True)
class _Process(NotedJob):
    """The content of a lock.

    Attributes:
        host: Name of the machine.
        pid, started: Number and start time of the process, as `_started` gives it.
        machine: The boot of the machine, as `_machine` gives it; None where it was not noted.
        beat: Seconds between signs of life; 0 where there are none.
    """

    host: str
    pid: Annotated[int, Range(1, 2**31 - 1)]
    started: str | None
    machine: str | None = None
    beat: Annotated[float, Range(0, 3600)] = 0.0


class _Owner(NamedTuple):
    """The owner that a lock names.

    Args:
        content: Content of the lock.
        state: "lives", also where that is not certain; "dead"; or "silent": without a sign of life
            for long.
        beat: Seconds between the owner's signs of life; 0 where it gives none.
        seen: Time of the last sign of life.
    """

    content: str
    state: Literal["lives", "dead", "silent"]
    beat: float
    seen: float


def _living_owner(path: Path) -> _Owner | None:
    """The owner of a lock, if it lives. A silent owner is watched for a minute, since the file
    system may have stood still, and not the owner.
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
    """The owner that a lock names; None where there is no lock.

    Raises:
        InputError: The file is no lock of genbench.
    """
    try:
        status = path.stat()
        seen = status.st_mtime
        # Reading a named pipe would wait for ever.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError
        content = read_text(path)
        # A node that loses its power leaves an empty lock.
        if not content:
            return _Owner(content, "silent", _BEAT, seen)
        owner: _Process = read_value(_Process, parse_json(content))
    except FileNotFoundError:
        return None
    except ValueError:
        raise InputError(
            f"{path} is not a lock of genbench; remove it if no run is using its folder"
        ) from None
    host = owner.host
    beat = owner.beat
    if host == socket.gethostname() and owner.machine in (None, _machine()):
        start = _started(owner.pid)
        if start is not None and start == owner.started:
            return _Owner(content, "lives", beat, seen)
        # A process of another user, which /proc may hide, is known by its signs of life.
        if start != "unknown":
            return _Owner(content, "dead", beat, seen)
    if was_requeued(owner):
        return _Owner(
            content, "silent" if beat and host != socket.gethostname() else "dead", beat, seen
        )
    # Clocks of two machines differ: a sign of life that is n seconds in the future counts as n
    # seconds old.
    silent = beat > 0 and (job_is_over(owner) or abs(time.time() - seen) > _SILENT * beat)
    return _Owner(content, "silent" if silent else "lives", beat, seen)


def _in_words(content: str) -> str:
    """The process that a lock names, in words: "number 4711 on node3, in the SLURM job 12"."""
    try:
        owner: _Process = read_value(_Process, parse_json(content))
    except ValueError:
        return "which did not say its number"
    host = owner.host if owner.host.isprintable() else repr(owner.host)
    words = f"number {owner.pid} on {host}"
    if owner.job is None:
        return words
    return f"{words}, in the SLURM job {owner.job!r}"


def _machine() -> str:
    """A text that stands for this boot of this machine and its namespace of process numbers, since
    containers may share the machine's name and number their processes by themselves.
    """
    try:
        return (
            Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            + " "
            + str(Path("/proc/self/ns/pid").readlink())
        )
    except OSError:
        # This system has no /proc.
        return ""


def _started(pid: int) -> str | None:
    """Start time of a process, by which another process of the same number is told from it.

    Returns:
        The time; "unknown" where the system does not tell it; None if there is no such process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended; only its exit code was not asked for yet.
        if fields[0] in "ZX":
            return None
        return fields[19]
    except (FileNotFoundError, ProcessLookupError):
        pass
    # Without an entry in /proc, a signal tells whether there is such a process.
    try:
        os.kill(pid, 0)
        return "unknown"
    except ProcessLookupError:
        return None
    except PermissionError:
        return "unknown"
