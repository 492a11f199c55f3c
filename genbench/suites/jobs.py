"""Runs of a suite side by side: several processes train and score, then this one measures speeds,
one run at a time.

A worker (`genbench.suites.worker`) has one thread, unless OMP_NUM_THREADS says otherwise, and does
one run after another by the same code as a suite without `--jobs`: the records are the same,
timings apart. A run begins when those that it needs have ended. A worker that is killed fails the
run that it was at, and the others go on. SIGINT, SIGTERM and SIGUSR1 to this process stop all;
workers end when it does, even when it is killed. Whatever was interrupted, the same command goes
on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from genbench.errors import InputError, Stopped
from genbench.suites.plan import Plan, lacking, needed_by, out_of_reach
from genbench.suites.reporter import Reporter
from genbench.suites.stages import noting_failure, one_by_one
from genbench.suites.worker import Task

__all__ = ["available_cores", "default_jobs", "perform_all"]

# A worker must find the modules that this process finds, wherever the worker is started.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[2:]; from genbench.suites.worker import work;"
    " work(int(sys.argv[1]))"
)


def available_cores() -> int:
    """The number of cores that this process may use: those that it is bound to, or fewer where its
    control group has a quota.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def default_jobs(plans: Sequence[Plan]) -> int:
    """The number of runs that fit this machine at once: as many as there are cores for their
    threads, but one where they would share a GPU or are several processes each.
    """
    import torch

    if torch.cuda.is_available() or any(
        plan.device != "cpu" or processes_of(plan) > 1 for plan in plans
    ):
        return 1
    return max(1, available_cores() // torch.get_num_threads())


def processes_of(plan: Plan) -> int:
    """The number of processes that train one run."""
    return plan.config.trainer.devices * plan.config.trainer.num_nodes


def perform_all(
    plans: Sequence[Plan],
    suite: str,
    reporter: Reporter,
    trust: Sequence[str] = (),
    jobs: int | None = 1,
) -> list[str]:
    """Train and evaluate whatever is lacking, one run after another or side by side.

    Args:
        plans: Every run of the suite, a needed run before those that need it.
        suite: Name of the suite.
        reporter: Is told about every step.
        trust: Modules outside genbench that configurations may name.
        jobs: How many runs are trained and scored at once; None: as many as fit this machine.

    Returns:
        The labels of runs that could not be evaluated.

    Raises:
        InputError: A run is itself several processes, and `jobs` is more than 1.
        Stopped: Interrupted; the same command goes on.
    """
    missing = lacking(plans)
    jobs = min(jobs or default_jobs(missing), max(1, len(missing)))
    if jobs == 1:
        return one_by_one(plans, suite, reporter, trust)
    for plan in missing:
        if processes_of(plan) > 1:
            raise InputError(
                f"--jobs {jobs}: {plan.label} is trained by {processes_of(plan)} processes; use"
                " --jobs 1"
            )
    reporter.begin(sum(plan.steps + bool(plan.variants) for plan in missing) + 1)
    crew = Crew(plans, missing, suite, reporter, tuple(trust))
    crew.work(jobs)
    return crew.failures + speeds(crew.done, reporter, trust)


def speeds(plans: Sequence[Plan], reporter: Reporter, trust: Sequence[str]) -> list[str]:
    """Measure speeds, one run at a time, and write the records.

    Args:
        plans: The runs, which are trained and scored.
        reporter: Is told about every step.
        trust: Modules outside genbench that configurations may name.

    Returns:
        The labels of the runs for which that failed.
    """
    from genbench.evaluation.evaluate import evaluate_run

    failures: list[str] = []
    for plan in plans:
        if plan.variants:
            reporter.step(f"speed of {plan.label}")
        with noting_failure(plan, reporter, failures):
            if plan.variants:
                evaluate_run(plan.run, plan.out, plan.variants, trust, plan.device)
    return failures


class Worker:
    """A process that trains and scores, and the run that it is at.

    Args:
        reporter: Is told about every step.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.plan: Plan | None = None
        self.connection, far_end = Pipe()
        command = [sys.executable, "-c", _PROGRAM, str(far_end.fileno()), *sys.path]
        self.process = subprocess.Popen(
            command,
            pass_fds=[far_end.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": "1", **os.environ},
        )
        far_end.close()
        self.output: deque[str] = deque(maxlen=100)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        """Keep the last lines of what libraries print, which say why a worker crashed."""
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.output.append(line.decode(errors="replace").rstrip())

    def begin(self, plan: Plan, suite: str, trust: tuple[str, ...]) -> None:
        """Tell the worker to train and score a run."""
        self.plan = plan
        self.send(Task(plan.config, plan.variants, plan.out, plan.device, suite, trust))

    def send(self, message: Task | None) -> None:
        """Send a message. That the worker has ended meanwhile is no error here: reading finds it out."""
        with suppress(OSError):
            self.connection.send(message)

    def stop(self) -> None:
        """Ask the worker to write a checkpoint and to end; outside of training it ends at once."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def close(self) -> str:
        """Wait until the worker has ended, and say how it ended."""
        self.connection.close()
        code = self.process.wait()
        self._reading.join()
        if code < 0:
            name = signal.Signals(-code).name
            return (
                "its process was ended by"
                f" {name}{' (no memory left?)' if name == 'SIGKILL' else ''}"
            )
        return (
            f"its process ended with exit code {code}:"
            f" {next(reversed(self.output), 'without a word')}"
        )


class Crew:
    """The workers of a suite, and what became of its runs.

    Args:
        plans: Every run of the suite.
        missing: The runs to train and to score.
        suite: Name of the suite.
        reporter: Is told about every step.
        trust: Modules outside genbench that configurations may name.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        missing: Sequence[Plan],
        suite: str,
        reporter: Reporter,
        trust: tuple[str, ...],
    ) -> None:
        self.plans = plans
        self.waiting = list(missing)
        self.suite = suite
        self.reporter = reporter
        self.trust = trust
        self.workers: list[Worker] = []
        self.done: list[Plan] = []
        self.failures: list[str] = []
        self.stopped: str | None = None

    def work(self, jobs: int) -> None:
        """Train and score all that is waiting, `jobs` runs at once.

        Raises:
            Stopped: Interrupted; the same command goes on.
        """
        with self._forwarding_signals():
            try:
                self._assign(jobs)
                while self.workers:
                    ready: Any = wait([worker.connection for worker in self.workers])
                    for worker in [worker for worker in self.workers if worker.connection in ready]:
                        self._hear(worker)
                    self._assign(jobs)
            finally:
                for worker in self.workers:
                    worker.process.kill()
                    worker.close()
        if self.stopped is not None:
            raise Stopped(self.stopped)
        order = {id(plan): k for k, plan in enumerate(self.plans)}
        self.done.sort(key=lambda plan: order[id(plan)])

    def _assign(self, jobs: int) -> None:
        """Give the next runs that can begin to idle workers, and to new ones up to `jobs`. Workers
        for which nothing is left are told to end.
        """
        while self.stopped is None and (plan := self._next()) is not None:
            idle = next((worker for worker in self.workers if worker.plan is None), None)
            if idle is None and len(self.workers) == jobs:
                break
            self.waiting.remove(plan)
            if plan in out_of_reach(self.plans):
                continue
            if idle is None:
                idle = Worker(self.reporter.beside())
                self.workers.append(idle)
            idle.begin(plan, self.suite, self.trust)
        if self.stopped is not None:  # A worker may have begun after the signal came.
            for worker in self.workers:
                worker.stop()
        elif not self.waiting:
            for worker in self.workers:
                if worker.plan is None:
                    worker.send(None)

    def _next(self) -> Plan | None:
        """The first waiting run whose needed runs have ended; None if there is none."""
        unfinished = {id(plan) for plan in self.waiting} | {
            id(worker.plan) for worker in self.workers
        }
        ready = (
            plan
            for plan in self.waiting
            if not any(id(needed) in unfinished for needed in needed_by(plan, self.plans))
        )
        return next(ready, None)

    def _hear(self, worker: Worker) -> None:
        """Act on one message of a worker, or on its end."""
        try:
            kind, *words = worker.connection.recv()
        except (EOFError, OSError):
            self._dismiss(worker)
            return
        if kind != "end":
            getattr(worker.reporter, kind)(*words)
            return
        plan = worker.plan
        worker.plan = None
        assert plan is not None
        worker.reporter.end()
        self._conclude(plan, *words)

    def _dismiss(self, worker: Worker) -> None:
        """Act on the end of a worker, which was at the end of its work or in the middle of a run."""
        self.workers.remove(worker)
        ending = worker.close()
        worker.reporter.end()
        if worker.plan is None or self.stopped is not None:
            return
        for line in worker.output:
            self.reporter.note(f"{worker.plan.label}: {line}")
        self._conclude(worker.plan, "failed", ending)

    def _conclude(self, plan: Plan, outcome: str, line: str) -> None:
        """Note what became of a run."""
        if outcome == "done":
            self.done.append(plan)
        elif outcome == "stopped":
            self._stop(line)
        else:
            self.reporter.note(line if outcome == "diverged" else f"{plan.label}: {line}")
        if outcome == "failed":
            self.failures.append(plan.label)

    def _stop(self, line: str) -> None:
        if self.stopped is None:
            self.stopped = line
        for worker in self.workers:
            worker.stop()

    @contextmanager
    def _forwarding_signals(self) -> Iterator[None]:
        """Inside the `with` block a signal to this process stops the workers. A second interrupt ends
        them at once.
        """

        def forward(number: int, _: Any) -> None:
            if self.stopped is not None and number == signal.SIGINT:
                raise KeyboardInterrupt
            self._stop("stopped; the same command goes on")

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        before = {number: signal.signal(number, forward) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
