"""Nearest training images: a model that has learnt its training set by heart shows samples nearer
to it than held-out images are.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nearest_rows"]

_CHUNK = 8192


def nearest_rows(queries: Tensor, reference: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Euclidean distances (Q, k), ascending, and rows (Q, k) of the k nearest of `reference` (N, d)
    to each of `queries` (Q, d).
    """
    k = min(k, len(reference))
    distances = torch.empty((len(queries), 0), dtype=torch.float64)
    rows = torch.empty((len(queries), 0), dtype=torch.int64)
    for start in range(0, len(reference), _CHUNK):
        # The matrix product is not used, because its rounding would hide small distances.
        part = torch.cdist(
            queries.double(),
            reference[start : start + _CHUNK].double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        positions = torch.arange(start, start + part.shape[1]).expand(len(queries), -1)
        distances, order = torch.cat((distances, part), 1).sort(dim=1, stable=True)
        rows = torch.cat((rows, positions), 1).gather(1, order)[:, :k]
        distances = distances[:, :k]
    return distances, rows
