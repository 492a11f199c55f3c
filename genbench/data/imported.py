"""Images or a text of one's own, which `genbench data import` has decoded into
<root>/imported/<name>: arrays, and a card that states their shape, levels, classes and alphabet.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from torch import Tensor

from genbench.data.declaration import reason_against
from genbench.data.decoded import Arrays, Split, read_card
from genbench.data.draws import flip
from genbench.data.images import ImageData
from genbench.data.location import data_root
from genbench.errors import InputError, nearest
from genbench.rng import Rng
from genbench.spec import MAX_LEVELS, Grid, Labels, Looks, Spec, Text
from genbench.system.files import NAME
from genbench.system.typed import Count, Natural, Range, read_value

__all__ = ["Imported", "damaged_imports", "import_folder", "imported_names"]


@dataclass(frozen=True)
class TextSource:
    """What the card of an imported text says about it.

    Args:
        characters: Number of characters of the file.
        left_over: How many of them, at the end, fill no window.
        alphabet: The character of every level.
        unknown: The character that stands for those that the training part lacks; empty: it has all.
        unknown_counts: How often it does in the training, validation and testing part.
    """

    characters: Natural
    left_over: Count
    alphabet: str
    unknown: str
    unknown_counts: tuple[Count, Count, Count]


@dataclass(frozen=True)
class Source:
    """What the card of imported images says about them.

    Args:
        name: Name of the data set, as `genbench data import` was told.
        shape: (C, H, W) of an image.
        levels: Number of values of a pixel.
        labels: Number of classes; None where there are none.
        classes: Names of the classes by label.
        sizes: Number of images for training, validation and testing.
        text: Where they are windows of a text.
    """

    name: str
    shape: tuple[Natural, Natural, Natural]
    levels: Annotated[int, Range(2, MAX_LEVELS)]
    labels: Natural | None
    classes: tuple[str, ...]
    sizes: tuple[Natural, Natural, Natural]
    text: TextSource | None = None

    def __post_init__(self) -> None:
        if len(self.classes) != (self.labels or 0):
            raise ValueError(f"{len(self.classes)} names of {self.labels or 0} classes")
        if self.text is not None and len(self.text.alphabet) != self.levels:
            raise ValueError(f"{len(self.text.alphabet)} characters of {self.levels} levels")


class Imported(ImageData):
    """Images, or windows of a text, that `genbench data import` has decoded; shape, levels, classes
    and alphabet are those of its card.

    Args:
        name: Name of the data set, as `genbench data import` was told.
        root: Folder that holds imported/<name>. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.
        flip: Whether a training image is flipped left to right with probability 1/2. A likelihood
            is then one of flipped images too.

    Raises:
        ValueError: There is no data set of that name, its card is damaged, or a text is to be
            flipped.
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
                f"no imported data {name!r} in {self.root}: {right} genbench data import PATH "
                f"--name {shlex.quote(name)} --size N (of a text --length L)"
            ) from None
        except (ValueError, OSError) as error:
            raise ValueError(
                f"damaged: {self._copy / 'card.json'} ({error}); import {name} again with --replace"
            ) from None
        y = None if source.labels is None else Labels(source.labels)
        looks: Looks = Grid() if source.text is None else Text(source.text.alphabet)
        if flip and source.text is not None:
            raise ValueError(f"data.flip is about pictures; {name} is a text")
        self.spec = Spec(source.shape, source.levels, y, looks)
        self.sizes = source.sizes
        self.names_of_classes = source.classes

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        """The imported data sets whose cards are not damaged."""
        damaged = damaged_imports(root)
        return [cls(name, root) for name in imported_names(data_root(root)) if name not in damaged]

    @property
    def protocol(self) -> str:
        if isinstance(self.spec.looks, Text):
            return "likelihood"
        return "images"

    @property
    def source(self) -> dict[str, object]:
        return dict(self._source)

    @property
    def identity(self) -> dict[str, object]:
        """The source alone: `genbench data import` has decoded the copy, and no class does."""
        return self.source

    @property
    def class_names(self) -> list[str]:
        """Names of the classes by label."""
        return list(self.names_of_classes)

    def decode(self) -> dict[Split, Arrays]:
        _, _, width = self.spec.shape
        option = "--length" if isinstance(self.spec.looks, Text) else "--size"
        raise InputError(
            f"no {self._copy}; genbench data import PATH --name {shlex.quote(self.name)} {option}"
            f" {width}"
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


def imported_names(root: Path) -> list[str]:
    """Names of the imported data sets in a root."""
    names = (card.parent.name for card in (root / "imported").glob("[!.]*/card.json"))
    return sorted(name for name in names if NAME.fullmatch(name))


def damaged_imports(root: str | None = None) -> dict[str, str]:
    """The imported data sets whose cards cannot be read.

    Args:
        root: Folder for data. Default: $GENBENCH_DATA, else ~/.cache/genbench.

    Returns:
        Name -> what is wrong with its card, and how to mend it.
    """
    reasons = {}
    for name in imported_names(data_root(root)):
        try:
            Imported(name, root)
        except ValueError as error:
            reasons[name] = str(error)
    return reasons


def import_folder(root: Path, name: str) -> Path:
    """The folder of an imported data set, with its arrays and its card."""
    return root / "imported" / name
