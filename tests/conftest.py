"""One thread per worker: two cores run two workers, and reductions keep one order. Data is decoded once per session."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

# before anything reads them, and for every process that a test starts
os.environ["GENBENCH_DATA"] = os.environ.get(
    "GENBENCH_TEST_DATA", str(Path(tempfile.gettempdir()) / f"genbench-tests-{os.getuid()}")
)
os.environ["WANDB_MODE"] = "offline"
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch

from genbench.config import Config, configs, load_config

torch.set_num_threads(1)

CONFIGS = configs()


@pytest.fixture(autouse=True)
def seeded():
    """Weights that a test draws do not depend on which tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def double():
    """Float64 as the default type: tests of mathematics ask for 1e-10, not for luck."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def tiny(tmp_path):
    """A function from a recipe's name to its smoke version in a folder of the test's own."""

    def make(name: str, *overrides: str, folder: str = "run") -> Config:
        return load_config(name, [f"run_dir={tmp_path / folder}", "wandb.mode=disabled", *overrides], smoke=True)

    return make
