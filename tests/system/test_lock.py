"""Owners of a folder on other machines: known to live by their signs of life, known to be dead by their absence, or by SLURM.

Times are hundreds of times shorter than in use.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from genbench.errors import InputError, Stopped
from genbench.system import lock as locks
from genbench.system.lock import in_use, lock

BEAT = 0.05


@pytest.fixture(autouse=True)
def no_job(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_CLUSTER_NAME"):
        monkeypatch.delenv(name, raising=False)


def held(folder: Path, age: float = 0.0, **differences) -> Path:
    """A lock of a process on another machine, with its last sign of life so long ago."""
    path = folder / "lock"
    owner = {
        "host": "lost",
        "machine": "another",
        "pid": 1,
        "started": "1",
        "beat": BEAT,
        **differences,
    }
    path.write_text(json.dumps({key: value for key, value in owner.items() if value is not None}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def is_mine(path: Path) -> bool:
    return json.loads(path.read_text())["pid"] == os.getpid()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(folder: Path) -> str:
    with pytest.raises(Stopped, match="in use by a running process") as stopped, lock(folder):
        pytest.fail("two owners")
    return str(stopped.value)


SILENT, LATELY = 20 * BEAT, 5 * BEAT


def test_the_owner_of_a_lock_is_said_in_words(tmp_path):
    path = held(tmp_path, age=LATELY, pid=4711, host="node3")
    assert f"{tmp_path} is in use by a running process, number 4711 on node3; wait" in refused(
        tmp_path
    )
    held(tmp_path, age=LATELY, pid=4711, host="node3", job="12")
    message = refused(tmp_path)
    assert "number 4711 on node3, in the SLURM job '12'; wait for it, or remove" in message
    held(tmp_path, age=LATELY, host="\x1b[2Jx\n")
    assert refused(tmp_path).isprintable()
    assert "{" not in message
    path.unlink()
    with lock(tmp_path):
        assert f"number {os.getpid()} on {socket.gethostname()}; wait" in refused(tmp_path)


def test_an_owner_on_another_machine_lives_by_its_signs_of_life(tmp_path, caplog):
    path = held(tmp_path, age=LATELY)
    assert "seconds after its last sign of life it is taken over" in refused(tmp_path)
    assert in_use(tmp_path)
    held(tmp_path, age=SILENT)
    assert not in_use(tmp_path)
    with lock(tmp_path):
        assert is_mine(path)
    assert names(tmp_path) == []
    assert "is watched for" in caplog.text


def test_a_clock_that_is_ahead_blocks_nobody_for_ever(tmp_path):
    held(tmp_path, age=-1e6)
    with lock(tmp_path):
        assert is_mine(tmp_path / "lock")


def test_an_owner_that_stirs_while_it_is_watched_keeps_its_folder(tmp_path):
    """The file system stood still, for all alike: nobody's signs of life arrived."""
    path = held(tmp_path, age=SILENT)
    threading.Timer(BEAT, lambda: os.utime(path)).start()
    refused(tmp_path)
    assert json.loads(path.read_text())["host"] == "lost"


@pytest.mark.parametrize(
    ("differences", "taken"),
    [
        (
            {"host": socket.gethostname()},
            True,
        ),  # another machine of this name, or this one before it was started again
        ({"beat": None}, False),  # of a version that gave no signs of life
        ({"beat": None, "machine": None}, False),
    ],
)
def test_whose_signs_of_life_are_asked_for(differences, taken, tmp_path):
    held(tmp_path, age=SILENT, **differences)
    if taken:
        with lock(tmp_path):
            assert is_mine(tmp_path / "lock")
    else:
        refused(tmp_path)
    held(tmp_path, age=0, **differences)
    refused(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"beat": -1},
        {"beat": 1e308},
        {"pid": "x"},
        {"pid": "1"},
        {"pid": True},
        {"pid": 1.5},
        {"host": 3},
        {"job": []},
        {"more": 1},
        {"pid": float("inf")},
        {"pid": 10**30},
        {"pid": 0},
        {"requeued": []},
    ],
)
def test_a_lock_of_nonsense_is_refused(wrong, tmp_path):
    held(tmp_path, age=SILENT, **wrong)
    with pytest.raises(InputError, match="not a lock of genbench"), lock(tmp_path):
        pytest.fail("taken from something unknown")


