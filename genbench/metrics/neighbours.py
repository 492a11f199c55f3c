r"""Nearest neighbours in feature space.

    ||a - b||^2 = ||a||^2 + ||b||^2 - 2 a . b

finds candidates fast. A common mean is subtracted first, so that few digits cancel. The distances
that are returned are computed for the candidates alone, in float64, from differences of the
features themselves: copies are at distance zero, equal pairs at equal distances, and no result
depends on the block size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Neighbours", "Pairs", "nearest_distance", "nearest_others", "pairs_within"]

# Rounding changes a squared distance by at most this share of the largest squared norm.
_ROUNDING = 1e-12


class Neighbours(NamedTuple):
    """The nearest others of each point of a set, nearest first: indices and distances, both (n, K)."""

    others: Tensor
    distance: Tensor


class Pairs(NamedTuple):
    """P pairs of a centre and a point: their indices and their distance, each (P,)."""

    centre: Tensor
    point: Tensor
    distance: Tensor


def nearest_others(z: Tensor, count: int, block: int = 1024) -> Neighbours:
    """The nearest points of each point in its own set, without the point itself.

    Args:
        z: Features of shape (n, F).
        count: How many others are looked for: min(count, n - 1) are given.
        block: Rows of a distance matrix that are in memory at once.
    """
    count = min(count, len(z) - 1)
    parts = []
    for rows, squared, _ in _blocks(z, z, block):
        squared[torch.arange(len(rows), device=rows.device), rows] = torch.inf
        index = squared.topk(count, largest=False).indices
        parts.append((index, _distance(z, z, rows[:, None].expand_as(index), index)))
    index, distance = (torch.cat(part) for part in zip(*parts))
    order = distance.argsort(dim=1, stable=True)
    return Neighbours(index.gather(1, order), distance.gather(1, order))


def nearest_distance(x: Tensor, z: Tensor, block: int = 1024) -> Tensor:
    """Distance (n,) of each point of x, (n, F), to the nearest of z, (m, F)."""
    return torch.cat(
        [_distance(x, z, rows, squared.argmin(1)) for rows, squared, _ in _blocks(x, z, block)]
    )


def pairs_within(centres: Tensor, radii: Tensor, points: Tensor, block: int = 1024) -> Pairs:
    """Every pair whose distance is at most the centre's radius.

    Args:
        centres: Features of shape (m, F).
        radii: Shape (m,).
        points: Features of shape (n, F).
        block: Rows of a distance matrix that are in memory at once.
    """
    parts = []
    for rows, squared, scale in _blocks(centres, points, block):
        i, point = (squared <= (radii[rows].square() + _ROUNDING * scale)[:, None]).nonzero().T
        centre = rows[i]
        distance = _distance(centres, points, centre, point)
        near = distance <= radii[centre]
        parts.append((centre[near], point[near], distance[near]))
    return Pairs(*(torch.cat(part) for part in zip(*parts)))


def _blocks(x: Tensor, z: Tensor, block: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Row indices of a block of x, their squared distances from all of z up to rounding, and the
    scale of that rounding.
    """
    mean = z.double().mean(0)
    x = x.double() - mean
    z = z.double() - mean
    norms_x = x.square().sum(1)
    norms_z = z.square().sum(1)
    scale = norms_x.amax() + norms_z.amax()
    for rows in torch.arange(len(x), device=x.device).split(block):
        yield rows, torch.addmm(norms_x[rows][:, None] + norms_z, x[rows], z.T, alpha=-2), scale


def _distance(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """||a_i - b_j|| for tensors of indices of one shape, 2^24 numbers at a time."""
    pairs = max(1, 2**24 // a.shape[1])
    parts = [
        (a[k].double() - b[m].double()).square().sum(1).sqrt()
        for k, m in zip(i.flatten().split(pairs), j.flatten().split(pairs))
    ]
    return torch.cat(parts).reshape(i.shape)
