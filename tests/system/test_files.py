"""Files are whole or absent, and a run folder has one owner: whatever is killed, and whenever."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from genbench.errors import InputError, Stopped
from genbench.system import files
from genbench.system import lock as locks
from genbench.system.files import file_digest, write_atomic
from genbench.system.json_files import canonical_json, digest, write_json
from genbench.system.lock import lock


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    for content in ("first", b"\x00second", ""):
        write_atomic(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
        assert names(path.parent) == ["a.txt"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_on_disk(tmp_path, monkeypatch):
    path, order = tmp_path / "a", []
    write_atomic(path, "old")
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        files.os, "fsync", lambda fd: (order.append(("fsync", path.read_text())), fsync(fd))
    )
    monkeypatch.setattr(
        Path,
        "replace",
        lambda self, to: (order.append(("replace", self.read_text())), replace(self, to)),
    )
    write_atomic(path, "new")
    assert order == [("fsync", "old"), ("replace", "new")]
    assert path.read_text() == "new"


class Full:
    """A file on a disk that takes half of what it is given."""

    def __init__(self, file, number):
        self.file, self.number = file, number

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        raise OSError(self.number, os.strerror(self.number))


@pytest.fixture
def failing(monkeypatch):
    """A function that makes every write from now on fail with an error number."""
    opened = Path.open

    def fail(number):
        def open_(self, mode="r", *args, **options):
            file = opened(self, mode, *args, **options)
            return Full(file, number) if "w" in mode else file

        monkeypatch.setattr(Path, "open", open_)

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_stops_and_keeps_the_old_file(tmp_path, failing, number):
    path = tmp_path / "state.json"
    write_json(path, {"images": 1})
    before = path.read_bytes()
    failing(number)
    with pytest.raises(Stopped, match=r"disk full while writing .*state\.json") as stopped:
        write_json(path, {"images": 2})
    assert stopped.value.exit_code == 75
    assert "\n" not in str(stopped.value)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["state.json"]


def test_other_errors_are_not_a_full_disk(tmp_path, failing):
    write_atomic(tmp_path / "a", "old")
    failing(errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_real_limit_of_the_system_stops(tmp_path):
    """A process that may write no file of more than 100 bytes."""
    script = f"""
import resource
from pathlib import Path
from genbench.errors import Stopped
from genbench.system.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
path = Path({str(tmp_path / "a")!r})
write_atomic(path, "x" * 90)
try:
    write_atomic(path, "y" * 200)
except Stopped:
    print(path.read_text().count("x"))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert result.stdout == "90\n"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch, interruption):
    write_atomic(tmp_path / "a", "old")

    def interrupt(fd):
        raise interruption

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(interruption):
        write_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, Path("a")])
def test_what_json_cannot_say_is_not_written(tmp_path, value):
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "a.json", {"x": value})
    assert names(tmp_path) == []
    with pytest.raises((ValueError, TypeError)):
        canonical_json(value)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "state.json")
    read = "import sys; from pathlib import Path; from genbench.system.json_files import read_json; read_json(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", read, str(tmp_path / "state.json")],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1 and b"JSONDecodeError" in done.stderr


def test_digests_know_values_and_not_their_order(tmp_path):
    a, b = {"x": [1, 2.5, None], "y": "ü"}, {"y": "ü", "x": [1, 2.5, None]}
    assert canonical_json(a) == canonical_json(b)
    assert digest(a) == digest(b) == hashlib.sha256(canonical_json(a).encode()).hexdigest()
    assert digest(a) != digest({**a, "x": [2.5, 1, None]})
    write_json(tmp_path / "a", a)
    assert json.loads((tmp_path / "a").read_text()) == a
    assert (tmp_path / "a").read_text().endswith("\n")
    assert file_digest(tmp_path / "a") == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()


# --- locks ------------------------------------------------------------------------------------------------------------


def owner(pid, started, host=None):
    return canonical_json({"host": host or socket.gethostname(), "pid": pid, "started": started})


