"""Feature extractors: named, hashed, and kept apart from the models that they judge.

An extractor is a card, `configs/features/<name>.yaml`, and a file of weights whose SHA-256 the card
states: a record that holds the hash says exactly which extractor was used. An extractor is not a
`torch.nn.Module`, so that it cannot become a part of a model that switches it to training mode or
saves it.

Small classifiers come with the package. A card with a `url` is of a published network: its file is
fetched beforehand (`genbench data fetch-weights`), never inside a job.
"""

from __future__ import annotations

import importlib
import os
import pickle
import shlex
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from genbench.data.fetch import download
from genbench.data.location import data_root
from genbench.errors import InputError
from genbench.formulas.pixels import to_real
from genbench.metrics.card import Card, card_file, read_card
from genbench.spec import Shape, pixel_dtype
from genbench.system.files import file_digest
from genbench.system.locations import expand_home, shipped

__all__ = [
    "Extractor",
    "NetworkExtractor",
    "PhotographExtractor",
    "check_levels",
    "check_weights",
    "fetch_weights",
    "load_extractor",
    "weights_file",
    "weights_folder",
]


class Extractor(typing.Protocol):
    """What turns integer images into features and class scores.

    Attributes:
        name: Name of its card.
        hash: SHA-256 of its weights.
        features: Length F of a feature vector.
        classes: Number of class scores K; 0: it has none.
    """

    @property
    def name(self) -> str: ...

    @property
    def hash(self) -> str: ...

    @property
    def features(self) -> int: ...

    @property
    def classes(self) -> int: ...

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, integers (B, C, H, W) -> features, float32 (B, F), and logits, float32 (B, K)."""


@dataclass(frozen=True)
class NetworkExtractor:
    """An extractor around a network from reals in [-1, 1] to (features, logits).

    The network runs in float64 and its output is rounded once. The features therefore depend
    neither on TF32, nor on autocast, which does not change float64, nor on the batch that an image
    is in.

    Args:
        name: Name of the card.
        hash: SHA-256 of the weights.
        features: Length F of a feature vector.
        classes: Number of class scores K.
        shape: (C, H, W) of an image.
        levels: Grey levels that the network knows.
        image_levels: Grey levels of the images that will come. Where they are not `levels`, pixels are
            scaled to 0 .. levels - 1, and rounded.
        net: The network, float64, in evaluation mode.
    """

    name: str
    hash: str
    features: int
    classes: int
    shape: Shape
    levels: int
    image_levels: int
    net: nn.Module

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, integers (B, C, H, W) with 0 <= x < image_levels -> features, float32 (B, F), and logits,
        float32 (B, K).
        """
        dtype = pixel_dtype(self.image_levels)
        if images.dtype != dtype or tuple(images.shape[1:]) != self.shape:
            shape = f"{images.dtype} of {tuple(images.shape[1:])}"
            raise ValueError(
                f"extractor {self.name}: images are {dtype} of {self.shape}, not {shape}"
            )
        x = _scaled(images, self.image_levels, self.levels, self.name)
        features, logits = self.net(to_real(x, self.levels, torch.float64))
        return features.float(), logits.float()


@dataclass(frozen=True)
class PhotographExtractor:
    """An extractor around a published network for 24-bit photographs of any size, from uint8 (B, 3,
    H, W) to (features, logits).

    A grey image is repeated to three channels. Pixels of other than 256 levels are scaled to 0 ..
    255, and rounded. The network runs in float32, as published, outside autocast and with TF32 off.

    Args:
        name: Name of the card.
        hash: SHA-256 of the weights.
        features: Length F of a feature vector.
        classes: Number of class scores K; 0: it has none.
        image_levels: Grey levels of the images that come.
        net: The network, float32, in evaluation mode.
    """

    name: str
    hash: str
    features: int
    classes: int
    image_levels: int
    net: nn.Module

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, uint8 (B, 1 or 3, H, W) with 0 <= x < image_levels -> features, float32 (B, F), and
        logits, float32 (B, K).
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            shape = f"{images.dtype} of {tuple(images.shape[1:])}"
            raise ValueError(
                f"extractor {self.name}: images are torch.uint8 of (1, H, W) or (3, H, W), not"
                f" {shape}"
            )
        if len(images) == 0:
            return torch.zeros(0, self.features, device=images.device), torch.zeros(
                0, self.classes, device=images.device
            )
        x = _scaled(images, self.image_levels, 256, self.name).expand(-1, 3, -1, -1)
        with _full_float32(images.device.type):
            features, logits = self.net(x)
        return features, logits


def _scaled(x: Tensor, image_levels: int, levels: int, name: str) -> Tensor:
    if len(x) and int(x.max()) >= image_levels:
        raise ValueError(
            f"extractor {name}: pixels are 0 to {image_levels - 1}, not {int(x.max())}"
        )
    if image_levels == levels:
        return x
    return (x.double() * ((levels - 1) / (image_levels - 1))).round().to(pixel_dtype(levels))


