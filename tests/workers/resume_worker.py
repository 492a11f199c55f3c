"""Trains and evaluates in children that may be killed; what they import is imported once.

A `warm.Server` runs it: it answers a job by the exit codes of its processes.

{"train": [name, override, ...], "processes": 1, "cut": [how, images, rank] or null}; also "trust": [module, ...], "double": true
{"evaluate": [run folder, out]}
{"bench": suite file, "kill_at": k}      SIGKILL right before its k-th operation on a file in the suite's folder; 0: never

`how` is a signal's name, or "disk full": from then on no file may grow beyond a few bytes, by a limit of the system.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import warm
from layout_worker import small

import genbench.evaluation.evaluate
import genbench.leaderboard
import genbench.runs.folder
import genbench.training.train
from genbench.config.recipe import load_config
from genbench.errors import GenbenchError
from genbench.suites.bench import bench
from genbench.suites.suite import load_suite
from genbench.system.progress import Lines

SPEED = {
    "images_per_second": 1.0,
    "batch": 1,
    "latency_seconds": 1.0,
    "network_evaluations": 1,
    "repeats": 1,
}


def train(job: dict[str, Any], overrides: list[str], rank: int) -> None:
    cut = job["cut"]
    if job.get("double"):
        torch.set_default_dtype(torch.float64)

    def report(seen: int, loss: float | None) -> None:
        if cut is not None and (seen, rank) == tuple(cut[1:]):
            if cut[0] == "disk full":
                resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
            else:
                os.kill(os.getpid(), signal.Signals[cut[0]])

    # without a smoke version of its own, a recipe that is given by its path is small itself
    smoke = not job["train"][0].endswith(".yaml")
    config = load_config(job["train"][0], overrides, job.get("trust", ()), smoke=smoke)
    genbench.training.train.train(config, report)


def evaluate(run: str, out: str) -> None:
    genbench.evaluation.evaluate.evaluate(
        run, next(iter(genbench.runs.folder.Run(Path(run)).config().evaluations)), Path(out)
    )


def run_suite(path: str, kill_at: int) -> None:
    folder, count = str(Path(path).parent), 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        # a file that is opened for reading by its descriptor is told of twice
        if event == "open" and arguments[1] is None and not arguments[2] & os.O_ACCMODE:
            return
        if event in ("open", "os.rename", "os.link", "os.remove", "os.mkdir") and str(
            arguments[0]
        ).startswith(folder):
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    bench(load_suite(path), Lines())


def forked(act: Callable[[], Any], **environment: str) -> int:
    """The process id of a child that does this and nothing else."""
    child = os.fork()
    if child:
        return child
    os.environ.update(environment)
    code, said = 1, ""
    try:
        act()
        code = 0
    except GenbenchError as error:
        code, said = error.exit_code, f"genbench: {error}"
    except KeyboardInterrupt:
        code = 75
    except BaseException:
        said = traceback.format_exc()
    finally:
        with suppress(BaseException):
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
            print(said, file=sys.stderr, flush=True)
        os._exit(code)


def children(job: dict[str, Any]) -> list[int]:
    if "bench" in job:
        return [forked(lambda: run_suite(job["bench"], job["kill_at"]))]
    if "evaluate" in job:
        return [forked(lambda: evaluate(*job["evaluate"]))]
    overrides = job["train"][1:]
    if job["processes"] == 1:
        return [forked(lambda: train(job, overrides, 0))]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    layout = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0"}
    overrides += [f"trainer.devices={job['processes']}", "trainer.accelerator=cpu"]
    return [
        forked(
            lambda rank=rank: train(job, overrides, rank),
            LOCAL_RANK=str(rank),
            **layout,
        )
        for rank in range(job["processes"])
    ]


def main() -> None:
    torch.set_num_threads(1)
    genbench.evaluation.evaluate.measure_speed = lambda *_, **__: {
        **SPEED,
        "peak_memory_bytes": 1,
        "device": "-",
    }
    genbench.evaluation.resolve.protocol_of = lambda loaded: small(loaded.data, 16)
    os.dup2(2, 1)
    for job, answer in warm.jobs():
        waiting = children(job)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in waiting]
        answer(codes)


if __name__ == "__main__":
    main()
