"""Metrics of samples, from one pass of the extractor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from genbench.data.canonical import content_order
from genbench.evaluation.reference import features_of
from genbench.evaluation.resolve import ResolvedProtocol
from genbench.metrics.measure import measure
from genbench.metrics.samples import Samples
from genbench.records.catalogue import metric_info
from genbench.records.parts import Metric
from genbench.rng import Rng

__all__ = ["score_samples"]

# random halves for the errors of sample metrics: errors to a tenth
_DRAWS = 50


def score_samples(
    images: Tensor,
    resolved: ResolvedProtocol,
    log_table: np.ndarray | None = None,
    truth: Tensor | None = None,
    log_scores: Tensor | None = None,
    latents: Mapping[str, Tensor] | None = None,
) -> dict[str, Metric]:
    """The protocol's sample metrics of images, whoever made them: a function of the images and of
    the seed, not of their order.

    Args:
        images: integers (N, C, H, W).
        resolved: The protocol with its extractor and reference. Its seed orders the images (the
            splits of IS follow from their order) and draws the halves for the errors.
        log_table: log q of every image of a small universe, for KL alone.
        truth: The true image of the pair whose y each image was given, integers (N, C, H, W). Without
            it, metrics of pairs are left out.
        log_scores: log q of the first images of the protocol's split, for the estimate of KL.
        latents: What `encodings_of` gives. Metrics of what is not there are left out.
    """
    protocol = resolved.protocol
    latents = latents or {}
    order = content_order(images.cpu().numpy(), protocol.evaluation_seed).to(images.device)
    images = images[order]
    generated = None
    if resolved.extractor is not None:
        generated = features_of(images, resolved.extractor, protocol, resolved.device)
    samples = Samples(
        Rng(protocol.evaluation_seed, range(_DRAWS)).split("sample metrics"),
        generated=generated,
        images=images,
        truth=None if truth is None else truth[order],
        levels=resolved.data.spec.levels,
        components=resolved.data.known_components,
        log_table=log_table,
        log_scores=log_scores,
        encodings=latents.get("encodings"),
        divergences=latents.get("divergences"),
        known_log_prob=resolved.data.known_log_prob,
        **resolved.reference,
    )
    missing = {"encodings", "divergences"} - set(latents)
    if log_table is None and log_scores is None:
        missing.add("density")
    if truth is None:
        missing.add("pairs")
    names = [
        name for name in protocol.metrics if not missing.intersection(metric_info(name).inputs)
    ]
    return {name: Metric(*estimate) for name, estimate in measure(samples, names).items()}
