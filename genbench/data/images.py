"""The data module that every source shares: decode once, hash, map, and deal batches that are a
function of (seed, images seen).

Training image number c (counted over the whole run) is the image at position c mod N of the
permutation of epoch c div N. Batch t of size B holds c = tB, ..., (t+1)B - 1, and rank r of R takes
the r-th of R equal parts. So neither an interruption nor the number of processes changes which
image meets which noise.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import tempfile
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from genbench.batch import Batch
from genbench.errors import InputError, nearest
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Image, Labels, Spec
from genbench.system.files import BROKEN_ARRAY, open_regular, stop_if_disk_full
from genbench.system.json_files import canonical_json, digest, read_json
from genbench.system.locations import expand_home
from genbench.system.temporary import folder_beside
from genbench.system.typed import Sha256, read_value

__all__ = [
    "Arrays",
    "Card",
    "Download",
    "ImageData",
    "Passes",
    "Split",
    "among_data",
    "data_root",
    "has_default_root",
    "read_card",
    "store",
    "write_copy",
    "writing_to",
]

_log = logging.getLogger("genbench")

Split = Literal["train", "val", "test"]
Arrays = tuple[np.ndarray, np.ndarray | None]
# Smaller sets live on the training device: a batch is then one index operation.
_ON_DEVICE_BYTES = 2**29
# Indices and stream keys are made for this many batches at once: many small operations cost more
# than a few larger ones.
_BLOCK = 64
# Images are gathered in pieces of about this size, which a cache holds: larger ones cost up to
# twice as much per image.
_PIECE_BYTES = 2**20


def data_root(given: str | Path | None = None) -> Path:
    """Where decoded data is kept: the folder that was given, else $GENBENCH_DATA, else
    ~/.cache/genbench.
    """
    chosen = given or os.environ.get("GENBENCH_DATA")
    if chosen:
        return expand_home(chosen)
    try:
        return expand_home("~/.cache/genbench")
    except InputError:
        raise InputError(
            "there is no home folder for data: set GENBENCH_DATA, or name a folder by data.root or --root"
        ) from None


def has_default_root() -> bool:
    """Whether $GENBENCH_DATA names a folder for data, or there is a home folder to hold it."""
    if os.environ.get("GENBENCH_DATA"):
        return True
    try:
        expand_home("~")
    except InputError:
        return False
    return True


@lru_cache(maxsize=1)
def _private_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process alone, which is removed at its end."""
    try:
        return tempfile.TemporaryDirectory(prefix="genbench-")
    except OSError as error:
        raise InputError(
            f"there is no home folder for data, and no temporary one ({error.strerror}): set GENBENCH_DATA or TMPDIR"
        ) from None


def among_data(name: Path, root: Path | None = None) -> Path:
    """A file that belongs to data sets, such as `statistics/mnist.npz`: in a root where it lies
    there, else in the usual one.
    """
    if root is not None and (root / name).is_file():
        return root / name
    return data_root() / name


@dataclass(frozen=True)
class Download:
    """A file of a source.

    Args:
        urls: Where it is published; the next one is tried where one fails.
        path: Where it goes, below root.
        md5: Of its content.
    """

    urls: tuple[str, ...]
    path: str
    md5: str


@dataclass(frozen=True)
class Card:
    """The file card.json beside decoded arrays.

    Args:
        source: What decided the arrays, apart from the bytes of the source.
        hash: SHA-256 of shape, levels, kind of y, images and y.
        digest: SHA-256 of the two above; None in cards of older versions.
    """

    source: dict[str, Any]
    hash: Sha256
    digest: Sha256 | None = None


def read_card(folder: Path) -> Card:
    """Read the card of a folder of decoded arrays.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a card.
    """
    card: Card = read_value(Card, read_json(folder / "card.json"))
    return card


