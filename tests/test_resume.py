"""Whatever cuts a run, and wherever, it ends as if nothing had: weights, averages, optimizers, metrics file and record."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import DISTINCT

from genbench.config import load_config
from genbench.leaderboard.record import Record, records_in
from genbench.loggers import read_metrics
from genbench.run import Run

BUDGET, BATCH = 320, 16
OFTEN = (f"budget.images={BUDGET}", f"data.batch_size={BATCH}", "trainer.log_every=1", "trainer.checkpoint_every=64")
CODES = {"SIGTERM": [75], "SIGUSR1": [75], "SIGKILL": [-9], "disk full": [75]}


class Worker:
    """Children on demand; see resume_worker.py."""

    def __init__(self, folder: Path) -> None:
        self.errors = folder / "errors.txt"
        command = [sys.executable, str(Path(__file__).with_name("resume_worker.py"))]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)

    def __call__(self, **job: Any) -> list[int]:
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline() or "[]")

    def train(self, run: Path, name: str, *overrides: str, processes: int = 1, cut: Any = None) -> list[int]:
        return self(train=[name, f"run_dir={run}", *OFTEN, *overrides], processes=processes, cut=cut)

    def end(self, run: Path, name: str, *overrides: str, processes: int = 1) -> dict[str, Any]:
        """Train to the end, and everything that the run ends with, times aside."""
        assert self.train(run, name, *overrides, processes=processes) == [0] * processes, self.errors.read_text()[-2000:]
        assert self(evaluate=[str(run), str(run / "out")]) == [0], self.errors.read_text()[-2000:]
        state, damaged = Run(run).newest_checkpoint()
        if state is not None:
            state["keeper"].pop("seconds")
        lines = [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(Run(run).metrics)]
        (record,) = records_in(run / "out")
        assert not damaged
        return {"state": state, "weights": Run(run).weights.read_bytes(), "metrics": lines, "record": timeless(record)}


def timeless(record: Record) -> dict[str, Any]:
    tree = record.to_dict()
    del tree["cost"]["train_seconds"], tree["evaluated_at"], tree["speed"]
    return tree


def deviation(a: Any, b: Any) -> float:
    """The largest difference of any number; infinity where anything else differs."""
    if isinstance(a, torch.Tensor):
        return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max((deviation(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, (list, tuple)) and len(a) == len(b):
        return max(map(deviation, a, b), default=0.0)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b)
    return 0.0 if a == b else float("inf")


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    started = Worker(tmp_path_factory.mktemp("worker"))
    yield started
    with started.process:  # closes its input, which ends it
        pass


def learns(name: str) -> bool:
    return bool(load_config(name, smoke=True).instantiate()[1].players())


@pytest.mark.parametrize("name", [name for name in DISTINCT if learns(name)])
def test_a_run_that_was_cut_ends_like_one_that_was_not(name, worker, tmp_path, capsys):
    """By every cause once, in an order and at images that its name decides. Bit for bit: one process, one thread."""
    draw = random.Random(name)
    points = sorted(draw.sample(range(BATCH, BUDGET, BATCH), len(CODES)))
    for how, images in zip(draw.sample(list(CODES), len(CODES)), points):
        assert worker.train(tmp_path / "cut", name, cut=[how, images, 0]) == CODES[how], worker.errors.read_text()[-2000:]
    cut, whole = (worker.end(tmp_path / folder, name) for folder in ("cut", "whole"))
    apart = {part: deviation(cut[part], whole[part]) for part in ("state", "metrics", "record")}
    with capsys.disabled():
        print(f"\n{name}: cut at {points} of {BUDGET} images, differs by {max(apart.values())}", end="")
    assert set(apart.values()) == {0.0}
    assert cut["weights"] == whole["weights"]
    assert [line["images"] for line in cut["metrics"] if "val/bits_per_dim" not in line] == list(
        range(BATCH, BUDGET + 1, BATCH)
    )
    assert not list(tmp_path.rglob("*.tmp"))
