"""From a finished run to one record: samples, metrics, likelihood, speed, cost, provenance.

On several processes images are dealt out and gathered by `genbench.processes`; the record is the same.
"""

from __future__ import annotations

import datetime
import glob
import importlib.metadata
import math
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.build import build
from genbench.config import check_config
from genbench.data.canonical import content_order
from genbench.data.images import ImageData, Split
from genbench.errors import InputError, nearest
from genbench.files import checkout, file_digest
from genbench.leaderboard.record import (
    FOREIGN,
    NOISE_FLOOR,
    Cost,
    Metric,
    Need,
    Provenance,
    Record,
    Speed,
    check_place,
    picture_path,
    read_record,
    record_id,
    record_path,
    write_record,
)
from genbench.leaderboard.record import Protocol as RecordedProtocol
from genbench.loggers import log_record
from genbench.metrics.energy import energy_distance
from genbench.metrics.extractor import Extractor, load_extractor
from genbench.metrics.features import FeatureBank, Features, sample_metrics, sample_metrics_against
from genbench.metrics.frechet import load_statistics
from genbench.metrics.likelihood import log_table, measure_likelihood
from genbench.metrics.points import kl_divergence, mode_coverage, mode_coverage_errors
from genbench.metrics.reference import reference_features
from genbench.metrics.resampling import Estimate
from genbench.metrics.speed import measure_speed
from genbench.pending import discard_pending, read_pending, write_pending
from genbench.pictures import save_grid
from genbench.processes import agreed, chunks, first_alone, gathered, rank
from genbench.protocol import IMAGE_METRICS, TABLE_METRICS, Protocol, load_protocol
from genbench.rng import Rng
from genbench.run import Loaded, Run, open_run
from genbench.settings import Evaluation
from genbench.spec import Spec

__all__ = [
    "device_class", "draw", "evaluate", "expected_record", "new_provenance", "noise_floor", "now", "protocol_identity", "record_divergence",
    "save_picture", "score", "score_samples",
]  # fmt: skip

_PICTURE = 64
# random halves for the errors of sample metrics: errors to a tenth
_DRAWS = 50


def evaluate(name: str | Path | Run, variant: str, out: Path, trust: tuple[str, ...] = (), device: str = "cpu") -> Path:
    """Measure a finished run and write its record and its sample grid.

    Args:
        name: The run.
        variant: Which of its configuration's evaluations; "" is the plain one.
        out: Folder with records/ and pictures/.
        trust: Modules outside genbench that its configuration may name.
        device: Where to compute.

    Returns:
        The record's file. An existing record is left as it is.
    """
    loaded = open_run(name, trust, device)
    path = expected_record(loaded, variant, out, device)
    if not agreed(path.exists()):
        scores = _scored(loaded, variant, path, out, device)
        with torch.no_grad(), first_alone() as first:
            if first:
                speed = measure_speed(loaded.model, device, _evaluation(loaded, variant).sample, budget_seconds=20)
                timed = Speed(**{field.name: speed[field.name] for field in fields(Speed) if field.name in speed})
                record = replace(scores, speed=timed, evaluated_at=now())
                write_record(out, record)
                log_record(loaded.config, loaded.run.path, record, path, _picture_path(record, out))
    if rank() == 0:
        discard_pending(loaded.run.path, path)
    return path


def score(name: str | Path | Run, variant: str, out: Path, trust: tuple[str, ...] = (), device: str = "cpu") -> None:
    """The part of `evaluate` that may go on beside other runs: all but the speed. What is measured waits in the run's folder.

    The arguments are those of `evaluate`, which measures the speed later and writes the record.
    """
    loaded = open_run(name, trust, device)
    path = expected_record(loaded, variant, out, device)
    if not agreed(path.exists()):
        _scored(loaded, variant, path, out, device)


