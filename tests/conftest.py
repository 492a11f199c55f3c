"""One thread per worker: two cores run two workers, and reductions keep one order."""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def double():
    """Float64 as the default type: tests of mathematics ask for 1e-10, not for luck."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
