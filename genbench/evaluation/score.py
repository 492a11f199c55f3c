"""Metrics of samples, from one pass of the extractor."""

from __future__ import annotations

from torch import Tensor

from genbench.data.canonical import content_order
from genbench.evaluation.outputs import NO_OUTPUTS, ModelOutputs
from genbench.evaluation.reference import features_of
from genbench.evaluation.resolve import ResolvedProtocol
from genbench.metrics.measure import measure
from genbench.metrics.samples import Samples
from genbench.records.catalogue import metric_info
from genbench.records.parts import Metric
from genbench.rng import Rng

__all__ = ["score_samples"]

# The errors of sample metrics come from this many random halves, which makes them accurate to about
# a tenth.
_DRAWS = 50


def score_samples(
    images: Tensor,
    resolved: ResolvedProtocol,
    truth: Tensor | None = None,
    outputs: ModelOutputs = NO_OUTPUTS,
) -> dict[str, Metric]:
    """The protocol's sample metrics of images, whoever made them: a function of the images and of
    the seed, not of their order.

    Args:
        images: integers (N, C, H, W).
        resolved: The protocol with its extractor and reference. Its seed orders the images (the
            splits of IS follow from their order) and draws the halves for the errors.
        truth: The true image of the pair whose y each image was given, integers (N, C, H, W). Without
            it, metrics of pairs are left out.
        outputs: What the model says of other images. Metrics of what is not there are left out.
    """
    protocol = resolved.protocol
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
        **vars(outputs),
        known_log_prob=resolved.data.known_log_prob,
        **resolved.reference,
    )
    missing = outputs.missing()
    if truth is None:
        missing.add("pairs")
    names = [
        name for name in protocol.metrics if not missing.intersection(metric_info(name).inputs)
    ]
    return {name: Metric(*estimate) for name, estimate in measure(samples, names).items()}