def _scored(loaded: Loaded, variant: str, path: Path, out: Path, device: str) -> Record:
    """The record without a speed: the one that waits, else measured, and then it waits."""
    data, model, weights = loaded.data, loaded.model, file_digest(loaded.run.weights)
    blank = _record(loaded, variant, device, out, status="done", weights_hash=weights)
    waiting = read_pending(loaded.run.path, path, blank)
    if agreed(waiting is not None):
        return waiting or blank  # which of them matters to the first process alone
    check_place(out, blank.dataset, blank.model, variant, blank.seed, blank.id)
    evaluation, protocol = _evaluation(loaded, variant), _protocol(loaded).of_training(loaded.config.seed)
    with torch.no_grad():
        images = _sampled(loaded, evaluation, protocol, device)
        likelihood, table = None, None
        if model.likelihood is not None:
            likelihood = measure_likelihood(model, data, evaluation.log_prob, protocol, device)
            if "kl" in protocol.metrics:
                table = log_table(model, data, evaluation.log_prob, protocol, device)
        metrics = score_samples(images, data, protocol, device, table)
    scores = replace(blank, metrics=metrics, likelihood=likelihood, evaluated_at=now())
    with first_alone() as first:
        if first:
            save_picture(images, scores, out)
            write_pending(loaded.run.path, path, scores)
    return scores


def record_divergence(run: Run, out: Path, trust: tuple[str, ...] = (), device: str = "cpu") -> list[Path]:
    """Write what is known of a diverged run: that it diverged, and at which image. One record per evaluation."""
    config = run.recorded_config(trust)
    loaded = Loaded(run, config, *build(config))
    paths = []
    for variant in config.evaluations:
        record = _record(loaded, variant, device, out, status="diverged", diverged_at=run.state()["diverged_at"])
        paths.append(write_record(out, record))
        log_record(config, run.path, record, paths[-1], _picture_path(record, out))
    return paths


def noise_floor(data: ImageData, seed: int, out: Path, device: str = "cpu", protocol_name: str | None = None) -> Path | None:
    """The record of a perfect model: as many training images as a protocol generates, against the same reference.

    The seed decides which training images, where there are more than needed; None where there are fewer. The protocol is that of
    the data, unless another is named.
    """
    protocol = load_protocol(protocol_name or data.protocol)
    identity, kind = protocol_identity(protocol, data), device_class(device)
    path = record_path(out, data.name, NOISE_FLOOR, "", seed, record_id(NOISE_FLOOR, identity, "", {}, {}, kind))
    x, _ = data.tensors("train", device)
    if len(x) < protocol.images or path.exists():
        return path if path.exists() else None
    order = torch.argsort(Rng(seed, range(len(x)), device=device).split("noise floor").bits())
    images = x[order[: protocol.images]]
    metrics = score_samples(images, data, protocol.of_training(seed), device)
    metrics.pop("memorisation", None)  # they are the training images
    record = Record(
        dataset=data.name, model=NOISE_FLOOR, family="-", variant="", seed=seed, device_class=kind, status="done", density="-",
        protocol=identity, metrics=metrics, likelihood=None,
        sample_options={}, log_prob_options={}, speed=None,
        cost=Cost(0, 0, 0.0, "-"), provenance=new_provenance({}, NOISE_FLOOR, None), diverged_at=None, evaluated_at=now(),
    )  # fmt: skip
    save_picture(images, record, out)
    return write_record(out, record)


def expected_record(loaded: Loaded, variant: str, out: Path, device: str = "cpu") -> Path:
    """Where the record of an evaluation lies, whether it is there or not."""
    config, kind = loaded.config, device_class(device)
    options, identity = _evaluation(loaded, variant), protocol_identity(_protocol(loaded), loaded.data)
    row = _row_hash(loaded, out)
    id8 = record_id(row, identity, variant, options.sample, options.log_prob, kind)
    return record_path(out, loaded.data.name, config.name, variant, config.seed, id8)


def _row_hash(loaded: Loaded, out: Path) -> str:
    """The hash of the configuration, as it was when the first record of its row was written: an argument that came later, and is
    at its default, makes no other row."""
    config, found = loaded.config, []
    folder = record_path(out, loaded.data.name, config.name, "", 0, "").parent
    for path in folder.glob(f"{glob.escape(config.name)}*.json"):
        record = read_record(path)
        if record.model != config.name or record.family == FOREIGN:
            continue
        try:
            same = check_config(record.provenance.config, config.name, config.trust, str(path)).hash == config.hash
        except InputError:  # a class or an argument of its time is gone
            continue
        if same:
            found.append((record.evaluated_at, record.provenance.config_hash))
    return min(found)[1] if found else config.hash


