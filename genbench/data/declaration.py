"""Compare what a data set decodes with what it declares, before anything is stored.

Every refusal is one line that names the class of the data set, the split, and what would be right.

References:
    Good (1953), The population frequencies of species and the estimation of population parameters.
        Biometrika 40
    McAllester, Schapire (2000), On the convergence rate of Good-Turing estimators. COLT
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np

from genbench.data.decoded import Arrays, Split, array_dtype
from genbench.errors import InputError
from genbench.spec import Image, Labels, Spec, Y
from genbench.system.files import NAME

__all__ = [
    "check_arrays",
    "check_declared",
    "check_held_out",
    "check_sizes",
    "reason_against",
]

# A name has at most this many bytes, since the names of files that contain it have at most 255.
_LONGEST_NAME = 200
# A split is called a copy where independent draws would look like one with less than this
# probability.
_CHANCE = 1e-9


def reason_against(name: str) -> str:
    """Why data cannot have a name; an empty text if they can."""
    if not NAME.fullmatch(name):
        return f"{name!r} is part of file names; letters, digits, and . _ + - are right"
    if (size := len(os.fsencode(name))) > _LONGEST_NAME:
        return (
            f"{name[:40]}... has {size} bytes, and is part of file names; at most {_LONGEST_NAME}"
            " are right"
        )
    return ""


def check_declared(owner: str, name: object, spec: object, sizes: object) -> None:
    """Check that a class declares its name, its spec and its sizes in the right form.

    Args:
        owner: Class path of the data set, which a refusal begins with.
        name: Its name, None where it declares none.
        spec: Its image space, None where it declares none.
        sizes: Its numbers of images.

    Raises:
        InputError: One of them is missing or has another form.
    """
    if not isinstance(name, str):
        raise InputError(f'{owner} declares no name; a text such as name = "bars" is right')
    if reason := reason_against(name):
        raise InputError(f"{owner}: name {reason}")
    if not isinstance(spec, Spec):
        raise InputError(
            f"{owner} declares no spec; spec = Spec((channels, height, width), levels=...) is right"
        )
    if not _are_counts(spec.shape, least=1):
        raise InputError(
            f"{owner}: the shape of its spec is {spec.shape}; (channels, height, width) is right"
        )
    if not _are_counts(sizes, least=0):
        raise InputError(
            f"{owner}: sizes are {sizes}; (train, val, test), a tuple of numbers, is right"
        )


def check_arrays(owner: str, spec: Spec, arrays: object) -> None:
    """Check splits, types, shapes and values of decoded arrays.

    Args:
        owner: Name or class path of the data set, which a refusal begins with.
        spec: Shape, levels and y of its images.
        arrays: For every split images and y, as `ImageData.decode` returns them.

    Raises:
        InputError: They are not what the spec says.
    """
    if not isinstance(arrays, dict):
        raise InputError(
            f"{owner}: decode() gives a {type(arrays).__name__}; a dictionary of train, val and "
            "test is right"
        )
    for split in get_args(Split):
        if split not in arrays:
            raise InputError(f"{owner}: decode() gives no {split}; train, val and test are right")
    for split in arrays:
        if split not in get_args(Split):
            raise InputError(
                f"{owner}: decode() gives a split {split!r}; train, val and test are right"
            )
    for split, pair in arrays.items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InputError(
                f"{owner}: decode() gives a {type(pair).__name__} for {split}; (images, y) is "
                "right, with None for y where there is none"
            )
        x, y = pair
        _check_values(
            f"{owner}: images for {split}",
            x,
            str(array_dtype(spec.levels)),
            spec.shape,
            spec.levels,
        )
        _check_y(owner, split, y, spec.y, len(x))


def check_sizes(owner: str, sizes: Sequence[int], arrays: dict[Split, Arrays]) -> None:
    """Check that every split has as many images as are declared.

    Args:
        owner: Class path of the data set.
        sizes: Number of images for train, val and test; zero where only the source files tell.
        arrays: Images and y of every split.

    Raises:
        InputError: A split has more or fewer images.
    """
    for split, size in zip(get_args(Split), sizes, strict=True):
        count = len(arrays[split][0])
        if size not in (0, count):
            raise InputError(
                f"{owner}: {count:,} images for {split}; {size:,} are right, by its sizes"
            )


def check_held_out(owner: str, arrays: dict[Split, Arrays]) -> None:
    """Check that the images for validation and testing are not training images.

    Arrays that share memory are refused. So is a split of which every image is a training image,
    where independent draws would hardly give one. Let G be the share of the N training images that
    occur once. By Good and Turing, a new draw is none of them with a probability of about G, and of
    at least u = G - sqrt(2 ln(1 / c) / N) but for a chance c; all of n new draws are among them with
    probability (1 - u)^n at most. A split is refused where that is below c = 1e-9. So data that
    repeat by nature, such as points on a small grid, are never refused, nor are a few images.

    Args:
        owner: Class path of the data set.
        arrays: Images and y of every split.

    Raises:
        InputError: A split repeats training images.
    """
    train_images, _ = arrays["train"]
    held_out: tuple[Split, Split] = ("val", "test")
    for split in held_out:
        if np.shares_memory(train_images, arrays[split][0]):
            raise InputError(
                f"{owner}: images for {split} are part of the array for train; images that are in "
                "no other split are right"
            )
    counts = Counter(_keys(train_images))
    for split in held_out:
        x, _ = arrays[split]
        if _is_rare(counts, len(x)) and all(key in counts for key in _keys(x)):
            raise InputError(
                f"{owner}: every image for {split} is a training image; images that are in no "
                "other split are right"
            )


def _are_counts(numbers: object, least: int) -> bool:
    """Whether something is a tuple of three integers, none of them below the least."""
    if not isinstance(numbers, tuple) or len(numbers) != 3:
        return False
    return all(isinstance(number, int) and number >= least for number in numbers)


def _check_y(owner: str, split: Split, y: object, kind: Y | None, images: int) -> None:
    """Check y of a split.

    Args:
        owner: Name or class path of the data set.
        split: The split.
        y: What was decoded.
        kind: What the spec says of it.
        images: Number of images of the split.
    """
    if kind is None:
        if y is not None:
            raise InputError(
                f"{owner}: y for {split} is a {type(y).__name__}; None is right, since its spec has"
                " no y"
            )
        return
    if y is None:
        raise InputError(
            f"{owner}: y for {split} is None; an array is right, since its spec has y={kind}"
        )
    what = f"{owner}: {kind.plural} y for {split}"
    if isinstance(kind, Labels):
        _check_values(what, y, "int64", (), kind.classes)
    elif isinstance(kind, Image):
        _check_values(what, y, str(array_dtype(kind.levels)), kind.shape, kind.levels)
    else:
        _check_values(what, y, "int64", (kind.length,), kind.vocabulary)
    assert isinstance(y, np.ndarray)
    if len(y) != images:
        raise InputError(f"{what} are {len(y):,}; {images:,} are right, one for every image")


def _check_values(what: str, array: object, dtype: str, shape: tuple[int, ...], stop: int) -> None:
    """Check an array of one entry for every image.

    Args:
        what: The beginning of a refusal.
        array: What was decoded.
        dtype: The integer type that it has to have.
        shape: The shape of an entry.
        stop: The values are 0 to stop - 1.
    """
    if not isinstance(array, np.ndarray):
        raise InputError(f"{what} are a {type(array).__name__}; a numpy array is right")
    right_shape = "(" + ", ".join(["N", *map(str, shape)]) + ("," if not shape else "") + ")"
    if array.ndim != 1 + len(shape) or array.shape[1:] != shape:
        raise InputError(f"{what} have the shape {array.shape}; {right_shape} is right")
    if len(array) == 0:
        raise InputError(f"{what} are none; one at least is right")
    if array.dtype != np.dtype(dtype):
        raise InputError(f"{what} are {array.dtype}; {dtype} is right")
    lowest = int(array.min())
    highest = int(array.max())
    if lowest < 0 or highest >= stop:
        raise InputError(f"{what} have the values {lowest} to {highest}; 0 to {stop - 1} are right")


def _keys(x: np.ndarray) -> Iterator[bytes]:
    """A hash of every image, which equal images share."""
    for image in x:
        yield hashlib.sha256(image.tobytes()).digest()


def _is_rare(counts: Counter[bytes], n: int) -> bool:
    """Whether n independent draws would hardly all be training images.

    Args:
        counts: How often each training image occurs.
        n: Number of new draws.
    """
    total = counts.total()
    once = sum(count == 1 for count in counts.values())
    unseen = once / total - math.sqrt(2 * math.log(1 / _CHANCE) / total)
    return unseen > 0 and n * math.log1p(-unseen) < math.log(_CHANCE)
