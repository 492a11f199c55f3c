"""Metrics of samples, from one pass of the extractor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.config.protocol import Protocol
from genbench.data.canonical import content_order
from genbench.data.images import ImageData, Split
from genbench.errors import InputError
from genbench.metrics.extractor import Extractor, load_extractor
from genbench.metrics.features import FeatureBank
from genbench.metrics.frechet import load_statistics
from genbench.metrics.measure import measure
from genbench.metrics.reference import reference_features
from genbench.metrics.samples import Features, Samples
from genbench.records.catalogue import metric_info
from genbench.records.parts import Metric
from genbench.rng import Rng
from genbench.system.processes import chunks

__all__ = ["score_samples"]

# random halves for the errors of sample metrics: errors to a tenth
_DRAWS = 50


def score_samples(
    images: Tensor,
    data: ImageData,
    protocol: Protocol,
    device: str,
    log_table: np.ndarray | None = None,
    truth: Tensor | None = None,
    log_scores: Tensor | None = None,
) -> dict[str, Metric]:
    """The protocol's sample metrics of images, whoever made them: a function of the images and of
    the seed, not of their order.

    Args:
        images: uint8 (N, C, H, W).
        data: Where the reference comes from.
        protocol: With the seed of the training that is scored: it orders the images (the splits of
            IS follow from their order) and draws the halves for the errors.
        device: Where to compute.
        log_table: log q of every image of a small universe, for KL alone.
        truth: The true image of the pair whose y each image was given, uint8 (N, C, H, W). Without
            it, metrics of pairs are left out.
        log_scores: log q of the first images of the protocol's split, for the estimate of KL.
    """
    order = content_order(images.cpu().numpy(), protocol.evaluation_seed).to(images.device)
    images = images[order]
    rng = Rng(protocol.evaluation_seed, range(_DRAWS)).split("sample metrics")
    samples = Samples(
        rng,
        images=images,
        truth=None if truth is None else truth[order],
        levels=data.spec.levels,
        components=data.known_components,
        log_table=log_table,
        log_scores=log_scores,
        known_log_prob=data.known_log_prob,
        **_references(images, data, protocol, device),
    )
    missing = set()
    if log_table is None and log_scores is None:
        missing.add("density")
    if truth is None:
        missing.add("pairs")
    names = [
        name for name in protocol.metrics if not missing.intersection(metric_info(name).inputs)
    ]
    return {name: Metric(*estimate) for name, estimate in measure(samples, names).items()}


def _references(images: Tensor, data: ImageData, protocol: Protocol, device: str) -> dict[str, Any]:
    """What images are compared with: the fields of `Samples` that the protocol's metrics need."""
    references: dict[str, Any] = {}
    if protocol.statistics is None:
        reference, y = data.tensors(protocol.split, device)
        references = {"reference_images": reference, "labels": y if data.spec.classes else None}
    if protocol.extractor is None:
        return references
    extractor = load_extractor(protocol.extractor, device, data.spec.levels, data.root)
    references["generated"] = _features(images, extractor, protocol, device)
    if protocol.statistics is not None:
        path = protocol.statistics_file(data.root)
        mean, covariance = load_statistics(path)
        length = references["generated"].features.shape[1]
        if len(mean) != length:
            raise InputError(
                f"{path} is about {len(mean)} features; extractor {extractor.name} has {length}"
            )
        return references | {"moments": (mean.to(device), covariance.to(device))}

    def split(name: Split) -> Features:
        compute = lambda: _features(data.tensors(name, device)[0], extractor, protocol, device)  # noqa: E731
        return reference_features(data, name, extractor, protocol.chunk, device, compute)

    references["reference"] = split(protocol.split)
    if any("training images" in metric_info(name).inputs for name in protocol.metrics):
        references["train"] = split("train").features
    return references


def _features(images: Tensor, extractor: Extractor, protocol: Protocol, device: str) -> Features:
    try:
        first, logits = extractor(images[:1])
    except ValueError as error:
        raise InputError(f"protocol {protocol.name}: {error}") from None
    bank = FeatureBank(first.shape[1], logits.shape[1]).to(device)
    for start, indices in chunks(len(images), protocol.chunk):
        rows = torch.tensor(indices, device=device)
        keep = len(images) - start
        features, logits = extractor(images[rows.clamp(max=len(images) - 1)])
        bank.update(rows[:keep], features[:keep], logits[:keep])
    return bank.compute()
