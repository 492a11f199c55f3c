"""The content of state.json.

    digest = SHA-256 over the canonical JSON of the other fields

stands beside it, so that a value that is changed afterwards is noticed. The digest has no key. Files
of versions that noted neither a configuration nor a digest are read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from genbench.errors import InputError
from genbench.records.consistency import needed_names
from genbench.records.parts import Need
from genbench.system.json_files import digest, write_json
from genbench.system.typed import (
    Count,
    Line,
    Seconds,
    Sha256,
    Text,
    one_line,
    read_json_as,
    read_value,
)

__all__ = ["State", "read_state", "write_state"]

_CURE = "remove it, and training goes on from the checkpoint"

# Every configuration that training has noted has these sections.
_SECTIONS = {
    "name": Text,
    "seed": Count,
    "data": dict[str, Any],
    "model": dict[str, Any],
    "budget": dict[str, Any],
}


@dataclass(frozen=True)
class State:
    """The content of state.json. The defaults are those of a new run.

    Attributes:
        status: Empty before training begins.
        images_seen: Training images over all players and processes.
        finalize_images: Images that `finalize` read.
        seconds: Seconds of training and `finalize`.
        device: Name of the devices that trained.
        diverged_at: Image count of the batch whose loss was not finite.
        weights_hash: SHA-256 of model.safetensors.
        data_hash: Content hash of the data at the beginning.
        needs: The needed runs at the beginning.
        config: The configuration with the name, as the last `genbench train` wrote it to
            config.yaml. None for a run of a version that did not note it.
    """

    status: Literal["", "running", "stopped", "done", "diverged"] = ""
    images_seen: Count = 0
    finalize_images: Count = 0
    seconds: Seconds = 0.0
    device: Line = "-"
    diverged_at: Count | None = None
    weights_hash: Sha256 | None = None
    data_hash: Sha256 | None = None
    needs: dict[str, Need] = field(default_factory=dict)
    config: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.status == "diverged") != (self.diverged_at is not None):
            raise ValueError(
                f"diverged_at is {self.diverged_at}, where the status is {self.status!r}"
            )
        if self.data_hash is None and (self.status == "done" or self.config is not None):
            raise ValueError("data_hash is null, where training notes the hash of its images")
        if self.config is not None:
            for section, kind in _SECTIONS.items():
                if section not in self.config:
                    raise ValueError(f"config.{section} is missing")
                read_value(kind, self.config[section], f"config.{section}")
            differences = self.needs.keys() ^ needed_names(self.config)
            if differences:
                name = min(differences)
                raise ValueError(
                    f"needs.{name} is in one of needs and config, and not in the other"
                )


def read_state(path: Path) -> State:
    """Read state.json.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is damaged, or was changed since training wrote it.
    """
    tree: dict[str, Any] = read_json_as(dict[str, Any], path, _CURE)
    noted = tree.pop("digest", None)
    try:
        state: State = read_value(State, tree)
        if noted is None and state.config is not None:
            raise ValueError("digest is missing, where a configuration is noted: it was edited")
        if noted not in (None, digest(tree)):
            raise ValueError("its digest is not that of its content, which was edited")
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {one_line(str(error))}; {_CURE}") from None
    return state


def write_state(path: Path, fields: Mapping[str, Any]) -> None:
    """Write state.json with its digest.

    Args:
        path: The file.
        fields: Fields of `State` by name; the others take their defaults.

    Raises:
        ValueError: It could not be read again.
    """
    read_value(State, dict(fields))
    write_json(path, {**fields, "digest": digest(dict(fields))})
