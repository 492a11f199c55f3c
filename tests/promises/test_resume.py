"""Whatever cuts a run, and wherever, it ends as if nothing had: weights, averages, optimizers, metrics file and record."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import warm
from conftest import BY_CLASS, DISTINCT, PUPILS
from safetensors.torch import load

from genbench.config.recipe import load_config
from genbench.errors import Stopped
from genbench.records.record import Record
from genbench.records.store import records_in
from genbench.runs.build import build
from genbench.runs.folder import Run
from genbench.system.lock import lock
from genbench.tracking.metrics_file import read_metrics

BUDGET, BATCH = 320, 16
OFTEN = (f"budget.images={BUDGET}", f"data.batch_size={BATCH}", "trainer.log_every=1", "trainer.checkpoint_every=64",
         "trainer.preview_every=160")  # fmt: skip
CODES = {"SIGTERM": [75], "SIGUSR1": [75], "SIGKILL": [-9], "disk full": [75]}


class Worker(warm.Server):
    """Children on demand; see resume_worker.py."""

    def __init__(self) -> None:
        super().__init__(
            [sys.executable, str(Path(__file__).parents[1] / "workers" / "resume_worker.py")]
        )

    def __call__(self, **job: Any) -> list[int]:
        return self.ask(job) or []

    def train(
        self, run: Path, name: str, *overrides: str, processes: int = 1, cut: Any = None
    ) -> list[int]:
        return self(
            train=[name, f"run_dir={run}", *OFTEN, *overrides], processes=processes, cut=cut
        )

    def end(self, run: Path, name: str, *overrides: str, processes: int = 1) -> dict[str, Any]:
        """Train to the end, and everything that the run ends with, times aside."""
        assert self.train(run, name, *overrides, processes=processes) == [0] * processes, (
            self.errors()[-2000:]
        )
        state, damaged = Run(run).newest_checkpoint()
        if state is not None:
            state["keeper"].pop("seconds")
        lines = [
            {k: v for k, v in line.items() if k != "seconds"}
            for line in read_metrics(Run(run).metrics)
        ]
        assert not damaged
        return {"state": state, "weights": Run(run).weights.read_bytes(), "metrics": lines}

    def record(self, run: Path) -> dict[str, Any]:
        """Evaluate a run: its record, times aside."""
        assert self(evaluate=[str(run), str(run / "out")]) == [0], self.errors()[-2000:]
        (record,) = records_in(run / "out")
        return timeless(record)


def timeless(record: Record) -> dict[str, Any]:
    tree = record.to_dict()
    del tree["cost"]["train_seconds"], tree["evaluated_at"], tree["digest"], tree["speed"]
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
def worker():
    with Worker() as started:
        yield started


def taught(worker: Worker, folder: Path, name: str) -> list[str]:
    """Overrides that name what a configuration learns from, trained."""
    overrides = []
    for need, needed in PUPILS.get(name, {}).items():
        assert worker.train(folder / need, needed) == [0], worker.errors()[-2000:]
        overrides += [
            f"needs.{need}.{override}" for override in (f"run_dir={folder / need}", *OFTEN)
        ]
    return overrides


def skip_what_cannot_be_cut(name: str) -> None:
    if not build(load_config(name, smoke=True))[1].players():
        pytest.skip("everything happens after training, without interruption")


@pytest.fixture
def said(capsys):
    """Prints what was measured, whether a test passes or fails."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="")

    return say


QUICK = ("points2d/gan",)
NAMES = [*DISTINCT, *PUPILS]
ALL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


@pytest.mark.parametrize("name", ALL)
def test_a_run_that_was_cut_ends_like_one_that_was_not(name, worker, tmp_path, said):
    """By every cause once, in an order and at images that its name decides. Bit for bit: one process, one thread."""
    skip_what_cannot_be_cut(name)
    draw = random.Random(name)
    points = sorted(draw.sample(range(BATCH, BUDGET, BATCH), len(CODES)))
    needs = taught(worker, tmp_path, name)
    for how, images in zip(draw.sample(list(CODES), len(CODES)), points):
        codes = worker.train(tmp_path / "cut", name, *needs, cut=[how, images, 0])
        assert codes == CODES[how], worker.errors()[-2000:]
    runs = (tmp_path / "cut", tmp_path / "whole")
    cut, whole = ({**worker.end(run, name, *needs), "record": worker.record(run)} for run in runs)
    apart = {part: deviation(cut[part], whole[part]) for part in ("state", "metrics", "record")}
    said(f"{name}: cut at {points} of {BUDGET} images, differs by {max(apart.values())}")
    assert set(apart.values()) == {0.0}
    assert cut["weights"] == whole["weights"]
    assert [line["images"] for line in cut["metrics"] if "val/bits_per_dim" not in line] == list(
        range(BATCH, BUDGET + 1, BATCH)
    )
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BY_CLASS, *PUPILS])
def test_two_processes_of_which_one_was_killed_end_like_two_that_were_not(
    name, worker, tmp_path, said
):
    """Which one, and at which image, is decided by its name. The one that is left says so and stops; then, later on, a signal to one
    of them stops both. Compared are the state of the last checkpoint, with averages and optimizers, the recorded weights, and the
    metrics file."""
    skip_what_cannot_be_cut(name)
    draw = random.Random(name)
    # the first process holds the lock, writes the files, and is where the others meet
    killed, killed_at = draw.randrange(2), draw.randrange(BATCH, 160, BATCH)
    # they agree to stop after every 16th batch
    warned, warned_at = draw.randrange(2), draw.randrange(160, 16 * BATCH, BATCH)
    needs = taught(worker, tmp_path, name)
    codes = worker.train(
        tmp_path / "cut", name, *needs, processes=2, cut=["SIGKILL", killed_at, killed]
    )
    assert codes == ([-9, 75] if killed == 0 else [75, -9]), worker.errors()[-2000:]
    assert "another process of" in worker.errors()
    assert worker.train(
        tmp_path / "cut", name, *needs, processes=2, cut=["SIGTERM", warned_at, warned]
    ) == [75, 75]
    cut, whole = (
        worker.end(tmp_path / folder, name, *needs, processes=2) for folder in ("cut", "whole")
    )
    apart = {part: deviation(cut[part], whole[part]) for part in ("state", "metrics")}
    apart["weights"] = deviation(load(cut["weights"]), load(whole["weights"]))
    said(
        f"{name}: of two processes, {killed} was killed at {killed_at} and {warned} warned at {warned_at} of {BUDGET} images, "
        f"differ by {max(apart.values())}"
    )
    assert max(apart.values()) <= 1e-6
    assert cut["state"]["images_seen"] == whole["state"]["images_seen"] == BUDGET
    assert [line["images"] for line in cut["metrics"]] == [
        line["images"] for line in whole["metrics"]
    ]


