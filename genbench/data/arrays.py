"""Images in files of numpy arrays.

    npz   images, (N, H, W), (N, H, W, C) or (N, C, H, W), where C is 1, 3, or 4 with transparency,
          uint8, or int32 where levels are more than 256; labels, integers (N,); optional levels
          (256). Without images, arr_0 and arr_1 are images and labels, as guided-diffusion writes
          them. Any other array is refused: what it says would be lost
    npy   images alone

Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genbench.data.decoded import array_dtype
from genbench.data.labelling import NO_LABELS, PictureLabels, numbered
from genbench.data.listing import LARGEST_BYTES
from genbench.errors import InputError, reason
from genbench.spec import MAX_LEVELS
from genbench.system.files import BROKEN_ARRAY, open_regular

__all__ = ["ArrayFile", "read_arrays", "refuse_bomb"]

# An npz file that unpacks to more than LARGEST_BYTES, and by more than this factor, is no set of
# images: images shrink about tenfold.
_LARGEST_FACTOR = 200
# The two kinds of files begin with these bytes.
_NPY_BEGIN = b"\x93NUMPY"
_ZIP_BEGIN = b"PK\x03\x04"


@dataclass(frozen=True)
class ArrayFile:
    """What a file of arrays holds.

    Attributes:
        images: Integers (N, H, W) or (N, H, W, C), of the type of their levels.
        levels: Grey levels of a pixel.
        labels: Classes of the images by their numbers.
    """

    images: np.ndarray
    levels: int
    labels: PictureLabels


def read_arrays(path: Path, with_labels: bool) -> ArrayFile:
    """Read images, levels and labels of an npz or npy file.

    Args:
        path: The file.
        with_labels: Whether labels are read.

    Raises:
        InputError: It is damaged, or its arrays are no images.
    """
    labels = NO_LABELS
    arrays = _load_arrays(path)
    try:
        levels = _levels(arrays.get("levels"))
        images = _channels_last(arrays["images"], levels)
        if len(images) == 0:
            raise ValueError("its array of images has 0 images; at least one is right")
        if images.min(initial=0) < 0 or images.max(initial=0) >= levels:
            raise ValueError(
                f"its pixels are not 0 to {levels - 1}, as {levels} levels are, "
                f"but {images.min()} to {images.max()}"
            )
        if levels != 256 and images.shape[3:] == (4,):
            raise ValueError(
                f"its images have transparency, which goes with 256 levels, not with {levels}"
            )
        if with_labels:
            labels = _labels(arrays.get("labels"), len(images))
    except BROKEN_ARRAY as error:
        raise InputError(f"{path}: {reason(error)}") from None
    return ArrayFile(images, levels, labels)


def refuse_bomb(path: Path) -> None:
    """Refuse an npz file by its announced size, which is all that is ever unpacked.

    Args:
        path: The file.

    Raises:
        InputError: It would unpack to far more than arrays do.
        OSError, BadZipFile: It cannot be read.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > max(LARGEST_BYTES, _LARGEST_FACTOR * path.stat().st_size):
        packed = path.stat().st_size >> 20
        raise InputError(
            f"{path}: it would unpack to {size >> 20:,} MiB, from {packed:,} MiB: no arrays do"
        )


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The array "images", and "labels" and "levels" where the file has them.

    Raises:
        InputError: It is no such file, damaged, or holds other arrays.
    """
    kind = path.suffix.lower()
    try:
        _refuse_other_kind(path, kind)
        return _loaded(path, kind)
    except BROKEN_ARRAY as error:
        raise InputError(f"{path}: {_in_words(error, kind)}") from None


def _refuse_other_kind(path: Path, kind: str) -> None:
    """Refuse an empty file, and one whose first bytes are not those of its kind.

    Args:
        path: The file.
        kind: How its name ends: .npz or .npy.
    """
    with open_regular(path) as file:
        first = file.read(len(_NPY_BEGIN))
    if not first:
        raise InputError(f"{path} is empty; right is what numpy writes as {kind}")
    for other, begin in ((".npz", _ZIP_BEGIN), (".npy", _NPY_BEGIN)):
        if kind != other and first.startswith(begin):
            raise InputError(
                f"{path}: by its content it is an {other[1:]} file; give it a name that ends in"
                f" {other}"
            )
    if kind == ".npy" and first != _NPY_BEGIN:
        raise InputError(
            f"{path} does not begin as an npy file does; right is what numpy writes as .npy"
        )


def _in_words(error: BaseException, kind: str) -> str:
    """What is wrong with a file that numpy does not read, and what would be right.

    Args:
        error: What numpy raised.
        kind: How the file's name ends.
    """
    message = reason(error)
    if "allow_pickle" in message or "Python objects" in message:
        return "it holds Python objects, which are never unpickled; right are arrays of integers"
    if "mmap length" in message:
        return "it is cut: its array is longer than the file; copy or write it anew"
    if isinstance(error, OSError):
        return f"{message}; right is a file that can be read"
    return f"damaged ({message}); right is what numpy writes as {kind}"


def _loaded(path: Path, kind: str) -> dict[str, np.ndarray]:
    """The arrays of `_load_arrays`, by a reader that raises whatever numpy does."""
    if kind == ".npy":
        # The file is mapped, so that a header that announces more than the file has is refused
        # before memory is asked for.
        with open_regular(path):
            return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
    refuse_bomb(path)
    # The file is opened here, since numpy leaves it open where it is no archive.
    with open_regular(path) as file, np.load(file, allow_pickle=False) as content:
        names = {"images": "images", "labels": "labels", "levels": "levels"}
        if "images" not in content.files:
            names |= {"images": "arr_0", "labels": "arr_1"}
        if names["images"] not in content.files:
            others = ", ".join(content.files) or "nothing"
            raise InputError(f"{path}: it has no array 'images' (nor 'arr_0'), but {others}")
        _refuse_others(path, content.files, list(names.values()))
        return {key: content[name] for key, name in names.items() if name in content.files}


def _refuse_others(path: Path, arrays: Sequence[str], known: Sequence[str]) -> None:
    """Refuse an array that would be dropped without a word, such as `label` for `labels`."""
    others = [name for name in arrays if name not in known]
    if others:
        raise InputError(
            f"{path}: beside the array {known[0]!r} it has {', '.join(map(repr, others))}, which"
            f" would be lost; right are {', '.join(known)}"
        )


def _channels_last(images: np.ndarray, levels: int) -> np.ndarray:
    """Images (N, H, W) or (N, H, W, C) of images whose channels may be the second axis."""
    dtype = array_dtype(levels)
    if images.dtype != dtype or images.ndim not in (3, 4):
        raise ValueError(
            f"images are {dtype} (N, H, W), (N, H, W, C) or (N, C, H, W) for {levels} levels, "
            f"not {images.dtype} {images.shape}"
        )
    if images.ndim == 3:
        return images
    first = images.shape[1] in (1, 3)
    last = images.shape[3] in (1, 3)
    if not first and not last:  # Four channels are colour with transparency.
        first = images.shape[1] == 4
        last = images.shape[3] == 4
    if first == last:
        raise ValueError(
            f"of images {images.shape} it is not clear which axis has the 1, 3 or 4 channels: "
            "the second or the last"
        )
    if first:
        images = images.transpose(0, 2, 3, 1)
    if images.shape[3] == 1:
        return images[..., 0]
    return images


def _levels(levels: np.ndarray | None) -> int:
    if levels is None:
        return 256
    if levels.size != 1 or not np.issubdtype(levels.dtype, np.integer):
        value = levels.tolist() if levels.size == 1 else levels.shape
        raise ValueError(f"levels is one integer, not {levels.dtype} {value}")
    number = int(levels.item())
    if not 2 <= number <= MAX_LEVELS:
        raise ValueError(f"levels are 2 to {MAX_LEVELS:,}, not {number}")
    return number


def _labels(labels: np.ndarray | None, n: int) -> PictureLabels:
    if labels is None:
        return NO_LABELS
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are integers ({n},), not {labels.dtype} {labels.shape}")
    return numbered({str(i): label for i, label in enumerate(labels.tolist())})
