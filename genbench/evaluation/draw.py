"""Samples of a model for evaluation, dealt to processes by global index, and their picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench.config.instantiate import with_objects
from genbench.config.protocol import Protocol
from genbench.config.settings import Evaluation
from genbench.data.images import Split
from genbench.data.pictures import save_grid
from genbench.errors import InputError
from genbench.records.record import Record
from genbench.records.store import picture_path
from genbench.rng import Rng
from genbench.runs.build import Loaded
from genbench.spec import Spec
from genbench.system.processes import chunks, gathered

__all__ = ["draw", "draw_samples", "record_picture", "save_picture"]

_PICTURE = 64


def draw(
    loaded: Loaded,
    n: int,
    seed: int,
    chunk: int,
    options: dict[str, Any],
    device: str,
    label: int | None = None,
    split: Split = "test",
) -> Iterator[tuple[int, Tensor]]:
    """This process's share of n samples, as (first index, uint8 images): sample i is a function of
    (weights, seed, i).

    A model of p(x | y) is given `label` for every image, or what `ImageData.y_of_samples` says:
    labels by the class frequencies of the training split, or the y of image i of a split.
    """
    model = loaded.model
    objects = with_objects(options)
    for first, indices in chunks(n, chunk):
        rng = Rng.of_samples(seed, indices, model.dtype, device)
        y = (
            loaded.data.y_of_samples(rng, split)
            if label is None
            else torch.full((len(rng),), label, device=device)
        )
        try:
            images = model.sample(rng, y, **objects)
        except (TypeError, ValueError) as error:
            raise InputError(f"sample options {options}: {error}") from None
        yield first, images[: n - first]


def draw_samples(loaded: Loaded, evaluation: Evaluation, protocol: Protocol, device: str) -> Tensor:
    """The images that a protocol scores, uint8 (images, C, H, W), the same on every process."""
    parts = draw(
        loaded,
        protocol.images,
        protocol.evaluation_seed,
        protocol.chunk,
        evaluation.sample,
        device,
        split=protocol.split,
    )
    return gathered(list(parts), device)


def save_picture(images: Tensor, record: Record, out: Path) -> None:
    """The grid beside a record."""
    protocol = record.protocol
    shown = images if math.prod(protocol.shape) == 2 else images[:_PICTURE]
    save_grid(
        shown.cpu().numpy(), Spec(protocol.shape, protocol.levels), record_picture(record, out)
    )


def record_picture(record: Record, out: Path) -> Path:
    return picture_path(out, record.dataset, record.model, record.variant, record.seed, record.id)
