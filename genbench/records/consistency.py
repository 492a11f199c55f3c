"""What a record says twice must agree.

A digest says that a record was not edited, but whoever edits it can compute another digest. The
rules below hold for every record that was measured, so that a forged value must agree with all that
follows from it:

    sum of the terms         = bits_per_dim
    bits_per_dim             = nats / (D log 2),    D = C H W
    likelihood               images, repeats and options are those of protocol and evaluation
    a run that is done       has every metric of its protocol that can be measured, and a likelihood
                             if and only if its density is explicit
    a curve over images seen is of the protocol's quality metric, and ends with the training
    metrics of class scores  are at most what the number of the extractor's classes allows
    a run that diverged      has neither, and saw the images up to the one at which it diverged
    its configuration        has the record's seed, evaluation, protocol and needed runs
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

from genbench.records.catalogue import curve_metric, metric_info
from genbench.records.contents import Contents
from genbench.records.curve import Curve
from genbench.records.parts import DEFAULT, Likelihood, ProtocolIdentity
from genbench.system.locations import shipped
from genbench.system.typed import Count, read_value
from genbench.system.yaml12 import read_yaml

__all__ = ["contradictions", "needed_names"]

# Sums of a few terms in float64 have at most this error, relative to the sum of their absolute
# values.
ROUNDING = 1e-9

# Class scores have this error, since extractors give them in float32.
CLASS_ROUNDING = 1e-4


def contradictions(record: Contents) -> Iterator[str]:
    """Sentences about what a record says twice, and differently. A record that was measured gives
    none.
    """
    yield from in_protocol(record.protocol)
    yield from in_kind(record)
    if record.status == "done":
        yield from in_metrics(record)
        yield from in_classes(record)
    elif record.cost.images_seen != record.diverged_at:
        seen = record.cost.images_seen
        yield f"cost.images_seen is {seen}, but diverged_at is {record.diverged_at}"
    if record.likelihood is not None:
        yield from in_values(record, record.likelihood)
        yield from in_circumstances(record, record.likelihood)
    yield from in_options("sample", record.sample_options, record.sample_defaults)
    if record.curve is not None:
        yield from in_curve(record, record.curve)
    if record.density != "-":
        yield from in_config(record, record.provenance.config)


def needed_names(config: Mapping[str, Any]) -> set[str]:
    """The runs that a configuration needs, by its names for them. The needed runs of a needed run
    `teacher` are called `teacher.<name>`.
    """
    names: set[str] = set()
    for name, needed in (config.get("needs") or {}).items():
        names |= {name, *(f"{name}.{inner}" for inner in needed_names(needed))}
    return names


def in_protocol(protocol: ProtocolIdentity) -> Iterator[str]:
    """Contradictions between the fields of a protocol."""
    if len(set(protocol.metrics)) < len(protocol.metrics):
        yield f"protocol.metrics names a metric twice: {', '.join(protocol.metrics)}"
    for name in ("extractor", "statistics"):
        value = getattr(protocol, name)
        content_hash = getattr(protocol, f"{name}_hash")
        if (value is None) != (content_hash is None):
            yield f"protocol.{name} is {value!r}, but protocol.{name}_hash is {content_hash!r}"
    if (protocol.statistics is None) != (protocol.reference_images > 0):
        images = f"protocol.reference_images is {protocol.reference_images}"
        yield f"{images}, but protocol.statistics is {protocol.statistics!r}"


def in_kind(record: Contents) -> Iterator[str]:
    """Contradictions about what was scored. The noise floor and foreign images are no runs: they
    have no model, no likelihood and no speed.
    """
    is_run = record.density != "-"
    if is_run == (record.is_noise_floor or record.is_foreign):
        about = f"the model is {record.model} of the family {record.family!r}"
        yield f"density is {record.density!r}, but {about}"
    if record.is_noise_floor != (record.family == "-"):
        yield f"family is {record.family!r}, but the model is {record.model}"
    is_measured = is_run and record.status == "done"
    weights_hash = record.provenance.weights_hash
    if is_measured != (weights_hash is not None):
        yield f"provenance.weights_hash is {weights_hash!r}, but {subject(record)}"
    if not is_measured and record.speed is not None:
        yield f"speed was measured, but {subject(record)}"
    cost = record.cost
    if not is_run and (cost.images_seen or cost.train_seconds or cost.parameters):
        yield f"cost is not zero, but {subject(record)}"


def subject(record: Contents) -> str:
    """What a record is about, in words."""
    if record.is_noise_floor:
        return "a noise floor is no run"
    if record.is_foreign:
        return "the images are another tool's"
    return f"the run has status {record.status}"


def in_metrics(record: Contents) -> Iterator[str]:
    """Contradictions about which metrics and likelihoods a finished run has."""
    is_explicit = record.density == "explicit"
    of_encoders = {"reconstructions", "encodings", "divergences"}
    for name in record.protocol.metrics:
        info = metric_info(name)
        # The samples of the noise floor are training images.
        is_absent = record.is_noise_floor and "training images" in info.inputs
        # It is not known for which y the images of the noise floor and foreign images stand, and no
        # model encodes or reconstructs for them.
        is_run = record.density != "-"
        # A record does not say whether its model encodes and decodes.
        if is_run and not of_encoders.isdisjoint(info.inputs):
            continue
        of_runs = {"pairs", "codes", *of_encoders}
        is_absent = is_absent or (not is_run and not of_runs.isdisjoint(info.inputs))
        is_absent = is_absent or (info.of_likelihood and not is_explicit)
        is_joint = record.likelihood is not None and record.likelihood.conditional
        is_absent = is_absent or ("joint density" in info.inputs and not is_joint)
        if (name in record.metrics) == is_absent:
            state = "there" if is_absent else "missing"
            about = f"density is {record.density!r}, model {record.model}"
            yield f"metrics.{name} is {state}, but {about}"
    if is_explicit != (record.likelihood is not None):
        state = "null" if record.likelihood is None else "there"
        yield f"density is {record.density!r}, but likelihood is {state}"


def in_classes(record: Contents) -> Iterator[str]:
    """Contradictions between metrics of class scores and the number of classes of the extractor,
    where that is known.
    """
    protocol = record.protocol
    if protocol.extractor is None:
        return
    classes = classes_of(protocol.extractor, protocol.extractor_hash)
    if not classes:
        return
    largest = {"classes": float(classes), "log classes": math.log(classes)}
    for name, metric in record.metrics.items():
        bound = metric_info(name).largest
        if bound is not None and metric.value > largest[bound] * (1 + CLASS_ROUNDING):
            yield (
                f"metrics.{name}.value is {metric.value}, but extractor {protocol.extractor} "
                f"tells {classes} classes apart: it is at most {largest[bound]:g}"
            )


@cache
def classes_of(extractor: str, weights_hash: str | None) -> int | None:
    """The number of classes of an extractor. None where there is no card of that name with weights
    of that hash: a record says nothing else about it.

    Args:
        extractor: Name of the extractor.
        weights_hash: SHA-256 of its weights.
    """
    cards = {path.stem: path for path in shipped("configs", "features").glob("*.yaml")}
    if extractor not in cards:
        return None
    card = read_yaml(cards[extractor])
    if card.get("sha256") != weights_hash:
        return None
    classes: int = read_value(Count, card["init_args"]["classes"], "init_args.classes")
    return classes


def in_values(record: Contents, likelihood: Likelihood) -> Iterator[str]:
    """Contradictions between the numbers of a likelihood: bits per dimension, terms and nats."""
    bits = likelihood.bits_per_dim
    total = math.fsum(likelihood.terms.values())
    scale = bits + sum(map(abs, likelihood.terms.values()))
    if abs(total - bits) > ROUNDING * scale:
        yield f"likelihood.terms add up to {total}, but likelihood.bits_per_dim is {bits}"
    from_nats = likelihood.nats / (math.prod(record.protocol.shape) * math.log(2))
    if abs(from_nats - bits) > ROUNDING * bits:
        yield (
            f"likelihood.nats is {likelihood.nats}, which is {from_nats} bits per dimension, "
            f"but likelihood.bits_per_dim is {bits}"
        )


def in_circumstances(record: Contents, likelihood: Likelihood) -> Iterator[str]:
    """Contradictions between a likelihood and the way in which the protocol measures it."""
    if likelihood.options != record.log_prob_options:
        options = f"likelihood.options is {likelihood.options}"
        yield f"{options}, but log_prob_options is {record.log_prob_options}"
    yield from in_options("likelihood", likelihood.options, likelihood.defaults)
    protocol = record.protocol
    scored = protocol.scored_images or protocol.reference_images
    if protocol.reference_images:
        scored = min(scored, protocol.reference_images)
    images = likelihood.images
    if scored and images != scored:
        yield f"likelihood.images is {images}, but by the protocol it is {scored}"
    repeats = 1 if likelihood.kind == "exact" else protocol.repeats
    if likelihood.repeats != repeats:
        yield f"likelihood.repeats is {likelihood.repeats}, but by the protocol it is {repeats}"
    if (likelihood.repeats == 1) != (likelihood.repeat_error is None):
        error = f"likelihood.repeat_error is {likelihood.repeat_error}"
        yield f"{error}, but likelihood.repeats is {likelihood.repeats}"
    if (images == 1) != (likelihood.stderr is None):
        yield f"likelihood.stderr is {likelihood.stderr}, but likelihood.images is {images}"


def in_curve(record: Contents, curve: Curve) -> Iterator[str]:
    """Contradictions between a record and the curve over the images seen."""
    metric = curve_metric(record.protocol.metrics)
    if curve.metric != metric:
        yield f"curve.metric is {curve.metric!r}, but by the protocol it is {metric!r}"
    seen = record.cost.images_seen
    if curve.last.images_seen > seen:
        yield f"curve ends at {curve.last.images_seen} images, but cost.images_seen is {seen}"
    allowed = metric_info(curve.metric).range
    for point in curve.points:
        if point.value not in allowed:
            yield f"curve has {point.value} at {point.images_seen} images, not {allowed}"


def in_options(name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """Options that a record lists both as chosen and as left at their defaults.

    Args:
        name: What the options are of.
        options: Options that were chosen.
        defaults: Options that were not chosen, with their values.
    """
    for option in sorted(options.keys() & defaults.keys()):
        both = "among the options of"
        yield f"{option} is {both} {name} that were given, and among those that were not"


def in_config(record: Contents, config: Mapping[str, Any]) -> Iterator[str]:
    """Contradictions between a record and the configuration of its run."""
    if config.get("seed") != record.seed:
        yield f"seed is {record.seed}, but provenance.config.seed is {config.get('seed')!r}"
    protocol = config.get("protocol")
    name = record.protocol.name
    if isinstance(protocol, str) and PurePath(protocol).name.removesuffix(".yaml") != name:
        yield f"protocol.name is {name!r}, but provenance.config.protocol is {protocol!r}"
    needed = needed_names(config)
    if record.needs.keys() != needed:
        names = f"needs has {names_text(record.needs)}"
        yield f"{names}, but provenance.config.needs has {names_text(needed)}"
    if "evaluations" in config:
        yield from in_evaluation(record, config["evaluations"] or {DEFAULT: {}})


def in_evaluation(record: Contents, evaluations: Mapping[str, Any]) -> Iterator[str]:
    """Contradictions between the options of a record and those of its configuration's evaluation.

    Args:
        record: The record.
        evaluations: Name of each evaluation -> its options. In records of older versions the
            default one has no name.
    """
    name = record.variant
    if not name and "" not in evaluations:
        name = DEFAULT
    if name not in evaluations:
        known = f"provenance.config.evaluations has {names_text(evaluations)}"
        yield f"variant is {record.variant!r}, but {known}"
        return
    for key in ("sample", "log_prob"):
        options = getattr(record, f"{key}_options")
        noted = evaluations[name].get(key, {})
        if options != noted:
            place = f"provenance.config.evaluations.{name}.{key}"
            yield f"{key}_options is {options}, but {place} is {noted}"


def names_text(names: Iterable[str]) -> str:
    """Names in alphabetical order, in quotes."""
    return ", ".join(map(repr, sorted(names))) or "none"
