"""Two processes, one spawned pair for all models: the ranks agree, and in float64 they agree with one process and the whole batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import DISTINCT

from genbench.loggers import read_metrics
from genbench.train import train

WORKER = Path(__file__).with_name("ddp_worker.py")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every recipe trained for 20 steps of 16 images by two processes and by one."""
    out = tmp_path_factory.mktemp("ddp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
    jobs = [("two", "2", rank) for rank in "01"] + [("one", "1", "0")]
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(out / folder), devices, *DISTINCT],
            env={**common, "LOCAL_RANK": rank}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for folder, devices, rank in jobs
    ]  # fmt: skip
    deadline = time.monotonic() + 300
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if any(process.returncode for process in processes):  # the others would wait for it
            break
        time.sleep(0.2)
    for process in processes:
        process.kill()
    said = [process.communicate()[1][-3000:] for process in processes]
    failed = [text for process, text in zip(processes, said) if process.returncode not in (0, -9)]
    assert all(process.returncode == 0 for process in processes), failed or said
    return out


def weights(out: Path, folder: str, name: str, rank: int) -> dict[str, torch.Tensor]:
    state = torch.load(out / folder / name.replace("/", "-") / f"rank{rank}.pt", weights_only=True)
    return {**state["raw"], **{f"average {i}": value for i, value in enumerate(state["average"])}}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


@pytest.mark.parametrize("name", DISTINCT)
def test_ranks_end_with_identical_weights(name, outcomes):
    assert distance(weights(outcomes, "two", name, 0), weights(outcomes, "two", name, 1)) == 0


def test_a_run_may_change_its_number_of_devices(tiny, tmp_path):
    """Half of it in one process, half in two started by the command: the same losses, up to float32 rounding."""
    half = tiny("digits/vae", "budget.images=320", "trainer.log_every=16", folder="changed")
    train(half)
    command = [sys.executable, "-m", "genbench.cli", "train", "-c", "digits/vae", "--smoke", "--wandb.mode=disabled"]
    command += [
        "--budget.images=640",
        "--trainer.log_every=16",
        "--trainer.devices=2",
        "--trainer.accelerator=cpu",
        f"--run_dir={tmp_path / 'changed'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done, 640 images") == 1
    whole = train(tiny("digits/vae", "budget.images=640", "trainer.log_every=16", folder="whole"))
    losses = [
        [line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line]
        for run in (tmp_path / "changed", whole.path)
    ]
    assert len(losses[0]) == len(losses[1]) > 20
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("name", DISTINCT)
def test_two_processes_equal_one_with_the_whole_batch(name, outcomes, tiny, capsys):
    _, model = tiny(name).instantiate()
    apart = distance(weights(outcomes, "two", name, 0), weights(outcomes, "one", name, 0))
    start = {key: value.double() for key, value in model.state_dict().items()}
    one = weights(outcomes, "one", name, 0)
    moved = max(float((one[key].double() - start[key]).abs().max()) for key in start)
    assert moved > 1e-3 or not model.players()  # it did train, unless it learns in `finalize` alone
    if model.batch_coupled:
        with capsys.disabled():
            print(f"\nexempt, its loss couples the images of a batch: {name} (differs by {apart:.1e})")
    else:
        assert apart < 1e-8
