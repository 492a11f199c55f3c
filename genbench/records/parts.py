"""The parts of a record: what each field means, and which values it may take."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, Literal

from genbench.system.json_files import digest
from genbench.system.typed import Amount, Count, Line, Natural, Range, Seconds, Sha256

__all__ = [
    "DEFAULT",
    "LATER_METRICS",
    "LONGEST_FILE_NAME",
    "Cost",
    "Likelihood",
    "LikelihoodKind",
    "Metric",
    "Need",
    "ProtocolIdentity",
    "Provenance",
    "Speed",
    "is_file_name",
    "variant_of",
]

LONGEST_FILE_NAME = 255  # File systems in use allow this many bytes.
LikelihoodKind = Literal["exact", "bound", "estimate"]
DEFAULT = "default"
"""Name of the plain evaluation, whose row has the name of the model alone."""
LATER_METRICS = frozenset({"accuracy", "mind"})
"""Metrics that a protocol may begin to ask for while its older records hold. A metric never changes
the value of another, so that records with it and without it share a table."""


@dataclass(frozen=True)
class ProtocolIdentity:
    """How a run was measured, as a record stores it. Records that differ in any of these fields, but
    for metrics that came later, never share a table.

    Attributes:
        name: configs/protocols/<name>.yaml.
        dataset: Name of the data set.
        data_hash: SHA-256 of the decoded arrays.
        split: Split of the data that the samples are compared with.
        shape: (C, H, W).
        levels: Number of grey levels of a pixel.
        reference_images: Number of images of the reference.
        generated_images: Number of images that every model generates.
        extractor: Name of the feature extractor; None where the metrics need none.
        extractor_hash: SHA-256 of its weights.
        evaluation_seed: Together with the training seed it determines the seed of the samples and
            of all other noise.
        chunk: Number of images that are sampled and scored together.
        metrics: Names of the metrics, in the order of the table's columns. Those of `LATER_METRICS`
            may differ between records of one protocol.
        scored_images: How many images of the split have their likelihood measured, from the first
            on; None: all.
        repeats: How often a likelihood that is not exact was measured with other noise.
        statistics: Name of another tool's file of feature statistics, where that is the reference;
            reference_images is then 0.
        statistics_hash: SHA-256 of that file.
        seeds: Training seeds that a row needs before it is called best.
        evaluated_by: "own seeds": every training by a seed of its own, derived from
            `evaluation_seed` and the training seed. "one seed": the former rule, all trainings by
            `evaluation_seed` itself. Under it the spread over trainings leaves out the noise of
            sampling, and no difference is tested.
    """

    name: Line
    dataset: Line
    data_hash: Sha256
    split: Line
    shape: tuple[Natural, Natural, Natural]
    levels: Annotated[int, Range(2)]
    reference_images: Count
    generated_images: Natural
    extractor: Line | None
    extractor_hash: Sha256 | None
    evaluation_seed: Count
    chunk: Natural
    metrics: tuple[Line, ...]
    scored_images: Natural | None = None
    repeats: Natural = 1
    statistics: Line | None = None
    statistics_hash: Sha256 | None = None
    seeds: Natural = 1
    evaluated_by: Literal["one seed", "own seeds"] = "one seed"

    @property
    def is_former(self) -> bool:
        """Whether all trainings were evaluated by one seed."""
        return self.evaluated_by == "one seed"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The fields that the protocol's hash covers.

        A field with a default was added later. It is left out where it has that default, so that
        older records keep their ids; so are `LATER_METRICS`.
        """
        identity = {
            f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default
        }
        first = tuple(name for name in self.metrics if name not in LATER_METRICS)
        return {**identity, "metrics": first}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of `identity`."""
        return digest(self.identity)


@dataclass(frozen=True)
class Metric:
    """A measured metric.

    Attributes:
        value: The value.
        error: Standard error of the measurement itself; None where it is not known.
    """

    value: float
    error: Amount | None


@dataclass(frozen=True)
class Likelihood:
    """-log2 p of integer images, and what kind of number it is.

    Attributes:
        kind: exact; bound: the bits are an upper bound; estimate: the error can have either sign.
        bits_per_dim: Mean over the images.
        stderr: Standard error of that mean over the images, bits per dimension.
        nats: Mean of -log p per image.
        images: Number of images that were scored.
        dequantisation: How integer pixels are made continuous before scoring: "uniform" or
            "variational" noise inside each pixel's bin; None for discrete models.
        conditional: Whether it is p(x | y) instead of p(x).
        options: Options of `log_prob` that the evaluation chose.
        terms: Parts of bits_per_dim, which add up to it.
        defaults: Options of `log_prob` that were left at their defaults, such as K, with their
            values; empty where they were not noted.
        repeats: Number of passes with other noise that were averaged.
        repeat_error: Standard error of bits_per_dim over those passes; None for one pass.
        network_evaluations: Evaluations of the busiest network per image and pass; None where they
            were not counted.
        step_error: How much bits_per_dim changes when the solver halves its step, or takes ten
            times the tolerance; None without steps, or where it was not measured.
        shared_error: Standard error of what the model has estimated before and all scores share,
            such as its normalising constant, in bits per dimension; None without such an estimate.
    """

    kind: LikelihoodKind
    bits_per_dim: Amount
    stderr: Amount | None
    nats: Amount
    images: Natural
    dequantisation: Line | None
    conditional: bool
    options: dict[str, Any]
    terms: dict[str, float]
    defaults: dict[str, Any] = field(default_factory=dict)
    repeats: Natural = 1
    repeat_error: Amount | None = None
    network_evaluations: Amount | None = None
    step_error: Amount | None = None
    shared_error: Amount | None = None


@dataclass(frozen=True)
class Speed:
    """Sampling speed, measured apart from quality, on one device.

    Attributes:
        images_per_second: At the best batch size.
        batch: The batch size at which sampling is fastest.
        latency_seconds: Seconds for one image at batch size 1.
        network_evaluations: Sequential network evaluations per sample.
        peak_memory_bytes: Largest memory in use, in bytes.
        device: Name of the device.
        repeats: Number of measurements; each value is their median.
        evaluations_timed: How many network evaluations of each call were timed, where a whole call
            would have taken too long. images_per_second is extrapolated from them. None: whole
            calls were timed.
    """

    images_per_second: Annotated[float, Range(above=0)]
    batch: Natural
    latency_seconds: Annotated[float, Range(above=0)]
    network_evaluations: Count
    peak_memory_bytes: Count
    device: Line
    repeats: Natural
    evaluations_timed: Natural | None = None


@dataclass(frozen=True)
class Cost:
    """What the training of a run cost.

    Attributes:
        parameters: Number of parameters of the model.
        images_seen: Training images, summed over all players.
        train_seconds: Seconds of training.
        device: Name of the device that trained; "-" where it is not known.
    """

    parameters: Count
    images_seen: Count
    train_seconds: Seconds
    device: Line


@dataclass(frozen=True)
class Need:
    """A run that had to be finished before this one began, such as a teacher.

    Attributes:
        config_hash: SHA-256 of the needed run's configuration without the seed. The seed is that of
            the run that needs it.
        weights_hash: SHA-256 of the recorded weights.
        images_seen: Number of training images.
        train_seconds: Seconds of training.
    """

    config_hash: Sha256
    weights_hash: Sha256
    images_seen: Count
    train_seconds: Seconds


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from.

    Attributes:
        commit: Git commit, or None outside a checkout.
        dirty: Whether genbench/ or configs/ held uncommitted changes.
        config: The resolved configuration.
        config_hash: SHA-256 of the configuration without its seed, as it was in the first record of
            the row.
        weights_hash: SHA-256 of the recorded weights; None where there are none.
        versions: Package versions.
    """

    commit: Line | None
    dirty: bool
    config: dict[str, Any]
    config_hash: str
    weights_hash: Sha256 | None
    versions: dict[str, str]


def is_file_name(text: str) -> bool:
    """Whether a text can be a part of the names of records and pictures: it must not be able to
    name another folder.
    """
    return bool(text) and not text.startswith(".") and not any(c in text for c in "/\\@\0\n\r")


def variant_of(evaluation: str) -> str:
    """What records and labels of rows call an evaluation: nothing where it is the default one.

    Args:
        evaluation: Its name in a recipe.

    Examples:
        >>> variant_of("ddim50"), variant_of("default")
        ('ddim50', '')
    """
    if evaluation == DEFAULT:
        return ""
    return evaluation
