"""MNIST and Fashion-MNIST: 28x28 images of ten classes.

The files lie in torchvision's layout, <root>/MNIST/raw/*-ubyte, or the same with .gz.

Four data sets are called MNIST; likelihoods of one say nothing about another:

    mnist             256 grey levels
    mnist-static      binary, b ~ Bernoulli(x / 255) drawn once, by this package's fixed seed
    mnist-dynamic     the same for validation and test, but drawn again whenever a training image
                      is dealt
    mnist-larochelle  binary, the files binarized_mnist_{train,valid,test}.amat in
                      <root>/binarized_mnist: another fixed draw, another split (50,000 / 10,000 /
                      10,000), no labels

References:
    LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition.
        Proc. IEEE 86
    Xiao, Rasul, Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking.
        arXiv:1708.07747
    Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML
        (static)
    Burda, Grosse, Salakhutdinov (2016), Importance weighted autoencoders. arXiv:1509.00519
        (dynamic)
    Larochelle, Murray (2011), The neural autoregressive distribution estimator. AISTATS (the files)
"""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from genbench.data.canonical import three_splits
from genbench.data.decoded import Arrays, Split
from genbench.data.draws import binarise
from genbench.data.images import ImageData
from genbench.data.location import Download
from genbench.errors import InputError, reason
from genbench.rng import Rng
from genbench.spec import Labels, Spec
from genbench.system.files import open_regular, read_regular

__all__ = [
    "MNIST",
    "Binarisation",
    "FashionMNIST",
    "decode_idx",
    "fixed_draw",
    "idx_files",
    "read_amat",
    "read_idx",
]

Binarisation = Literal["none", "static", "dynamic", "larochelle"]
_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
_AMAT: dict[Split, str] = {"train": "train", "val": "valid", "test": "test"}
_IDX_UINT8 = 0x08
# An unpacked idx file has at most this many bytes; the training images have 45 MiB.
_LARGEST_BYTES = 2**28
# So many images are binarised at once.
_DRAWN = 4096


