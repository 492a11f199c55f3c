"""What a model says of other images than its samples, for the metrics that ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from genbench.config.protocol import Protocol
from genbench.data.images import ImageData
from genbench.evaluation.encodings import encodings_of
from genbench.evaluation.reconstruct import reconstructions
from genbench.metrics.codes import encoded
from genbench.metrics.log_densities import log_joint, log_scores, log_table
from genbench.metrics.samples import Encoded
from genbench.model import GenerativeModel
from genbench.records.catalogue import Input, metric_info

__all__ = ["NO_OUTPUTS", "ModelOutputs", "model_outputs"]


@dataclass(frozen=True)
class ModelOutputs:
    """Fields of `Samples`. None where no metric of the protocol asks, or the model has no such thing.

    Args:
        log_table: log q of every image of a small universe.
        log_scores: log q of the first images of the protocol's split, (s,) nats.
        log_joint: log q of the same images with every class, (s, K) nats.
        encoded: Labelled images with their codes, for probes.
        reconstructions: decode(encode(x)) of every image x of the split, integers (M, C, H, W).
        encodings: E[z | x] of every image of the split, (M, d).
        divergences: KL(q(z|x) || p(z)) of every image of the split, (M,) nats.
    """

    log_table: np.ndarray | None = None
    log_scores: Tensor | None = None
    log_joint: Tensor | None = None
    encoded: dict[str, Encoded] | None = None
    reconstructions: Tensor | None = None
    encodings: Tensor | None = None
    divergences: Tensor | None = None

    def missing(self) -> set[Input]:
        """The inputs of metrics that are not there."""
        values: dict[Input, object] = {
            "density": self.log_scores if self.log_table is None else self.log_table,
            "joint density": self.log_joint,
            "codes": self.encoded,
            "reconstructions": self.reconstructions,
            "encodings": self.encodings,
            "divergences": self.divergences,
        }
        return {name for name, value in values.items() if value is None}


NO_OUTPUTS = ModelOutputs()


def model_outputs(
    model: GenerativeModel, data: ImageData, options: Any, protocol: Protocol, device: str
) -> ModelOutputs:
    """What the metrics of a protocol ask of a model.

    Args:
        model: On the device.
        data: Its images.
        options: Of log_prob.
        protocol: Metrics, split, chunks, evaluation seed.
        device: Where to compute.

    Raises:
        InputError: A metric asks for codes, and the model does not encode.
    """
    infos = [metric_info(name) for name in protocol.metrics]
    asked = {need for info in infos for need in info.inputs}
    of_density = {need for info in infos if info.of_likelihood for need in info.inputs}
    if model.likelihood is None:
        of_density = set()
    table = None
    scores = None
    joint = None
    codes = None
    if "known distribution" in of_density:
        table = log_table(model, data, options, protocol, device)
    if "known probabilities" in of_density:
        scores = log_scores(model, data, options, protocol, device)
    if "joint density" in asked and model.likelihood is not None and model.classes:
        joint = log_joint(model, data, options, protocol, device)
    if "codes" in asked:
        codes = encoded(model, data, protocol, device)
    return ModelOutputs(
        log_table=table,
        log_scores=scores,
        log_joint=joint,
        encoded=codes,
        reconstructions=reconstructions(model, data, protocol, device),
        **encodings_of(model, data, protocol, device),
    )
