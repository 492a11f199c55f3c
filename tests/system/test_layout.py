"""Evaluation on one, two and three processes, with uneven shards and with more processes than chunks: the same record."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import warm
from conftest import BY_CLASS, tiny_in
from layout_worker import CHUNKS

from genbench.errors import InputError
from genbench.records.record import Record
from genbench.records.store import records_in
from genbench.system.processes import chunks, join
from genbench.training.train import train

WORKER = Path(__file__).parents[1] / "workers" / "layout_worker.py"
WORLDS = (1, 2, 3)
# What is measured depends on the data: of each data set one recipe has all metrics, and three processes, of which one has no chunk.
# The others have one metric and two processes, which deal their images and scores
FIRST = sorted({name.partition("/")[0]: name for name in reversed(BY_CLASS)}.values())


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """(processes, chunk, recipe) -> its record and its images."""
    folder = tmp_path_factory.mktemp("layout")
    for name in BY_CLASS:
        kind = "first" if name in FIRST else "others"
        train(tiny_in(folder / "runs" / kind)(name, folder=name.replace("/", "-")))
    found: dict[tuple[int, int, str], tuple[Record, torch.Tensor]] = {}
    for world in WORLDS:
        _evaluate_all(folder / "runs", folder / str(world), world)
        for chunk in CHUNKS[world]:
            for name in BY_CLASS if world < 3 else FIRST:
                out = folder / str(world) / f"chunk{chunk}" / name.replace("/", "-")
                (record,) = records_in(out)
                found[world, chunk, name] = record, torch.load(out / "images.pt", weights_only=True)
    return found


def _evaluate_all(runs: Path, out: Path, world: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(WORKER), str(runs), str(out), str(world)]
    ranks = [warm.Popen(command, env={**common, "LOCAL_RANK": str(rank)}) for rank in range(world)]
    try:
        said = [process.communicate(timeout=300)[1][-2000:] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert all(process.returncode == 0 for process in ranks), said


@pytest.mark.parametrize(
    ("world", "name"), [*((2, name) for name in BY_CLASS), *((3, name) for name in FIRST)]
)
def test_images_are_equal_and_so_are_the_numbers(name, world, records):
    for chunk in CHUNKS[world]:
        (one, images), (several, the_same) = records[1, chunk, name], records[world, chunk, name]
        assert len(images) == 40 and torch.equal(images, the_same)
        assert (
            one.id == several.id and one.provenance.weights_hash == several.provenance.weights_hash
        )
        assert _numbers(one) == pytest.approx(_numbers(several), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", BY_CLASS)
def test_other_chunks_give_the_same_numbers_up_to_rounding(name, records):
    """Another protocol, by its own word; the images differ in the last bit of a network's output at most."""
    (small, images), (large, others) = (records[1, chunk, name] for chunk in CHUNKS[1])
    assert small.protocol.hash != large.protocol.hash
    assert (images != others).float().mean() < 1e-3
    assert _numbers(small) == pytest.approx(_numbers(large), rel=1e-3, abs=1e-3)


def _numbers(record: Record) -> dict[str, float]:
    likelihood = record.likelihood
    bits = (
        {f"bits of {name}": value for name, value in likelihood.terms.items()} if likelihood else {}
    )
    if likelihood and likelihood.stderr is not None:
        bits |= {
            "bits": likelihood.bits_per_dim,
            "stderr": likelihood.stderr,
            "nats": likelihood.nats,
        }
    return {**{name: metric.value for name, metric in record.metrics.items()}, **bits}


_TOGETHER = """
import sys, torch
from pathlib import Path
from genbench.data.digits import Digits
from genbench.errors import GenbenchError
from genbench.evaluation.reference import features_of
from genbench.metrics.extractor import load_extractor
from genbench.metrics.reference import feature_file, reference_features
from genbench.system.processes import first_alone, join, rank
from genbench.config.protocol import Protocol
join(2, 1, "cpu")
data, extractor = Digits(), load_extractor("digits")
# a file that one process sees and the other does not, as on two disks
import genbench.metrics.reference as module
module.data_root = lambda: Path(sys.argv[1]) / str(rank())
compute = lambda: features_of(data.tensors("test")[0], extractor, Protocol("p", ("fid",), 9, "digits"), "cpu")
if rank() == 0:
    alone = torch.zeros(719, 32), torch.zeros(719, 10)
    from genbench.system.files import write_atomic
    from safetensors.torch import save
    write_atomic(feature_file(data, "test", extractor, 256, "cpu"), save(dict(zip(("features", "logits"), alone))))
found = reference_features(data, "test", extractor, 256, "cpu", compute)
assert found.features.abs().sum() > 0
try:
    with first_alone() as first:
        if first:
            raise GenbenchError("no room")
except GenbenchError as error:
    print(rank(), error, flush=True)
# threads of gloo that outlive the group can end the process with a signal
torch.distributed.destroy_process_group()
"""


def test_processes_that_see_other_files_or_fail_do_not_wait_for_ever(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "NODE_RANK": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", _TOGETHER, str(tmp_path)]
    ranks = [warm.Popen(command, env={**common, "LOCAL_RANK": rank}) for rank in "01"]
    try:
        said = [process.communicate(timeout=120) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert [process.returncode for process in ranks] == [0, 0], said
    assert said[0][0].strip() == "0 no room"
    assert said[1][0].strip() == "1 the first process failed: no room"


def test_every_index_is_dealt_once_and_padded_to_whole_chunks(monkeypatch):
    dealt = []
    for rank in range(3):
        monkeypatch.setattr("genbench.system.processes.rank", lambda rank=rank: rank)
        monkeypatch.setattr("genbench.system.processes.world_size", lambda: 3)
        dealt += list(chunks(10, 4))
    assert sorted(dealt) == [(0, range(4)), (4, range(4, 8)), (8, range(8, 12))]


def test_more_devices_than_there_are_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"--devices 2: this machine has 1 CUDA devices"):
        join(2, 1, "cuda")
    assert join(1, 1, "cuda:0") == "cuda:0"
