"""Processes of Python that begin with torch and genbench imported: forks of one that imports them once a session.

Starting Python and importing torch and Lightning takes some four seconds of a core, a fork takes none. `Popen` and `run` have the
names of `subprocess` and take the same commands, `python FILE ...`, `python -m MODULE ...` and `python -c CODE ...`. What a start of
Python itself is tested by, such as another folder of packages, is started by `subprocess`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.reduction import DupFd
from pathlib import Path
from types import ModuleType
from typing import Any

import genbench

__all__ = ["Popen", "Server", "jobs", "run"]

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "genbench.cli.main",
        "genbench.evaluation.evaluate",
        "genbench.leaderboard",
        "genbench.suites.bench",
        "genbench.training.train",
    ]
)


class Popen:
    """A process that began by a fork.

    Args:
        command: As `subprocess.Popen` takes it, the interpreter first.
        env: Its environment; None: that of this process.
        cwd: Its working folder; None: that of this process.
        pass_fds: File descriptors of this process that it gets, under other numbers; arguments that are such a number follow.
        stdout: `subprocess.PIPE` for a stream of both outputs; None: they are what `communicate` returns.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
        stdout: int | None = None,
    ) -> None:
        assert command[0] == sys.executable
        # files, and no pipes, of which a full one would hold it up
        self._said = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        for file in self._said:
            weakref.finalize(self, file.close)
        outputs = [file.fileno() for file in self._said]
        if stdout == subprocess.PIPE:
            reading, writing = os.pipe()
            self.stdout = os.fdopen(reading, "rb")
            outputs = [writing, writing]
        self._process = _FORKS.Process(
            target=_become,
            args=(
                genbench.__file__,
                list(command[1:]),
                dict(os.environ if env is None else env),
                str(cwd or Path.cwd()),
                [DupFd(number) for number in outputs],
                {str(number): DupFd(number) for number in pass_fds},
            ),
            daemon=False,
        )
        self._process.start()
        if stdout == subprocess.PIPE:
            os.close(writing)
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, minus the number of the signal that ended it; None: not yet."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a fork", timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; returns what it wrote to its two outputs."""
        self.wait(timeout)
        for file in self._said:
            file.seek(0)
        out, errors = (file.read().decode() for file in self._said)
        return out, errors

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Server(Popen):
    """A process that is given jobs, a line of JSON each, and answers each by a line of JSON.

    Args:
        command: As `Popen` takes it; two arguments are added, the descriptors of the jobs and of the answers.
        env: As `Popen` takes it.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        given, jobs = os.pipe()
        answers, wanted = os.pipe()
        super().__init__([*command, str(given), str(wanted)], env, pass_fds=(given, wanted))
        os.close(given)
        os.close(wanted)
        self._jobs = os.fdopen(jobs, "w", buffering=1)
        self._answers = os.fdopen(answers)

    def ask(self, job: Any) -> Any:
        """The answer; None where the process has ended."""
        self._jobs.write(json.dumps(job) + "\n")
        return json.loads(self._answers.readline() or "null")

    def errors(self) -> str:
        """What it wrote to its second output so far."""
        number = self._said[1].fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        """Without further jobs it ends."""
        self._jobs.close()
        self.wait()
        self._answers.close()


def jobs() -> Iterator[tuple[Any, Callable[[Any], None]]]:
    """Within a process that `Server` started: each job, and a function that answers it."""
    given, wanted = map(int, sys.argv[-2:])
    with os.fdopen(wanted, "w", buffering=1) as answers:
        for line in os.fdopen(given):
            yield json.loads(line), lambda answer: print(json.dumps(answer), file=answers)


def run(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Its exit code and what it said; it is killed after `timeout` seconds."""
    process = Popen(command, env, cwd)
    try:
        said = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(command, process.returncode, *said)


def _become(
    package: str,
    command: list[str],
    env: dict[str, str],
    cwd: str,
    outputs: list[DupFd],
    passed: dict[str, DupFd],
) -> None:
    """Within the fork: be what the command would have started."""
    assert genbench.__file__ == package, f"the tests are of {package}"
    for number, output in zip((1, 2), outputs):
        os.dup2(output.detach(), number)
    os.fsync = lambda file: None  # as in conftest.py
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # that of its own TMPDIR
    os.chdir(cwd)
    numbers = {former: str(descriptor.detach()) for former, descriptor in passed.items()}
    first, *arguments = [numbers.get(word, word) for word in command]
    if first == "-m":
        sys.argv = arguments
        sys.path.insert(0, cwd)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = ["-c", *arguments[1:]]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(arguments[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = [first, *arguments]
        sys.path.insert(0, str(Path(first).parent))
        runpy.run_path(first, run_name="__main__")
