"""Feature extractors: named, hashed, and kept apart from the models that they judge.

An extractor is a card, `configs/features/<name>.yaml`, and a file of weights whose SHA-256 the card states: a record that names
the hash names the ruler. An extractor is not a `torch.nn.Module`, so that no model can swallow it, switch it to training mode
or save it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from torch import Tensor, nn

from genbench.errors import InputError, nearest
from genbench.files import file_digest, project_root
from genbench.likelihood import to_real
from genbench.spec import Shape

__all__ = ["Extractor", "NetworkExtractor", "load_extractor"]


class Extractor(Protocol):
    """What turns integer images into features and class scores.

    Attributes:
        name: Name of its card.
        hash: SHA-256 of its weights.
        features: Length F of a feature vector.
    """

    @property
    def name(self) -> str: ...

    @property
    def hash(self) -> str: ...

    @property
    def features(self) -> int: ...

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, uint8 (B, C, H, W) -> features, float32 (B, F), and logits, float32 (B, K)."""


@dataclass(frozen=True)
class NetworkExtractor:
    """An extractor around a network from reals in [-1, 1] to (features, logits).

    The network runs in float64 and its output is rounded once: neither TF32, nor autocast, which leaves float64 alone, nor the
    batch that an image is in can be seen in the features.

    Args:
        name: Name of the card.
        hash: SHA-256 of the weights.
        features: Length F of a feature vector.
        shape: (C, H, W) of an image.
        levels: Grey levels of an image.
        net: The network, float64, in evaluation mode.
    """

    name: str
    hash: str
    features: int
    shape: Shape
    levels: int
    net: nn.Module

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, uint8 (B, C, H, W) with 0 <= x < levels -> features, float32 (B, F), and logits, float32 (B, K)."""
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != self.shape:
            given = f"{images.dtype} of {tuple(images.shape[1:])}"
            raise ValueError(f"extractor {self.name}: images are torch.uint8 of {self.shape}, not {given}")
        if len(images) and int(images.max()) >= self.levels:
            raise ValueError(f"extractor {self.name}: pixels are 0 to {self.levels - 1}, not {int(images.max())}")
        features, logits = self.net(to_real(images, self.levels, torch.float64))
        return features.float(), logits.float()


def load_extractor(name: str, device: torch.device | str = "cpu") -> Extractor:
    """The extractor of the card `configs/features/<name>.yaml`, its weights checked against their hash.

    Args:
        name: Name of the card.
        device: Where it runs.

    Raises:
        InputError: There is no such card, the card is incomplete, or the weights are not the card's.
    """
    cards = {path.stem: path for path in _folder().glob("*.yaml")}
    if name not in cards:
        raise InputError(f"no feature extractor {name!r}: {nearest(name, cards)}")
    card = _read(cards[name])
    weights = project_root() / card["weights"]
    found = file_digest(weights) if weights.is_file() else "no file"
    if found != card["sha256"]:
        expected = str(card["sha256"])[:12]
        raise InputError(f"extractor {name}: sha256 of {weights} is {found[:12]}, the card says {expected}; restore the file")
    net = _network(card, weights).to(device, torch.float64).requires_grad_(False).eval()
    shape = tuple(card["init_args"]["shape"])
    return NetworkExtractor(name, found, int(card["init_args"]["features"]), shape, int(card["levels"]), net)


def _folder() -> Path:
    return project_root() / "configs" / "features"


def _read(path: Path) -> dict[str, Any]:
    card = yaml.safe_load(path.read_text())
    missing = {"class_path", "init_args", "levels", "weights", "sha256"} - set(card)
    if missing:
        raise InputError(f"{path}: the card lacks {', '.join(sorted(missing))}")
    if not str(card["class_path"]).startswith("genbench."):
        raise InputError(f"{path}: class_path names a class of genbench, not {card['class_path']}")
    return dict(card)


def _network(card: dict[str, Any], weights: Path) -> nn.Module:
    from safetensors.torch import load_file

    module, _, cls = str(card["class_path"]).rpartition(".")
    # on the meta device no weights are drawn, only to be overwritten
    with torch.device("meta"):
        net: nn.Module = getattr(importlib.import_module(module), cls)(**card["init_args"])
    net.load_state_dict(load_file(weights), assign=True)
    return net
