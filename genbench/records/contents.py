"""What a record says, whatever file it stands in: the fields, their types and how they are named.

The dataclass `Contents` is the schema: a file is read against its types (`genbench.system.typed`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from genbench.records.catalogue import metric_info
from genbench.records.curve import Curve
from genbench.records.parts import (
    Cost,
    Likelihood,
    Metric,
    Need,
    ProtocolIdentity,
    Provenance,
    Speed,
    is_file_name,
)
from genbench.system.typed import Count, Line

__all__ = ["FOREIGN", "NOISE_FLOOR", "Contents"]

# Training images that are scored as if they were samples have this model name.
NOISE_FLOOR = "noise-floor"

# Images that another tool made have this family.
FOREIGN = "foreign"


@dataclass(frozen=True)
class Contents:
    """The fields of a record.

    Attributes:
        dataset: Name of the data set.
        model: Name of the recipe, or "noise-floor".
        family: Family of the model, such as vae or diffusion; "-" for the noise floor; "foreign" for
            images of another tool.
        variant: Name of the evaluation: another sampler, or other options. Empty for the default one.
            Every variant is a row of its own.
        seed: Training seed.
        device_class: Kind of device that evaluated the run.
        status: done; or diverged, which is final and has no metrics.
        density: Whether the model has an explicit density; "-" for the noise floor and for foreign
            images.
        protocol: How it was measured.
        metrics: Metrics by name, none besides those of the protocol.
        likelihood: None for a model without a density.
        sample_options: Options of `sample` that the evaluation chose.
        log_prob_options: Options of `log_prob` that the evaluation chose.
        speed: None where it was not measured.
        cost: What the training cost.
        provenance: Where the numbers come from.
        diverged_at: Number of training images after which the run diverged; None if it did not.
        evaluated_at: ISO 8601 time of the evaluation.
        sample_defaults: Options of `sample` that were left at their defaults, with their values;
            empty where they were not noted.
        needs: Runs that were finished before this one began, by this run's names for them. The
            needed runs of a needed run `teacher` are called `teacher.<name>`. Their cost is not in
            `cost`.
        curve: How good the samples were while the run was trained; None where that was not measured.
        sealed_at: ISO 8601 time at which a record of schema 1 got its digest. Until then nothing
            covered the values. None for a record that always had a digest.
    """

    dataset: Line
    model: Line
    family: Line
    variant: Line
    seed: Count
    device_class: Literal["cpu", "cuda", "mps"]
    status: Literal["done", "diverged"]
    density: Literal["explicit", "implicit", "-"]
    protocol: ProtocolIdentity
    metrics: dict[str, Metric]
    likelihood: Likelihood | None
    sample_options: dict[str, Any]
    log_prob_options: dict[str, Any]
    speed: Speed | None
    cost: Cost
    provenance: Provenance
    diverged_at: Count | None
    evaluated_at: str
    sample_defaults: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, Need] = field(default_factory=dict)
    curve: Curve | None = None
    sealed_at: str | None = None

    def __post_init__(self) -> None:
        """Check what a single field's type does not say.

        Raises:
            ValueError: One line that names the field and what is wrong with it.
        """
        for name in ("dataset", "model", "variant"):
            value = getattr(self, name)
            if not (is_file_name(value) or (value == "" and name == "variant")):
                raise ValueError(
                    f"{name} is {value!r}: it is part of a file name, "
                    "without / \\ @ and no leading dot"
                )
        if self.dataset != self.protocol.dataset:
            raise ValueError(
                f"dataset is {self.dataset!r}, but its protocol is about {self.protocol.dataset!r}"
            )
        unknown = sorted(self.metrics.keys() - set(self.protocol.metrics))
        if unknown:
            raise ValueError(
                f"metrics.{unknown[0]} is not a metric of the protocol "
                f"({', '.join(self.protocol.metrics)})"
            )
        if (self.status == "diverged") != (self.diverged_at is not None):
            raise ValueError(
                f"diverged_at is {self.diverged_at} in a record whose status is {self.status!r}"
            )
        if self.status == "diverged" and (self.metrics or self.likelihood):
            raise ValueError("a diverged run has neither metrics nor a likelihood")
        for name, metric in self.metrics.items():
            allowed = metric_info(name).range
            if metric.value not in allowed:
                raise ValueError(f"metrics.{name}.value is {metric.value}, not {allowed}")
        for time in (self.evaluated_at, self.sealed_at):
            if time is not None:
                datetime.fromisoformat(time)

    @property
    def is_noise_floor(self) -> bool:
        """Whether training images were scored as if they were samples."""
        return self.model == NOISE_FLOOR

    @property
    def is_foreign(self) -> bool:
        """Whether another tool made the images."""
        return self.family == FOREIGN

    @property
    def images_in_all(self) -> int:
        """Training images of this run and of the runs that it needed, each run counted once."""
        return self.cost.images_seen + sum(need.images_seen for need in set(self.needs.values()))

    @property
    def seconds_in_all(self) -> float:
        """Seconds of training of this run and of the runs that it needed, each run counted once."""
        return self.cost.train_seconds + sum(
            need.train_seconds for need in set(self.needs.values())
        )
