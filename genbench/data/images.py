"""The data module that every data set is: integer images in three splits, decoded once, with what
comes with them.

A data set says how its source files are decoded (`decode`); everything else has a default. The
decoded copy is `genbench.data.stored`, the order of training images `genbench.data.dealing`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from genbench.batch import Batch
from genbench.data.class_code import file_hashes
from genbench.data.dealing import Dealer, Passes
from genbench.data.decoded import Split
from genbench.data.location import data_root
from genbench.data.stored import StoredImages
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Image, Labels

__all__ = ["ImageData"]


# Sets smaller than this live on the training device: a batch is then one index operation.
_ON_DEVICE_BYTES = 2**29


class ImageData(StoredImages):
    """Integer images in three splits.

    Args:
        root: Folder for source files and decoded arrays. Arrays of a read-only one go to the default
            folder. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.

    Attributes:
        seed: Seed of the order of training images and of their streams. `genbench.runs.build` sets
            it, as it does `budget`.
        budget: Number of images of training.

    Raises:
        ValueError: An argument is out of range.
    """

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
    def class_names(self) -> list[str]:
        """Names of the classes by label; their numbers where they have no names."""
        return [str(k) for k in range(self.spec.classes)]

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
            tensors = self.tensors("train", model.device)
            return Dealer(*tensors, self.seed, self.batch_size, model.dtype)

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
