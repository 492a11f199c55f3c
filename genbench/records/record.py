"""What is stored of one evaluated run: one immutable JSON,
`records/<dataset>/<model>[@variant]-s<seed>-<id8>.json`.

    id8 = the first 8 hex digits of SHA-256 over the canonical JSON of
          [config_hash, protocol, variant, sample_options, log_prob_options, device_class]

Its fields are those of `genbench.records.contents`. A record of a diverged run has no metrics; it
says after how many images the run diverged.

    digest = SHA-256 over the canonical JSON of the whole file without the digest

so that a value that is changed afterwards is noticed. The digest has no key: whoever changes a
value can compute another digest, but what a record says twice must agree
(`genbench.records.consistency`). Records of schema 1 had no digest and are refused.
`benchmarks/seal_records.py` gives each of them a digest, once, and notes the time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genbench.errors import InputError
from genbench.records.consistency import contradictions
from genbench.records.contents import Contents
from genbench.records.parts import ProtocolIdentity
from genbench.system.json_files import digest, parse_json
from genbench.system.typed import read_value

__all__ = ["SCHEMA", "Record", "content_digest", "record_id"]

SCHEMA = 2

# A file holds these fields around the fields of a record.
ENVELOPE = ("schema", "id", "digest")


@dataclass(frozen=True)
class Record(Contents):
    """One evaluated run, with its file."""

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
