"""What makes two records comparable: protocol, data, statistics, options, device."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genbench.config.check import check_config
from genbench.config.protocol import Protocol, load_protocol
from genbench.config.settings import Evaluation
from genbench.data.images import ImageData
from genbench.errors import InputError, nearest
from genbench.metrics.extractor import load_extractor
from genbench.records.catalogue import metric_info
from genbench.records.parts import ProtocolIdentity
from genbench.records.record import FOREIGN, record_id
from genbench.records.store import read_record, record_path
from genbench.runs.build import Loaded
from genbench.system.files import file_digest

__all__ = [
    "Target",
    "device_class",
    "evaluation_of",
    "expected_record",
    "protocol_identity",
    "protocol_of",
    "row_hash",
    "target",
]


@dataclass(frozen=True)
class Target:
    """What an evaluation is before anything is measured: hashes once, and handed down.

    Attributes:
        variant: Name of the evaluation; "" is the plain one.
        options: Options of `sample` and `log_prob`.
        protocol: How the run is judged.
        identity: What two records must share to share a table.
        config_hash: Hash of the configuration, as in the first record of the row.
        device: Where to compute.
        path: File of the record, whether it is there or not.
    """

    variant: str
    options: Evaluation
    protocol: Protocol
    identity: ProtocolIdentity
    config_hash: str
    device: str
    path: Path


def target(loaded: Loaded, variant: str, out: Path, device: str = "cpu") -> Target:
    """Resolve protocol, options, identity and file of one evaluation of a run.

    Args:
        loaded: The run with its data and model.
        variant: Which of its configuration's evaluations; "" is the plain one.
        out: Folder with records/.
        device: Where to compute.

    Raises:
        InputError: There is no such evaluation, or the protocol does not fit the data.
    """
    config = loaded.config
    options = evaluation_of(loaded, variant)
    protocol = protocol_of(loaded)
    identity = protocol_identity(protocol, loaded.data)
    row = row_hash(loaded, out)
    kind = device_class(device)
    id8 = record_id(row, identity, variant, options.sample, options.log_prob, kind)
    path = record_path(out, loaded.data.name, config.name, variant, config.seed, id8)
    return Target(variant, options, protocol, identity, row, device, path)


def expected_record(loaded: Loaded, variant: str, out: Path, device: str = "cpu") -> Path:
    """Where the record of an evaluation lies, whether it is there or not."""
    return target(loaded, variant, out, device).path


def row_hash(loaded: Loaded, out: Path) -> str:
    """The hash of the configuration, as it was when the first record of its row was written: an
    argument that came later, and is at its default, makes no other row.
    """
    config = loaded.config
    hashes = []
    folder = record_path(out, loaded.data.name, config.name, "", 0, "").parent
    for path in folder.glob(f"{glob.escape(config.name)}*.json"):
        record = read_record(path)
        if record.model != config.name or record.family == FOREIGN:
            continue
        try:
            same = (
                check_config(record.provenance.config, config.name, config.trust, str(path)).hash
                == config.hash
            )
        except InputError:  # a class or an argument of its time is gone
            continue
        if same:
            hashes.append((record.evaluated_at, record.provenance.config_hash))
    if hashes:
        return min(hashes)[1]
    return config.hash


def protocol_identity(protocol: Protocol, data: ImageData) -> ProtocolIdentity:
    """Everything that a number depends on besides the model: what two records must share to share a
    table.

    Raises:
        InputError: The protocol does not fit the data.
    """
    extractor = load_extractor(protocol.extractor, root=data.root) if protocol.extractor else None
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
            raise InputError(f"{measures} class scores; extractor {extractor.name} has none")
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


def protocol_of(loaded: Loaded) -> Protocol:
    return load_protocol(loaded.config.resolved["protocol"] or loaded.data.protocol)


def evaluation_of(loaded: Loaded, variant: str) -> Evaluation:
    known = loaded.config.evaluations
    if variant not in known:
        names = [name or "default" for name in known]
        raise InputError(
            f"{loaded.run.path} has no evaluation {variant or 'default'!r}; {nearest(variant, names)}"
        )
    return known[variant]


def device_class(device: str) -> Any:
    """cpu, cuda or mps: of a record."""
    return torch.device(device).type
