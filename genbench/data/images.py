"""The data module that every data set is: integer images in three splits, decoded once, with what
comes with them.

A data set says how its source is decoded (`decode`); everything else has a default. Where data lie is
`genbench.data.location`, the decoded copy `genbench.data.decoded`, the order of training images
`genbench.data.dealing`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from genbench.batch import Batch
from genbench.data.class_code import class_path, file_hashes
from genbench.data.dealing import Dealer, Passes
from genbench.data.declaration import check_arrays, check_declared, check_held_out, check_sizes
from genbench.data.decoded import Arrays, Card, Split, read_card, read_split, store, verified_card
from genbench.data.location import Download, data_root, has_default_root, is_read_only, private_root
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Image, Labels, Spec
from genbench.system.json_files import digest

__all__ = ["ImageData"]

_log = logging.getLogger("genbench")

# Smaller sets live on the training device: a batch is then one index operation.
_ON_DEVICE_BYTES = 2**29


class ImageData(LightningDataModule, ABC):
    """Integer images in three splits.

    Args:
        root: Folder for sources and decoded arrays. Arrays of a read-only one go to the default
            folder. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.

    Attributes:
        name: Name of the data set, which no other has.
        spec: Shape, levels, y and looks of its images.
        sizes: Number of images for training, validation and testing; zeros where only the source
            knows. Of data that are downloaded these are the published numbers, which other files in
            their place need not have; all other data are compared with them.
        published: Content hash of what was published under this name, if anything was.
        needs_folder: Whether there must be a folder for the source. Data that come with the
            package, or are computed, need none: without a home folder, each process decodes them
            into a temporary one of its own.
        seed: Seed of the order of training images and of their streams. `genbench.runs.build` sets
            it, as it does `budget`.
        budget: Number of images of training.

    Raises:
        ValueError: An argument is out of range.
    """

    name: str
    spec: Spec
    sizes: tuple[int, int, int] = (0, 0, 0)
    published: str | None = None
    needs_folder = True
    _file_hashes: ClassVar[dict[str, str | None]] = {}

    def __init_subclass__(cls, **options: object) -> None:
        """Note the content of the files of a class when it is made: they may be edited later."""
        super().__init_subclass__(**options)
        own = [kind for kind in cls.__mro__ if kind not in ImageData.__mro__]
        cls._file_hashes = file_hashes(own)

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
        """Name of the protocol by which models of these data are judged, unless a configuration names
        another.
        """
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
        """The files that `genbench data fetch` downloads."""
        return []

    @property
    def known_components(self) -> np.ndarray | None:
        """w_k p(x | k) of every image, (K, levels, ..., levels); None unless it is known."""
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
            x: integers (N, C, H, W).

        Returns:
            float64 (N,), in nats, minus infinity where an image cannot occur; or None.
        """
        return None

    @property
    def classes(self) -> list[str]:
        """Names of the classes by label; their numbers where they have no names."""
        return [str(k) for k in range(self.spec.classes)]

    @abstractmethod
    def decode(self) -> dict[Split, Arrays]:
        """Read the source.

        Returns:
            For every split, integer images (N, C, H, W) and y as `spec.y` says, or None.

        Raises:
            InputError: The source is not there, or damaged.
        """

    @property
    def source(self) -> dict[str, object]:
        """What decides the arrays, apart from the bytes of the source and from the code: a plain
        JSON value. A class whose arguments change its images adds them here or to its name.
        """
        y = None if self.spec.y is None else asdict(self.spec.y)
        return {"name": self.name, "shape": self.spec.shape, "levels": self.spec.levels, "y": y}

    @property
    def identity(self) -> dict[str, object]:
        """What the card of the decoded copy says, and whose hash names its folder: `source`, and for
        a class outside genbench its class path with the content hashes of the files that define it.

        Raises:
            InputError: The class is defined in no file, so that an edit could not be noticed.
        """
        code = self._file_hashes
        if not code:
            return self.source
        owner = class_path(type(self))
        if None in code.values():
            raise InputError(
                f"{owner} is defined in no file, so that an edit of it could not be noticed; a "
                "class in a module is right"
            )
        return {**self.source, "class": owner, "code": code}

    def check_declared(self) -> None:
        """Check that name, spec and sizes are declared in the right form.

        Raises:
            InputError: One of them is missing or has another form.
        """
        spec = getattr(self, "spec", None)
        check_declared(class_path(type(self)), self.name, spec, self.sizes)

    @cached_property
    def folder(self) -> Path:
        """The decoded copy, which is made when it is first asked for.

        Raises:
            InputError: The source is not there or damaged, its images are not what is declared, or
                the copy cannot be written.
            Stopped: The disk is full.
        """
        self.check_declared()
        if not self.is_decoded:
            self._store()
        return self._copy

    @property
    def is_decoded(self) -> bool:
        """Whether there is a decoded copy already."""
        return (self._copy / "card.json").exists()

    @property
    def _copy(self) -> Path:
        """The folder of the decoded copy, whether it exists yet or not."""
        if is_read_only(self.root):  # its copy is not mistaken for that of another root
            key = digest([self.identity, str(self.root.resolve())])
            return self._default_root() / f"{self.name}-{key[:12]}"
        return self.root / f"{self.name}-{digest(self.identity)[:12]}"

    @classmethod
    def _default_root(cls) -> Path:
        """The folder for data where the configuration names none."""
        if cls.needs_folder or has_default_root():
            return data_root()
        return private_root()

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over shape, levels, kind of y, images and y of every split, in order."""
        return self._card.hash

    @cached_property
    def _card(self) -> Card:
        """The card of the decoded copy, whose arrays have been compared with it."""
        return verified_card(self.folder, self.spec, self.identity)

    def arrays(self, split: Split) -> Arrays:
        """The arrays of a split, memory-mapped, and verified against their hash.

        Returns:
            Images, integers (N, C, H, W), and y as `spec.y` says, or None.

        Raises:
            InputError: The source is not there, or the decoded copy is damaged.
        """
        _ = self._card  # verifies the copy, once
        return read_split(self.folder, self.spec, split)

    def tensors(
        self, split: Split, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor | None]:
        """The arrays of a split as tensors on a device."""
        x, y = self.arrays(split)
        images = torch.tensor(np.asarray(x), device=device)
        if y is None:
            return images, None
        return images, torch.tensor(np.asarray(y), device=device)

    def _store(self) -> None:
        """Decode the source into its copy."""
        for path in self.sources:
            if not path.exists():
                raise InputError(
                    f"no {path}; genbench data fetch {self.name}, or data.root: the folder that "
                    "has it"
                )
        store(self._copy, self.spec, self.identity, self._checked_arrays)
        if self.published not in (None, read_card(self._copy).hash):
            message = "%s: these are not the published images of %s, by their content hash"
            _log.warning(message, self.root, self.name)

    def _checked_arrays(self) -> dict[Split, Arrays]:
        """What `decode` gives, compared with what is declared."""
        owner = class_path(type(self))
        arrays = self.decode()
        check_arrays(owner, self.spec, arrays)
        if not self.downloads:
            check_sizes(owner, self.sizes, arrays)
        check_held_out(owner, arrays)
        return arrays

    # --- training batches -------------------------------------------------------------------------

    def train_dataloader(self) -> Iterator[Batch]:
        """This process's batches from where the model stands to the end of the budget."""
        assert self.trainer is not None
        model = self.trainer.lightning_module
        assert isinstance(model, GenerativeModel)
        x, _ = self.arrays("train")
        device = torch.device("cpu")
        if x.nbytes <= _ON_DEVICE_BYTES:
            device = self.trainer.strategy.root_device
        return self.batches(
            model.images_seen,
            self.budget,
            self.trainer.global_rank,
            self.trainer.world_size,
            device,
            model.dtype,
        )

    def batches(
        self,
        start: int,
        stop: int,
        rank: int,
        world_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Iterator[Batch]:
        """The part of a process, `rank` of `world_size`, of all batches that begin at image counts
        from `start` to below `stop`, on a device. Their streams give numbers of type `dtype`.
        """
        dealer = Dealer(*self.training(device), self.seed, self.batch_size, dtype)
        return dealer.batches(start, stop, rank, world_size, self.vary)

    def finalize_batches(self, model: GenerativeModel) -> Passes:
        """The training set for `GenerativeModel.finalize`, on the device of the model."""

        def dealer() -> Dealer:
            train = self.tensors("train", model.device)
            return Dealer(*train, self.seed, self.batch_size, model.dtype)

        return Passes(dealer)

    def training(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Images and y that training images are made from, by `vary`: those of the training split,
        unless a data set makes them from something else.
        """
        return self.tensors("train", device)

    @property
    def varies(self) -> bool:
        """Whether `vary` changes images, so that training images are others in every epoch."""
        return type(self).vary is not ImageData.vary

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        """Make training images. What is random about it, such as flips, is a function of the stream
        of each image.

        Args:
            x: Images of `training`, integers (B, C, H, W).
            rng: One stream per image.

        Returns:
            Training images, integers (B, C, H, W).
        """
        return x

    # --- y of samples -----------------------------------------------------------------------------

    def y_of_samples(self, rng: Rng, split: Split = "test") -> Tensor | None:
        """The y that samples are conditioned on.

        Labels are drawn by the frequencies of the training split. Any other y belongs to one
        image: sample i gets the y of image i of a split, so that the two can be compared, and the
        split begins again where there are more samples than images.

        Args:
            rng: One stream per sample.
            split: The split whose pairs are taken.

        Returns:
            y as `spec.y` says, on the device of the streams; None where the data have no y.
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
        """The images x whose y the first samples are conditioned on, by `y_of_samples`.

        Args:
            n: Number of samples.
            split: The split whose pairs are taken.
            device: Where the images go.

        Returns:
            Integers (n, C, H, W); None where y is no image.
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
