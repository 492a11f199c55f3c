"""Images of one's own, decoded once by `genbench data import` into <root>/imported/<name>: arrays,
and a card with the spec.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from torch import Tensor

from genbench.data.decoded import Arrays, Split, read_card
from genbench.data.draws import flip
from genbench.data.images import ImageData
from genbench.data.location import data_root
from genbench.errors import InputError, nearest
from genbench.rng import Rng
from genbench.spec import MAX_LEVELS, Labels, Spec
from genbench.system.files import NAME
from genbench.system.typed import Natural, Range, read_value

__all__ = ["Imported", "damaged_imports", "import_folder", "imported_names", "reason_against"]


# bytes; names of files, which are made of it, have 255
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Source:
    """What the card of imported images says about them.

    Args:
        name: As given to `genbench data import`.
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        labels: Number of classes; None: there are none.
        classes: Their names, by label.
        sizes: Number of images for training, validation and testing.
    """

    name: str
    shape: tuple[Natural, Natural, Natural]
    levels: Annotated[int, Range(2, MAX_LEVELS)]
    labels: Natural | None
    classes: tuple[str, ...]
    sizes: tuple[Natural, Natural, Natural]

    def __post_init__(self) -> None:
        if len(self.classes) != (self.labels or 0):
            raise ValueError(f"{len(self.classes)} names of {self.labels or 0} classes")


class Imported(ImageData):
    """Images that `genbench data import` has decoded; shape, levels and classes are those of its
    card.

    Args:
        name: As given to `genbench data import`.
        root: Folder that holds imported/<name>. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.
        flip: Whether a training image is flipped left to right with probability 1/2. A likelihood
            is then one of flipped images too.

    Raises:
        ValueError: There is none of that name, or its card is damaged.
    """

    def __init__(
        self, name: str, root: str | None = None, batch_size: int = 128, flip: bool = False
    ) -> None:
        super().__init__(root, batch_size)
        self.name = name
        self.flip = flip
        if reason := reason_against(name):
            raise ValueError(f"data.name {reason}")
        try:
            self._source = read_card(self._copy).source
            source: Source = read_value(Source, self._source, "source")
            if source.name != name:
                raise ValueError(f"it is that of {source.name!r}")
        except (FileNotFoundError, NotADirectoryError):
            known = imported_names(self.root)
            right = f"{nearest(name, known)}; or" if known else "first"
            raise ValueError(
                f"no imported data {name!r} in {self.root}: {right} genbench data import PATH --name {name} --size N"
            ) from None
        except (ValueError, OSError) as error:
            raise ValueError(
                f"damaged: {self._copy / 'card.json'} ({error}); import {name} again with --replace"
            ) from None
        y = None if source.labels is None else Labels(source.labels)
        self.spec = Spec(source.shape, source.levels, y)
        self.sizes = source.sizes
        self.names_of_classes = source.classes

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        """Those whose cards are whole."""
        damaged = damaged_imports(root)
        return [cls(name, root) for name in imported_names(data_root(root)) if name not in damaged]

    @property
    def protocol(self) -> str:
        return "images"

    @property
    def source(self) -> dict[str, object]:
        return dict(self._source)

    @property
    def classes(self) -> list[str]:
        """Names of the classes by label."""
        return list(self.names_of_classes)

    def decode(self) -> dict[Split, Arrays]:
        raise InputError(
            f"no {self._copy}; genbench data import PATH --name {self.name} --size {self.spec.shape[1]}"
        )

    @property
    def varies(self) -> bool:
        return self.flip

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        if self.flip:
            return flip(x, rng)
        return x

    @property
    def _copy(self) -> Path:
        return import_folder(self.root, self.name)


def reason_against(name: str) -> str:
    """Why imported data cannot have a name; empty where they can."""
    if not NAME.fullmatch(name):
        return f"{name!r} is part of file names; letters, digits, and . _ + - are right"
    if (size := len(os.fsencode(name))) > _LONGEST_NAME:
        return f"{name[:40]}... has {size} bytes, and is part of file names; at most {_LONGEST_NAME} are right"
    return ""


def imported_names(root: Path) -> list[str]:
    """Names of the imported data sets in a root."""
    names = (card.parent.name for card in (root / "imported").glob("[!.]*/card.json"))
    return sorted(name for name in names if NAME.fullmatch(name))


def damaged_imports(root: str | None = None) -> dict[str, str]:
    """Names of those in a root whose cards cannot be read: what is wrong, and what mends it."""
    reasons = {}
    for name in imported_names(data_root(root)):
        try:
            Imported(name, root)
        except ValueError as error:
            reasons[name] = str(error)
    return reasons


def import_folder(root: Path, name: str) -> Path:
    """Where the arrays of an imported data set lie."""
    return root / "imported" / name
