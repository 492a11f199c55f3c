"""Feature extractors: named, hashed, and kept apart from the models that they judge.

An extractor is a card, `configs/features/<name>.yaml`, and a file of weights whose SHA-256 the card
states: a record that names the hash names the ruler. An extractor is not a `torch.nn.Module`, so
that no model can swallow it, switch it to training mode or save it.

Small classifiers come with the package. A card with a `url` is of a published network: its file is
fetched beforehand (`genbench data fetch-weights`), never inside a job.
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor, nn

from genbench.data.fetch import download
from genbench.data.images import data_root
from genbench.errors import InputError, nearest
from genbench.formulas.pixels import to_real
from genbench.spec import Shape
from genbench.system.files import file_digest
from genbench.system.locations import expand_home, shipped
from genbench.system.typed import Pattern, Range, Sha256, Share, read_value
from genbench.system.yaml12 import load_yaml

__all__ = [
    "Extractor",
    "NetworkExtractor",
    "PhotographExtractor",
    "fetch_weights",
    "load_extractor",
    "weights_file",
    "weights_folder",
]


class Extractor(Protocol):
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
        """Images, uint8 (B, C, H, W) -> features, float32 (B, F), and logits, float32 (B, K)."""


@dataclass(frozen=True)
class NetworkExtractor:
    """An extractor around a network from reals in [-1, 1] to (features, logits).

    The network runs in float64 and its output is rounded once: neither TF32, nor autocast, which
    leaves float64 alone, nor the batch that an image is in can be seen in the features.

    Args:
        name: Name of the card.
        hash: SHA-256 of the weights.
        features: Length F of a feature vector.
        classes: Number of class scores K.
        shape: (C, H, W) of an image.
        levels: Grey levels that the network knows.
        given: Grey levels of the images that come; where they are others, pixels are scaled to 0 ..
            levels - 1, and rounded.
        net: The network, float64, in evaluation mode.
    """

    name: str
    hash: str
    features: int
    classes: int
    shape: Shape
    levels: int
    given: int
    net: nn.Module

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, uint8 (B, C, H, W) with 0 <= x < given -> features, float32 (B, F), and logits,
        float32 (B, K).
        """
        if images.dtype != torch.uint8 or tuple(images.shape[1:]) != self.shape:
            given = f"{images.dtype} of {tuple(images.shape[1:])}"
            raise ValueError(
                f"extractor {self.name}: images are torch.uint8 of {self.shape}, not {given}"
            )
        x = _scaled(images, self.given, self.levels, self.name)
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
        given: Grey levels of the images that come.
        net: The network, float32, in evaluation mode.
    """

    name: str
    hash: str
    features: int
    classes: int
    given: int
    net: nn.Module

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, uint8 (B, 1 or 3, H, W) with 0 <= x < given -> features, float32 (B, F), and
        logits, float32 (B, K).
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            given = f"{images.dtype} of {tuple(images.shape[1:])}"
            raise ValueError(
                f"extractor {self.name}: images are torch.uint8 of (1, H, W) or (3, H, W), not {given}"
            )
        if len(images) == 0:
            return torch.zeros(0, self.features, device=images.device), torch.zeros(
                0, self.classes, device=images.device
            )
        x = _scaled(images, self.given, 256, self.name).expand(-1, 3, -1, -1)
        with _full_float32(images.device.type):
            features, logits = self.net(x)
        return features, logits


def _scaled(x: Tensor, given: int, wanted: int, name: str) -> Tensor:
    if len(x) and int(x.max()) >= given:
        raise ValueError(f"extractor {name}: pixels are 0 to {given - 1}, not {int(x.max())}")
    if given == wanted:
        return x
    return (x.double() * ((wanted - 1) / (given - 1))).round().to(torch.uint8)


@contextmanager
def _full_float32(device_type: str) -> Iterator[None]:
    """Neither autocast nor TF32, whatever the caller has switched on."""
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
        levels: Grey levels of the images that will come. Default: those of the card, of photographs
            256.
        root: Root of the data, whose weights/ is looked into first.

    Raises:
        InputError: There is no such card, the card is incomplete, or the weights are missing or not
            the card's.
    """
    card = _card(name)
    path = _weights(card, root)
    found = _checked(name, card, path)
    net = _network(card, path).to(device).requires_grad_(False).eval()
    known = int(card["levels"])
    arguments = card["init_args"]
    features = int(arguments["features"])
    classes = int(arguments["classes"])
    if "url" in card:
        return PhotographExtractor(name, found, features, classes, levels or known, net)
    shape = tuple(arguments["shape"])
    return NetworkExtractor(
        name, found, features, classes, shape, known, levels or known, net.double()
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
    card = _card(name)
    mirror = mirror or os.environ.get("GENBENCH_MIRROR")
    path = weights_folder(root) / card["weights"]
    if "url" not in card:
        raise InputError(f"extractor {name} needs no download: its weights come with the package")
    url = f"{mirror.rstrip('/')}/weights/{path.name}" if mirror else str(card["url"])
    here = not download((url,), path, str(card["sha256"]), "sha256")
    yield f"{path}: {'was here' if here else 'downloaded'}, SHA-256 {card['sha256']}"


def weights_folder(root: str | None = None) -> Path:
    """Where the weights of published networks are kept: weights/ in a root of data, else
    $GENBENCH_WEIGHTS, else among the data.
    """
    if root is not None:
        return data_root(root) / "weights"
    given = os.environ.get("GENBENCH_WEIGHTS")
    if given:
        return expand_home(given)
    return data_root() / "weights"


def weights_file(name: str, root: Path | None = None) -> Path:
    """Where the weights of a card lie, whether they are there or not; `root` is that of the data."""
    return _weights(_card(name), root)


def _card(name: str) -> dict[str, Any]:
    cards = {path.stem: path for path in shipped("configs", "features").glob("*.yaml")}
    if name not in cards:
        raise InputError(f"no feature extractor {name!r}: {nearest(name, cards)}")
    return _read(cards[name])


@dataclass(frozen=True)
class Card:
    """A file of configs/features/.

    Attributes:
        class_path: The network, a class of genbench.
        init_args: Its arguments.
        levels: Grey levels of the images that it takes.
        weights: File of its weights: in the checkout, or among the fetched ones where there is a
            `url`.
        sha256: Of that file.
        url: Where the weights are published.
        data: What it was trained on here.
        recipe: How it was trained here: arguments of `genbench.metrics.classifier.Recipe`.
        test_accuracy: Share of the test images that it classifies rightly.
    """

    class_path: Annotated[str, Pattern(r"genbench(\.\w+)+", "a class of genbench")]
    init_args: dict[str, Any]
    levels: Annotated[int, Range(2, 65_536)]
    weights: str
    sha256: Sha256
    url: str | None = None
    data: str | None = None
    recipe: dict[str, Any] | None = None
    test_accuracy: Share | None = None


def _read(path: Path) -> dict[str, Any]:
    card = load_yaml(path)
    missing = {"class_path", "init_args", "levels", "weights", "sha256"} - set(card)
    if missing:
        raise InputError(f"{path}: the card lacks {', '.join(sorted(missing))}")
    if not str(card["class_path"]).startswith("genbench."):
        raise InputError(f"{path}: class_path names a class of genbench, not {card['class_path']}")
    try:
        read_value(Card, card)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return dict(card)


def _weights(card: dict[str, Any], root: Path | None) -> Path:
    if "url" not in card:
        return shipped(card["weights"])
    beside_data = (
        weights_folder(str(root)) / card["weights"] if root else weights_folder() / card["weights"]
    )
    if beside_data.is_file():
        return beside_data
    return weights_folder() / card["weights"]


def _checked(name: str, card: dict[str, Any], path: Path) -> str:
    """SHA-256 of the weights, which is the card's."""
    if "url" in card and not path.is_file():
        fetch = f"genbench data fetch-weights {name}"
        raise InputError(
            f"extractor {name}: no {path}; {fetch}, or put a copy there (folder: $GENBENCH_WEIGHTS)"
        )
    found = file_digest(path) if path.is_file() else "no file"
    if found != card["sha256"]:
        expected = str(card["sha256"])[:12]
        raise InputError(
            f"extractor {name}: sha256 of {path} is {found[:12]}, the card says {expected}; restore the file"
        )
    return found


def _network(card: dict[str, Any], path: Path) -> nn.Module:
    module, _, cls = str(card["class_path"]).rpartition(".")
    make = getattr(importlib.import_module(module), cls)
    if "url" in card:
        net: nn.Module = make(_tensors(path), **card["init_args"])
        return net
    from safetensors.torch import load_file

    # on the meta device no weights are drawn, only to be overwritten
    with torch.device("meta"):
        net = make(**card["init_args"])
    net.load_state_dict(load_file(path), assign=True)
    return net


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        raise InputError(f"{path}: not a file of tensors alone, as torch.save writes it") from None