@pytest.mark.parametrize(
    ("job", "requeued", "taken"),
    [("7", "1", True), ("7", "0", False), ("8", "1", False), (None, "1", False)],
)
def test_a_requeued_job_takes_over_from_its_lost_node(job, requeued, taken, tmp_path, monkeypatch):
    """The lock is of another host, which cannot be asked. Only the same job, started again, knows that its owner is dead."""
    held = {"host": "lost", "pid": 1, "started": "1", "job": "7", "requeued": 0}
    (tmp_path / "lock").write_text(json.dumps(held))
    for name, value in (("SLURM_JOB_ID", job), ("SLURM_RESTART_COUNT", requeued)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    if taken:
        with lock(tmp_path):
            assert json.loads((tmp_path / "lock").read_text())["requeued"] == 1
    else:
        with pytest.raises(Stopped, match="in use"), lock(tmp_path):
            pytest.fail("two owners")


KILLS = 50
SUITE = """
seeds: [0, 1]
overrides: {wandb.mode: disabled, budget.images: 640, data.batch_size: 16, trainer.log_every: 16, trainer.checkpoint_every: 80,
            trainer.preview_every: 320, trainer.curve_images: 8}
entries:
  - {config: digits/vae, evaluations: [mean], overrides: {model.encoder.width: 4, model.decoder.width: 4}}
  - {config: points2d/gan}
  - {config: points2d/realnvp}
"""


@pytest.mark.slow
def test_a_suite_survives_fifty_kills(worker, tmp_path, said):
    """Each right before an operation on a file: half-written, not yet renamed, between checkpoint and state, within tables, ..."""
    draw, kills, records = random.Random(0), 0, dict[Path, bytes]()
    folders = [tmp_path / name for name in ("killed", "whole")]
    for folder in folders:
        folder.mkdir()
        (folder / "suite.yaml").write_text(f"out: {folder}/out\n{SUITE}")
    while kills < KILLS:
        codes = worker(bench=str(folders[0] / "suite.yaml"), kill_at=draw.randrange(1, 90))
        assert codes == [-9], f"ended after {kills} kills: {worker.errors()[-2000:]}"
        kills += 1
        for path, content in records.items():
            assert path.read_bytes() == content  # nothing is done twice
        records |= {
            path: path.read_bytes() for path in (folders[0] / "out" / "records").rglob("*.json")
        }
    said(f"{kills} kills, after which {len(records)} records were there")
    for folder in folders:
        assert worker(bench=str(folder / "suite.yaml"), kill_at=0) == [0], worker.errors()[-2000:]
    killed, whole = (suite_end(folder / "out") for folder in folders)
    assert records and all(path.read_bytes() == content for path, content in records.items())
    assert killed.keys() == whole.keys()
    apart = {name: deviation(killed[name], whole[name]) for name in whole}
    said(f"the end differs by {max(apart.values())}")
    assert set(apart.values()) == {0.0}, apart


def suite_end(out: Path) -> dict[str, Any]:
    """Records, checkpoints, weights, metrics and pictures of a suite, times aside."""
    found: dict[str, Any] = {
        f"record {r.model} {r.seed} {r.dataset}": timeless(r) for r in records_in(out)
    }
    assert len(found) == len(records_in(out))
    found |= {
        str(path.relative_to(out)): path.read_bytes() for path in (out / "pictures").rglob("*.png")
    }
    for folder in sorted(path.parent for path in out.rglob("state.json")):
        run, name = Run(folder), str(folder.relative_to(out))
        state, damaged = run.newest_checkpoint()
        state["keeper"].pop("seconds")
        lines = [
            {k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(run.metrics)
        ]
        assert not damaged
        losses = [line for line in lines if not any(key.startswith("val/") for key in line)]
        assert [line["images"] for line in losses] == list(range(16, 641, 16))
        assert len(list(run.checkpoints.iterdir())) == 2
        found |= {
            f"{name} state": state,
            f"{name} metrics": lines,
            f"{name} weights": run.weights.read_bytes(),
        }
    return found
