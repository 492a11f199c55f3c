"""Images of the codes of images, dealt to processes by index."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.capabilities import Decodes, Encodes
from genbench.config.protocol import Protocol
from genbench.data.images import ImageData
from genbench.model import GenerativeModel
from genbench.records.catalogue import metric_info
from genbench.system.processes import chunks, gathered

__all__ = ["reconstructions"]


def reconstructions(
    model: GenerativeModel, data: ImageData, protocol: Protocol, device: str
) -> Tensor | None:
    """decode(encode(x)) of every image of the protocol's split, integers (N, C, H, W); None where
    no metric asks for them, or the model does not both encode and decode.

    Args:
        model: On the device; a model of p(x | y) is given the y of the images.
        data: Its images.
        protocol: Metrics, split, and images computed at once.
        device: Where to compute.
    """
    asked = any("reconstructions" in metric_info(name).inputs for name in protocol.metrics)
    if not asked or not isinstance(model, Encodes) or not isinstance(model, Decodes):
        return None
    x, y = data.tensors(protocol.split, device)
    parts = []
    for first, indices in chunks(len(x), protocol.chunk):
        rows = torch.tensor(indices, device=device).clamp(max=len(x) - 1)
        of_rows = y[rows] if model.conditional and y is not None else None
        back = model.decode(model.encode(x[rows], of_rows), of_rows)
        parts.append((first, back[: len(x) - first]))
    return gathered(parts, device)
