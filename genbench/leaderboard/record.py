"""What is stored of one evaluated run: one immutable JSON, `records/<dataset>/<model>[@variant]-s<seed>-<id8>.json`.

    id8 = the first 8 hex digits of SHA-256 over the canonical JSON of
          [config_hash, protocol, variant, sample_options, log_prob_options, device_class]

The dataclasses below are the schema: a file is read against their types (`genbench.typed`). A record of a diverged run has no
metrics; it says after how many images the run diverged.

    digest = SHA-256 over the canonical JSON of the whole file but for itself

so that a value that is changed afterwards is noticed. (Whoever changes the digest too is not: it has no key; but what a record says
twice must agree, see `genbench.leaderboard.consistency`.) Records of schema 1
had no digest and are refused; `benchmarks/seal_records.py` gives them one, once, and writes into each when it did.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from genbench.errors import InputError
from genbench.files import check_target, digest, files_below, read_text, write_once
from genbench.leaderboard.consistency import contradictions
from genbench.typed import Amount, Count, Line, Natural, Range, Seconds, Sha256, parse_json, read_value

__all__ = [
    "FOREIGN",
    "METRIC_RANGES",
    "NOISE_FLOOR",
    "SCHEMA",
    "Cost",
    "Likelihood",
    "LikelihoodKind",
    "Metric",
    "Need",
    "Protocol",
    "Provenance",
    "Record",
    "Speed",
    "check_place",
    "check_stem",
    "content_digest",
    "file_stem",
    "is_file_name",
    "picture_path",
    "read_record",
    "record_files",
    "record_id",
    "record_path",
    "records_in",
    "write_record",
]

SCHEMA = 2
_LONGEST_FILE_NAME = 255  # bytes, of the file systems in use
NOISE_FLOOR = "noise-floor"  # the model name of held-out training images that are scored as if they were samples
FOREIGN = "foreign"  # the family of images that another tool made
LikelihoodKind = Literal["exact", "bound", "estimate"]
# What a metric can be at all. Unbiased estimates of distances may be negative, and rounding takes a distance of 0 a little below.
METRIC_RANGES = {
    "fid": Range(-0.01),
    "is": Range(0.999),
    "precision": Range(0, 1),
    "recall": Range(0, 1),
    "density": Range(0),
    "coverage": Range(0, 1),
    "class_recall": Range(0, 1),
    "memorisation": Range(0, 1),
    "modes_covered": Range(0),
    "high_quality": Range(0, 1),
    "kl": Range(-0.01),
}


@dataclass(frozen=True)
class Protocol:
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
        evaluation_seed: From which, with the training seed, the seed of the samples and of all other noise is derived.
        chunk: Images that are sampled and scored together.
        metrics: Names of the metrics, in the order of the table's columns.
        scored_images: The likelihood is that of the first so many images of the split; None: of all.
        repeats: How often a likelihood that is not exact was measured with other noise.
        statistics: Name of the file of another tool that was the reference; reference_images is 0 then.
        statistics_hash: SHA-256 of that file.
        seeds: Training seeds that a row needs before it is called best.
        evaluated_by: "own seeds": every training by a seed of its own, derived from `evaluation_seed` and the training seed. "one
            seed": the former rule, all trainings by `evaluation_seed` itself. Under it the spread over trainings leaves out the
            noise of sampling, and no difference is tested.
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
        """Every field. One that has a default came later and is left out there, so that older records keep their ids."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}

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
        defaults: The options that were not given, with their values then, such as K; empty where they were not noted.
        repeats: Passes with other noise that were averaged.
        repeat_error: Standard error of bits_per_dim over those passes; None for one.
        network_evaluations: Of the busiest network, per image and pass; None where they were not counted.
        step_error: By how much bits_per_dim moves when a solver takes half the step, or ten times the tolerance; None without steps,
            or where it was not measured.
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
        evaluations_timed: Where a whole call would have taken too long: the first so many network evaluations of each call were timed,
            and images_per_second is extrapolated from them.
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
    """What the run took: parameters, training images over all players, seconds of training and on which device ("-": unknown)."""

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
        config_hash: SHA-256 of the configuration without its seed, as it was in the first record of its row.
        weights_hash: SHA-256 of the recorded weights; None where there are none.
        versions: Package versions.
    """

    commit: str | None
    dirty: bool
    config: dict[str, Any]
    config_hash: str
    weights_hash: Sha256 | None
    versions: dict[str, str]


@dataclass(frozen=True)
class Record:
    """One evaluated run.

    Attributes:
        dataset: Name of the data set.
        model: Name of the recipe, or "noise-floor".
        family: vae, gan, autoregressive, flow, diffusion; "-" for the noise floor; "foreign" for
            another tool's images; anything for a user's model.
        variant: "" for the plain row, else the name of another sampler or of other options: its own row.
        seed: Training seed.
        device_class: Kind of device that evaluated.
        status: done, or diverged: final, without metrics.
        density: Whether the model has an explicit density; "-" for the noise floor and for foreign images.
        protocol: How it was measured.
        metrics: By name; only names of the protocol.
        likelihood: None without one.
        sample_options: Options of `sample`.
        log_prob_options: Options of `log_prob`.
        speed: None where it was not measured.
        cost: What training took.
        provenance: Where the numbers come from.
        diverged_at: Training images seen when the run diverged, else None.
        evaluated_at: ISO 8601 time.
        sample_defaults: The options of `sample` that were not given, with their values then; empty where they were not noted.
        needs: The runs that this one needed, by its names for them, and theirs as `teacher.teacher`. Their cost is not in `cost`.
        sealed_at: ISO 8601 time at which a record of schema 1 got its digest: until then nothing covered its values. None for a
            record that had one from the beginning.
    """

    dataset: str
    model: str
    family: str
    variant: str
    seed: Count
    device_class: Literal["cpu", "cuda", "mps"]
    status: Literal["done", "diverged"]
    density: Literal["explicit", "implicit", "-"]
    protocol: Protocol
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
    sealed_at: str | None = None

    def __post_init__(self) -> None:
        for name in ("dataset", "model", "variant"):
            value = getattr(self, name)
            if not (is_file_name(value) or (value == "" and name == "variant")):
                raise ValueError(f"{name} is {value!r}: it is part of a file name, without / \\ @ and no leading dot")
        if self.dataset != self.protocol.dataset:
            raise ValueError(f"dataset is {self.dataset!r}, but its protocol is about {self.protocol.dataset!r}")
        unknown = sorted(self.metrics.keys() - set(self.protocol.metrics))
        if unknown:
            raise ValueError(f"metrics.{unknown[0]} is not a metric of the protocol ({', '.join(self.protocol.metrics)})")
        if (self.status == "diverged") != (self.diverged_at is not None):
            raise ValueError(f"diverged_at is {self.diverged_at} in a record whose status is {self.status!r}")
        if self.status == "diverged" and (self.metrics or self.likelihood):
            raise ValueError("a diverged run has neither metrics nor a likelihood")
        for name, metric in self.metrics.items():
            allowed = METRIC_RANGES.get(name, Range())
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
        """id8: of configuration, protocol, variant with its options, and device class, not of the seed."""
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
        """Training images of this run and of those that it needed, each once."""
        return self.cost.images_seen + sum(need.images_seen for need in set(self.needs.values()))

    @property
    def seconds_in_all(self) -> float:
        """Seconds of training of this run and of those that it needed, each once."""
        return self.cost.train_seconds + sum(need.train_seconds for need in set(self.needs.values()))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with schema, id and digest."""
        tree = asdict(self)
        for name in ("needs", "sealed_at"):
            if not tree[name]:
                del tree[name]
        plain = json.loads(json.dumps({"schema": SCHEMA, "id": self.id, **tree}, allow_nan=False))
        return {**plain, "digest": content_digest(plain)}

    def to_json(self) -> str:
        """Readable, with sorted keys: one text per record."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, tree: Any) -> Record:
        """Inverse of `to_dict`.

        Raises:
            ValueError: One line that names the field and what is wrong with it.
        """
        if not isinstance(tree, dict) or "schema" not in tree:
            raise ValueError("it is no record of genbench: it has no schema")
        if tree["schema"] != SCHEMA:
            raise ValueError(_other_schema(tree["schema"]))
        if "digest" not in tree:
            raise ValueError("digest is missing: the record was edited")
        if tree["digest"] != (whole := content_digest(tree)):
            raise ValueError(f"digest is {tree['digest']!r}, but its contents hash to {whole!r}: the record was edited")
        record: Record = read_value(cls, {key: value for key, value in tree.items() if key not in _AROUND})
        if tree.get("id") != record.id:
            raise ValueError(f"id is {tree.get('id')!r}, but its contents hash to {record.id!r}: the record was edited")
        for contradiction in contradictions(record):
            raise ValueError(f"it contradicts itself: {contradiction}")
        return record

    @classmethod
    def from_json(cls, text: str, origin: str | Path = "record") -> Record:
        """Inverse of `to_json`.

        Raises:
            InputError: One line that names `origin` and what is wrong.
        """
        try:
            return cls.from_dict(parse_json(text))
        except json.JSONDecodeError as error:
            raise InputError(
                f"{origin}: not JSON, perhaps truncated: {error}; delete it, and evaluate that run again"
            ) from None
        except (ValueError, TypeError) as error:
            raise InputError(f"{origin}: {error}") from None


# what a file holds around the fields of a record
_AROUND = ("schema", "id", "digest")


def content_digest(tree: dict[str, Any]) -> str:
    """SHA-256 of a record's whole file, as plain JSON values, but for its digest."""
    return digest({key: value for key, value in tree.items() if key != "digest"})