def test_an_empty_lock_is_watched_and_taken_over(tmp_path, monkeypatch, caplog):
    """A node that loses its power may leave one."""
    monkeypatch.setattr(locks, "_BEAT", BEAT)
    path = tmp_path / "lock"
    path.touch()
    with lock(tmp_path):
        assert is_mine(path)
    assert "is watched for" in caplog.text


def test_a_lock_is_on_the_disk_before_it_is_linked(tmp_path, monkeypatch):
    calls, fsync, link = [], os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file))[1])
    monkeypatch.setattr(os, "link", lambda *names: (calls.append("link"), link(*names))[1])
    with lock(tmp_path):
        assert calls == ["fsync", "link"]


def test_a_link_whose_answer_was_lost_is_made(tmp_path, monkeypatch):
    """NFS sends the request once more, and says that the target exists."""
    link = os.link

    def repeated(file: Path, target: Path) -> None:
        link(file, target)
        link(file, target)

    monkeypatch.setattr(os, "link", repeated)
    with lock(tmp_path):
        assert is_mine(tmp_path / "lock")


def test_an_owner_whom_proc_hides_lives_by_its_signs_of_life(tmp_path, monkeypatch):
    """Another user's, where /proc is mounted with hidepid=2."""
    started = locks._started
    monkeypatch.setattr(locks, "_started", lambda pid: "unknown" if pid == 1 else started(pid))
    here = {"host": socket.gethostname(), "machine": locks._machine()}
    held(tmp_path, age=LATELY, **here)
    refused(tmp_path)
    held(tmp_path, age=SILENT, **here)
    with lock(tmp_path):
        assert is_mine(tmp_path / "lock")


# --- signs of life --------------------------------------------------------------------------------------------------------


def test_a_held_lock_is_touched_and_comes_back_where_somebody_removes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_BEAT", BEAT)
    path = tmp_path / "lock"

    def eventually(what) -> None:
        deadline = time.monotonic() + 20
        while not what():
            assert time.monotonic() < deadline
            time.sleep(BEAT)

    with lock(tmp_path):
        os.utime(path, (1, 1))
        eventually(lambda: path.stat().st_mtime > 1)
        path.unlink()
        eventually(path.exists)
        assert is_mine(path)
    assert names(tmp_path) == []
    time.sleep(3 * BEAT)
    assert names(tmp_path) == []


HOLDER = f"""
import sys, time
from pathlib import Path
from genbench.system import lock as locks
locks._BEAT, locks._machine = {BEAT}, lambda: "another"
with locks.lock(Path(sys.argv[1])):
    print("held", flush=True)
    while True:
        time.sleep(0.01)
"""


@contextlib.contextmanager
def holder(folder: Path):
    """A process that holds a folder and, by its own account, runs on another machine."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_who_was_taken_for_dead_and_wakes_ends_at_once(tmp_path):
    """Stopped for long, as by a suspended machine, and then going on."""
    with holder(tmp_path) as process:
        refused(tmp_path)
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while in_use(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(BEAT)
        with lock(tmp_path):
            os.kill(process.pid, signal.SIGCONT)
            assert process.wait(30) == Stopped.exit_code
            said = process.stderr.read()
            assert "was taken over by" in said and said.count("\n") == 1
            assert is_mine(tmp_path / "lock")
    assert names(tmp_path) == []


def test_who_was_taken_for_dead_and_wakes_when_its_folder_is_free_again_ends_too(tmp_path):
    with holder(tmp_path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while in_use(tmp_path):
            assert time.monotonic() < deadline
            time.sleep(BEAT)
        with lock(tmp_path):
            pass
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(30) == Stopped.exit_code
        said = process.stderr.read()
        assert (
            "was taken over by another process, which has ended" in said and said.count("\n") == 1
        )
    assert names(tmp_path) == []


CONTENDER = """
import sys, time
from pathlib import Path
from genbench.errors import Stopped
from genbench.system.lock import lock
folder, held = Path(sys.argv[1]), 0
end = time.monotonic() + 2
while time.monotonic() < end:
    try:
        with lock(folder):
            (folder / "inside").touch(exist_ok=False)
            held += 1
            time.sleep(0.002)
            (folder / "inside").unlink()
    except Stopped:
        time.sleep(0.001)
