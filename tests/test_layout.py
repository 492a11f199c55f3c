"""Evaluation on one, two and three processes, with uneven shards and with more processes than chunks: the same record."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import DISTINCT
from layout_worker import CHUNKS

from genbench.errors import InputError
from genbench.leaderboard.record import Record, records_in
from genbench.processes import chunks, join
from genbench.train import train

WORKER = Path(__file__).with_name("layout_worker.py")
WORLDS = (1, 2, 3)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """(processes, chunk, recipe) -> its record and its images."""
    folder = tmp_path_factory.mktemp("layout")
    for name in DISTINCT:
        config = _smoke(name, folder / "runs" / name.replace("/", "-"))
        train(config)
    found: dict[tuple[int, int, str], tuple[Record, torch.Tensor]] = {}
    for world in WORLDS:
        _evaluate_all(folder / "runs", folder / str(world), world)
        for chunk in CHUNKS:
            for name in DISTINCT:
                out = folder / str(world) / f"chunk{chunk}" / name.replace("/", "-")
                (record,) = records_in(out)
                found[world, chunk, name] = record, torch.load(out / "images.pt", weights_only=True)
    return found


def _smoke(name: str, run_dir: Path) -> Any:
    from genbench.config import load_config

    return load_config(name, [f"run_dir={run_dir}", "wandb.mode=disabled"], smoke=True)


def _evaluate_all(runs: Path, out: Path, world: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(WORKER), str(runs), str(out), str(world)]
    ranks = [
        subprocess.Popen(command, env={**common, "LOCAL_RANK": str(rank)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for rank in range(world)
    ]
    try:
        said = [process.communicate(timeout=300)[1].decode()[-2000:] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert all(process.returncode == 0 for process in ranks), said


@pytest.mark.parametrize("name", DISTINCT)
@pytest.mark.parametrize("world", WORLDS[1:])
def test_images_are_equal_and_so_are_the_numbers(name, world, records):
    for chunk in CHUNKS:
        (one, images), (several, the_same) = records[1, chunk, name], records[world, chunk, name]
        assert len(images) == 40 and torch.equal(images, the_same)
        assert one.id == several.id and one.provenance.weights_hash == several.provenance.weights_hash
        assert _numbers(one) == pytest.approx(_numbers(several), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", DISTINCT)
def test_other_chunks_give_the_same_numbers_up_to_rounding(name, records):
    """Another protocol, by its own word; the images differ in the last bit of a network's output at most."""
    (small, images), (large, others) = (records[1, chunk, name] for chunk in CHUNKS)
    assert small.protocol.hash != large.protocol.hash
    assert (images != others).float().mean() < 1e-3
    assert _numbers(small) == pytest.approx(_numbers(large), rel=1e-3, abs=1e-3)


def _numbers(record: Record) -> dict[str, float]:
    likelihood = record.likelihood
    bits = {f"bits of {name}": value for name, value in likelihood.terms.items()} if likelihood else {}
    if likelihood and likelihood.stderr is not None:
        bits |= {"bits": likelihood.bits_per_dim, "stderr": likelihood.stderr, "nats": likelihood.nats}
    return {**{name: metric.value for name, metric in record.metrics.items()}, **bits}


def test_every_index_is_dealt_once_and_padded_to_whole_chunks(monkeypatch):
    dealt = []
    for rank in range(3):
        monkeypatch.setattr("genbench.processes.rank", lambda rank=rank: rank)
        monkeypatch.setattr("genbench.processes.world_size", lambda: 3)
        dealt += list(chunks(10, 4))
    assert sorted(dealt) == [(0, range(4)), (4, range(4, 8)), (8, range(8, 12))]


def test_more_devices_than_there_are_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"--devices 2: this machine has 1 CUDA devices"):
        join(2, 1, "cuda")
    assert join(1, 1, "cuda:0") == "cuda:0"