def _other_schema(schema: Any) -> str:
    if schema == 1:
        return (
            "schema is 1, of records without a digest; benchmarks/seal_records.py FOLDER gives them one, once: "
            "look at them first, since nothing covered their values until now"
        )
    return f"schema is {schema!r}; this version reads schema {SCHEMA}"


def is_file_name(text: str) -> bool:
    """Whether a text can stand in the names of records and pictures, and in no other place of the file system."""
    return bool(text) and not text.startswith(".") and not any(c in text for c in "/\\@\0\n\r")


def record_id(
    config_hash: str,
    protocol: Protocol,
    variant: str,
    sample_options: dict[str, Any],
    log_prob_options: dict[str, Any],
    device_class: str,
) -> str:
    """id8, known before anything is evaluated."""
    return digest([config_hash, protocol.identity, variant, sample_options, log_prob_options, device_class])[:8]


def file_stem(model: str, variant: str, seed: int) -> str:
    """<model>[@variant]-s<seed>: how records and pictures begin."""
    return f"{model}{'@' if variant else ''}{variant}-s{seed}"


def check_stem(model: str, variant: str, seed: int) -> None:
    """Check that the names of records and pictures are not too long, on whatever disk they will lie.

    Raises:
        InputError: They are.
    """
    name = f"{file_stem(model, variant, seed)}-{'0' * 8}.json"
    if (size := len(os.fsencode(name))) > _LONGEST_FILE_NAME:
        raise InputError(
            f"the name {name[:40]}... of a record would have {size} bytes; names of files have at most {_LONGEST_FILE_NAME}: "
            "a shorter name is right"
        )