def _read_only(folder: Path) -> bool:
    """Whether a folder exists and is not for writing, by permission or by its mode, which a
    superuser could ignore.
    """
    return folder.is_dir() and not (os.access(folder, os.W_OK) and folder.stat().st_mode & 0o222)


class ImageData(LightningDataModule, ABC):
    """Integer images in three splits.

    Args:
        root: Folder for sources and decoded arrays; from a read-only one, the arrays go to the
            default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.

    Attributes:
        needs_folder: Whether there must be a folder for the source. Data that come with the
            package, or are computed, need none: without a home folder, each process decodes them
            into a temporary one of its own.
    """

    name: str
    spec: Spec
    # images for training, validation and testing; zeros where only the source knows
    sizes: tuple[int, int, int] = (0, 0, 0)
    # content hash of what was published under this name
    published: str | None = None
    needs_folder = True

    def __init__(self, root: str | None = None, batch_size: int = 128) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"data.batch_size is at least 1, not {batch_size}")
        self.root = data_root(root) if root else self._default_root()
        self.batch_size = batch_size
        self.seed = 0
        self.budget = 0

    @property
    def protocol(self) -> str:
        """By which protocol models of this data are judged, unless a configuration names another."""
        return self.name

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        """Every data set that this class gives, each with its own name."""
        return [cls(root)]

    @property
    def sources(self) -> list[Path]:
        """The files that `decode` reads; none where the data comes with a package."""
        return []

    @property
    def downloads(self) -> list[Download]:
        """What `genbench data fetch` brings."""
        return []

    @property
    def known_components(self) -> np.ndarray | None:
        """w_k p(x | k) of every image, (K, levels, ..., levels), where the distribution is known."""
        return None

    @property
    def is_paired(self) -> bool:
        """Whether y is an image, so that a sample of p(x | y) can be compared with one true x."""
        return isinstance(self.spec.y, Image)

    @property
    def entropy(self) -> float | None:
        """Entropy of an image in nats, where the distribution of the data is known: no model's mean
        -log p(x) can be lower.
        """
        return None

    def known_log_prob(self, x: Tensor) -> Tensor | None:
        """log p of images under the distribution that the data are drawn from, where it is known.

        Args:
            x: uint8 (N, C, H, W).

        Returns:
            float64 (N,), in nats, minus infinity where an image cannot occur; or None.
        """
        return None

    @property
    def classes(self) -> list[str]:
        """Names of the classes by label: their numbers, where nobody named them."""
        return [str(k) for k in range(self.spec.classes)]

    def label_of(self, text: str | int) -> int:
        """The label of a class, which is given by its name, or by its number where no class has
        that name.

        Raises:
            InputError: There is no such class.
        """
        names = [unicodedata.normalize("NFC", name) for name in self.classes]
        wanted = unicodedata.normalize("NFC", str(text))
        if isinstance(text, str) and wanted in names:
            return names.index(wanted)
        if re.fullmatch(r"[0-9]{1,9}", wanted) and int(wanted) < len(names):
            return int(wanted)
        if not names:
            raise InputError(f"--label {text}: labels are none in {self.name}")
        numbers = f"from 0 to {len(names) - 1}"
        if names == [str(k) for k in range(len(names))]:
            raise InputError(f"--label {text}: labels are {numbers}")
        raise InputError(
            f"--label {text!r}: labels are {numbers}, or names of classes: {nearest(wanted, names)}"
        )

    def label_text(self, label: int) -> str:
        """What `label_of` reads as a label: its number, or the name of its class where the number
        is the name of another.
        """
        if self.label_of(str(label)) == label:
            return str(label)
        return self.classes[label]

    @abstractmethod
    def decode(self) -> dict[Split, Arrays]:
        """Read the source: uint8 images (N, C, H, W) and y as `spec.y` says, or None, per split."""

    @property
    def source(self) -> dict[str, object]:
        """What decides the arrays, apart from the source's bytes: the key of the decoded copy."""
        return {"name": self.name, "shape": self.spec.shape, "levels": self.spec.levels}

    @cached_property
    def folder(self) -> Path:
        """The decoded copy, made on first use.

        Whole or absent, also when several processes ask at once.
        """
        if not self.is_decoded:
            self._store(self._copy)
        return self._copy

    @property
    def is_decoded(self) -> bool:
        """Whether there is a decoded copy already."""
        return (self._copy / "card.json").exists()

    @property
    def _copy(self) -> Path:
        if _read_only(self.root):  # its copy is not mistaken for that of another root
            key = digest([self.source, str(self.root.resolve())])
            return self._default_root() / f"{self.name}-{key[:12]}"
        return self.root / f"{self.name}-{digest(self.source)[:12]}"

    @classmethod
    def _default_root(cls) -> Path:
        """The folder for data where none is given."""
        if cls.needs_folder or has_default_root():
            return data_root()
        return Path(_private_folder().name)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over shape, levels, kind of y, images and y of every split, in order."""
        return self._card.hash

    @cached_property
    def _card(self) -> Card:
        try:
            card = read_card(self.folder)
            arrays: dict[Split, Arrays] = {split: self._read(split) for split in get_args(Split)}
            if empty := _empty(arrays):
                raise ValueError(f"no images for {empty[0]}")
            if card.hash != _content_hash(self.spec, arrays):
                raise ValueError("its arrays do not have the hash of its card")
            if canonical_json(card.source) != canonical_json(self.source):
                raise ValueError(f"its card is that of {card.source.get('name')}")
            # cards of older versions have none
            if card.digest not in (None, _card_digest(card.source, card.hash)):
                raise ValueError("its card does not have the hash that it states")
        except BROKEN_ARRAY as error:
            raise InputError(
                f"damaged data in {self.folder} ({error}); delete that folder, it is decoded again"
            ) from None
        return card

    def arrays(self, split: Split) -> Arrays:
        """Memory-mapped uint8 images (N, C, H, W) and y as `spec.y` says, or None, of a split,
        verified against their hash.
        """
        _ = self._card  # checks the copy, once
        return self._read(split)

    def tensors(
        self, split: Split, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor | None]:
        """`arrays` on a device."""
        x, y = self.arrays(split)
        return torch.tensor(np.asarray(x), device=device), None if y is None else torch.tensor(
            np.asarray(y), device=device
        )

    def _read(self, split: Split) -> Arrays:
        # mapped: a header that announces more than the file has is refused, before memory is asked
        # for
        x = _mapped(self.folder / f"{split}-images.npy")
        if self.spec.y is None:
            return x, None
        y = _mapped(self.folder / _y_file(self.spec, split))
        if isinstance(self.spec.y, Labels):
            return x, np.array(y)
        return x, y

    def _store(self, folder: Path) -> None:
        for path in (path for path in self.sources if not path.exists()):
            raise InputError(
                f"no {path}; genbench data fetch {self.name}, or data.root: the folder that has it"
            )
        store(folder, self.spec, self.source, self.decode)
        if self.published not in (None, read_card(folder).hash):
            _log.warning(
                "%s: these are not the published images of %s, by their content hash",
                self.root,
                self.name,
            )

    # --- training batches -------------------------------------------------------------------------

    def train_dataloader(self) -> Iterator[Batch]:
        """Batches from where the model stands to the end of the budget, for this rank."""
        assert self.trainer is not None
        model = self.trainer.lightning_module
        assert isinstance(model, GenerativeModel)
        x, _ = self.arrays("train")
        device = (
            self.trainer.strategy.root_device
            if x.nbytes <= _ON_DEVICE_BYTES
            else torch.device("cpu")
        )
        start = model.images_seen
        return self.batches(
            start,
            self.budget,
            self.trainer.global_rank,
            self.trainer.world_size,
            device,
            model.dtype,
        )

    def finalize_batches(self, model: GenerativeModel) -> Passes:
        """The training set for `GenerativeModel.finalize`."""
        return Passes(self, model)

    def y_of_samples(self, rng: Rng, split: Split = "test") -> Tensor | None:
        """What samples are given as y, on the device of their streams; None where there is none.

        Labels are drawn by the frequencies of the training split. Any other y comes with one
        image: sample i is given that of image i of a split, so that the two can be compared, and
        from the first image again where there are more samples.

        Args:
            rng: One stream per sample.
            split: Whose pairs.
        """
        if self.spec.y is None:
            return None
        if isinstance(self.spec.y, Labels):
            return self.draw_labels(rng)
        _, y = self.arrays(split)
        assert y is not None
        rows = (rng.index % len(y)).cpu().numpy()
        return torch.from_numpy(y[rows]).to(rng.device)

    def truth_of_samples(
        self, n: int, split: Split = "test", device: torch.device | str = "cpu"
    ) -> Tensor | None:
        """The image x of the pair whose y sample i is given by `y_of_samples`, i = 0, ..., n - 1:
        uint8 (n, C, H, W); None where y is no image.
        """
        if not self.is_paired:
            return None
        x, _ = self.tensors(split, device)
        return x[torch.arange(n, device=x.device) % len(x)]

    def draw_labels(self, rng: Rng) -> Tensor:
        """Labels by the frequencies of the training split, one per stream: int64 (len(rng),)."""
        _, y = self.arrays("train")
        assert y is not None
        return torch.from_numpy(y).to(rng.device)[rng.split("label").integers(len(y))]

    def batches(
        self,
        start: int,
        stop: int,
        rank: int,
        world_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Iterator[Batch]:
        """This rank's part of the batches that begin at image counts start, start + B, ...

        < stop.
        """
        x, y = self.training(device)
        share = self.batch_size // world_size
        piece = share * max(1, min(_BLOCK, _PIECE_BYTES // (share * x[0].nbytes)))
        for block in range(start, stop, _BLOCK * self.batch_size):
            first = np.arange(block, min(block + _BLOCK * self.batch_size, stop), self.batch_size)
            counter = (first[:, None] + rank * share + np.arange(share)).ravel()
            block_rows = torch.from_numpy(self._index(counter, len(x))).to(device)
            block_rng = Rng(self.seed, torch.from_numpy(counter), dtype, device).split("train")
            for begin in range(0, len(counter), piece):
                rows = block_rows[begin : begin + piece]
                rng = block_rng[begin : begin + piece]
                # index_select: ten times faster than x[rows] on a CPU
                images = self.vary(x.index_select(0, rows), rng)
                conditions = None if y is None else y.index_select(0, rows)
                for part in (slice(i, i + share) for i in range(0, len(rows), share)):
                    yield Batch(
                        images[part], None if conditions is None else conditions[part], rng[part]
                    )

    def training(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """What training images are drawn from: the training split, unless `vary` makes its images
        of something else.
        """
        return self.tensors("train", device)

    @property
    def varies(self) -> bool:
        """Whether `vary` does anything, so that training images are others in every epoch."""
        return type(self).vary is not ImageData.vary

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        """Rows of `training` -> training images.

        What is random about it, such as flips, is a function of each image's stream.
        """
        return x

    def _index(self, counter: np.ndarray, images: int) -> np.ndarray:
        """Image counts of the whole run -> indices into the training set."""
        epochs, position = np.divmod(counter, images)
        return np.concatenate(
            [_order(self.seed, int(e), images)[position[epochs == e]] for e in np.unique(epochs)]
        )


class Passes:
    """The training set in its order of the first epoch, anew at every iteration: every image once,
    the last batch may be smaller.

    Attributes:
        images: How many have been handed out so far, over all passes.
    """

    def __init__(self, data: ImageData, model: GenerativeModel) -> None:
        self.data = data
        self.model = model
        self.images = 0

    def __iter__(self) -> Iterator[Batch]:
        x, y = self.data.tensors("train", self.model.device)
        for start in range(0, len(x), self.data.batch_size):
            counter = np.arange(start, min(start + self.data.batch_size, len(x)))
            rows = torch.from_numpy(self.data._index(counter, len(x))).to(x.device)
            rng = Rng(self.data.seed, torch.from_numpy(counter), self.model.dtype, x.device).split(
                "finalize"
            )
            self.images += len(rows)
            yield Batch(
                x.index_select(0, rows), None if y is None else y.index_select(0, rows), rng
            )


def store(
    folder: Path, spec: Spec, source: dict[str, object], decode: Callable[[], dict[Split, Arrays]]
) -> None:
    """Write arrays and their card as a folder, whole or not at all; where another process was
    first, its folder stays.

    Raises:
        InputError: The place cannot be written, or a split has no images.
        Stopped: The disk is full.
    """
    with writing_to(folder), folder_beside(folder) as copy:
        write_copy(copy, spec, source, decode())
        try:
            copy.rename(folder)
        except OSError:
            if folder.exists() and not (folder / "card.json").exists():
                raise InputError(
                    f"damaged data in {folder} (no card.json); delete that folder, it is decoded again"
                ) from None
            if not folder.exists():  # else another process was first, with the same content
                raise


def write_copy(
    folder: Path, spec: Spec, source: dict[str, object], arrays: dict[Split, Arrays]
) -> str:
    """Write arrays and their card into an empty folder; returns the content hash.

    Raises:
        InputError: A split has no images.
    """
    if empty := _empty(arrays):
        raise InputError(
            f"{source['name']}: no images for {empty[0]}; every split needs one at least"
        )
    for split, (x, y) in arrays.items():
        np.save(folder / f"{split}-images.npy", x, allow_pickle=False)
        if y is not None:
            np.save(folder / _y_file(spec, split), y, allow_pickle=False)
    content = _content_hash(spec, arrays)
    card = {"source": source, "hash": content, "digest": _card_digest(source, content)}
    (folder / "card.json").write_text(json.dumps(card))
    return content


_UNWRITABLE = (
    errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say in one line why a folder of decoded data cannot be written.

    Raises:
        InputError: The place is not for writing.
        Stopped: The disk is full.
    """
    try:
        with stop_if_disk_full(folder):
            yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise InputError(
            f"data.root {folder.parent} cannot be written: {error.strerror}; choose another, or set GENBENCH_DATA"
        ) from None