def protocol_identity(protocol: Protocol, data: ImageData) -> RecordedProtocol:
    """Everything that a number depends on besides the model: what two records must share to share a table.

    Raises:
        InputError: The protocol does not fit the data.
    """
    if "class_recall" in protocol.metrics and data.spec.labels is None:
        raise InputError(f"protocol {protocol.name} measures class_recall, which needs labels; {data.name} has none")
    if data.known_components is None and (needs := sorted(set(protocol.metrics) & set(TABLE_METRICS))):
        raise InputError(f"protocol {protocol.name} measures {', '.join(needs)}, which need points2d; not {data.name}")
    extractor = load_extractor(protocol.extractor, root=data.root) if protocol.extractor else None
    if extractor and "is" in protocol.metrics and not extractor.classes:
        raise InputError(f"protocol {protocol.name} measures is, which needs class scores; extractor {extractor.name} has none")
    return RecordedProtocol(
        name=protocol.name,
        dataset=data.name,
        data_hash=data.content_hash,
        split=protocol.split,
        shape=data.spec.shape,
        levels=data.spec.levels,
        reference_images=len(data.arrays(protocol.split)[0]) if protocol.statistics is None else 0,
        generated_images=protocol.images,
        extractor=protocol.extractor,
        extractor_hash=extractor.hash if extractor else None,
        evaluation_seed=protocol.evaluation_seed,
        chunk=protocol.chunk,
        metrics=protocol.metrics,
        scored_images=protocol.scored_images,
        repeats=protocol.repeats,
        seeds=protocol.seeds,
        evaluated_by="own seeds",
        statistics=protocol.statistics and protocol.statistics_file().name,
        statistics_hash=protocol.statistics and _statistics_hash(protocol, data),
    )


def _statistics_hash(protocol: Protocol, data: ImageData) -> str:
    path = protocol.statistics_file(data.root)
    if not path.is_file():
        raise InputError(f"protocol {protocol.name}: no statistics file {path}")
    return file_digest(path)


def _protocol(loaded: Loaded) -> Protocol:
    return load_protocol(loaded.config.resolved["protocol"] or loaded.data.protocol)


# --- chunks of global indices -------------------------------------------------------------------------------------------


def draw(
    loaded: Loaded, n: int, seed: int, chunk: int, options: dict[str, Any], device: str, label: int | None = None
) -> Iterator[tuple[int, Tensor]]:
    """This process's share of n samples, as (first index, uint8 images): sample i is a function of (weights, seed, i).

    A model of p(x | y) is given y by the class frequencies of the training split, or `label` for every image.
    """
    model = loaded.model
    for first, indices in chunks(n, chunk):
        rng = Rng.of_samples(seed, indices, model.dtype, device)
        y = loaded.data.draw_labels(rng) if label is None else torch.full((len(rng),), label, device=device)
        try:
            images = model.sample(rng, y, **options)
        except (TypeError, ValueError) as error:
            raise InputError(f"sample options {options}: {error}") from None
        yield first, images[: n - first]


def _sampled(loaded: Loaded, evaluation: Evaluation, protocol: Protocol, device: str) -> Tensor:
    parts = draw(loaded, protocol.images, protocol.evaluation_seed, protocol.chunk, evaluation.sample, device)
    return gathered(list(parts), device)


# --- what is measured -----------------------------------------------------------------------------------------------------


