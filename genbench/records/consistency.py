"""What a record says twice must agree.

A digest says that a record was not edited, and whoever edits it can compute another digest. What is
here holds for every record that was measured, so that a forged value must agree with all that
follows from it:

    sum of the terms     = bits_per_dim,        bits_per_dim = nats / (D log 2),    D = C H W
    likelihood           images, repeats and options are those of the protocol and of the evaluation
    a run that is done   has every metric of its protocol, and a likelihood if and only if its density is explicit
    a run that diverged  has neither, and was seen up to the image at which it diverged
    its configuration    has the record's seed, evaluation, protocol and needed runs
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from genbench.records.catalogue import metric_info

if TYPE_CHECKING:
    from genbench.records.parts import Likelihood, ProtocolIdentity
    from genbench.records.record import Record

__all__ = ["contradictions", "needed_names"]

# float64 sums of a few terms; relative to the sum of their absolute values
_ROUNDING = 1e-9


def contradictions(record: Record) -> Iterator[str]:
    """Sentences about what a record says twice, and differently; none for a record that was
    measured.
    """
    yield from _of_protocol(record.protocol)
    yield from _of_kind(record)
    if record.status == "done":
        yield from _of_metrics(record)
    else:
        yield from _of_divergence(record)
    if record.likelihood is not None:
        yield from _of_likelihood(record, record.likelihood)
    yield from _of_options("sample", record.sample_options, record.sample_defaults)
    if record.density != "-":
        yield from _of_config(record, record.provenance.config)


def needed_names(config: Mapping[str, Any]) -> set[str]:
    """The runs that a configuration needs, by its names for them, and theirs as `teacher.teacher`."""
    names: set[str] = set()
    for name, needed in (config.get("needs") or {}).items():
        names |= {name, *(f"{name}.{inner}" for inner in needed_names(needed))}
    return names


def _of_protocol(protocol: ProtocolIdentity) -> Iterator[str]:
    if len(set(protocol.metrics)) < len(protocol.metrics):
        yield f"protocol.metrics names a metric twice: {', '.join(protocol.metrics)}"
    for name in ("extractor", "statistics"):
        value = getattr(protocol, name)
        content_hash = getattr(protocol, f"{name}_hash")
        if (value is None) != (content_hash is None):
            yield f"protocol.{name} is {value!r}, but protocol.{name}_hash is {content_hash!r}"
    if (protocol.statistics is None) != (protocol.reference_images > 0):
        yield f"protocol.reference_images is {protocol.reference_images}, but protocol.statistics is {protocol.statistics!r}"


def _of_kind(record: Record) -> Iterator[str]:
    """The noise floor and foreign images are no runs: no model, no likelihood, no speed."""
    if (record.density == "-") != (record.is_noise_floor or record.is_foreign):
        yield f"density is {record.density!r}, but the model is {record.model} of the family {record.family!r}"
    if record.is_noise_floor != (record.family == "-"):
        yield f"family is {record.family!r}, but the model is {record.model}"
    is_run = record.density != "-"
    measured = is_run and record.status == "done"
    if measured != (record.provenance.weights_hash is not None):
        yield f"provenance.weights_hash is {record.provenance.weights_hash!r}, but {_what(record)}"
    if not measured and record.speed is not None:
        yield f"speed was measured, but {_what(record)}"
    if not is_run and (
        record.cost.images_seen or record.cost.train_seconds or record.cost.parameters
    ):
        yield f"cost is not zero, but {_what(record)}"


def _what(record: Record) -> str:
    """What a record is about, in words."""
    if record.is_noise_floor:
        return "a noise floor is no run"
    if record.is_foreign:
        return "the images are another tool's"
    return f"the run has status {record.status}"


def _of_metrics(record: Record) -> Iterator[str]:
    """A finished run has every metric of its protocol that can be measured, and no other."""
    is_explicit = record.density == "explicit"
    for name in record.protocol.metrics:
        info = metric_info(name)
        # the samples of the noise floor are training images
        is_absent = record.is_noise_floor and "training images" in info.inputs
        is_absent = is_absent or (info.of_likelihood and not is_explicit)
        if (name in record.metrics) == is_absent:
            state = "there" if is_absent else "missing"
            about = f"density is {record.density!r}, model {record.model}"
            yield f"metrics.{name} is {state}, but {about}"
    if is_explicit != (record.likelihood is not None):
        state = "null" if record.likelihood is None else "there"
        yield f"density is {record.density!r}, but likelihood is {state}"


def _of_divergence(record: Record) -> Iterator[str]:
    if record.cost.images_seen != record.diverged_at:
        yield f"cost.images_seen is {record.cost.images_seen}, but diverged_at is {record.diverged_at}"


def _of_likelihood(record: Record, likelihood: Likelihood) -> Iterator[str]:
    bits = likelihood.bits_per_dim
    terms = math.fsum(likelihood.terms.values())
    if abs(terms - bits) > _ROUNDING * (bits + sum(map(abs, likelihood.terms.values()))):
        yield f"likelihood.terms add up to {terms}, but likelihood.bits_per_dim is {bits}"
    from_nats = likelihood.nats / (math.prod(record.protocol.shape) * math.log(2))
    if abs(from_nats - bits) > _ROUNDING * bits:
        yield f"likelihood.nats is {likelihood.nats}, which is {from_nats} bits per dimension, but likelihood.bits_per_dim is {bits}"
    if likelihood.options != record.log_prob_options:
        yield f"likelihood.options is {likelihood.options}, but log_prob_options is {record.log_prob_options}"
    yield from _of_options("likelihood", likelihood.options, likelihood.defaults)
    scored = record.protocol.scored_images or record.protocol.reference_images
    if record.protocol.reference_images:
        scored = min(scored, record.protocol.reference_images)
    if scored and likelihood.images != scored:
        yield f"likelihood.images is {likelihood.images}, but by the protocol it is {scored}"
    repeats = 1 if likelihood.kind == "exact" else record.protocol.repeats
    if likelihood.repeats != repeats:
        yield f"likelihood.repeats is {likelihood.repeats}, but by the protocol it is {repeats}"
    if (likelihood.repeats == 1) != (likelihood.repeat_error is None):
        yield f"likelihood.repeat_error is {likelihood.repeat_error}, but likelihood.repeats is {likelihood.repeats}"
    if (likelihood.images == 1) != (likelihood.stderr is None):
        yield f"likelihood.stderr is {likelihood.stderr}, but likelihood.images is {likelihood.images}"


def _of_options(
    name: str, options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[str]:
    for option in sorted(options.keys() & defaults.keys()):
        yield f"{option} is among the options of {name} that were given, and among those that were not"


def _of_config(record: Record, config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("seed") != record.seed:
        yield f"seed is {record.seed}, but provenance.config.seed is {config.get('seed')!r}"
    protocol = config.get("protocol")
    if (
        isinstance(protocol, str)
        and PurePath(protocol).name.removesuffix(".yaml") != record.protocol.name
    ):
        yield f"protocol.name is {record.protocol.name!r}, but provenance.config.protocol is {protocol!r}"
    if record.needs.keys() != needed_names(config):
        yield f"needs has {_names(record.needs)}, but provenance.config.needs has {_names(needed_names(config))}"
    if "evaluations" in config:
        yield from _of_evaluation(record, config["evaluations"] or {"default": {}})


def _of_evaluation(record: Record, evaluations: Mapping[str, Any]) -> Iterator[str]:
    name = record.variant or ("" if "" in evaluations else "default")
    if name not in evaluations:
        yield f"variant is {record.variant!r}, but provenance.config.evaluations has {_names(evaluations)}"
        return
    for key in ("sample", "log_prob"):
        options = getattr(record, f"{key}_options")
        noted = evaluations[name].get(key, {})
        if options != noted:
            yield f"{key}_options is {options}, but provenance.config.evaluations.{name}.{key} is {noted}"


def _names(names: Any) -> str:
    return ", ".join(map(repr, sorted(names))) or "none"
