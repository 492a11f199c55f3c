"""All that is known of an evaluation before anything is measured. It is found out once per command
and handed down.

`ResolvedProtocol` says how images of one data set are judged. `RunEvaluation` says what is to be
measured of one run, with one `Target` per variant, and which records it goes into.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from genbench.config.check import check_config
from genbench.config.protocol import Protocol, load_protocol
from genbench.config.settings import Evaluation
from genbench.data.images import ImageData
from genbench.errors import InputError, nearest
from genbench.evaluation.reference import moments_of, reference_of
from genbench.metrics.card import Card, card_file, read_card
from genbench.metrics.codes import check_encodes
from genbench.metrics.extractor import Extractor, check_levels, load_extractor
from genbench.model import GenerativeModel
from genbench.records.catalogue import metric_info
from genbench.records.parts import ProtocolIdentity, variant_of
from genbench.records.record import record_id
from genbench.records.store import read_record, record_path
from genbench.runs.build import Loaded
from genbench.system.files import file_digest

__all__ = [
    "ResolvedProtocol",
    "RunEvaluation",
    "Target",
    "check_model",
    "check_protocol",
    "device_class",
    "resolve_protocol",
    "resolve_run",
]


@dataclass(frozen=True)
class ResolvedProtocol:
    """A protocol made ready for the images of one data set on one device.

    Attributes:
        protocol: How images are judged.
        data: What they should look like.
        device: Where to compute.
        extractor: The extractor that the protocol names, on the device; None: it names none.
        identity: What two records must share to share a table.
    """

    protocol: Protocol
    data: ImageData
    device: str
    extractor: Extractor | None
    identity: ProtocolIdentity

    @cached_property
    def reference(self) -> dict[str, Any]:
        """What samples are compared with, computed at the first use: fields of `Samples`."""
        return reference_of(self.data, self.protocol, self.extractor, self.device)

    def of_training(self, seed: int) -> ResolvedProtocol:
        """This protocol with the seed by which one training is evaluated; its identity stays."""
        return replace(self, protocol=self.protocol.of_training(seed))


def resolve_protocol(protocol: Protocol, data: ImageData, device: str = "cpu") -> ResolvedProtocol:
    """Load the extractor of a protocol, and hash everything that a number depends on besides the
    model.

    Args:
        protocol: How images are judged.
        data: What they should look like.
        device: Where to compute.

    Raises:
        InputError: The protocol does not fit the data, or a file that it names is missing.
    """
    extractor = None
    if protocol.extractor is not None:
        extractor = load_extractor(protocol.extractor, device, data.spec.levels, data.root)
    check_inputs(protocol, data, extractor)
    check_statistics(protocol, data, extractor)
    identity = protocol_identity(protocol, data, extractor)
    return ResolvedProtocol(protocol, data, device, extractor, identity)


def check_protocol(protocol: Protocol, data: ImageData) -> None:
    """Check, before a run is trained, all that `resolve_protocol` checks but for the weights of the
    extractor, which may be fetched later.

    Args:
        protocol: How the run will be judged.
        data: Its images.

    Raises:
        InputError: The protocol does not fit the data, or a file that it names is missing.
    """
    card = None
    if protocol.extractor is not None:
        card = read_card(card_file(protocol.extractor))
        check_levels(protocol.extractor, card, data.spec.levels)
        if card.url is None and card.shape != data.spec.shape:
            raise InputError(
                f"protocol {protocol.name}: extractor {protocol.extractor} sees images of "
                f"{card.shape}; {data.name} has {data.spec.shape}"
            )
    check_inputs(protocol, data, card)
    check_statistics(protocol, data, card)


def check_model(protocol: Protocol, model: GenerativeModel) -> None:
    """Check that a model has what the protocol's metrics ask every model for.

    Args:
        protocol: How it will be judged.
        model: The model, which may be untrained.

    Raises:
        InputError: The protocol measures codes, and the model has none.
    """
    for name in protocol.metrics:
        if "codes" in metric_info(name).inputs:
            check_encodes(model, f"protocol {protocol.name} measures {name}, which")


def check_statistics(
    protocol: Protocol, data: ImageData, extractor: Extractor | Card | None
) -> None:
    """Check the file of statistics that a protocol names, if it names one.

    Raises:
        InputError: There is no such file, or it is not of features of the extractor.
    """
    if protocol.statistics is not None:
        _statistics_hash(protocol, data)
        if extractor is not None:
            moments_of(data, protocol, extractor.features)


def check_inputs(protocol: Protocol, data: ImageData, extractor: Extractor | Card | None) -> None:
    """Check that data and extractor have what the protocol's metrics are computed from.

    Raises:
        InputError: One line that names the metric and what is missing.
    """
    for name in protocol.metrics:
        inputs = metric_info(name).inputs
        measures = f"protocol {protocol.name} measures {name}, which needs"
        if "labels" in inputs and not data.spec.classes:
            raise InputError(f"{measures} labels; {data.name} has none")
        if "pairs" in inputs and not data.is_paired:
            raise InputError(f"{measures} pairs of images; {data.name} has none")
        if "known distribution" in inputs and data.known_components is None:
            raise InputError(f"{measures} points2d; not {data.name}")
        if "known probabilities" in inputs and not knows_probabilities(data):
            raise InputError(f"{measures} known probabilities; {data.name} has none")
        if "class scores" in inputs and extractor and not extractor.classes:
            raise InputError(f"{measures} class scores; extractor {protocol.extractor} has none")


def protocol_identity(
    protocol: Protocol, data: ImageData, extractor: Extractor | None
) -> ProtocolIdentity:
    """Everything that a number depends on besides the model.

    Raises:
        InputError: There is no file of the statistics that the protocol names.
    """
    return ProtocolIdentity(
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


def knows_probabilities(data: ImageData) -> bool:
    """Whether log p of an image is known."""
    x, _ = data.tensors("test")
    return data.known_log_prob(x[:1]) is not None


def _statistics_hash(protocol: Protocol, data: ImageData) -> str:
    path = protocol.statistics_file(data.root)
    if not path.is_file():
        raise InputError(f"protocol {protocol.name}: no statistics file {path}")
    return file_digest(path)


@dataclass(frozen=True)
class Target:
    """One evaluation of a run.

    Attributes:
        variant: Name of the evaluation in records; empty for the default one.
        options: Options of `sample` and `log_prob`.
        path: File of the record, whether it is there or not.
    """

    variant: str
    options: Evaluation
    path: Path


@dataclass(frozen=True)
class RunEvaluation:
    """What is to be measured of one run.

    Attributes:
        loaded: The run with its data and model.
        resolved: How it is judged, with the seed of its training.
        config_hash: Hash of its configuration, as in the first record of its row.
        out: Folder with records/ and pictures/.
        targets: What is measured, and where it goes: one for each variant.
    """

    loaded: Loaded
    resolved: ResolvedProtocol
    config_hash: str
    out: Path
    targets: tuple[Target, ...]


def resolve_run(
    loaded: Loaded, out: Path, variants: Sequence[str] | None = None, device: str = "cpu"
) -> RunEvaluation:
    """Resolve protocol, options, identity and files of the evaluations of a run.

    Args:
        loaded: The run with its data and model, which may be untrained.
        out: Folder with records/ and pictures/.
        variants: Names of some of its configuration's evaluations. None: all.
        device: Where to compute.

    Raises:
        InputError: There is no such evaluation, or the protocol does not fit the data.
    """
    config = loaded.config
    data = loaded.data
    if variants is None:
        variants = list(config.evaluations)
    evaluations = {name: evaluation_of(loaded, name) for name in variants}
    protocol = protocol_of(loaded)
    check_model(protocol, loaded.model)
    resolved = resolve_protocol(protocol, data, device)
    config_hash = row_hash(loaded, out)
    targets = []
    for name, options in evaluations.items():
        variant = variant_of(name)
        id8 = record_id(
            config_hash,
            resolved.identity,
            variant,
            options.sample,
            options.log_prob,
            device_class(device),
        )
        path = record_path(out, data.name, config.name, variant, config.seed, id8)
        targets.append(Target(variant, options, path))
    return RunEvaluation(
        loaded, resolved.of_training(config.seed), config_hash, out, tuple(targets)
    )


def evaluation_of(loaded: Loaded, name: str) -> Evaluation:
    """The options of one of a run's evaluations.

    Raises:
        InputError: There is none of that name.
    """
    known = loaded.config.evaluations
    if name not in known:
        raise InputError(f"{loaded.run.path} has no evaluation {name!r}; {nearest(name, known)}")
    return known[name]


def protocol_of(loaded: Loaded) -> Protocol:
    """The protocol that a run's configuration names, else that of its data."""
    return load_protocol(loaded.config.resolved["protocol"] or loaded.data.protocol)


def row_hash(loaded: Loaded, out: Path) -> str:
    """The hash of the configuration, as it was when the first record of its row was written: an
    argument that came later, and is at its default, makes no other row.
    """
    config = loaded.config
    hashes = []
    folder = record_path(out, loaded.data.name, config.name, "", 0, "").parent
    for path in folder.glob(f"{glob.escape(config.name)}*.json"):
        record = read_record(path)
        if record.model != config.name:
            continue
        try:
            same = (
                check_config(record.provenance.config, config.name, config.trust, str(path)).hash
                == config.hash
            )
        except InputError:
            # A class or an argument of that time is gone, or the record is of foreign images.
            continue
        if same:
            hashes.append((record.evaluated_at, record.provenance.config_hash))
    if hashes:
        return min(hashes)[1]
    return config.hash


def device_class(device: str) -> Any:
    """The kind of a device as records note it: cpu, cuda or mps."""
    return torch.device(device).type
