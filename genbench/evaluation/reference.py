"""What samples are compared with, and the extractor's view of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genbench.config.protocol import Protocol
from genbench.data.decoded import Split
from genbench.data.images import ImageData
from genbench.errors import InputError
from genbench.metrics.extractor import Extractor
from genbench.metrics.features import FeatureBank
from genbench.metrics.frechet import load_statistics
from genbench.metrics.reference import reference_features
from genbench.metrics.samples import Features
from genbench.records.catalogue import metric_info
from genbench.system.processes import chunks

__all__ = ["features_of", "moments_of", "reference_of"]


def reference_of(
    data: ImageData, protocol: Protocol, extractor: Extractor | None, device: str
) -> dict[str, Any]:
    """What images are compared with: the fields of `Samples` that the protocol's metrics need.

    Args:
        data: Where the reference comes from.
        protocol: Which split is the reference, or whose statistics.
        extractor: The extractor of the protocol, on `device`; None: it has none.
        device: Where to compute.

    Raises:
        InputError: The images are not those of the extractor, or the statistics are not of its
            features.
    """
    fields: dict[str, Any] = {}
    if protocol.statistics is None:
        images, y = data.tensors(protocol.split, device)
        fields = {"reference_images": images, "labels": y if data.spec.classes else None}
    if extractor is None:
        return fields
    if protocol.statistics is not None:
        mean, covariance = moments_of(data, protocol, extractor.features)
        return {"moments": (mean.to(device), covariance.to(device))}

    def features(split: Split) -> Features:
        images, _ = data.tensors(split, device)
        compute = lambda: features_of(images, extractor, protocol, device)  # noqa: E731
        return reference_features(data, split, extractor, protocol.chunk, device, compute)

    fields["reference"] = features(protocol.split)
    if any("training images" in metric_info(name).inputs for name in protocol.metrics):
        fields["training"] = features("train").features
    return fields


def moments_of(data: ImageData, protocol: Protocol, features: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance in the file of statistics that a protocol names, on the CPU.

    Args:
        data: What the protocol judges.
        protocol: Names the file.
        features: Length F of a feature vector of its extractor.

    Raises:
        InputError: There is no such file, or it is not of features of that length.
    """
    path = protocol.statistics_file(data.root)
    mean, covariance = load_statistics(path)
    if len(mean) != features:
        raise InputError(
            f"{path} is about {len(mean)} features; extractor {protocol.extractor} has {features}"
        )
    return mean, covariance


def features_of(images: Tensor, extractor: Extractor, protocol: Protocol, device: str) -> Features:
    """Features and class scores of images, computed in the protocol's chunks by all processes.

    Args:
        images: integers (N, C, H, W).
        extractor: What sees them, on `device`.
        protocol: Images computed at once.
        device: Where to compute.

    Raises:
        InputError: The images are not those of the extractor.
    """
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
