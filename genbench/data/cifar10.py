"""CIFAR-10: 32x32 colour images of ten classes.

They are read from whichever of these lies in root:

    cifar-10-batches-py/{data_batch_1, ..., data_batch_5, test_batch}    pickled arrays, as
                                                                         torchvision keeps them
    cifar-10-python.tar.gz                                               the same, as published
    cifar10-32x32-{train,test}.zip                                       PNGs and dataset.json, as
                                                                         EDM makes them

All give the same images in the same order, hence one content hash.

References:
    Krizhevsky (2009), Learning multiple layers of features from tiny images. Technical report,
        University of Toronto.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from genbench.data.canonical import three_splits
from genbench.data.containers import open_container
from genbench.data.decoded import Arrays, Split
from genbench.data.draws import flip
from genbench.data.gather import gather
from genbench.data.images import ImageData
from genbench.data.location import Download
from genbench.errors import InputError, reason
from genbench.rng import Rng
from genbench.spec import Labels, Spec
from genbench.system.files import open_regular, read_regular

__all__ = ["CIFAR10", "read_archive", "read_batch", "read_zip"]

_FOLDER = "cifar-10-batches-py"
_TAR = "cifar-10-python.tar.gz"
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_PACKED = {f"{_FOLDER}/{name}" for name in _BATCHES}
# A file in the published archive has at most this many bytes; the batches have 30 MiB.
_LARGEST_BYTES = 2**26
# Arrays are unpickled by this function, whose name differs from version to version of numpy.
_RECONSTRUCT = np.empty(0).__reduce__()[0]


class CIFAR10(ImageData):
    """45,000 training, 5,000 validation (of the 50,000 published for training) and 10,000 test
    images.

    Args:
        root: Folder for source files and decoded arrays. Default: $GENBENCH_DATA, else
            ~/.cache/genbench.
        batch_size: Images per optimizer step, over all processes.
        flip: Whether a training image is flipped left to right with probability 1/2. A likelihood
            is then one of flipped images too.
    """

    name = "cifar10"
    spec = Spec((3, 32, 32), levels=256, y=Labels(10))
    sizes = (45_000, 5_000, 10_000)
    published = "9b7cd3327466c88dd5c2b200603c9a088cebe253ce89219645553c051d9a0e7c"

    def __init__(self, root: str | None = None, batch_size: int = 128, flip: bool = False) -> None:
        super().__init__(root, batch_size)
        self.flip = flip

    @property
    def source_files(self) -> list[Path]:
        batches = [self.root / _FOLDER / name for name in _BATCHES]
        zips = [self.root / f"cifar10-32x32-{split}.zip" for split in ("train", "test")]
        choices = (batches, [self.root / _TAR], zips)
        for files in choices:
            if all(path.exists() for path in files):
                return files
        return batches

    @property
    def downloads(self) -> list[Download]:
        from torchvision import datasets

        return [Download((datasets.CIFAR10.url,), _TAR, datasets.CIFAR10.tgz_md5)]

    def decode(self) -> dict[Split, Arrays]:
        train_arrays, test_arrays = self._parts()
        return three_splits(train_arrays, test_arrays, self.sizes[1], self.source_files[0])

    @property
    def varies(self) -> bool:
        return self.flip

    def vary(self, x: Tensor, rng: Rng) -> Tensor:
        if self.flip:
            return flip(x, rng)
        return x

    def _batches(self) -> dict[Path, bytes]:
        """The bytes of each pickled batch by its path."""
        if self.source_files[0].name == _TAR:
            return read_archive(self.source_files[0])
        return {path: _batch(path) for path in self.source_files}

    def _parts(self) -> tuple[Arrays, Arrays]:
        """The images and labels published for training, and those for testing."""
        if self.source_files[0].suffix == ".zip":
            train_arrays, test_arrays = (read_zip(path) for path in self.source_files)
            return train_arrays, test_arrays
        contents = self._batches()
        md5s = _md5s()
        for path, content in contents.items():
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5s[path.name]:
                raise InputError(
                    f"damaged {path}: its MD5 is not that of the published file; delete it and "
                    "fetch it again"
                )
        *batches, test = (read_batch(path, content) for path, content in contents.items())
        x = np.concatenate([images for images, _ in batches])
        y = np.concatenate([labels for _, labels in batches])
        return (x, y), test


class _Unpickler(pickle.Unpickler):
    """Reads pickles of arrays and plain containers.

    Anything else that a pickle names is refused before it is called.
    """

    def find_class(self, module: str, name: str) -> Any:
        admitted = {
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
            ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
            ("_codecs", "encode"): _latin1,
        }
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}, which is neither an array nor a plain container"
            )
        return admitted[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    """Decode the bytes of an array, which protocol 2 of pickle writes as text in latin1."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}")
    return text.encode("latin1")


def read_batch(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Read one pickled batch.

    Args:
        path: The file that an error names.
        content: The pickle.

    Returns:
        Images, uint8 (N, 3, 32, 32), and labels, int64 (N,).

    Raises:
        InputError: It is damaged, or holds anything but arrays and plain containers.
    """
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        x = np.asarray(batch[b"data"])
        y = np.asarray(batch[b"labels"])
        if x.dtype != np.uint8 or x.shape != (len(y), 3072) or not ((y >= 0) & (y < 10)).all():
            raise ValueError(f"it has images {x.shape} of {x.dtype} and {len(y)} labels")
    except Exception as error:  # A damaged pickle may raise anything.
        raise InputError(
            f"damaged {path}: {str(error) or type(error).__name__}; delete it and fetch it again"
        ) from None
    return x.reshape(-1, 3, 32, 32), y.astype(np.int64)


def read_zip(path: Path) -> Arrays:
    """Read the images and labels of a zip of PNGs and a dataset.json.

    Args:
        path: The zip.

    Raises:
        InputError: It does not hold 32x32 colour images of ten classes.
    """
    pictures = gather(open_container(path), size=32)
    is_shape = pictures.x.shape[1:] == (3, 32, 32)
    if pictures.bad or not is_shape or len(pictures.classes) != 10:
        raise InputError(
            f"damaged {path}: right are 3x32x32 pictures of 10 classes; delete it and fetch "
            "cifar10 again"
        )
    return pictures.x, pictures.y


def read_archive(tar: Path) -> dict[Path, bytes]:
    """Read the batches inside the published archive.

    Nothing is written to disk, and no link is followed.

    Args:
        tar: The archive.

    Returns:
        The bytes of each batch by its path, in the order of the batches.

    Raises:
        InputError: The archive is damaged, or lacks a batch.
    """
    contents: dict[str, bytes] = {}
    try:
        with open_regular(tar) as packed, tarfile.open(fileobj=packed) as archive:
            for member in archive:
                if member.size > _LARGEST_BYTES:
                    raise tarfile.TarError(
                        f"{member.name} would unpack to {member.size >> 20:,} MiB"
                    )
                if member.name in _PACKED and member.isreg():
                    file = archive.extractfile(member)
                    if file is not None:
                        contents[member.name] = file.read()
        return {tar / name: contents[f"{_FOLDER}/{name}"] for name in _BATCHES}
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"damaged {tar}: {reason(error)}; delete it and fetch it again") from None


def _batch(path: Path) -> bytes:
    """The bytes of an unpacked batch.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise InputError(f"damaged {path}: {reason(error)}; delete it and fetch it again") from None


def _md5s() -> dict[str, str]:
    """MD5 of the published batches by name, as torchvision states them."""
    from torchvision import datasets

    return dict([*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list])
