"""What is stored of one evaluated run: one immutable JSON,
`records/<dataset>/<model>[@variant]-s<seed>-<id8>.json`.

    id8 = the first 8 hex digits of SHA-256 over the canonical JSON of
          [config_hash, protocol, variant, sample_options, log_prob_options, device_class]

The dataclass `Record` is the schema: a file is read against its types (`genbench.system.typed`). A
record of a diverged run has no metrics; it says after how many images the run diverged.

    digest = SHA-256 over the canonical JSON of the whole file without the digest

so that a value that is changed afterwards is noticed. The digest has no key: whoever changes a
value can compute another digest, but what a record says twice must agree
(`genbench.records.consistency`). Records of schema 1 had no digest and are refused.
`benchmarks/seal_records.py` gives each of them a digest, once, and notes the time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from genbench.errors import InputError
from genbench.records.catalogue import metric_info
from genbench.records.consistency import contradictions
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
from genbench.system.json_files import digest, parse_json
from genbench.system.typed import Count, read_value

__all__ = ["FOREIGN", "NOISE_FLOOR", "SCHEMA", "Record", "content_digest", "record_id"]

SCHEMA = 2

# the model name of training images that are scored as if they were samples
NOISE_FLOOR = "noise-floor"

# the family of images that another tool made
FOREIGN = "foreign"

# what a file holds around the fields of a record
ENVELOPE = ("schema", "id", "digest")


@dataclass(frozen=True)
class Record:
    """One evaluated run.

    Attributes:
        dataset: Name of the data set.
        model: Name of the recipe, or "noise-floor".
        family: Family of the model, such as vae or diffusion; "-" for the noise floor; "foreign" for
            images of another tool.
        variant: Name of the evaluation: another sampler, or other options. empty for the default one.
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
        cost: What training took.
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

    dataset: str
    model: str
    family: str
    variant: str
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
    def id(self) -> str:
        """id8: eight hex digits that stand for configuration, protocol, variant with options, and
        device class. All training seeds of a row share it.
        """
        return record_id(
            self.provenance.config_hash,
            self.protocol,
            self.variant,
            self.sample_options,
            self.log_prob_options,
            self.device_class,
        )

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

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with schema, id and digest."""
        tree = asdict(self)
        for name in ("needs", "curve", "sealed_at"):
            if not tree[name]:
                del tree[name]
        plain = json.loads(json.dumps({"schema": SCHEMA, "id": self.id, **tree}, allow_nan=False))
        return {**plain, "digest": content_digest(plain)}

    def to_json(self) -> str:
        """The content of the record's file: JSON with sorted keys, the same text for equal records."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, tree: Any) -> Record:
        """Inverse of `to_dict`.

        Args:
            tree: Plain JSON values.

        Raises:
            ValueError: One line that names the field and what is wrong with it.
        """
        if not isinstance(tree, dict) or "schema" not in tree:
            raise ValueError("it is no record of genbench: it has no schema")
        if tree["schema"] != SCHEMA:
            raise ValueError(schema_message(tree["schema"]))
        if "digest" not in tree:
            raise ValueError("digest is missing: the record was edited")
        if tree["digest"] != (whole := content_digest(tree)):
            raise ValueError(
                f"digest is {tree['digest']!r}, but its contents hash to {whole!r}: "
                "the record was edited"
            )
        record: Record = read_value(
            cls, {key: value for key, value in tree.items() if key not in ENVELOPE}
        )
        if tree.get("id") != record.id:
            raise ValueError(
                f"id is {tree.get('id')!r}, but its contents hash to {record.id!r}: "
                "the record was edited"
            )
        for contradiction in contradictions(record):
            raise ValueError(f"it contradicts itself: {contradiction}")
        return record

    @classmethod
    def from_json(cls, text: str, origin: str | Path = "record") -> Record:
        """Inverse of `to_json`.

        Args:
            text: The content of a file.
            origin: What messages call the text, such as the path of its file.

        Raises:
            InputError: One line that names `origin` and what is wrong.
        """
        try:
            return cls.from_dict(parse_json(text))
        except json.JSONDecodeError as error:
            raise InputError(
                f"{origin}: not JSON, perhaps truncated: {error}; "
                "delete it, and evaluate that run again"
            ) from None
        except (ValueError, TypeError) as error:
            raise InputError(f"{origin}: {error}") from None


def content_digest(tree: dict[str, Any]) -> str:
    """SHA-256 of a record's file without its digest.

    Args:
        tree: The file as plain JSON values.
    """
    return digest({key: value for key, value in tree.items() if key != "digest"})


def schema_message(schema: Any) -> str:
    """Why records of another schema are not read, and what can be done about it."""
    if schema == 1:
        return (
            "schema is 1, of records without a digest; benchmarks/seal_records.py FOLDER gives "
            "them one, once: look at them first, since nothing covered their values until now"
        )
    return f"schema is {schema!r}; this version reads schema {SCHEMA}"


def record_id(
    config_hash: str,
    protocol: ProtocolIdentity,
    variant: str,
    sample_options: dict[str, Any],
    log_prob_options: dict[str, Any],
    device_class: str,
) -> str:
    """id8 of an evaluation, known before anything is measured.

    Args:
        config_hash: Hash of the configuration without its seed.
        protocol: How the run is measured.
        variant: Name of the evaluation.
        sample_options: Options of `sample`.
        log_prob_options: Options of `log_prob`.
        device_class: Kind of device.

    Returns:
        Eight hex digits.
    """
    return digest(
        [config_hash, protocol.identity, variant, sample_options, log_prob_options, device_class]
    )[:8]
