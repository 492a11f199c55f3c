"""Files appear whole or not at all: written beside, flushed, then renamed. A folder that is written to has one owner.

The owner of a folder is the process named in its file `lock`, which it touches every 20 seconds. Another process takes a dead
owner's lock over:

    on this machine         at once where there is no such process
    the same job, requeued  at once on the same node; on another one if no sign of life comes while it is watched for a minute: a node
                            that SLURM has lost may still run, and write
    on another machine      where squeue says that its job is over, or its last sign of life is five minutes old; and, in both cases,
                            none comes while it is watched for a minute. So too for a process of this one that /proc hides

Nothing relies on locks of the file system, which shared ones may lack. A process that stood still until it was taken for dead, and
wakes, finds its lock taken, or gone, and ends at once.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import logging
import math
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
import tokenize
import unicodedata
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genbench.errors import InputError, Stopped, Unwritable

__all__ = [
    "BROKEN_ARRAY",
    "NAME",
    "canonical_json",
    "check_target",
    "checkout",
    "digest",
    "errors_about",
    "expand_home",
    "file_digest",
    "files_below",
    "folder_beside",
    "in_use",
    "last_line",
    "lock",
    "open_regular",
    "parse_json",
    "project_root",
    "read_json",
    "read_text",
    "remove_abandoned",
    "shipped",
    "stop_if_disk_full",
    "temporary_path",
    "write_atomic",
    "write_json",
    "write_once",
]

_log = logging.getLogger("genbench")

# seconds between two signs of life of a lock's owner, and how many may be missing: shared file systems stand still for minutes
_BEAT, _SILENT, _WATCHED = 20.0, 15, 3
# what may be part of a file name
NAME = re.compile(r"\w[\w.+-]*")
# what numpy raises of a damaged .npy or .npz: its headers are Python, which has a tokenizer
BROKEN_ARRAY = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OSError, MemoryError, zipfile.BadZipFile, zlib.error,
    tokenize.TokenError,
)  # fmt: skip
# what is written beside its place, as all below name it, and the age in seconds at which its writer has ended: a day
_TEMPORARY, _ABANDONED = re.compile(r"\..+\.[0-9a-f]{8}\.(tmp|once)", re.DOTALL), 86_400.0
# letters of a file's name that its temporary name begins with: of four bytes each, they still fit where 143 bytes may be used
_PREFIX_LETTERS = 32
# no file of JSON that genbench writes is larger
_LARGEST_JSON = 2**24


_PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """The checkout that genbench runs from; None where it was installed as a wheel."""
    folder = _PACKAGE.parent
    return folder if (folder / "configs").is_dir() and (folder / "pyproject.toml").is_file() else None


def project_root() -> Path:
    """The folder of runs/ and leaderboards/: the checkout, else the working folder."""
    return checkout() or Path.cwd()


def shipped(*parts: str) -> Path:
    """What comes with genbench: `shipped("configs", "suites")`, `shipped("slurm")`, `shipped("genbench", ...)`."""
    path = Path(*parts)
    if checkout() is not None or path.parts[:1] == ("genbench",):
        return _PACKAGE.parent / path
    return _PACKAGE / "shipped" / path


def expand_home(path: str | Path) -> Path:
    """A path with `~` and `~user` at its beginning replaced by the home folder.

    Raises:
        InputError: The home folder is not known, or the path holds a NUL or another control character.
    """
    if any(unicodedata.category(letter) == "Cc" for letter in str(path)):
        raise InputError(f"{str(path)!r}: a path with control characters; name another one")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: the home folder that it begins with is not known; write the whole path") from None


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of a plain JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """A file opened for reading; a FIFO or a device in its place is not waited for.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield file


def temporary_path(path: Path, ending: str = "tmp") -> Path:
    """A name beside a file that no other writer has; it is short, however long the name of the file is."""
    return path.with_name(f".{path.name[:_PREFIX_LETTERS]}.{uuid.uuid4().hex[:8]}.{ending}")


@contextmanager
def errors_about(path: Path) -> Iterator[None]:
    """Let errors about temporary files name the file that was asked for.

    Raises:
        Unwritable: A temporary file or folder beside it cannot be written, or not be put in its place.
    """
    try:
        yield
    except OSError as error:
        if not any(_TEMPORARY.fullmatch(part) for part in Path(os.fsdecode(error.filename or "")).parts):
            raise
        raise Unwritable(error.errno, error.strerror, str(path)) from None


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old one or the new one, whatever happens in between.

    Raises:
        Stopped: The disk is full; the old file is still there.
        Unwritable: It cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = temporary_path(path)
    with errors_about(path), stop_if_disk_full(path):
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
        Unwritable: It cannot be written.
    """
    beside = temporary_path(path, "once")
    try:
        with errors_about(path):
            write_atomic(beside, content)
            return _link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Check that a file can be written, without writing anything: for use before hours are spent on its content.

    Raises:
        InputError: Its folder is not for writing, or a name in its path is longer than the file system takes.
    """
    above = Path(os.path.abspath(path)).parent  # noqa: PTH100, since links above may be followed
    missing = []
    while not os.path.lexists(above):
        missing.append(above.name)
        above = above.parent
    if not above.is_dir():
        raise InputError(f"{path} cannot be written: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written: {above} is not for writing; name another folder")
    longest = os.pathconf(above, "PC_NAME_MAX")
    for name in (path.name, *missing):
        if len(os.fsencode(name)) > longest:
            raise InputError(
                f"{path} cannot be written: the name {name[:40]}... is longer than the {longest} bytes that may be used"
            )


