"""Encodings of the images of a split, for the metrics of latents."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.capabilities import Encodes
from genbench.config.protocol import Protocol
from genbench.data.images import ImageData
from genbench.model import GenerativeModel
from genbench.records.catalogue import metric_info
from genbench.rng import Rng
from genbench.system.processes import chunks, collected

__all__ = ["encodings_of"]


def encodings_of(
    model: GenerativeModel, data: ImageData, protocol: Protocol, device: str
) -> dict[str, Tensor]:
    """What the protocol's metrics need of the latents of the split, and the model has: fields of
    `Samples`.

    Args:
        model: Any model; one that does not encode has none.
        data: The data whose images are encoded.
        protocol: Split, chunks, metrics, evaluation seed.
        device: Where the model is.

    Returns:
        encodings: E[z | x] of every image, (N, d); divergences: the "kl" of its ELBO, (N,) nats,
        where the model's terms have one. On the CPU.
    """
    needs = {need for name in protocol.metrics for need in metric_info(name).inputs}
    if not needs.intersection(("encodings", "divergences")) or not isinstance(model, Encodes):
        return {}
    x, y = data.tensors(protocol.split, device)
    parts: list[tuple[int, dict[str, Tensor]]] = []
    for first, indices in chunks(len(x), protocol.chunk):
        rows = torch.tensor(indices, device=device)
        rng = Rng(protocol.evaluation_seed, rows, model.dtype, device).split("log_prob", 0)
        rows = rows.clamp(max=len(x) - 1)
        condition = None if y is None else y[rows]
        values = {"encodings": model.encode(x[rows], condition).flatten(1)}
        if model.likelihood is not None:
            terms = model.terms(x[rows], condition, rng)
            values |= {"divergences": terms["kl"]} if "kl" in terms else {}
        parts.append((first, {name: v[: len(x) - first].cpu() for name, v in values.items()}))
    every = collected(parts)
    return {name: torch.cat([part[name] for part in every]) for name in every[0]}
