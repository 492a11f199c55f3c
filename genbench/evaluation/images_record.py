"""The record of images that no run made: another tool's, or training images as the noise floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from genbench.evaluation.provenance import new_provenance, now
from genbench.records.parts import Cost, Metric, ProtocolIdentity
from genbench.records.record import Record

__all__ = ["record_of_images"]


def record_of_images(
    name: str,
    family: str,
    seed: int,
    device_class: Literal["cpu", "cuda", "mps"],
    protocol: ProtocolIdentity,
    metrics: Mapping[str, Metric],
    config: dict[str, Any],
    config_hash: str,
) -> Record:
    """A record with metrics alone: there is no likelihood, no speed and no cost.

    Args:
        name: Name of the row.
        family: `FOREIGN`, or "-" of the noise floor.
        seed: Seed of the draw or of the other tool's training.
        device_class: Where the metrics were computed: cpu, cuda or mps.
        protocol: How the images were measured.
        metrics: Their metrics.
        config: What is known of the images.
        config_hash: A hash that tells them from other images of the same name.
    """
    return Record(
        dataset=protocol.dataset,
        model=name,
        family=family,
        variant="",
        seed=seed,
        device_class=device_class,
        status="done",
        density="-",
        protocol=protocol,
        metrics=dict(metrics),
        likelihood=None,
        sample_options={},
        log_prob_options={},
        speed=None,
        cost=Cost(0, 0, 0.0, "-"),
        provenance=new_provenance(config, config_hash, None),
        diverged_at=None,
        evaluated_at=now(),
    )
