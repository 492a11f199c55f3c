"""State of images is a function of their global indices: the same on any number of processes, and over any interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_resume import Worker

from genbench.batch import Batch, ImageBuffer
from genbench.config.recipe import load_config
from genbench.data.digits import Digits
from genbench.errors import InputError
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.runs.folder import Run
from genbench.training.train import train

RECIPE = """
data: {class_path: genbench.data.digits.Digits, batch_size: 16}
budget: {images: 320}
model: {class_path: walk_model.Walk, optimizer: {class_path: torch.optim.SGD, lr: 0.5}}
trainer: {accelerator: cpu, checkpoint_every: 64, log_every: 16}
wandb: {mode: disabled}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("walk") / "walk.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def worker():
    with Worker() as started:
        yield started


def run_of(worker: Worker, recipe: Path, name: str, parts: list[tuple[int, int]]) -> Run:
    """A run that several commands train, each by so many processes and killed at an image count, or at 0 not killed."""
    path = recipe.parent / name
    for processes, killed_at in parts:
        cut = ["SIGKILL", killed_at, 0] if killed_at else None
        codes = worker(
            train=[str(recipe), f"run_dir={path}"],
            trust=["walk_model"],
            double=True,
            processes=processes,
            cut=cut,
        )
        assert codes[0] == (-9 if killed_at else 0), worker.errors()[-2000:]
    return Run(path)


def last_state(run: Run) -> dict[str, torch.Tensor]:
    state, damaged = run.newest_checkpoint()
    assert not damaged
    assert state["images_seen"] == 320
    return state["model"]


@pytest.fixture(scope="module")
def runs(worker, recipe):
    return {
        "one": run_of(worker, recipe, "one", [(1, 0)]),
        "two": run_of(worker, recipe, "two", [(2, 0)]),
        "changed": run_of(worker, recipe, "changed", [(1, 112), (2, 208), (1, 0)]),
    }


@pytest.mark.parametrize("name", ["two", "changed"])
def test_state_of_images_is_one_for_any_number_of_processes(name, runs):
    """Also where a run was killed in the middle of an epoch, and went on with another number of them: bit for bit."""
    one = last_state(runs["one"])
    other = last_state(runs[name])
    assert one["walks.rows"].abs().sum(tuple(range(1, 4))).min() > 0
    assert torch.equal(other["walks.rows"], one["walks.rows"])
    torch.testing.assert_close(other["theta"], one["theta"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["two", "changed"])
def test_losses_after_a_step_are_means_over_processes(name, runs):
    one = last_state(runs["one"])
    torch.testing.assert_close(
        last_state(runs[name])["last_loss"], one["last_loss"], rtol=1e-12, atol=0
    )


def test_state_follows_from_global_indices(runs, double):
    """Row i mod R has taken the steps of the images of these indices, in their order."""
    rows = torch.zeros(24, 1, 8, 8, dtype=torch.int64)
    data = Digits(batch_size=16)
    for batch in data.batches(0, 320, 0, 1, torch.device("cpu"), torch.float64):
        steps = batch.rng.integers(3, (1, 8, 8)) - 1
        for i, step in zip(batch.indices.tolist(), steps):
            rows[i % 24] += step
    assert torch.equal(last_state(runs["one"])["walks.rows"], rows)


def test_a_batch_in_parts_keeps_the_same_state(recipe, runs, double, tmp_path):
    options = [f"run_dir={tmp_path}/parts", "trainer.accumulate=4"]
    parts = train(load_config(str(recipe), options, trust=["walk_model"]))
    assert torch.equal(last_state(parts)["walks.rows"], last_state(runs["one"])["walks.rows"])


def test_fewer_rows_than_a_batch_has_images_are_refused(recipe, tmp_path):
    options = [f"run_dir={tmp_path}/run", "model.walks=15"]
    with pytest.raises(InputError, match=r"batch_size is 16, but .* the state of 15 images"):
        train(load_config(str(recipe), options, trust=["walk_model"]))
    assert not (tmp_path / "run").exists()


def test_a_loss_outside_training_changes_no_state(recipe):
    _, model = build(load_config(str(recipe), trust=["walk_model"]))
    model.loss(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), None, Rng(0, range(2)))
    assert not model.walks.rows.any()


def test_rows_are_read_and_written_by_index():
    buffer = ImageBuffer(torch.arange(5.0)[:, None])
    rng = Rng(0, [4, 5, 11])
    assert buffer.read(rng).flatten().tolist() == [4.0, 0.0, 1.0]
    buffer.keep(rng[:2], torch.tensor([[40.0], [50.0]]))
    buffer.keep(rng[2:], torch.tensor([[110.0]]))
    assert buffer.rows.flatten().tolist() == [0, 1, 2, 3, 4]
    buffer.write(1)
    assert buffer.rows.flatten().tolist() == [50, 110, 2, 3, 40]


def test_streams_know_their_indices():
    rng = Rng(3, [7, 2**40, 9])
    for other in (rng, rng.split("noise"), rng.to(dtype=torch.float64)):
        assert other.index.tolist() == [7, 2**40, 9]
    assert rng[1:].index.tolist() == [2**40, 9]
    assert Batch(torch.zeros(3), None, rng).indices.tolist() == [7, 2**40, 9]
