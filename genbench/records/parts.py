"""The parts of a record, each with its ranges."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, Literal

from genbench.system.json_files import digest
from genbench.system.typed import Amount, Count, Line, Natural, Range, Seconds, Sha256

__all__ = [
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
]

LONGEST_FILE_NAME = 255  # bytes, of the file systems in use
LikelihoodKind = Literal["exact", "bound", "estimate"]


@dataclass(frozen=True)
class ProtocolIdentity:
    """How a run was measured. Records that differ in any of these fields never share a table.

    Attributes:
        name: configs/protocols/<name>.yaml.
        dataset: Name of the data set.
        data_hash: SHA-256 of the decoded arrays.
        split: What the samples are compared with.
        shape: (C, H, W).
        levels: Grey levels of a pixel.
        reference_images: Images of the reference.
        generated_images: Images that every model generates.
        extractor: Name of the feature extractor; None where the metrics need none.
        extractor_hash: SHA-256 of its weights.
        evaluation_seed: From which, with the training seed, the seed of the samples and of all
            other noise is derived.
        chunk: Images that are sampled and scored together.
        metrics: Names of the metrics, in the order of the table's columns.
        scored_images: The likelihood is that of the first so many images of the split; None: of
            all.
        repeats: How often a likelihood that is not exact was measured with other noise.
        statistics: Name of the file of another tool that was the reference; reference_images is 0
            then.
        statistics_hash: SHA-256 of that file.
        seeds: Training seeds that a row needs before it is called best.
        evaluated_by: "own seeds": every training by a seed of its own, derived from
            `evaluation_seed` and the training seed. "one seed": the former rule, all trainings by
            `evaluation_seed` itself. Under it the spread over trainings leaves out the noise of
            sampling, and no difference is tested.
    """

    name: str
    dataset: str
    data_hash: Sha256
    split: str
    shape: tuple[Natural, Natural, Natural]
    levels: Annotated[int, Range(2)]
    reference_images: Count
    generated_images: Natural
    extractor: str | None
    extractor_hash: Sha256 | None
    evaluation_seed: Count
    chunk: Natural
    metrics: tuple[str, ...]
    scored_images: Natural | None = None
    repeats: Natural = 1
    statistics: str | None = None
    statistics_hash: Sha256 | None = None
    seeds: Natural = 1
    evaluated_by: Literal["one seed", "own seeds"] = "one seed"

    @property
    def is_former(self) -> bool:
        """Whether all trainings were evaluated by one seed."""
        return self.evaluated_by == "one seed"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Every field.

        One that has a default came later and is left out there, so that older records keep their
        ids.
        """
        return {
            f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default
        }

    @cached_property
    def hash(self) -> str:
        """SHA-256 of its identity."""
        return digest(self.identity)


@dataclass(frozen=True)
class Metric:
    """A measured value and the standard error of the measurement itself, where one is known."""

    value: float
    error: Amount | None


@dataclass(frozen=True)
class Likelihood:
    """-log2 p of integer images, and what kind of number it is.

    Attributes:
        kind: exact; bound: from above on the bits; estimate: with an error of either sign.
        bits_per_dim: Mean over the images.
        stderr: Standard error of that mean over the images, bits per dimension.
        nats: Mean of -log p per image.
        images: How many images were scored.
        dequantisation: "uniform" or "variational" where a density of reals gave the number.
        conditional: p(x | y) instead of p(x).
        options: Options of `log_prob`.
        terms: Parts of bits_per_dim that add up to it.
        defaults: The options that were not given, with their values then, such as K; empty where
            they were not noted.
        repeats: Passes with other noise that were averaged.
        repeat_error: Standard error of bits_per_dim over those passes; None for one.
        network_evaluations: Of the busiest network, per image and pass; None where they were not
            counted.
        step_error: By how much bits_per_dim moves when a solver takes half the step, or ten times
            the tolerance; None without steps, or where it was not measured.
    """

    kind: LikelihoodKind
    bits_per_dim: Amount
    stderr: Amount | None
    nats: Amount
    images: Natural
    dequantisation: str | None
    conditional: bool
    options: dict[str, Any]
    terms: dict[str, float]
    defaults: dict[str, Any] = field(default_factory=dict)
    repeats: Natural = 1
    repeat_error: Amount | None = None
    network_evaluations: Amount | None = None
    step_error: Amount | None = None


@dataclass(frozen=True)
class Speed:
    """Sampling speed, measured apart from quality, on one device.

    Attributes:
        images_per_second: At the best batch size.
        batch: That batch size.
        latency_seconds: One image at batch size 1.
        network_evaluations: Sequential ones per sample.
        peak_memory_bytes: Largest memory in use.
        device: Name of the device.
        repeats: Measurements whose median this is.
        evaluations_timed: Where a whole call would have taken too long: the first so many network
            evaluations of each call were timed, and images_per_second is extrapolated from them.
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
    """What the run took: parameters, training images over all players, seconds of training and on
    which device ("-": unknown).
    """

    parameters: Count
    images_seen: Count
    train_seconds: Seconds
    device: Line


@dataclass(frozen=True)
class Need:
    """A run that had to be finished before this one began, such as a teacher.

    Attributes:
        config_hash: SHA-256 of its configuration without its seed, which is that of this run.
        weights_hash: SHA-256 of its recorded weights.
        images_seen: Training images of that run.
        train_seconds: Seconds of its training.
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
            its row.
        weights_hash: SHA-256 of the recorded weights; None where there are none.
        versions: Package versions.
    """

    commit: str | None
    dirty: bool
    config: dict[str, Any]
    config_hash: str
    weights_hash: Sha256 | None
    versions: dict[str, str]


def is_file_name(text: str) -> bool:
    """Whether a text can stand in the names of records and pictures, and in no other place of the
    file system.
    """
    return bool(text) and not text.startswith(".") and not any(c in text for c in "/\\@\0\n\r")