def start_time(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def test_a_lock_is_there_while_held_and_gone_after(tmp_path):
    folder = tmp_path / "run"
    with lock(folder):
        held = json.loads((folder / "lock").read_text())
        assert held.items() >= json.loads(owner(os.getpid(), start_time(os.getpid()))).items()
        assert held.keys() - {"job", "requeued", "cluster"} == {
            "host",
            "pid",
            "started",
            "machine",
            "beat",
        }
        assert names(folder) == ["lock"]
    assert names(folder) == []
    with pytest.raises(ZeroDivisionError), lock(folder):
        raise ZeroDivisionError
    assert names(folder) == []


def test_a_living_owner_is_left_alone(tmp_path):
    with lock(tmp_path):
        content = (tmp_path / "lock").read_text()
        with pytest.raises(Stopped, match="in use by a running process") as stopped, lock(tmp_path):
            pytest.fail("both hold it")
        assert stopped.value.exit_code == 75
        assert "\n" not in str(stopped.value)
        assert str(os.getpid()) in str(stopped.value)
        assert names(tmp_path) == ["lock"]
        assert (tmp_path / "lock").read_text() == content


SLEEP = [sys.executable, "-S", "-c", "print(flush=True); import time; time.sleep(60)"]


def test_the_lock_of_another_process_is_taken_over_only_when_it_is_dead(tmp_path):
    """First living, then killed but not waited for, then gone."""
    with subprocess.Popen(SLEEP, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        held = owner(process.pid, start_time(process.pid))
        (tmp_path / "lock").write_text(held)
        with pytest.raises(Stopped), lock(tmp_path):
            pytest.fail("taken from a living owner")
        assert (tmp_path / "lock").read_text() == held
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with lock(tmp_path):
            assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    (tmp_path / "lock").write_text(held)
    with lock(tmp_path):
        assert names(tmp_path) == ["lock"]
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert names(tmp_path) == []


def test_a_reused_process_id_is_not_the_old_owner(tmp_path):
    """Our own process id, in a process that began at another time."""
    (tmp_path / "lock").write_text(owner(os.getpid(), "1"))
    with lock(tmp_path):
        assert names(tmp_path) == ["lock"]


def test_an_owner_on_another_host_may_live(tmp_path):
    (tmp_path / "lock").write_text(owner(2**22 + 1, "1", host="elsewhere"))
    with pytest.raises(Stopped, match="elsewhere"), lock(tmp_path):
        pytest.fail("taken from another host")


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"host": "a", "pid": "x", "started": null}'])
def test_what_is_not_a_lock_is_not_removed(tmp_path, content):
    (tmp_path / "lock").write_text(content)
    with pytest.raises(InputError, match="not a lock of genbench"), lock(tmp_path):
        pytest.fail("taken from something unknown")
    assert (tmp_path / "lock").read_text() == content
    assert names(tmp_path) == ["lock"]


def test_two_who_find_a_dead_owner_do_not_both_take_over(tmp_path, monkeypatch):
    """Between our look at the dead owner and our removal of it, another process takes over: its lock stays."""
    (tmp_path / "lock").write_text(owner(os.getpid(), "1"))
    other = owner(1, start_time(1))
    looked, look = [], locks._living_owner

    def late(path):
        result = look(path)
        if not looked:
            (tmp_path / "lock").unlink()
            (tmp_path / "lock").write_text(other)
        looked.append(path)
        return result

    monkeypatch.setattr(locks, "_living_owner", late)
    with pytest.raises(Stopped), lock(tmp_path):
        pytest.fail("both hold it")
    assert (tmp_path / "lock").read_text() == other
    assert names(tmp_path) == ["lock"]


def test_an_owner_who_leaves_while_we_look_leaves_the_folder_to_us(tmp_path, monkeypatch):
    (tmp_path / "lock").write_text(owner(1, start_time(1)))
    look = locks._living_owner

    def gone(path):
        path.unlink(missing_ok=True)
        return look(path)

    monkeypatch.setattr(locks, "_living_owner", gone)
    with lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_that_somebody_else_took_meanwhile_is_not_removed(tmp_path):
    other = owner(1, start_time(1))
    with lock(tmp_path):
        (tmp_path / "lock").write_text(other)
    assert (tmp_path / "lock").read_text() == other


def test_a_full_disk_stops_before_the_lock(tmp_path, failing):
    failing(errno.ENOSPC)
    with pytest.raises(Stopped, match="disk full"), lock(tmp_path):
        pytest.fail("no lock was written")
    assert names(tmp_path) == []
