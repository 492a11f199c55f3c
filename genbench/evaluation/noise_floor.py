"""The record of a perfect model."""

from __future__ import annotations

from pathlib import Path

import torch

from genbench.config.protocol import load_protocol
from genbench.data.images import ImageData
from genbench.evaluation.draw import save_picture
from genbench.evaluation.images_record import record_of_images
from genbench.evaluation.resolve import device_class, resolve_protocol
from genbench.evaluation.score import score_samples
from genbench.records.catalogue import metric_info
from genbench.records.contents import NOISE_FLOOR
from genbench.records.record import record_id
from genbench.records.store import record_path, write_record
from genbench.rng import Rng

__all__ = ["noise_floor"]


def noise_floor(
    data: ImageData, seed: int, out: Path, device: str = "cpu", protocol_name: str | None = None
) -> Path | None:
    """The record of a perfect model: as many training images as a protocol generates, against the
    same reference.

    The seed decides which training images, where there are more than needed; None where there are
    fewer. The protocol is that of the data, unless another is named.
    """
    protocol = load_protocol(protocol_name or data.protocol)
    resolved = resolve_protocol(protocol, data, device)
    identity = resolved.identity
    kind = device_class(device)
    path = record_path(
        out, data.name, NOISE_FLOOR, "", seed, record_id(NOISE_FLOOR, identity, "", {}, {}, kind)
    )
    x, _ = data.tensors("train", device)
    if len(x) < protocol.images or path.exists():
        if path.exists():
            return path
        return None
    order = torch.argsort(Rng(seed, range(len(x)), device=device).split("noise floor").bits())
    images = x[order[: protocol.images]]
    metrics = score_samples(images, resolved.of_training(seed))
    for name in list(metrics):
        # The samples are training images.
        if "training images" in metric_info(name).inputs:
            del metrics[name]
    record = record_of_images(NOISE_FLOOR, "-", seed, kind, identity, metrics, {}, NOISE_FLOOR)
    save_picture(images, data.spec, record, out)
    return write_record(out, record)
