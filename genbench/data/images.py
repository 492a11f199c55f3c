"""The data module that every source shares: decode once, hash, map, and deal batches that are a function of (seed, images seen).

Training image number c (counted over the whole run) is the image at position c mod N of the permutation of epoch c div N. Batch t
of size B holds c = tB, ..., (t+1)B - 1, and rank r of R takes the r-th of R equal parts. So neither an interruption nor the number
of processes changes which image meets which noise.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from genbench.errors import InputError
from genbench.files import digest, stop_if_disk_full
from genbench.model import Batch, GenerativeModel
from genbench.rng import Rng
from genbench.spec import Spec

__all__ = ["Arrays", "ImageData", "Split", "default_root"]

Split = Literal["train", "val", "test"]
Arrays = tuple[np.ndarray, np.ndarray | None]
# Smaller sets live on the training device: a batch is then one index operation.
_ON_DEVICE_BYTES = 2**29
# Indices and stream keys are made for this many batches at once: many small operations cost more than a few larger ones.
_BLOCK = 64


def default_root() -> Path:
    """Where decoded data is kept: $GENBENCH_DATA, else ~/.cache/genbench."""
    return Path(os.environ.get("GENBENCH_DATA", "~/.cache/genbench")).expanduser()


class ImageData(LightningDataModule, ABC):
    """Integer images in three splits.

    Args:
        root: Folder for sources and decoded arrays. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.
    """

    name: str
    spec: Spec

    def __init__(self, root: str | None = None, batch_size: int = 128) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"data.batch_size is at least 1, not {batch_size}")
        self.root = Path(root).expanduser() if root else default_root()
        self.batch_size = batch_size
        self.seed, self.budget = 0, 0

    @property
    def protocol(self) -> str:
        """By which protocol models of this data are judged, unless a configuration names another."""
        return self.name

    @property
    def known_components(self) -> np.ndarray | None:
        """w_k p(x | k) of every image, (K, levels, ..., levels), where the distribution is known."""
        return None

    @abstractmethod
    def decode(self) -> dict[Split, Arrays]:
        """Read the source: uint8 images (N, C, H, W) and int64 labels (N,) or None, per split."""

    @property
    def source(self) -> dict[str, object]:
        """What decides the arrays, apart from the source's bytes: the key of the decoded copy."""
        return {"name": self.name, "shape": self.spec.shape, "levels": self.spec.levels}

    @cached_property
    def folder(self) -> Path:
        """The decoded copy, made on first use. Whole or absent, also when several processes ask at once."""
        folder = self.root / f"{self.name}-{digest(self.source)[:12]}"
        if not (folder / "card.json").exists():
            self._store(folder)
        return folder

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over shape, levels, images and labels of every split, in order."""
        return str(self._card["hash"])

    @cached_property
    def _card(self) -> dict[str, object]:
        path = self.folder / "card.json"
        try:
            card = json.loads(path.read_text())
            if card["hash"] != _content_hash(self.spec, {split: self._read(split) for split in get_args(Split)}):
                raise ValueError("its arrays do not have the hash of its card")
        except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
            raise InputError(f"damaged data in {self.folder} ({error}); delete that folder, it is decoded again") from None
        return dict(card)

    def arrays(self, split: Split) -> Arrays:
        """Memory-mapped uint8 images (N, C, H, W) and int64 labels (N,) or None of a split, verified against their hash."""
        assert self._card
        return self._read(split)

    def tensors(self, split: Split, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor | None]:
        """`arrays` on a device."""
        x, y = self.arrays(split)
        return torch.tensor(np.asarray(x), device=device), None if y is None else torch.tensor(np.asarray(y), device=device)

    def _read(self, split: Split) -> Arrays:
        x = np.load(self.folder / f"{split}-images.npy", mmap_mode="r", allow_pickle=False)
        return x, None if self.spec.labels is None else np.load(self.folder / f"{split}-labels.npy", allow_pickle=False)

    def _store(self, folder: Path) -> None:
        beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            with stop_if_disk_full(folder):
                beside.mkdir(parents=True)
                arrays = self.decode()
                for split, (x, y) in arrays.items():
                    np.save(beside / f"{split}-images.npy", x, allow_pickle=False)
                    if y is not None:
                        np.save(beside / f"{split}-labels.npy", y, allow_pickle=False)
                card = {"source": self.source, "hash": _content_hash(self.spec, arrays)}
                (beside / "card.json").write_text(json.dumps(card))
                try:
                    beside.rename(folder)
                except OSError:
                    if folder.exists() and not (folder / "card.json").exists():
                        raise InputError(
                            f"damaged data in {folder} (no card.json); delete that folder, it is decoded again"
                        ) from None
                    if not folder.exists():  # else another process was first, with the same content
                        raise
        except PermissionError as error:
            raise InputError(f"data.root {self.root} cannot be written: {error.strerror}; choose another") from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    # --- training batches ---------------------------------------------------------------------------------------------

    def train_dataloader(self) -> Iterator[Batch]:
        """Batches from where the model stands to the end of the budget, for this rank."""
        assert self.trainer is not None
        model = self.trainer.lightning_module
        assert isinstance(model, GenerativeModel)
        x, _ = self.arrays("train")
        device = self.trainer.strategy.root_device if x.nbytes <= _ON_DEVICE_BYTES else torch.device("cpu")
        start = model.images_seen
        return self.batches(start, self.budget, self.trainer.global_rank, self.trainer.world_size, device, model.dtype)

    def finalize_batches(self, model: GenerativeModel) -> Iterator[Batch]:
        """One pass over the training set, whole batches first, for `GenerativeModel.finalize`."""
        images = len(self.arrays("train")[0])
        return self.batches(0, images - images % self.batch_size, 0, 1, model.device, model.dtype)

    def batches(
        self, start: int, stop: int, rank: int, world_size: int, device: torch.device, dtype: torch.dtype
    ) -> Iterator[Batch]:
        """This rank's part of the batches that begin at image counts start, start + B, ... < stop."""
        x, y = self.tensors("train", device)
        share = self.batch_size // world_size
        for block in range(start, stop, _BLOCK * self.batch_size):
            first = np.arange(block, min(block + _BLOCK * self.batch_size, stop), self.batch_size)
            counter = (first[:, None] + rank * share + np.arange(share)).ravel()
            rows = torch.from_numpy(self._index(counter, len(x))).to(device)
            rng = Rng(self.seed, torch.from_numpy(counter), dtype, device).split("train")
            for part in (slice(i * share, (i + 1) * share) for i in range(len(first))):
                yield Batch(x[rows[part]], None if y is None else y[rows[part]], rng[part])

    def _index(self, counter: np.ndarray, images: int) -> np.ndarray:
        """Image counts of the whole run -> indices into the training set."""
        epochs, position = np.divmod(counter, images)
        return np.concatenate([_order(self.seed, int(e), images)[position[epochs == e]] for e in np.unique(epochs)])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, images: int) -> np.ndarray:
    """The permutation of an epoch: the ranks of random bits, which no two of 2^62 share in practice."""
    bits = Rng(seed, [epoch]).split("order").bits((2, images))[0]
    return torch.argsort((bits[0] << 30) ^ bits[1], stable=True).numpy()


def _content_hash(spec: Spec, arrays: dict[Split, Arrays]) -> str:
    content = hashlib.sha256(f"{spec.shape} {spec.levels} {spec.labels}".encode())
    for split in get_args(Split):
        for array in arrays[split]:
            if array is not None:
                content.update(f"{split} {array.dtype} {array.shape}".encode())
                content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()