print(held)
"""


def test_of_several_who_find_a_dead_owner_one_takes_over(tmp_path):
    held(tmp_path, age=SILENT)
    command = [sys.executable, "-c", CONTENDER, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert sum(int(out) for out, _ in said) > 10
    assert names(tmp_path) == []


# --- jobs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ("echo 'RUNNING|0|'", False),
        ("echo 'COMPLETING|0|'", False),  # its processes may be there still
        ("echo 'SUSPENDED|0|'", False),
        ("true", True),  # it ended a moment ago
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", True),
        ("echo 'PENDING|1|'", True),  # requeued, after its node was lost
        ("echo 'RUNNING|1|'", True),  # and begun again, elsewhere
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", False),
        ("exit 127", False),
    ],
)
def test_slurm_is_asked_whether_a_job_is_over(answer, taken, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text(f"#!/bin/sh\n{answer}\n")
    squeue.chmod(0o755)
    run = tmp_path / "run"
    run.mkdir()
    held(run, age=LATELY, job="7", requeued=0, cluster="here")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    for cluster in ("there", "here"):  # of another cluster, job 7 is another one
        monkeypatch.setenv("SLURM_CLUSTER_NAME", cluster)
        if taken and cluster == "here":
            with lock(run):
                assert is_mine(run / "lock")
        else:
            refused(run)


def test_a_job_that_is_over_but_stirs_is_left_alone(tmp_path, monkeypatch):
    """Another user's job may be hidden by a site; and a node that SLURM has lost may still run."""
    monkeypatch.setattr(locks, "job_is_over", lambda owner: True)
    path = held(tmp_path)
    threading.Timer(BEAT, lambda: os.utime(path)).start()
    refused(tmp_path)


@pytest.mark.parametrize("cluster", ["here", "there"])
def test_a_requeued_job_watches_its_lost_node(cluster, tmp_path, monkeypatch):
    """The node may still run, and write; of another cluster, job 7 is another one."""
    for name, value in {"JOB_ID": "7", "RESTART_COUNT": "1", "CLUSTER_NAME": cluster}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(locks, "job_is_over", lambda owner: False)
    path = held(tmp_path, age=LATELY, job="7", requeued=0, cluster="here")
    stirring = threading.Timer(BEAT, lambda: os.utime(path))
    stirring.start()
    refused(tmp_path)
    stirring.join()
    held(tmp_path, age=LATELY, job="7", requeued=0, cluster="here")
    if cluster == "here":
        with lock(tmp_path):
            assert is_mine(path)
    else:
        refused(tmp_path)
    held(tmp_path, age=LATELY, host=socket.gethostname(), job="7", requeued=0, cluster="here")
    monkeypatch.setattr(
        time, "sleep", lambda seconds: pytest.fail("its own node has nothing to watch")
    )
    if cluster == "here":
        with lock(tmp_path):
            assert is_mine(path)


@pytest.mark.parametrize("jump", [-0.9, -0.4, 0.4, 0.9])
def test_a_clock_that_jumps_by_less_than_a_beat_takes_no_lock(jump, tmp_path, monkeypatch):
    """Neither from a living owner elsewhere, nor from this process where somebody removes its file."""
    monkeypatch.setattr(locks, "_BEAT", BEAT)
    path = held(tmp_path)
    now = time.time
    monkeypatch.setattr(locks.time, "time", lambda: now() + jump * BEAT)
    refused(tmp_path)
    assert in_use(tmp_path)
    path.unlink()
    with lock(tmp_path):
        path.unlink()
        deadline = time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(BEAT)
        assert is_mine(path)


def test_a_clock_that_jumps_far_back_and_forth_leaves_a_lock_with_its_owner(tmp_path, monkeypatch):
    """The file is still there, so nobody has taken it; only where it is gone too, the owner cannot know, and ends."""
    monkeypatch.setattr(locks, "_BEAT", BEAT)
    now = time.time
    jumps = iter([1e6, -1e6] * 1000)
    monkeypatch.setattr(locks.time, "time", lambda: now() + next(jumps))
    with lock(tmp_path):
        time.sleep(6 * BEAT)
        assert is_mine(tmp_path / "lock")


def test_signs_of_life_come_at_least_every_second_beat(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "_BEAT", 0.2)
    touched = set()
    with lock(tmp_path):
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            touched.add((tmp_path / "lock").stat().st_mtime_ns)
            time.sleep(0.02)
    assert len(touched) >= 5
