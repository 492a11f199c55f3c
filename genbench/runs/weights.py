"""Recorded weights as safetensors, hashed before anything makes tensors of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import InputError
from genbench.system.files import open_regular, write_atomic

if TYPE_CHECKING:
    from genbench.model import GenerativeModel

__all__ = ["load_weights", "save_weights"]


def save_weights(model: GenerativeModel, path: Path) -> None:
    """Write parameters and buffers as safetensors. Nothing in such a file can run.

    Args:
        model: The model.
        path: The file, which appears whole or not at all.
    """
    from safetensors.torch import save

    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    write_atomic(path, save(tensors))


def load_weights(model: GenerativeModel, path: Path, sha256: str | None) -> None:
    """Inverse of `save_weights`. The bytes are hashed before anything makes tensors of them.

    Args:
        model: Takes the weights.
        path: The file.
        sha256: The hash of the file that training wrote; None where none was noted.

    Raises:
        InputError: The file is missing, damaged, of another model, or not what training wrote.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"weights {path} cannot be loaded: {error.strerror or error}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"{path} is not what training wrote, by its hash; "
            "the same genbench train makes it again"
        )
    try:
        model.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(
            f"weights {path} cannot be loaded: {' '.join(str(error).split())[:200]}"
        ) from None
