"""Two processes, one spawned pair for all models: the ranks agree, and in float64 they agree with one process and the whole batch."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
import warm
from conftest import BY_CLASS, PUPILS
from safetensors.torch import load_file

from genbench.runs.build import build
from genbench.tracking.metrics_file import read_metrics
from genbench.training.train import train

WORKER = Path(__file__).parents[1] / "workers" / "ddp_worker.py"
# what others learn from comes before them
TEACHERS = [needed for needs in PUPILS.values() for needed in needs.values()]
NAMES = list(dict.fromkeys([*BY_CLASS, *TEACHERS, *PUPILS]))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every recipe trained for 20 steps of 16 images by two processes and by one."""
    out = tmp_path_factory.mktemp("ddp")
    train_all(out, {"two": 2, "one": 1})
    return out


def train_all(out: Path, worlds: dict[str, int]) -> None:
    """Every recipe into out/<folder>, by as many processes as each folder asks for, all at once."""
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
    processes = []
    for folder, world in worlds.items():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        processes += [
            warm.Popen(
                [sys.executable, str(WORKER), str(out / folder), str(world), *NAMES],
                env={**common, "MASTER_PORT": port, "LOCAL_RANK": str(rank)},
            )
            for rank in range(world)
        ]
    deadline = time.monotonic() + 500
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        if any(process.returncode for process in processes):  # the others would wait for it
            break
        time.sleep(0.2)
    for process in processes:
        process.kill()
    said = [process.communicate()[1][-3000:] for process in processes]
    failed = [text for process, text in zip(processes, said) if process.returncode not in (0, -9)]
    assert all(process.returncode == 0 for process in processes), failed or said


def weights(out: Path, folder: str, name: str, rank: int) -> dict[str, torch.Tensor]:
    state = torch.load(out / folder / name.replace("/", "-") / f"rank{rank}.pt", weights_only=True)
    return {**state["raw"], **{f"average {i}": value for i, value in enumerate(state["average"])}}


def recorded(out: Path, folder: str, name: str) -> dict[str, torch.Tensor]:
    """What the run ends with: averages, after `finalize`."""
    return load_file(out / folder / name.replace("/", "-") / "run" / "model.safetensors")


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)


@pytest.mark.parametrize("name", NAMES)
def test_ranks_end_with_identical_weights(name, outcomes):
    assert distance(weights(outcomes, "two", name, 0), weights(outcomes, "two", name, 1)) == 0


def test_processes_do_not_wait_for_one_another_before_every_batch(outcomes):
    """Lightning asks them all, at each of the 20 batches, whether one was told to stop."""
    said = [
        torch.load(path, weights_only=True)["broadcasts"]
        for path in sorted((outcomes / "two").glob("*/rank0.pt"))
    ]
    assert len(said) == len(NAMES) and max(said) < 10


def test_a_run_may_change_its_number_of_devices(tiny, tmp_path):
    """Half of it in one process, half in two started by the command, in parts: the same losses, up to float32 rounding."""
    half = tiny("digits/vae", "budget.images=320", "trainer.log_every=16", folder="changed")
    train(half)
    command = [
        sys.executable,
        "-m",
        "genbench",
        "train",
        "-c",
        "digits/vae",
        "--smoke",
        "--wandb.mode=disabled",
    ]
    command += [
        "--budget.images=640",
        "--trainer.log_every=16",
        "--trainer.preview_every=1000000",
        "--trainer.devices=2",
        "--trainer.accelerator=cpu",
        "--trainer.accumulate=2",
        f"--run_dir={tmp_path / 'changed'}",
    ]
    done = warm.run(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done, 640 images") == 1
    whole = train(tiny("digits/vae", "budget.images=640", "trainer.log_every=16", folder="whole"))
    losses = [
        [line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line]
        for run in (tmp_path / "changed", whole.path)
    ]
    assert len(losses[0]) == len(losses[1]) > 20
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_equal_one_with_the_whole_batch(name, outcomes, tiny, capsys):
    agree(name, outcomes, "two", tiny, capsys)


@pytest.mark.slow
def test_four_processes_equal_one_with_the_whole_batch(outcomes, tiny, capsys):
    train_all(outcomes, {"four": 4})
    for name in NAMES:
        assert distance(weights(outcomes, "four", name, 0), weights(outcomes, "four", name, 3)) == 0
        agree(name, outcomes, "four", tiny, capsys)


def agree(name: str, outcomes: Path, folder: str, tiny, capsys) -> None:
    """With one process, to 1e-8, after training that did train."""
    _, model = build(tiny(name))
    one = recorded(outcomes, "one", name)
    apart = max(
        distance(recorded(outcomes, folder, name), one),
        distance(weights(outcomes, folder, name, 0), weights(outcomes, "one", name, 0)),
    )
    start = {key: value.detach().double() for key, value in model.named_parameters()}
    moved = max(float((one[key].double() - start[key]).abs().max()) for key in start)
    assert moved > 1e-3 or not model.players()  # what learns in `finalize` alone has not begun
    with capsys.disabled():
        print(f"\n{name}: {folder} processes differ from one by {apart:.1e}", end="")
    assert apart < 1e-8
