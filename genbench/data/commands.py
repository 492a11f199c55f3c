"""What `genbench data list` and `show` say."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np

from genbench.data.containers import printable
from genbench.data.images import ImageData, Split, has_default_root
from genbench.data.imported import Imported, damaged_imports
from genbench.data.pictures import save_grid
from genbench.errors import InputError, nearest
from genbench.system.discover import classes
from genbench.system.files import check_target
from genbench.system.locations import project_root

__all__ = ["every", "lines", "named", "names_taken", "numbered_name", "show"]

_COLUMNS = 12
_ROWS = 10


def every(root: str | None = None) -> list[ImageData]:
    """Every data set that the classes of genbench.data offer, those imported into a root among
    them.

    Damaged ones are left out, and so are those that need a folder where there is none.
    """
    kinds = _kinds()
    if not root and not has_default_root():
        kinds = [kind for kind in kinds if not kind.needs_folder]
    return [data for kind in kinds for data in kind.offered(root)]


def names_taken() -> set[str]:
    """Names that no imported data set may have: those of the others."""
    # names do not depend on the root, but the usual one may be missing
    nowhere = os.devnull
    return {
        data.name for kind in _kinds() if kind is not Imported for data in kind.offered(nowhere)
    }


def _kinds() -> list[type[ImageData]]:
    paths = (path.rpartition(".") for path in classes("data", "ImageData"))
    return [getattr(importlib.import_module(module), name) for module, _, name in paths]


def named(name: str, root: str | None = None) -> ImageData:
    """A data set by its name.

    Raises:
        InputError: There is none of that name, or it is damaged.
    """
    known = {data.name: data for data in every(root)}
    if name not in known:
        if reason := damaged_imports(root).get(name):
            raise InputError(f"{name}: {reason}")
        raise InputError(f"no data {name!r}; {nearest(name, known)}")
    return known[name]


def lines(root: str | None = None) -> Iterator[str]:
    """A table: name, shape, levels, classes, sizes of the splits, and where the data is; and what
    it leaves out.
    """
    yield f"{'name':<24} {'shape':>10} {'levels':>6} {'classes':>7} {'train':>9} {'val':>7} {'test':>7}"
    for data in every(root):
        spec = data.spec
        shape = "x".join(map(str, spec.shape))
        sizes = "{:>9,} {:>7,} {:>7,}".format(*data.sizes)
        yield f"{data.name:<24} {shape:>10} {spec.levels:>6} {spec.labels or '–':>7} {sizes}  {_state(data)}"
    if not root and not has_default_root():
        yield "Data that are downloaded or imported are not listed: there is no home folder; set GENBENCH_DATA, or --root"
        return
    for name, reason in damaged_imports(root).items():
        yield f"{name:<24} {reason}"


def _state(data: ImageData) -> str:
    if data.is_decoded:
        return f"here: {data.folder}"
    if not data.sources:
        return "comes with the package"
    if all(path.exists() for path in data.sources):
        return f"here, not decoded yet: {data.sources[0].parent}"
    if data.downloads:
        return f"genbench data fetch {data.name}"
    return f"needs {data.sources[0]}"


def show(data: ImageData, out: Path | None = None) -> Iterator[str]:
    """Counts, shape, levels, hash, and a grid of training images: a row per class, or as they come.

    Args:
        data: Which.
        out: Where the grid goes, a PNG file. Default: runs/data/<name>.png in the checkout.

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
    yield f"{data.name}: shape {'x'.join(map(str, spec.shape))}, {spec.levels} levels, protocol {data.protocol}"
    yield f"content hash {content}" + (", as published" if content == data.published else "")
    for split in get_args(Split):
        x, y = data.arrays(split)
        yield f"{split:<6}{len(x):>9,}" + ("" if y is None else f"   by class: {_counts(data, y)}")
    x, y = data.arrays("train")
    rows, columns = _grid_rows(x, y)
    save_grid(np.asarray(x[rows]), spec, out, columns)
    yield f"grid: {out}"


def _counts(data: ImageData, y: np.ndarray) -> str:
    names = data.classes
    counts = np.bincount(y, minlength=len(names)).tolist()
    shown = [f"{numbered_name(k, name)}: {counts[k]:,}" for k, name in enumerate(names[:20])]
    return ", ".join(shown + [f"... {len(names)} classes"] * (len(names) > 20))


def numbered_name(label: int, name: str) -> str:
    """A class with its label, such as "3 = cat"; the label alone where nobody named it."""
    if name == str(label):
        return str(label)
    return f"{label} = {printable(name)}"


def _grid_rows(x: np.ndarray, y: np.ndarray | None) -> tuple[np.ndarray, int | None]:
    """Indices into the training split in reading order, and the number of columns."""
    if x.shape[1:] == (1, 1, 2):
        return np.arange(min(len(x), 5_000)), None
    if y is None or y.max() >= _ROWS:
        return np.arange(min(len(x), _COLUMNS * _ROWS)), min(len(x), _COLUMNS)
    firsts = [np.flatnonzero(y == k)[:_COLUMNS] for k in range(int(y.max()) + 1)]
    columns = min(len(first) for first in firsts)
    if columns == 0:
        return np.arange(min(len(x), _COLUMNS * _ROWS)), min(len(x), _COLUMNS)
    return np.concatenate([first[:columns] for first in firsts]), columns
