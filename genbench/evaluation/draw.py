"""Samples of a model for evaluation, dealt to processes by global index, and their picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench.capabilities import Completes
from genbench.config.instantiate import with_objects
from genbench.config.protocol import Protocol
from genbench.config.settings import Evaluation
from genbench.data.decoded import Split
from genbench.data.pictures import save_grid
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.records.record import Record
from genbench.records.store import picture_path
from genbench.rng import Rng
from genbench.runs.build import Loaded
from genbench.spec import Scatter, Spec
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
    beginning: list[int] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """This process's share of n samples, as (first index, integer images): sample i is a function of
    (weights, seed, i). A model that completes may be given the first pixels of every image.

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
            images = model_samples(model, rng, y, objects, beginning)
        except (TypeError, ValueError) as error:
            raise InputError(f"sample options {options}: {error}") from None
        yield first, images[: n - first]


def model_samples(
    model: GenerativeModel,
    rng: Rng,
    y: Tensor | None,
    options: dict[str, Any],
    beginning: list[int] | None,
) -> Tensor:
    """Samples, or completions of images of one row that begin with the same pixels.

    Args:
        model: It completes where there is a beginning.
        rng: One stream per image.
        y: Labels of a model of p(x | y), int64 (len(rng),).
        options: Options of the sampler, which completions do not have.
        beginning: Levels of the first pixels, or None.
    """
    if beginning is None:
        return model.sample(rng, y, **options)
    assert isinstance(model, Completes)
    x = torch.zeros(len(rng), model.spec.dims, dtype=model.spec.dtype, device=rng.device)
    x[:, : len(beginning)] = torch.tensor(beginning, dtype=model.spec.dtype, device=rng.device)
    return model.complete(x.view(-1, *model.spec.shape), len(beginning), rng, y)


def draw_samples(loaded: Loaded, evaluation: Evaluation, protocol: Protocol, device: str) -> Tensor:
    """The images that a protocol scores, integers (images, C, H, W), the same on every process."""
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


def save_picture(images: Tensor, spec: Spec, record: Record, out: Path) -> None:
    """The picture beside a record.

    Args:
        images: integers (N, C, H, W), of which the first are shown, and all points of the plane.
        spec: Shape, levels and looks of an image.
        record: Its record.
        out: Folder with pictures/.
    """
    shown = images if isinstance(spec.looks, Scatter) else images[:_PICTURE]
    save_grid(shown.cpu().numpy(), spec, record_picture(record, out))


def record_picture(record: Record, out: Path) -> Path:
    """Path of the picture of a record's samples in a folder of records."""
    return picture_path(out, record.dataset, record.model, record.variant, record.seed, record.id)
