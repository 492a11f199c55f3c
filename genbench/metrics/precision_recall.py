r"""Precision and recall, density and coverage of generated features among reference features.

Balls B(z_i) around each point of a set, closed (<=) or open (<), reach to the k-th nearest other point of its own set:

    precision = 1/n sum_j 1[x_j in some closed B(r_i)]      fidelity, k = 3           (Kynkäänniemi et al. 2019, eq. 1-3)
    recall    = 1/m sum_i 1[r_i in some closed B(x_j)]      diversity, k = 3
    density   = 1/(k n) sum_j sum_i 1[x_j in open B(r_i)]   k = 5, may exceed 1       (Naeem et al. 2020, eq. 4)
    coverage  = 1/m sum_i 1[some x_j in open B(r_i)]        k = 5                     (eq. 5)

x_1 ... x_n are generated, r_1 ... r_m are reference. Distances are float64, from differences and not from inner products, so
that copies are at distance zero and no result depends on the block size.

References:
    Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models. arXiv:1904.06991
    Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models. arXiv:2002.09797
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["density_coverage", "precision_recall"]


def precision_recall(x: Tensor, r: Tensor, k: int = 3, block: int = 2048) -> tuple[float, float]:
    """Improved precision and recall.

    Args:
        x: Generated features of shape (n, F), n > k.
        r: Reference features of shape (m, F), m > k.
        k: Neighbours.
        block: Rows of a distance matrix that are in memory at once.
    """
    radius_x, radius_r = _radii(x, k, block), _radii(r, k, block)
    precise = torch.cat([(d <= radius_r).any(1) for d in _distances(x, r, block)])
    recalled = torch.cat([(d <= radius_x).any(1) for d in _distances(r, x, block)])
    return precise.double().mean().item(), recalled.double().mean().item()


def density_coverage(x: Tensor, r: Tensor, k: int = 5, block: int = 2048) -> tuple[float, float]:
    """Density and coverage. Arguments as `precision_recall`."""
    inside = [d < radius[:, None] for d, radius in zip(_distances(r, x, block), _radii(r, k, block).split(block))]
    density = sum(int(rows.sum()) for rows in inside) / (k * len(x))
    return density, torch.cat([rows.any(1) for rows in inside]).double().mean().item()


def _distances(a: Tensor, b: Tensor, block: int) -> Iterator[Tensor]:
    """Euclidean distances, (block, len(b)) at a time."""
    a, b = a.double(), b.double()
    return (torch.cdist(rows, b, compute_mode="donot_use_mm_for_euclid_dist") for rows in a.split(block))


def _radii(z: Tensor, k: int, block: int) -> Tensor:
    """Distance of each point to its k-th nearest other one; the first smallest is the point itself."""
    if not 1 <= k < len(z):
        raise ValueError(f"precision and recall: k is 1 to the number of images less one, {len(z) - 1}, not {k}")
    return torch.cat([d.kthvalue(k + 1, dim=1).values for d in _distances(z, z, block)])
