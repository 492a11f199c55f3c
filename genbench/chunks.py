"""Work is dealt to processes in chunks of consecutive global indices, the last one padded and cut, so that every image is computed
by the same arithmetic whatever the number of processes; results are gathered in index order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

__all__ = ["chunks", "gathered", "rank", "shared", "world"]

T = TypeVar("T")


def rank() -> int:
    """Of this process, 0 where there is one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def chunks(n: int, chunk: int) -> Iterator[tuple[int, range]]:
    """This process's chunks of 0 .. n - 1, as (first index, indices): every one of full size, the last one beyond n."""
    for first in range(rank() * chunk, n, world() * chunk):
        yield first, range(first, first + chunk)


def shared(parts: list[tuple[int, T]]) -> list[T]:
    """Every process's parts, (first index, what was found there), in index order. Tensors in them are on the CPU."""
    everyone: list[Any] = [parts]
    if world() > 1:
        everyone = [None] * world()
        distributed.all_gather_object(everyone, parts)
    return [found for _, found in sorted((part for shard in everyone for part in shard), key=lambda part: part[0])]


def gathered(parts: list[tuple[int, Tensor]], shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
    """Every process's parts, (first index, rows of `shape`), in index order: (N, *shape)."""
    rows = shared([(first, rows.cpu()) for first, rows in parts])
    return torch.cat([torch.zeros((0, *shape), dtype=dtype), *rows]).to(device)
