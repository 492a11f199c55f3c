"""MNIST and Fashion-MNIST: 28x28 images of ten classes, in torchvision's layout:
<root>/MNIST/raw/*-ubyte, or the same with .gz.

Four data sets are called MNIST; likelihoods of one say nothing about another:

    mnist            256 grey levels
    mnist-static     binary, b ~ Bernoulli(x / 255) drawn once, by this package's fixed seed
    mnist-dynamic    the same for validation and test, and anew whenever a training image is drawn
    mnist-larochelle binary, the files binarized_mnist_{train,valid,test}.amat in
    <root>/binarized_mnist: another fixed draw, another
                     split (50,000 / 10,000 / 10,000), no labels

Sources:
    LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition.
    Proc. IEEE 86. Xiao, Rasul, Vollgraf (2017), Fashion-MNIST: a novel image dataset for
    benchmarking. arXiv:1708.07747. Salakhutdinov, Murray (2008), On the quantitative analysis of
    deep belief networks. ICML (static). Burda, Grosse, Salakhutdinov (2016), Importance weighted
    autoencoders. arXiv:1509.00519 (dynamic). Larochelle, Murray (2011), The neural autoregressive
    distribution estimator. AISTATS (the files).
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from genbench.data.canonical import three_splits
from genbench.data.draws import binarise
from genbench.data.images import Arrays, Download, ImageData, Split
from genbench.errors import InputError
from genbench.rng import Rng
from genbench.spec import Spec

__all__ = ["MNIST", "Binarisation", "FashionMNIST", "read_idx"]

Binarisation = Literal["none", "static", "dynamic", "larochelle"]
_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
_AMAT: dict[Split, str] = {"train": "train", "val": "valid", "test": "test"}
_IDX_UINT8 = 0x08
# of an idx file, unpacked; the training images have 45 MiB
_LARGEST_BYTES = 2**28


class MNIST(ImageData):
    """55,000 training, 5,000 validation (of the 60,000 published for training) and 10,000 test
    images.

    Args:
        root: Folder for sources and decoded arrays. Default: $GENBENCH_DATA, else
            ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.
        binarisation: none: 256 grey levels; static: one fixed draw; dynamic: a fresh draw per
            training image; larochelle: the published binary files, which have a split of their own
            and no labels.
    """

    def __init__(
        self, root: str | None = None, batch_size: int = 128, binarisation: Binarisation = "none"
    ) -> None:
        super().__init__(root, batch_size)
        if binarisation not in get_args(Binarisation):
            raise ValueError(
                f"data.binarisation is one of {', '.join(get_args(Binarisation))}, not "
                f"{binarisation!r}"
            )
        self.binarisation = binarisation
        self.name = "mnist" if binarisation == "none" else f"mnist-{binarisation}"
        labels = None if binarisation == "larochelle" else 10
        self.spec = Spec((1, 28, 28), 256 if binarisation == "none" else 2, labels)
        self.sizes = (
            (50_000, 10_000, 10_000) if binarisation == "larochelle" else (55_000, 5_000, 10_000)
        )
        if binarisation == "none":
            self.published = "d98f0bd6509b27b1d037e0aee38447fdfdbf04d0e16ec46adb8463e21734dde7"

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        return [cls(root, binarisation=binarisation) for binarisation in get_args(Binarisation)]

    @property
    def protocol(self) -> str:
        return (
            "mnist" if self.binarisation == "none" else "likelihood"
        )  # the extractor has seen greys only

    @property
    def sources(self) -> list[Path]:
        if self.binarisation == "larochelle":
            return [
                self.root / "binarized_mnist" / f"binarized_mnist_{part}.amat"
                for part in _AMAT.values()
            ]
        return _idx_files(self.root / "MNIST")

    @property
    def downloads(self) -> list[Download]:
        if self.binarisation == "larochelle":
            return []
        return _downloads("MNIST")

    def decode(self) -> dict[Split, Arrays]:
        if self.binarisation == "larochelle":
            return {
                split: (read_amat(path), None)
                for split, path in zip(_AMAT, self.sources, strict=True)
            }
        if self.binarisation == "none":
            return _decode(self.root / "MNIST", self.sizes[1])
        return {
            split: (_fixed_draw(x, split), y)
            for split, (x, y) in ((s, self._grey.arrays(s)) for s in get_args(Split))
        }

    def training(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        return (self._grey if self.binarisation == "dynamic" else self).tensors("train", device)

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        if self.binarisation == "dynamic":
            return binarise(x, rng)
        return x

    @property
    def _grey(self) -> MNIST:
        """The probabilities of the draws, times 255; image i of every split is the same digit in
        both.
        """
        return MNIST(str(self.root), self.batch_size)


class FashionMNIST(ImageData):
    """55,000 training, 5,000 validation (of the 60,000 published for training) and 10,000 test
    images. Arguments as `ImageData`.
    """

    name = "fashion_mnist"
    spec = Spec((1, 28, 28), levels=256, labels=10)
    sizes = (55_000, 5_000, 10_000)

    @property
    def protocol(self) -> str:
        return "images"

    @property
    def sources(self) -> list[Path]:
        return _idx_files(self.root / "FashionMNIST")

    @property
    def downloads(self) -> list[Download]:
        return _downloads("FashionMNIST")

    def decode(self) -> dict[Split, Arrays]:
        return _decode(self.root / "FashionMNIST", self.sizes[1])


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file, gzipped or not: magic 00 00 08 <dimensions>, sizes as
    big-endian uint32, then the bytes.

    Raises:
        InputError: It is not one.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ValueError(f"it has more than {_LARGEST_BYTES >> 20} MiB")
        if len(content) < 4 or content[:3] != bytes((0, 0, _IDX_UINT8)):
            raise ValueError("it does not begin as an idx file of bytes")
        dimensions = content[3]
        shape = np.frombuffer(content, ">u4", dimensions, 4).astype(int).tolist()
        pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
        if len(pixels) != math.prod(shape):
            raise ValueError(f"it has {len(pixels):,} bytes of {math.prod(shape):,}")
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"damaged {path}: {error}; delete it and fetch it again") from None
    return pixels.reshape(shape)


def read_amat(path: Path) -> np.ndarray:
    """Images uint8 (N, 1, 28, 28) of a text file of one image per line, 784 digits 0 or 1 apart by
    a blank.

    Raises:
        InputError: It is not one.
    """
    bits = np.frombuffer(path.read_bytes().translate(None, b" \t\r\n"), np.uint8) - ord("0")
    if len(bits) == 0 or len(bits) % 784 or bits.max() > 1:
        raise InputError(f"damaged {path}: it is not lines of 784 digits 0 or 1")
    return bits.reshape(-1, 1, 28, 28)


def _decode(folder: Path, held_out: int) -> dict[Split, Arrays]:
    paths = _idx_files(folder)
    train_x, train_y, test_x, test_y = (read_idx(path) for path in paths)
    for x, y in ((train_x, train_y), (test_x, test_y)):
        if x.shape != (len(y), 28, 28) or y.max(initial=0) >= 10:
            raise InputError(
                f"{folder}: images {x.shape} with labels {y.shape}; right are N 28x28 images and N "
                "labels 0 to 9"
            )
    return three_splits((train_x[:, None], train_y), (test_x[:, None], test_y), held_out, paths[0])


def _idx_files(folder: Path) -> list[Path]:
    """Images and labels for training, then for testing; gzipped ones where there are no others."""
    plain = [folder / "raw" / name for name in _FILES]
    packed = [path.with_name(path.name + ".gz") for path in plain]
    return [
        gz if gz.exists() and not path.exists() else path
        for path, gz in zip(plain, packed, strict=True)
    ]


def _downloads(name: str) -> list[Download]:
    """Where torchvision has them from."""
    from torchvision import datasets

    kind = getattr(datasets, name)
    return [
        Download(tuple(mirror + file for mirror in kind.mirrors), f"{name}/raw/{file}", md5)
        for file, md5 in kind.resources
    ]


def _fixed_draw(x: np.ndarray, split: Split) -> np.ndarray:
    """The draw of seed 0 by the image's index; in parts, for the memory that the random bits take."""
    parts = range(0, len(x), 4096)
    rngs = [
        Rng(0, range(start, min(start + 4096, len(x)))).split(f"mnist-static/{split}")
        for start in parts
    ]
    rows = [torch.tensor(np.asarray(x[start : start + 4096])) for start in parts]
    return np.concatenate(
        [binarise(part, rng).numpy() for part, rng in zip(rows, rngs, strict=True)]
    )