def picture_path(out: Path, dataset: str, model: str, variant: str, seed: int, id8: str) -> Path:
    """Where its sample grid lies."""
    return out / "pictures" / dataset / f"{file_stem(model, variant, seed)}-{id8}.png"


def record_path(out: Path, dataset: str, model: str, variant: str, seed: int, id8: str) -> Path:
    """Where a record lies under a leaderboard's folder."""
    return out / "records" / dataset / f"{file_stem(model, variant, seed)}-{id8}.json"


def write_record(out: Path, record: Record) -> Path:
    """Write a record, atomically. Records are immutable: one that is already there stays as it is, whoever writes at once."""
    path = record_path(out, record.dataset, record.model, record.variant, record.seed, record.id)
    Record.from_dict(record.to_dict())  # what is written can be read
    if not path.exists():
        write_once(path, record.to_json())
    return path


def check_place(out: Path, dataset: str, model: str, variant: str, seed: int, id8: str) -> None:
    """Check that a record and its picture can be written, before they are measured.

    Raises:
        InputError: A folder is not for writing, or a name is too long.
    """
    check_target(record_path(out, dataset, model, variant, seed, id8))
    check_target(picture_path(out, dataset, model, variant, seed, id8))


def records_in(out: Path) -> list[Record]:
    """Every record under <out>/records, sorted by path.

    Raises:
        InputError: One line that names the first bad file: truncated, corrupt, foreign, edited or renamed.
    """
    return [_record_at(path, out) for path in record_files(out)]


def record_files(out: Path) -> list[Path]:
    """The files of `records_in`."""
    return [path for path in files_below(out / "records", "*.json") if not path.name.startswith(".")]


def read_record(path: Path) -> Record:
    """The record in a file, which has the record's name.

    Raises:
        InputError: One line that names the file and what is wrong with it: also a copy under another name, which would count twice,
            or stand for a record that was never measured.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    record = Record.from_json(text, path)
    place = _place(record, Path())
    if path.name != place.name:
        raise InputError(f"{path}: a record of this content is named {place}")
    return record


def _record_at(path: Path, out: Path) -> Record:
    record = read_record(path)
    place = _place(record, out)
    if path != place:
        raise InputError(f"{path}: a record of this content is named {place.relative_to(out)}")
    return record


def _place(record: Record, out: Path) -> Path:
    return record_path(out, record.dataset, record.model, record.variant, record.seed, record.id)