def score_samples(
    images: Tensor, data: ImageData, protocol: Protocol, device: str, log_table: np.ndarray | None = None
) -> dict[str, Metric]:
    """The protocol's sample metrics of images, whoever made them: a function of the images and of the seed, not of their order.

    Args:
        images: uint8 (N, C, H, W).
        data: Where the reference comes from.
        protocol: With the seed of the training that is scored: it orders the images (the splits of IS follow from their order)
            and draws the halves for the errors.
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
        found |= {"modes_covered": (float(modes), modes_error), "high_quality": (quality, quality_error)}
        if log_table is not None:
            found["kl"] = kl_divergence(data.known_components.sum(0).ravel(), log_table), None
    return {name: Metric(*found[name]) for name in protocol.metrics if name in found}


def _feature_metrics(images: Tensor, data: ImageData, protocol: Protocol, device: str, rng: Rng) -> dict[str, Estimate]:
    """What is measured among the features of an extractor."""
    assert protocol.extractor is not None
    extractor = load_extractor(protocol.extractor, device, data.spec.levels, data.root)
    x = _features(images, extractor, protocol, device)
    if protocol.statistics is not None:
        path = protocol.statistics_file(data.root)
        mean, covariance = load_statistics(path)
        if len(mean) != x.features.shape[1]:
            raise InputError(f"{path} is about {len(mean)} features; extractor {extractor.name} has {x.features.shape[1]}")
        return sample_metrics_against(x, mean.to(device), covariance.to(device), protocol.metrics, rng)

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


# --- the record -----------------------------------------------------------------------------------------------------------


def _evaluation(loaded: Loaded, variant: str) -> Evaluation:
    known = loaded.config.evaluations
    if variant not in known:
        names = [name or "default" for name in known]
        raise InputError(f"{loaded.run.path} has no evaluation {variant or 'default'!r}; {nearest(variant, names)}")
    return known[variant]


def _record(loaded: Loaded, variant: str, device: str, out: Path, weights_hash: str | None = None, **measured: Any) -> Record:
    config, model, state = loaded.config, loaded.model, loaded.run.state()
    options = _evaluation(loaded, variant)
    blank: dict[str, Any] = {"metrics": {}, "likelihood": None, "speed": None, "diverged_at": None}
    return Record(
        dataset=loaded.data.name,
        model=config.name,
        family=config.family,
        variant=variant,
        seed=config.seed,
        device_class=device_class(device),
        density="explicit" if model.likelihood else "implicit",
        protocol=protocol_identity(_protocol(loaded), loaded.data),
        sample_options=options.sample,
        sample_defaults=model.defaults("sample", options.sample),
        log_prob_options=options.log_prob,
        cost=Cost(
            parameters=sum(p.numel() for p in model.parameters()),
            images_seen=state["images_seen"] + state["finalize_images"],
            train_seconds=round(state["seconds"], 1),
            device=state["device"],
        ),
        provenance=new_provenance(_portable(config.resolved), _row_hash(loaded, out), weights_hash),
        evaluated_at=now(),
        needs={name: Need(**facts) for name, facts in state["needs"].items()},
        **{**blank, **measured},
    )


def save_picture(images: Tensor, record: Record, out: Path) -> None:
    """The grid beside a record."""
    protocol = record.protocol
    shown = images if math.prod(protocol.shape) == 2 else images[:_PICTURE]
    save_grid(shown.cpu().numpy(), Spec(protocol.shape, protocol.levels), _picture_path(record, out))


def _picture_path(record: Record, out: Path) -> Path:
    return picture_path(out, record.dataset, record.model, record.variant, record.seed, record.id)


def _portable(resolved: dict[str, Any]) -> dict[str, Any]:
    """The configuration without where it lay and who watched: a record names no folder of anybody's machine."""
    data = {key: value for key, value in resolved["data"].items() if key != "root"}
    portable = {key: value for key, value in resolved.items() if key not in ("run_dir", "wandb", "recipe")} | {"data": data}
    return portable | {"needs": {k: _portable(v) for k, v in resolved["needs"].items()}} if "needs" in resolved else portable


def new_provenance(config: dict[str, Any], config_hash: str, weights_hash: str | None) -> Provenance:
    packages = ("torch", "lightning", "torchmetrics", "numpy")
    return Provenance(
        commit=_COMMIT,
        dirty=_DIRTY,
        config=config,
        config_hash=config_hash,
        weights_hash=weights_hash,
        versions={"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}},
    )


def device_class(device: str) -> Any:
    """cpu, cuda or mps: of a record."""
    return torch.device(device).type


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _git(*arguments: str) -> str | None:
    root = checkout()
    if root is None:  # an installed genbench may lie in the repository of something else
        return None
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


# when the program starts: the checkout may have moved on by the time a record is written
_COMMIT, _DIRTY = _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain", "--", "genbench", "configs"))