class MNIST(ImageData):
    """55,000 training, 5,000 validation (of the 60,000 published for training) and 10,000 test
    images.

    Args:
        root: Folder for source files and decoded arrays. Default: $GENBENCH_DATA, else
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
        self.name = f"mnist-{binarisation}"
        self.spec = Spec((1, 28, 28), levels=2, y=Labels(10))
        self.sizes = (55_000, 5_000, 10_000)
        if binarisation == "larochelle":
            self.spec = Spec((1, 28, 28), levels=2)
            self.sizes = (50_000, 10_000, 10_000)
        if binarisation == "none":
            self.name = "mnist"
            self.spec = Spec((1, 28, 28), levels=256, y=Labels(10))
            self.published = "d98f0bd6509b27b1d037e0aee38447fdfdbf04d0e16ec46adb8463e21734dde7"

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        return [cls(root, binarisation=binarisation) for binarisation in get_args(Binarisation)]

    @property
    def protocol(self) -> str:
        if self.binarisation == "none":
            return "mnist"
        # The extractor has seen grey images only.
        return "likelihood"

    @property
    def source_files(self) -> list[Path]:
        if self.binarisation == "larochelle":
            folder = self.root / "binarized_mnist"
            return [folder / f"binarized_mnist_{part}.amat" for part in _AMAT.values()]
        return idx_files(self.root / "MNIST")

    @property
    def downloads(self) -> list[Download]:
        if self.binarisation == "larochelle":
            return []
        return _downloads("MNIST")

    def decode(self) -> dict[Split, Arrays]:
        if self.binarisation == "none":
            return decode_idx(self.root / "MNIST", self.sizes[1])
        splits: dict[Split, Arrays] = {}
        if self.binarisation == "larochelle":
            for split, path in zip(_AMAT, self.source_files, strict=True):
                splits[split] = (read_amat(path), None)
            return splits
        for split in get_args(Split):
            x, y = self._grey.arrays(split)
            splits[split] = (fixed_draw(x, split), y)
        return splits

    def training(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        if self.binarisation == "dynamic":
            return self._grey.tensors("train", device)
        return self.tensors("train", device)

    @property
    def varies(self) -> bool:
        return self.binarisation == "dynamic"

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        if self.binarisation == "dynamic":
            return binarise(x, rng)
        return x

    @property
    def _grey(self) -> MNIST:
        """MNIST in grey levels: 255 times the probabilities of the draws.

        Image i of a split is the same digit in both data sets.
        """
        return MNIST(str(self.root), self.batch_size)


class FashionMNIST(ImageData):
    """55,000 training, 5,000 validation (of the 60,000 published for training) and 10,000 test
    images. Arguments as `ImageData`.
    """

    name = "fashion_mnist"
    spec = Spec((1, 28, 28), levels=256, y=Labels(10))
    sizes = (55_000, 5_000, 10_000)

    @property
    def protocol(self) -> str:
        return "images"

    @property
    def source_files(self) -> list[Path]:
        return idx_files(self.root / "FashionMNIST")

    @property
    def downloads(self) -> list[Download]:
        return _downloads("FashionMNIST")

    def decode(self) -> dict[Split, Arrays]:
        return decode_idx(self.root / "FashionMNIST", self.sizes[1])


def read_idx(path: Path) -> np.ndarray:
    """Read the uint8 array of an idx file, gzipped or not.

    Such a file holds the bytes 00 00 08, the number of dimensions, the sizes as big-endian uint32,
    and then the array.

    Args:
        path: The file.

    Raises:
        InputError: It is no idx file.
    """
    try:
        with open_regular(path) as raw, _unpacked(path, raw) as file:
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
        raise InputError(f"damaged {path}: {reason(error)}; delete it and fetch it again") from None
    return pixels.reshape(shape)


def _unpacked(path: Path, file: BufferedReader) -> BufferedReader | gzip.GzipFile:
    """The content of an open file, which is gzipped if its name says so."""
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=file)
    return file


def read_amat(path: Path) -> np.ndarray:
    """Read a text file of one image per line: 784 digits 0 or 1 with blanks between them.

    Args:
        path: The file.

    Returns:
        Images, uint8 (N, 1, 28, 28).

    Raises:
        InputError: It is no such file.
    """
    try:
        text = read_regular(path)
    except OSError as error:
        raise InputError(f"damaged {path}: {reason(error)}; delete it and fetch it again") from None
    bits = np.frombuffer(text.translate(None, b" \t\r\n"), np.uint8) - ord("0")
    if len(bits) == 0 or len(bits) % 784 or bits.max() > 1:
        raise InputError(f"damaged {path}: it is not lines of 784 digits 0 or 1")
    return bits.reshape(-1, 1, 28, 28)


def decode_idx(folder: Path, held_out: int) -> dict[Split, Arrays]:
    """Read the four idx files of a folder.

    Args:
        folder: Holds raw/.
        held_out: Number of training images that become those for validation.

    Raises:
        InputError: A file is damaged.
    """
    paths = idx_files(folder)
    train_x, train_y, test_x, test_y = (read_idx(path) for path in paths)
    for x, y in ((train_x, train_y), (test_x, test_y)):
        if x.shape != (len(y), 28, 28) or y.max(initial=0) >= 10:
            raise InputError(
                f"{folder}: images {x.shape} with labels {y.shape}; right are N 28x28 images and N "
                "labels 0 to 9"
            )
    return three_splits((train_x[:, None], train_y), (test_x[:, None], test_y), held_out, paths[0])


def idx_files(folder: Path) -> list[Path]:
    """The files of images and labels for training, then for testing; gzipped where only those exist."""
    plain = [folder / "raw" / name for name in _FILES]
    packed = [path.with_name(path.name + ".gz") for path in plain]
    files = []
    for path, gz in zip(plain, packed, strict=True):
        only_packed = gz.exists() and not path.exists()
        files.append(gz if only_packed else path)
    return files


def _downloads(name: str) -> list[Download]:
    """The downloads of torchvision's data set of that name."""
    from torchvision import datasets

    published = getattr(datasets, name)
    downloads = []
    for file, md5 in published.resources:
        urls = tuple(mirror + file for mirror in published.mirrors)
        downloads.append(Download(urls, f"{name}/raw/{file}", md5))
    return downloads


def fixed_draw(x: np.ndarray, split: Split) -> np.ndarray:
    """Draw binary images once, by seed 0 and the index of each image.

    Args:
        x: Grey levels, uint8 (N, 1, 28, 28).
        split: Part of the name of the random streams.

    Returns:
        uint8 (N, 1, 28, 28) of 0 and 1.
    """
    parts = []
    # Images are drawn in parts, since the random bits take memory.
    for start in range(0, len(x), _DRAWN):
        stop = min(start + _DRAWN, len(x))
        rng = Rng(0, range(start, stop)).split(f"mnist-static/{split}")
        grey = torch.tensor(np.asarray(x[start:stop]))
        parts.append(binarise(grey, rng).numpy())
    return np.concatenate(parts)