def _card_digest(source: object, content: object) -> str:
    """Of what a card says: the source, with names of classes and sizes of an import, and the hash
    of the arrays.
    """
    return digest([source, content])


def _empty(arrays: dict[Split, Arrays]) -> list[Split]:
    return [split for split, (x, _) in arrays.items() if len(x) == 0]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, images: int) -> np.ndarray:
    """The permutation of an epoch: the ranks of random bits, which no two of 2^62 share in
    practice.
    """
    bits = Rng(seed, [epoch]).split("order").bits((2, images))[0]
    return torch.argsort((bits[0] << 30) ^ bits[1], stable=True).numpy()


def _mapped(path: Path) -> np.ndarray:
    """The array of a .npy file, mapped; a FIFO in its place is refused, and not waited for."""
    with open_regular(path):
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _y_file(spec: Spec, split: Split) -> str:
    """Name of the file that holds y of a split."""
    if isinstance(spec.y, Labels):
        return f"{split}-labels.npy"
    return f"{split}-y.npy"


def _content_hash(spec: Spec, arrays: dict[Split, Arrays]) -> str:
    kind = spec.classes if isinstance(spec.y, Labels) else spec.y
    content = hashlib.sha256(f"{spec.shape} {spec.levels} {kind}".encode())
    for split in get_args(Split):
        for array in arrays[split]:
            if array is not None:
                content.update(f"{split} {array.dtype} {array.shape}".encode())
                content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()
