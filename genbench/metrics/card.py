"""The cards of feature extractors: configs/features/<name>.yaml.

A card names a network, its arguments, the file of its weights and the SHA-256 of that file. A card
with a `url` is of a published network; any other is of a classifier that comes with the package,
and says how it was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from genbench.errors import InputError, nearest
from genbench.spec import Shape
from genbench.system.locations import shipped
from genbench.system.typed import (
    Amount,
    Count,
    Natural,
    Pattern,
    Range,
    Sha256,
    Share,
    Text,
    read_value,
    read_yaml_as,
)
from genbench.system.yaml12 import plain

__all__ = ["Card", "Recipe", "card_file", "read_card"]


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Args:
        images: Training images seen.
        batch_size: Images per step.
        learning_rate: Learning rate of AdamW at the start; it falls to 0 by a cosine.
        weight_decay: Weight decay of AdamW.
        label_smoothing: eps, the share of the labels that is spread over all classes.
        rotation: Largest angle in degrees, either way.
        scale: Largest relative change of size, either way.
        shift: Largest shift in pixels, either way, per axis.
        flip: Whether every second image is mirrored.
        seed: Seed of the initial weights, the batches and the augmentation.
    """

    images: Natural
    batch_size: Natural = 128
    learning_rate: Annotated[float, Range(above=0)] = 2e-3
    weight_decay: Amount = 1e-2
    label_smoothing: Share = 0.1
    rotation: Amount = 12.0
    scale: Share = 0.1
    shift: Amount = 1.0
    flip: bool = False
    seed: Count = 0


@dataclass(frozen=True)
class Card:
    """A file of configs/features/.

    Args:
        class_path: The network, a class of genbench.
        init_args: Arguments of the network: `features` and `classes`, of a classifier also `shape`,
            and others.
        levels: Grey levels of the images that it takes.
        weights: File of its weights: in the checkout, or among the fetched ones where there is a
            `url`.
        sha256: SHA-256 of that file.
        url: Where the weights are published.
        data: Class of the data set that a classifier was trained on.
        recipe: How a classifier was trained.
        test_accuracy: Share of the test images that a classifier labels correctly.
    """

    class_path: Annotated[str, Pattern(r"genbench(\.\w+)+", "a class of genbench")]
    init_args: dict[str, Any]
    levels: Annotated[int, Range(2, 65_536)]
    weights: Text
    sha256: Sha256
    url: Text | None = None
    data: Text | None = None
    recipe: Recipe | None = None
    test_accuracy: Share | None = None

    def __post_init__(self) -> None:
        _ = (self.features, self.classes)
        if self.url is None:
            _ = self.shape

    @property
    def features(self) -> int:
        """Length F of a feature vector."""
        return int(self._argument(Natural, "features"))

    @property
    def classes(self) -> int:
        """Number of class scores K; 0: there are none."""
        return int(self._argument(Count, "classes"))

    @property
    def shape(self) -> Shape:
        """(C, H, W) of the images that a classifier takes."""
        shape: Shape = self._argument(tuple[Natural, Natural, Natural], "shape")
        return shape

    @property
    def arguments(self) -> dict[str, Any]:
        """`init_args` in plain Python values."""
        return dict(plain(self.init_args))

    def _argument(self, kind: Any, name: str) -> Any:
        if name not in self.init_args:
            raise ValueError(f"init_args.{name} is missing")
        return read_value(kind, self.init_args[name], f"init_args.{name}")


def card_file(name: str) -> Path:
    """The file of the card of an extractor.

    Raises:
        InputError: There is none of that name.
    """
    cards = {path.stem: path for path in shipped("configs", "features").glob("*.yaml")}
    if name not in cards:
        raise InputError(f"no feature extractor {name!r}: {nearest(name, cards)}")
    return cards[name]


def read_card(path: Path) -> Card:
    """Read a card.

    Raises:
        InputError: It cannot be read, or a key or a value is wrong.
    """
    return read_yaml_as(Card, path)
