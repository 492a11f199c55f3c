"""Metrics of samples, from one pass of the extractor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.config.protocol import Protocol
from genbench.data.canonical import content_order
from genbench.data.images import ImageData, Split
from genbench.errors import InputError
from genbench.metrics.energy import energy_distance
from genbench.metrics.extractor import Extractor, load_extractor
from genbench.metrics.features import FeatureBank, Features, sample_metrics, sample_metrics_against
from genbench.metrics.frechet import load_statistics
from genbench.metrics.points import kl_divergence, mode_coverage, mode_coverage_errors
from genbench.metrics.reference import reference_features
from genbench.metrics.resampling import Estimate
from genbench.records.catalogue import IMAGE_METRICS
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
    """
    images = images[content_order(images.cpu().numpy(), protocol.evaluation_seed).to(images.device)]
    rng = Rng(protocol.evaluation_seed, range(_DRAWS)).split("sample metrics")
    found: dict[str, Estimate] = {}
    if protocol.extractor:
        found |= _feature_metrics(images, data, protocol, device, rng)
    if "energy_distance" in protocol.metrics:
        reference, _ = data.tensors(protocol.split, device)
        found["energy_distance"] = energy_distance(images.flatten(1), reference.flatten(1))
    if data.known_components is not None:
        points = images.cpu().numpy()
        modes, quality = mode_coverage(points, data.known_components)
        modes_error, quality_error = mode_coverage_errors(points, data.known_components, rng)
        found |= {
            "modes_covered": (float(modes), modes_error),
            "high_quality": (quality, quality_error),
        }
        if log_table is not None:
            found["kl"] = kl_divergence(data.known_components.sum(0).ravel(), log_table), None
    return {name: Metric(*found[name]) for name in protocol.metrics if name in found}


def _feature_metrics(
    images: Tensor, data: ImageData, protocol: Protocol, device: str, rng: Rng
) -> dict[str, Estimate]:
    """What is measured among the features of an extractor."""
    assert protocol.extractor is not None
    extractor = load_extractor(protocol.extractor, device, data.spec.levels, data.root)
    x = _features(images, extractor, protocol, device)
    if protocol.statistics is not None:
        path = protocol.statistics_file(data.root)
        mean, covariance = load_statistics(path)
        if len(mean) != x.features.shape[1]:
            raise InputError(
                f"{path} is about {len(mean)} features; extractor {extractor.name} has {x.features.shape[1]}"
            )
        return sample_metrics_against(
            x, mean.to(device), covariance.to(device), protocol.metrics, rng
        )

    def split(name: Split) -> Features:
        compute = lambda: _features(data.tensors(name, device)[0], extractor, protocol, device)  # noqa: E731
        return reference_features(data, name, extractor, protocol.chunk, device, compute)

    _, labels = data.tensors(protocol.split, device)
    train = split("train").features if "memorisation" in protocol.metrics else None
    wanted = [name for name in protocol.metrics if name in IMAGE_METRICS]
    return sample_metrics(x, split(protocol.split), wanted, rng, labels, train)


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
