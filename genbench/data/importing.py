"""`genbench data import`: from pictures of any container to a data set in three splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from genbench.data.canonical import canonical, hold_out
from genbench.data.containers import Reading, open_container, printable
from genbench.data.decoded import Arrays, Split
from genbench.data.gather import Channels, Gathered, gather
from genbench.data.import_place import check_place, closing_lines, part_of, store_import
from genbench.data.import_report import depth_lines, description_lines, summary_line
from genbench.errors import InputError
from genbench.spec import Labels, Spec

__all__ = ["Import", "check_plan", "import_images", "split_up"]

# This share of the pictures is for validation, and as many for testing, unless the caller says
# otherwise.
_SHARE = 0.1
# With fewer test images, a distance between distributions of 2048 features is mostly bias.
_ENOUGH = 2_000
# An image has at most this height and width.
_LARGEST_SIZE = 4096


@dataclass(frozen=True)
class Import:
    """What to import, and how.

    Args:
        path: A folder, a zip, an npz or an npy file.
        name: Name of the data set: letters, digits and . _ + -
        size: Height and width of its images.
        root: Folder for data. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        channels: grey, rgb, or auto: grey where every picture is.
        val: Pictures for validation: a number, or below 1 a share; a tenth where not given.
        test: Pictures for testing, likewise.
        skip_bad: Leave out what cannot be used; otherwise it ends the import.
        replace: Replace another data set of this name.
        white: The value of grey pictures of more than 8 bits that is white. Default: 65,535.
        labels: Whether folders, a dataset.json or an array give classes.
        leave_out: Files, and folders with all that they hold, by their paths inside of the
            container.
    """

    path: Path
    name: str
    size: int
    root: Path | None = None
    channels: Channels = "auto"
    val: float | None = None
    test: float | None = None
    skip_bad: bool = False
    replace: bool = False
    white: int | None = None
    labels: bool = True
    leave_out: tuple[str, ...] = ()


def import_images(
    plan: Import, progress: Callable[[int], None] = lambda done: None
) -> Iterator[str]:
    """Import pictures; the data set appears whole or not at all.

    Args:
        plan: What to import, and how.
        progress: Called with the number of pictures read so far.

    Yields:
        The lines of the report.

    Raises:
        InputError: One line: a bad argument, no pictures, bad pictures without `skip_bad`, or a
            name in use.
    """
    root = check_plan(plan)
    reading = Reading(labels=plan.labels, leave_out=plan.leave_out, white=plan.white)
    container = open_container(plan.path, reading)
    pictures = gather(container, plan.size, plan.channels, progress)
    yield summary_line(pictures, container, plan.skip_bad)
    yield from depth_lines(pictures, plan.white, plan.path)
    if pictures.changes:
        changes = [f"{n:,} {change}" for change, n in pictures.changes.most_common()]
        yield f"  {', '.join(changes)}"
    for name, reason in pictures.bad:
        yield f"  bad: {printable(name)}: {reason}"
    if pictures.bad and not plan.skip_bad:
        total = len(container.pictures) + len(container.unreadable)
        raise InputError(
            f"{len(pictures.bad)} of {total} pictures are bad: mend them, or --skip-bad leaves "
            "them out"
        )
    arrays = split_up(pictures, plan.val, plan.test)
    shape = (pictures.x.shape[1], plan.size, plan.size)
    y = Labels(len(pictures.classes)) if pictures.classes else None
    spec = Spec(shape, container.levels, y)
    yield from description_lines(spec, arrays, pictures.classes)
    if container.note:
        yield f"  {container.note}"
    source: dict[str, object] = {
        "name": plan.name,
        "shape": spec.shape,
        "levels": spec.levels,
        "labels": spec.classes or None,
        "classes": pictures.classes,
        "sizes": [len(x) for x, _ in arrays.values()],
    }
    yield store_import(root, plan.replace, spec, source, arrays)
    yield from closing_lines(plan.name, root, plan.root)
    if spec.levels > 256:
        yield "protocol: likelihood  # extractors of photographs see 8 bits"
    elif len(arrays["test"][0]) < _ENOUGH:
        yield (
            "protocol: likelihood  # likelihood and speed alone: sample metrics say little against "
            "so few test pictures"
        )


def check_plan(plan: Import) -> Path:
    """Check the arguments of an import before anything is read.

    Args:
        plan: What to import, and how.

    Returns:
        The folder for data.

    Raises:
        InputError: The name is in use or no name, the size or the white is out of range, or the
            root is no folder.
    """
    root = check_place(plan.name, plan.root)
    if not 1 <= plan.size <= _LARGEST_SIZE:
        raise InputError(f"--size {plan.size}: height and width of an image, 1 to {_LARGEST_SIZE}")
    if plan.white is not None and not 1 <= plan.white < 2**31:
        raise InputError(f"--white {plan.white}: the value of white, 1 to {2**31 - 1:,}")
    return root


def split_up(
    pictures: Gathered, val: float | None = None, test: float | None = None
) -> dict[Split, Arrays]:
    """Deal pictures to three splits, in canonical order.

    The last ones are for testing, those before them for validation, the others for training. A
    split that the container decides keeps its pictures.

    Args:
        pictures: What was read.
        val: Pictures for validation: a number, or below 1 a share. Default: a tenth.
        test: Pictures for testing, likewise.

    Raises:
        InputError: A split would be empty, or the container decides it already.
    """
    decided = {
        split: _rows(pictures, split) for split in get_args(Split) if split in pictures.splits
    }
    parts = {"train": _rows(pictures, None), **decided}
    total = len(pictures.x)
    for split, n in (("test", test), ("val", val)):
        if split in decided:
            if n is not None:
                raise InputError(
                    f"--{split} {n:g}: the container has pictures for {split} already; leave the "
                    "option out"
                )
            continue
        count = part_of(split, _SHARE if n is None else n, total, "pictures")
        parts["train"], parts[split] = hold_out(parts["train"], count)
    if not all(len(x) for x, _ in parts.values()):
        raise InputError(
            f"{total} pictures are too few: training, validation and testing need one each"
        )
    return {split: parts[split] for split in get_args(Split)}


def _rows(pictures: Gathered, split: Split | None) -> Arrays:
    """The pictures of which the container says that split, in canonical order."""
    chosen = [i for i, decided in enumerate(pictures.splits) if decided == split]
    rows = np.array(chosen, dtype=np.int64)
    labels = None if pictures.y is None else pictures.y[rows]
    return canonical(pictures.x[rows], labels)