def files_below(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder whose names match a pattern such as "*.json", sorted; linked folders are entered, each once."""
    seen: set[tuple[int, int]] = set()
    paths: list[Path] = []
    waiting = [folder]
    while waiting:
        # links after what lies here: a folder that a link in it points to is named by its own path
        for above, folders, names in os.walk(waiting.pop(0)):
            where = os.stat(above)  # noqa: PTH116
            if (where.st_dev, where.st_ino) in seen:
                folders.clear()
                continue
            seen.add((where.st_dev, where.st_ino))
            waiting += [Path(above, name) for name in sorted(folders) if Path(above, name).is_symlink()]
            paths += [Path(above, name) for name in fnmatch.filter(names, pattern)]
    return sorted(paths)


@contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """An empty folder on the disk of another one, to be filled and then renamed to it: so that appears whole or not at all.

    What is left of it at the end is removed, and so is what killed processes have left beside.
    """
    remove_abandoned(folder.parent)
    beside = temporary_path(folder)
    try:
        with errors_about(folder), lock(beside):
            content = beside / "content"
            content.mkdir()
            yield content
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes have left in a folder, and nothing that may be in use."""
    with suppress(OSError):  # a folder that is not there, or not for reading
        for path in [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]:
            with suppress(OSError):
                if not _is_abandoned(path):
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether the process that was writing has ended: the owner of a folder's lock, if it has one; else whoever took a day."""
    if (path / "lock").is_file():
        with suppress(InputError):  # no lock of genbench
            return not in_use(path)
    return abs(time.time() - path.lstat().st_mtime) > _ABANDONED


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """The text of a file of JSON, whoever wrote it.

    Raises:
        ValueError: It is not UTF-8, or larger than any that genbench writes.
        OSError: It cannot be read.
    """
    # a FIFO in its place is empty, and is not waited for
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        content = file.read(_LARGEST_JSON + 1)
    if len(content) > _LARGEST_JSON:
        raise ValueError(f"it has more than {_LARGEST_JSON >> 20} MiB")
    return content.decode()


def read_json(path: Path) -> Any:
    """The plain value of a file of JSON, whoever wrote it. `genbench.typed` reads it against a type.

    Raises:
        ValueError: As in `parse_json`; or it is larger than any that genbench writes.
        OSError: It cannot be read.
    """
    return parse_json(read_text(path))


def parse_json(text: str) -> Any:
    """The plain value of a text of JSON.

    Raises:
        ValueError: It is not JSON, nests too deep, has a key twice in one group, or holds NaN or an infinity.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_once_each)
    except RecursionError:
        raise ValueError("it nests too deep") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice in one group")
    return tree


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _refuse_constant(text)
    return value


def last_line(path: Path) -> str:
    """Of a log; empty where there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
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
    """Hold a folder alone, by the rules above.

    Raises:
        Stopped: A living process holds it.
    """
    path = folder / "lock"
    here = {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}
    mine = canonical_json({**here, **_job(), "beat": _BEAT})
    with errors_about(path), stop_if_disk_full(path):
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(path, mine)
    over = threading.Event()
    heart = threading.Thread(target=_live, args=(path, mine, over), daemon=True)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()
        # not a lock that somebody else has taken since this one was removed by hand
        if path.is_file() and read_text(path) == mine:
            path.unlink(missing_ok=True)


def in_use(folder: Path) -> bool:
    """Whether a living process holds a run folder."""
    return (owner := _owner(folder / "lock")) is not None and owner.state == "lives"


def _live(path: Path, mine: str, over: threading.Event) -> None:
    """Touch the lock until it is given back; end where another process has it, or may have had it."""
    touched = time.time()  # of the wall clock: others do not stop while this process or its machine does
    while not over.wait(_BEAT):
        with suppress(OSError):  # a file system that is away: the next beat
            if not _is_held(path, mine, touched):
                owner = "another process, which has ended"
                with suppress(OSError):
                    owner = read_text(path)
                print(f"genbench: {path.parent} was taken over by {owner}: this process ends", file=sys.stderr, flush=True)
                os._exit(Stopped.exit_code)  # nothing more may be written, not by anything that would catch an exception either
            os.utime(path)
            touched = time.time()


def _is_held(path: Path, mine: str, touched: float) -> bool:
    """Whether the lock is ours. One that is missing, removed by hand or moved away by a process that looks at it, is put back: but
    not where we last touched it so long ago that another process may have taken the folder, and given it back."""
    try:
        return read_text(path) == mine
    except FileNotFoundError:
        if abs(time.time() - touched) > _SILENT * _BEAT:
            return False
        beside = _beside(path)
        try:
            _write(beside, mine)
            return _link(beside, path) or read_text(path) == mine
        finally:
            beside.unlink(missing_ok=True)


def _acquire(path: Path, mine: str) -> None:
    beside = _beside(path)
    try:
        _write(beside, mine)
        while not _link(beside, path):
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


def _link(source: Path, target: Path) -> bool:
    """Atomic also on shared file systems; False where the target exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        # NFS repeats a request whose answer is lost, and then meets the link that it has made
        return source.stat().st_nlink == 2
    return True


def _remove_dead(path: Path) -> _Owner | None:
    """Two processes may find the same dead owner: what is moved away is looked at once more, and put back if it lives."""
    away = _beside(path)
    try:
        path.rename(away)
        owner = _owner(away)
        if owner is None or owner.state != "lives":
            return None
        _link(away, path)
        return owner
    except FileNotFoundError:
        return None
    finally:
        away.unlink(missing_ok=True)


# --- owners of locks ------------------------------------------------------------------------------------------------------


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
    """The owner who lives, or stirs while it is watched: the file system may have stood still, and not the owner."""
    owner = _owner(path)
    if owner is None or owner.state == "dead":
        return None
    if owner.state == "silent":
        _log.warning("%s: its owner seems dead, and is watched for %.0f seconds", path, _WATCHED * owner.beat)
        time.sleep(_WATCHED * owner.beat)
        later = _owner(path)
        return later if later is not None and (later.content, later.seen) != (owner.content, owner.seen) else None
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
        host, pid, started, beat = owner["host"], int(owner["pid"]), owner["started"], float(owner.get("beat", 0))
        if int(owner.get("requeued", 0)) < 0 or not 0 <= beat <= 3600 or not 0 < pid < 2**31:
            raise ValueError
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InputError(f"{path} is not a lock of genbench; remove it if no run is using its folder") from None
    if host == socket.gethostname() and owner.get("machine", _machine()) == _machine():
        found = _started(pid)
        if found is not None and found == started:
            return _Owner(content, "lives", beat, seen)
        if found != "unknown":  # another user's process, where /proc hides it: known by its signs of life
            return _Owner(content, "dead", beat, seen)
    if _requeued_here(owner):
        return _Owner(content, "silent" if beat and host != socket.gethostname() else "dead", beat, seen)
    # clocks of two machines differ: a sign of life from the future is as old as it is far
    silent = beat > 0 and (_job_is_over(owner) or abs(time.time() - seen) > _SILENT * beat)
    return _Owner(content, "silent" if silent else "lives", beat, seen)


def _machine() -> str:
    """This boot of this machine, and its process numbers: containers may share its name, or number their processes anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no /proc on this system
        return ""


def _job() -> dict[str, Any]:
    """The job of a cluster that this process belongs to, and how often it was requeued before."""
    job, cluster = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_CLUSTER_NAME", "")
    return {"job": job, "requeued": int(os.environ.get("SLURM_RESTART_COUNT", 0)), "cluster": cluster} if job else {}


def _requeued_here(owner: dict[str, Any]) -> bool:
    """Whether this is the same job as a lock's owner, started again: its node may be gone."""
    job = _job()
    same = bool(job) and owner.get("job") == job["job"] and owner.get("cluster", "") == job["cluster"]
    return same and int(owner.get("requeued", 0)) < job["requeued"]


def _job_is_over(owner: dict[str, Any]) -> bool:
    """Whether SLURM says that a lock's owner runs no more. It is asked inside a job of the same cluster."""
    job, cluster = str(owner.get("job", "")), _job().get("cluster")
    if not (job.isdigit() and cluster and owner.get("cluster") == cluster):
        return False
    command = ["squeue", "--noheader", f"--jobs={job}", "--Format=State:|,RestartCnt:|"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if asked.returncode:  # of a job that ended some time ago, or of a queue that does not answer
        return "Invalid job id" in asked.stderr
    return not any(_runs(line, int(owner.get("requeued", 0))) for line in asked.stdout.splitlines() if line.strip())


def _runs(line: str, requeued: int) -> bool:
    """Whether squeue's line is of a job that runs, and was not requeued more often than that."""
    state, restarts, *_ = (word.strip() for word in f"{line}||".split("|"))
    return state not in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED") and int(restarts or 0) <= requeued


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
