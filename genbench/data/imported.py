"""Images of one's own, decoded once by `genbench data import` into <root>/imported/<name>: arrays, and a card with the spec."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from genbench.data.draws import flip
from genbench.data.images import Arrays, ImageData, Split, default_root
from genbench.errors import InputError, nearest
from genbench.files import read_json
from genbench.rng import Rng
from genbench.spec import Spec

__all__ = ["Imported", "import_folder", "imported_names"]


class Imported(ImageData):
    """Images that `genbench data import` has decoded; shape, levels and classes are those of its card.

    Args:
        name: As given to `genbench data import`.
        root: Folder that holds imported/<name>. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.
        flip: Whether a training image is flipped left to right with probability 1/2. A likelihood is then one of flipped images too.
    """

    def __init__(self, name: str, root: str | None = None, batch_size: int = 128, flip: bool = False) -> None:
        super().__init__(root, batch_size)
        self.name, self.flip = name, flip
        try:
            self._source = read_json(self._copy / "card.json")["source"]
            self.spec = Spec(tuple(self._source["shape"]), self._source["levels"], self._source["labels"])
            self.sizes = tuple(self._source["sizes"])
        except FileNotFoundError:
            known = imported_names(self.root)
            right = f"{nearest(name, known)}; or" if known else "first"
            raise ValueError(
                f"no imported data {name!r} in {self.root}: {right} genbench data import PATH --name {name} --size N"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"damaged card of {self._copy} ({error}); import {name} again with --replace") from None

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        return [cls(name, root) for name in imported_names(Path(root).expanduser() if root else default_root())]

    @property
    def protocol(self) -> str:
        return "images"

    @property
    def source(self) -> dict[str, object]:
        return dict(self._source)

    @property
    def classes(self) -> list[str]:
        return list(self._source["classes"])

    def decode(self) -> dict[Split, Arrays]:
        raise InputError(f"no {self._copy}; genbench data import PATH --name {self.name} --size {self.spec.shape[1]}")

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        return flip(x, rng) if self.flip else x

    @property
    def _copy(self) -> Path:
        return import_folder(self.root, self.name)


def imported_names(root: Path) -> list[str]:
    """Names of the imported data sets in a root."""
    return sorted(card.parent.name for card in (root / "imported").glob("[!.]*/card.json"))


def import_folder(root: Path, name: str) -> Path:
    """Where the arrays of an imported data set lie."""
    return root / "imported" / name
