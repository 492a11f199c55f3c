"""Trains and evaluates in children that have never met wandb and end as Python ends: what wandb does at exit is part of a run.

A `warm.Server` runs it: it answers a job by its exit code, and what the job said goes to <run>.txt

{"run": folder, "overrides": [...], "environment": {name: value, or null for none}, "do": null or one of
 "hide wandb"         it is not installed
 "kill its service"   -9, in mid-training
 "kill itself"        likewise}
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pydantic._internal._fields
import torch
import warm
from layout_worker import small
from resume_worker import SPEED, evaluate

import genbench.evaluation.evaluate
import genbench.training.train
from genbench.cli.main import main as genbench_main
from genbench.tracking.wandb_log import WandbLog


def services() -> list[int]:
    """The processes of wandb that this process started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        if "(wandb-core" in head and int(rest.split()[1]) == os.getpid():
            found.append(int(path.parent.name))
    return found


def kill(what: Callable[[], list[int]]) -> None:
    log = WandbLog.log_metrics

    def and_kill(self: WandbLog, metrics: dict[str, float], step: int | None = None) -> None:
        log(self, metrics, step)
        if step == 80:
            time.sleep(1)  # so that what was logged is on its way to the disk
            (number,) = what()
            os.kill(number, signal.SIGKILL)

    WandbLog.log_metrics = and_kill  # type: ignore[method-assign]


def child(job: dict[str, Any]) -> int:
    output = os.open(f"{job['run']}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name, value in job["environment"].items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    if job["do"] == "hide wandb":
        sys.modules["wandb"] = None  # type: ignore[assignment]
    elif job["do"] is not None:
        kill(services if job["do"] == "kill its service" else lambda: [os.getpid()])
    code = genbench_main(
        ["train", "-c", "digits/vae", "--smoke", f"--run_dir={job['run']}", *job["overrides"]]
    )
    if code == 0:
        evaluate(job["run"], f"{job['run']}-out")
    return code


def leave(code: int) -> NoReturn:
    """End as Python does, but for the memory: a child would copy all of its parent's to give it back."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    torch.set_num_threads(1)
    # the classes of wandb's client search their sources for words about each field, which takes a child a second
    pydantic._internal._fields.extract_docstrings_from_cls = lambda *_, **__: {}
    genbench.evaluation.evaluate.measure_speed = lambda *_, **__: {
        **SPEED,
        "peak_memory_bytes": 1,
        "device": "-",
    }
    genbench.evaluation.resolve.protocol_of = lambda loaded: small(loaded.data, 16)
    assert "wandb" not in sys.modules
    for job, answer in warm.jobs():
        number = os.fork()
        if not number:
            leave(child(job))
        deadline = time.monotonic() + 400
        while (ended := os.waitpid(number, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(number, signal.SIGKILL)
            time.sleep(0.01)
        answer(os.waitstatus_to_exitcode(ended[1]))


if __name__ == "__main__":
    main()