@contextmanager
def _full_float32(device_type: str) -> Iterator[None]:
    """Inside the `with` block, autocast and TF32 are off, whatever the caller has switched on."""
    kept = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    try:
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = kept[0]
        torch.set_float32_matmul_precision(kept[1])


def load_extractor(
    name: str,
    device: torch.device | str = "cpu",
    levels: int | None = None,
    root: Path | None = None,
) -> Extractor:
    """The extractor of the card `configs/features/<name>.yaml`, its weights checked against their
    hash.

    Args:
        name: Name of the card.
        device: Where it runs.
        levels: Grey levels of the images that will come. Default: those of the card.
        root: Root of the data, whose weights/ is looked into first.

    Raises:
        InputError: There is no such card, the card is incomplete, the weights are missing or not
            the card's, or the images have more levels than the card says, and more than 256.
    """
    card = read_card(card_file(name))
    if levels is not None:
        check_levels(name, card, levels)
    path = _weights(card, root)
    check_weights(name, card, path)
    net = _network(card, path).to(device).requires_grad_(False).eval()
    if card.url is not None:
        return PhotographExtractor(
            name, card.sha256, card.features, card.classes, levels or card.levels, net
        )
    return NetworkExtractor(
        name,
        card.sha256,
        card.features,
        card.classes,
        card.shape,
        card.levels,
        levels or card.levels,
        net.double(),
    )


def check_levels(name: str, card: Card, levels: int) -> None:
    """Check that images have at most 256 levels, or at most as many as the card of an extractor
    says.

    Args:
        name: Name of the card.
        card: Content of the card.
        levels: Grey levels of the images that will come.

    Raises:
        InputError: They have more.
    """
    if levels > max(256, card.levels):
        raise InputError(
            f"extractor {name} sees {card.levels} levels; the images have {levels}, and would be "
            "rounded: a protocol without an extractor, such as likelihood, is right"
        )


def fetch_weights(name: str, mirror: str | None = None, root: str | None = None) -> Iterator[str]:
    """Bring the weights of a published network into `weights_folder(root)`; yields a line that says
    what was done.

    Args:
        name: Name of the card.
        mirror: Address of a folder with weights/<file>, in place of the publisher's. Default:
            $GENBENCH_MIRROR, if it is set.
        root: Root of the data that they belong to.

    Raises:
        InputError: The extractor comes with the package, no address answers, or the file has
            another hash.
    """
    card = read_card(card_file(name))
    mirror = mirror or os.environ.get("GENBENCH_MIRROR")
    path = weights_folder(root) / card.weights
    if card.url is None:
        raise InputError(f"extractor {name} needs no download: its weights come with the package")
    url = f"{mirror.rstrip('/')}/weights/{path.name}" if mirror else card.url
    is_new = download((url,), path, card.sha256, "sha256")
    yield f"{path}: {'downloaded' if is_new else 'was here'}, SHA-256 {card.sha256}"


def weights_folder(root: str | None = None) -> Path:
    """Where the weights of published networks are kept: weights/ in a root of data, else
    $GENBENCH_WEIGHTS, else among the data.
    """
    if root is not None:
        return data_root(root) / "weights"
    folder = os.environ.get("GENBENCH_WEIGHTS")
    if folder:
        return expand_home(folder)
    return data_root() / "weights"


def weights_file(name: str, root: Path | None = None) -> Path:
    """Where the weights of a card lie, whether they are there or not; `root` is that of the data."""
    return _weights(read_card(card_file(name)), root)


def _weights(card: Card, root: Path | None) -> Path:
    if card.url is None:
        return shipped(card.weights)
    if root is not None:
        beside_data = weights_folder(str(root)) / card.weights
        if beside_data.is_file():
            return beside_data
    return weights_folder() / card.weights


def check_weights(name: str, card: Card, path: Path) -> None:
    """Check that a file of weights is the one that a card states.

    Args:
        name: Name of the card.
        card: Content of the card.
        path: The file.

    Raises:
        InputError: There is no file, or it has another SHA-256.
    """
    if card.url is not None and not path.is_file():
        fetch = shlex.join(["genbench", "data", "fetch-weights", name])
        raise InputError(
            f"extractor {name}: no {path}; {fetch}, or put a copy there (folder: $GENBENCH_WEIGHTS)"
        )
    digest = file_digest(path) if path.is_file() else "no file"
    if digest != card.sha256:
        raise InputError(
            f"extractor {name}: sha256 of {path} is {digest[:12]},"
            f" the card says {card.sha256[:12]}; restore the file"
        )


def _network(card: Card, path: Path) -> nn.Module:
    module, _, cls = card.class_path.rpartition(".")
    make = getattr(importlib.import_module(module), cls)
    if card.url is not None:
        net: nn.Module = make(_tensors(path), **card.arguments)
        return net
    from safetensors.torch import load_file

    # On the meta device, no initial weights are drawn, which would only be overwritten.
    with torch.device("meta"):
        net = make(**card.arguments)
    net.load_state_dict(load_file(path), assign=True)
    return net


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise InputError(f"{path}: not a file of tensors alone, as torch.save writes it") from None
