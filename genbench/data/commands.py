"""Data sets by name, and what `genbench data list` and `genbench data show` print."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from genbench.data.containers import printable
from genbench.data.decoded import Split
from genbench.data.images import ImageData
from genbench.data.imported import Imported, damaged_imports
from genbench.data.location import has_default_root
from genbench.data.pictures import pairs_in_rows, save_grid
from genbench.errors import InputError, nearest
from genbench.spec import Image, Spec
from genbench.system.discover import leaf_classes
from genbench.system.files import check_target
from genbench.system.locations import project_root

__all__ = ["every", "lines", "named", "names_taken", "numbered_name", "show"]

# The grid of training images has this many columns and rows.
_COLUMNS = 12
_ROWS = 10
# The counts of at most this many classes are printed.
_CLASSES = 20


def every(root: str | None = None) -> list[ImageData]:
    """Every data set that the classes of genbench.data offer, imported ones included.

    Damaged ones are left out, and so are those that need a folder where there is none.

    Args:
        root: Folder for data. Default: $GENBENCH_DATA, else ~/.cache/genbench.
    """
    kinds = _kinds()
    if not root and not has_default_root():
        kinds = [kind for kind in kinds if not kind.needs_folder]
    return [data for kind in kinds for data in kind.offered(root)]


def names_taken() -> set[str]:
    """Names of the data sets that are not imported, which no imported one may have."""
    # Names do not depend on the root, and the usual root may be missing.
    nowhere = os.devnull
    return {
        data.name for kind in _kinds() if kind is not Imported for data in kind.offered(nowhere)
    }


def _kinds() -> list[type[ImageData]]:
    """The classes of data modules of genbench."""
    paths = (path.rpartition(".") for path in leaf_classes("data", "ImageData"))
    return [getattr(importlib.import_module(module), name) for module, _, name in paths]


def named(name: str, root: str | None = None) -> ImageData:
    """Find a data set by its name.

    Args:
        name: Its name.
        root: Folder for data. Default: $GENBENCH_DATA, else ~/.cache/genbench.

    Raises:
        InputError: There is none of that name, or it is damaged.
    """
    known = {data.name: data for data in every(root)}
    if name not in known:
        reason = damaged_imports(root).get(name)
        if reason:
            raise InputError(f"{name}: {reason}")
        raise InputError(f"no data {name!r}; {nearest(name, known)}")
    return known[name]


def lines(root: str | None = None) -> Iterator[str]:
    """The lines of a table of all data sets, and what it leaves out.

    Its columns are name, shape, levels, number of classes, sizes of the splits, and place.

    Args:
        root: Folder for data. Default: $GENBENCH_DATA, else ~/.cache/genbench.
    """
    header = f"{'name':<24} {'shape':>10} {'levels':>6} {'classes':>7}"
    yield f"{header} {'train':>9} {'val':>7} {'test':>7}"
    for data in every(root):
        spec = data.spec
        shape = "x".join(map(str, spec.shape))
        sizes = "{:>9,} {:>7,} {:>7,}".format(*data.sizes)
        row = f"{data.name:<24} {shape:>10} {spec.levels:>6} {spec.classes or '–':>7}"
        yield f"{row} {sizes}  {_state(data)}"
    if not root and not has_default_root():
        yield (
            "Data that are downloaded or imported are not listed: there is no home folder; "
            "set GENBENCH_DATA, or --root"
        )
        return
    for name, reason in damaged_imports(root).items():
        yield f"{name:<24} {reason}"


def _state(data: ImageData) -> str:
    """Where the data lie, or the command that brings them."""
    if data.is_decoded:
        return f"here: {data.folder}"
    if not data.source_files:
        return "comes with the package"
    if all(path.exists() for path in data.source_files):
        return f"here, not decoded yet: {data.source_files[0].parent}"
    if data.downloads:
        return f"genbench data fetch {data.name}"
    return f"needs {data.source_files[0]}"


def show(data: ImageData, out: Path | None = None) -> Iterator[str]:
    """Describe a data set, and save a grid of training images, a row per class.

    Args:
        data: The data set.
        out: The grid, a PNG file. Default: runs/data/<name>.png in the checkout.

    Yields:
        Lines with shape, levels, content hash and counts.

    Raises:
        InputError: The data is not there, or damaged.
    """
    out = out or project_root() / "runs" / "data" / f"{data.name}.png"
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: a .png file")
    check_target(out)
    if out.is_dir():
        raise InputError(f"--out {out}: a .png file, not a folder")
    content = data.content_hash
    spec = data.spec
    shape = "x".join(map(str, spec.shape))
    yield f"{data.name}: shape {shape}, {spec.levels} levels, protocol {data.protocol}"
    if content == data.published:
        yield f"content hash {content}, as published"
    else:
        yield f"content hash {content}"
    if data.entropy is not None:
        bits = data.entropy / math.log(2)
        yield f"entropy {data.entropy:.4f} nats, {bits / spec.dims:.4f} bits/dim: no model has less"
    for split in get_args(Split):
        x, y = data.arrays(split)
        line = f"{split:<6}{len(x):>9,}"
        if y is not None and spec.classes:
            line += f"   by class: {_counts(data, y)}"
        yield line
    x, y = data.arrays("train")
    rows, columns = _grid_rows(x, y if spec.classes else None, spec)
    images = np.asarray(x[rows])
    if isinstance(spec.y, Image) and y is not None:
        images = pairs_in_rows(np.asarray(y[rows]), spec.y, spec, images)
    save_grid(images, spec, out, columns)
    yield f"grid: {out}"


def _counts(data: ImageData, y: np.ndarray) -> str:
    """Number of images of the first classes."""
    names = data.class_names
    counts = np.bincount(y, minlength=len(names)).tolist()
    shown = []
    for label, name in enumerate(names[:_CLASSES]):
        shown.append(f"{numbered_name(label, name)}: {counts[label]:,}")
    if len(names) > _CLASSES:
        shown.append(f"... {len(names)} classes")
    return ", ".join(shown)


def numbered_name(label: int, name: str) -> str:
    """A class with its label, such as "3 = cat"; the label alone where nobody named it."""
    if name == str(label):
        return str(label)
    return f"{label} = {printable(name)}"


def _grid_rows(x: np.ndarray, y: np.ndarray | None, spec: Spec) -> tuple[np.ndarray, int | None]:
    """Indices into the training split in reading order, and the number of columns."""
    if spec.looks.together is not None:
        return np.arange(min(len(x), spec.looks.together)), None
    if y is None or y.max() >= _ROWS:
        return np.arange(min(len(x), _COLUMNS * _ROWS)), min(len(x), _COLUMNS)
    firsts = [np.flatnonzero(y == k)[:_COLUMNS] for k in range(int(y.max()) + 1)]
    columns = min(len(first) for first in firsts)
    if columns == 0:
        return np.arange(min(len(x), _COLUMNS * _ROWS)), min(len(x), _COLUMNS)
    return np.concatenate([first[:columns] for first in firsts]), columns
