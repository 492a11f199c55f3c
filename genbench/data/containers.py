"""Where pictures come from: a folder, a zip, an npz. Each is read as a list of pictures with a name, a class and a split.

    folder, zip   picture files at any depth, in the order of their paths; a folder around everything is left away. Top folders train
                  and test (and val) are splits, also as training, testing, valid, validation, in any case of letters; below them,
                  or without them, top folders are classes if every picture is in one. A dataset.json, as EDM and StyleGAN write
                  it, decides the classes instead: {"labels": [[path, class], ...] or null}.
    npz           images, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W); labels, integers (N,); optional levels (256)

Of a zip nothing is extracted to disk, and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from genbench.data.images import Split
from genbench.data.prepare import Decoded, decode
from genbench.errors import InputError
from genbench.files import BROKEN_ARRAY

__all__ = ["Container", "Picture", "open_container", "printable", "refuse_bomb"]

_SUFFIXES = (
    *(
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
        ".jp2",
    ),
    # Pillow may not know these, which is then said of each file
    *(".avif", ".heic", ".heif", ".dng", ".nef", ".cr2", ".arw"),
)
_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# A larger file is no picture that anybody would train on.
_LARGEST_BYTES = 2**28
# What dataset.json may take, and besides for every picture; parsed, it takes ten times as much.
_CARD_BYTES, _CARD_BYTES_EACH = 2**20, 2**10
# An npz that unpacks to more than the above, and by more than this factor, is no set of images, which shrink tenfold or so.
_LARGEST_FACTOR = 200


@dataclass(frozen=True)
class Picture:
    """A picture that has not been read yet.

    Args:
        name: Its path inside the container, or its number.
        read: Its pixels, by the rule of `prepare`; ValueError or OSError if it cannot be.
        label: Its class, or None.
        split: Its split where the container decides, or None.
    """

    name: str
    read: Callable[[], Decoded]
    label: int | None = None
    split: Split | None = None


@dataclass(frozen=True)
class Container:
    """What lies in one.

    Args:
        pictures: In the order of their names.
        classes: Their names by label; none where pictures have no labels.
        others: Number of files that are no pictures.
        hidden: Number of pictures whose name or folder begins with a dot; they are left out.
        levels: Grey levels of every picture.
    """

    pictures: list[Picture]
    classes: tuple[str, ...] = ()
    others: int = 0
    hidden: int = 0
    levels: int = 256


def open_container(path: Path) -> Container:
    """A folder, a zip, or an npz.

    Raises:
        InputError: It is none of these, damaged, or holds no picture.
    """
    if path.is_dir():
        files = {str(PurePosixPath(p.relative_to(path))): p for p in sorted(_files_below(path)) if p.is_file()}
        container = _from_files(path, {name: partial(_read_bounded, p) for name, p in files.items()})
    elif not path.exists():
        raise InputError(f"no {path}: a folder of pictures, a zip of them, or an npz file is right")
    elif path.suffix == ".npz":
        container = _from_npz(path)
    elif zipfile.is_zipfile(path):
        container = _from_zip(path)
    else:
        raise InputError(f"{path} is neither a folder of pictures, nor a zip of them, nor an npz file")
    if not container.pictures:
        raise InputError(f"{path} holds no pictures ({', '.join(_SUFFIXES[:6])}, ...), but {container.others} other files")
    return container


def printable(name: str) -> str:
    """A name from a container, safe on a terminal: escaped where it has control characters, or ones that turn the line around."""
    return name if name.isprintable() else repr(name)


def _files_below(folder: Path) -> Iterator[Path]:
    """Links to folders are followed, and every real folder is met once: a link upwards would have no end."""
    met = {folder.resolve()}
    for top, folders, names in os.walk(folder, followlinks=True):
        real = {(Path(top) / name).resolve(): name for name in sorted(folders, reverse=True)}
        folders[:] = sorted(name for path, name in real.items() if path not in met)
        met |= real.keys()
        yield from (Path(top) / name for name in names)


def _read_bounded(path: Path) -> bytes:
    _refuse_large(path.stat().st_size)
    return path.read_bytes()


def _refuse_large(size: int) -> None:
    if size > _LARGEST_BYTES:
        raise ValueError(f"has more than {_LARGEST_BYTES >> 20} MiB")


def _from_zip(path: Path) -> Container:
    try:
        archive = zipfile.ZipFile(path)  # stays open for as long as its pictures are read
        entries = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        twice = [name for name, n in Counter(info.filename for info in archive.infolist()).items() if n > 1]
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise InputError(f"damaged {path}: {error}") from None
    if twice:
        raise InputError(f"{path}: the name {twice[0]!r} stands for several files; make the zip anew with a name for each")
    for name in entries:
        if ".." in PurePosixPath(name.replace("\\", "/")).parts or name.startswith(("/", "\\")) or ":" in name.split("/")[0]:
            raise InputError(f"{path}: the name {name!r} points out of the zip; make it anew without such names")
    return _from_files(path, {name: partial(_read_entry, archive, info) for name, info in sorted(entries.items())})


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _refuse_large(info.file_size)  # the announced size, which is all that is ever unpacked
    try:
        with archive.open(info) as file:
            return file.read()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot be unpacked: {error}") from None


def _from_files(origin: Path, files: dict[str, Callable[[], bytes]]) -> Container:
    # what systems leave behind: .DS_Store, __MACOSX/
    visible = {n: f for n, f in files.items() if not any(p.startswith((".", "__MACOSX")) for p in PurePosixPath(n).parts)}
    names, every = _pictures(visible), _pictures(files)
    places = _places(names)
    card = next((name for name in visible if PurePosixPath(name).name == "dataset.json"), None)
    others = len(visible) - len(names) - (card is not None)
    if card is not None:
        labels, classes = _card_labels(origin, visible[card], str(PurePosixPath(card).parent), names)
    else:
        labels, classes = _folder_labels(places)
    pictures = [Picture(name, partial(_read_file, visible[name]), labels.get(name), places[name][0]) for name in names]
    return Container(pictures, classes, others, len(every) - len(names))


def _pictures(files: Iterable[str]) -> list[str]:
    return [name for name in files if PurePosixPath(name).suffix.lower() in _SUFFIXES]


def _read_file(read: Callable[[], bytes]) -> Decoded:
    return decode(read())


def _places(names: list[str]) -> dict[str, tuple[Split | None, tuple[str, ...]]]:
    """The split of each picture, and the folders below that it lies in."""
    folders = {name: PurePosixPath(name).parts[:-1] for name in names}
    while names and all(parts for parts in folders.values()) and len({parts[0] for parts in folders.values()}) == 1:
        folders = {name: parts[1:] for name, parts in folders.items()}
    tops = {parts[0].lower() if parts else "" for parts in folders.values()}
    if tops <= _SPLITS.keys() and "train" in {_SPLITS[top] for top in tops}:
        return {name: (_SPLITS[parts[0].lower()], parts[1:]) for name, parts in folders.items()}
    return {name: (None, parts) for name, parts in folders.items()}


def _folder_labels(places: dict[str, tuple[Split | None, tuple[str, ...]]]) -> tuple[dict[str, int], tuple[str, ...]]:
    classes = tuple(sorted({parts[0] if parts else "" for _, parts in places.values()}))
    if len(classes) < 2 or "" in classes:
        return {}, ()
    return {name: classes.index(parts[0]) for name, (_, parts) in places.items()}, classes


def _card_labels(
    origin: Path, read: Callable[[], bytes], folder: str, names: list[str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    try:
        content = read()
        if len(content) > _CARD_BYTES + _CARD_BYTES_EACH * len(names):
            raise ValueError(f"it has {len(content) >> 20:,} MiB, for {len(names):,} pictures")
        given = json.loads(content)["labels"]
        if given is None:
            return {}, ()
        inside = "" if folder == "." else f"{folder}/"
        labels = {inside + name: label for name, label in given}
        absent = [name for name in names if name not in labels]
        if absent:
            raise ValueError(f"it has no label for {printable(absent[0])}")
        return _numbered({name: labels[name] for name in names})
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"{origin}: dataset.json is not {{'labels': [[path, class], ...]}} ({error})") from None


def _numbered(labels: dict[str, Any]) -> tuple[dict[str, int], tuple[str, ...]]:
    bad = next((label for label in labels.values() if type(label) is not int or not 0 <= label < 65_536), None)
    if bad is not None:
        raise ValueError(f"a class is a number from 0 to 65,535, not {bad!r}")
    return labels, tuple(str(k) for k in range(max(labels.values(), default=-1) + 1))


def _from_npz(path: Path) -> Container:
    try:
        refuse_bomb(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("images", "labels", "levels") if key in file.files}
            if "images" not in arrays:
                raise ValueError(f"it has no array 'images', but {', '.join(file.files) or 'nothing'}")
        images, levels = _channels_last(arrays["images"]), _npz_levels(arrays.get("levels"))
        if not 2 <= levels <= 256 or images.max(initial=0) >= levels:
            raise ValueError(
                f"its pixels are not 0 to levels - 1 for levels of 2 to 256, but up to {images.max()} for {levels}"
            )
        labels, classes = _npz_labels(arrays.get("labels"), len(images))
    except BROKEN_ARRAY as error:
        raise InputError(f"{path}: {str(error) or type(error).__name__}") from None
    pictures = [Picture(str(i), partial(Decoded, image), labels.get(str(i))) for i, image in enumerate(images)]
    return Container(pictures, classes, levels=levels)


def refuse_bomb(path: Path) -> None:
    """Refuse an npz file by its announced size, which is all that is ever unpacked.

    Raises:
        ValueError: It would unpack to far more than arrays do.
        OSError, BadZipFile: It cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > max(_LARGEST_BYTES, _LARGEST_FACTOR * path.stat().st_size):
        raise ValueError(f"it would unpack to {size >> 20:,} MiB, from {path.stat().st_size >> 20:,} MiB: no arrays do")


def _channels_last(images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(f"images are uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), not {images.dtype} {images.shape}")
    if images.ndim == 3:
        return images
    first, last = images.shape[1] in (1, 3), images.shape[3] in (1, 3)
    if first == last:
        raise ValueError(f"of images {images.shape} it is not clear which axis has the 1 or 3 channels: the second or the last")
    images = images.transpose(0, 2, 3, 1) if first else images
    return images[..., 0] if images.shape[3] == 1 else images


def _npz_levels(levels: np.ndarray | None) -> int:
    if levels is None:
        return 256
    if levels.size != 1 or not np.issubdtype(levels.dtype, np.integer):
        raise ValueError(f"levels is one integer, not {levels.dtype} {levels.tolist() if levels.size == 1 else levels.shape}")
    return int(levels.item())


def _npz_labels(labels: np.ndarray | None, n: int) -> tuple[dict[str, int], tuple[str, ...]]:
    if labels is None:
        return {}, ()
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are integers ({n},), not {labels.dtype} {labels.shape}")
    return _numbered({str(i): label for i, label in enumerate(labels.tolist())})
