"""The codes of labelled images: what an encoder makes of the training, the validation and the reference split."""

from __future__ import annotations

import torch

from genbench.capabilities import Encodes
from genbench.config.protocol import Protocol
from genbench.data.decoded import Split
from genbench.data.images import ImageData
from genbench.errors import GenbenchError, InputError
from genbench.metrics.samples import Encoded
from genbench.model import GenerativeModel
from genbench.system.processes import chunks, collected

__all__ = ["check_encodes", "encoded"]


def check_encodes(model: GenerativeModel, who: str) -> None:
    """Check that a model has codes that know nothing of the label.

    Args:
        model: The model.
        who: Who asks, as the message begins.

    Raises:
        InputError: It does not encode, or is given y.
    """
    name = type(model).__name__
    if not isinstance(model, Encodes):
        raise InputError(f"{who} needs a model that encodes images, as VAE does; not {name}")
    if model.conditional:
        raise InputError(f"{who} needs codes of images alone; this {name} is given y")


def encoded(
    model: GenerativeModel, data: ImageData, protocol: Protocol, device: str
) -> dict[str, Encoded]:
    """Images, labels and codes of the splits train and val, and of the reference as test, on the CPU.

    Args:
        model: It encodes.
        data: Images with labels.
        protocol: Names the split of the reference, and how many images are encoded at once.
        device: Where the model is.

    Raises:
        InputError: The model does not encode.
        GenbenchError: A code is NaN or infinite; the line names the image.
    """
    check_encodes(model, f"protocol {protocol.name}")
    assert isinstance(model, Encodes)
    splits: dict[str, Split] = {"train": "train", "val": "val", "test": protocol.split}
    every = {}
    for name, split in splits.items():
        x, y = data.tensors(split, device)
        assert y is not None
        parts = []
        for first, indices in chunks(len(x), protocol.chunk):
            rows = torch.tensor(indices, device=device).clamp(max=len(x) - 1)
            z = model.encode(x[rows]).flatten(1)
            parts.append((first, z[: len(x) - first].cpu().double()))
        z = torch.cat(collected(parts))
        bad = (~torch.isfinite(z).all(1)).nonzero()
        if len(bad):
            raise GenbenchError(f"the code of {split} image {int(bad[0])} is not finite")
        every[name] = Encoded(x.cpu(), y.cpu(), z)
    return every
