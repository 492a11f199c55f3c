"""`genbench data import`: from pictures of any container to a data set in three splits."""

from __future__ import annotations

import glob
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from genbench.data.canonical import canonical, hold_out
from genbench.data.commands import names_taken
from genbench.data.containers import Reading, open_container, printable
from genbench.data.decoded import Arrays, Split, write_copy, writing_to
from genbench.data.gather import Channels, Gathered, gather
from genbench.data.import_report import depth_lines, description_lines, summary_line
from genbench.data.imported import Imported, import_folder, reason_against
from genbench.data.location import data_root
from genbench.errors import InputError
from genbench.spec import Labels, Spec
from genbench.system.temporary import folder_beside

__all__ = ["Import", "check_plan", "import_images", "split_up"]

# share of the pictures for validation, and for testing, unless the caller says otherwise
_SHARE = 0.1
# with fewer test images a distance between distributions of 2048 features is mostly bias
_ENOUGH = 2_000
# largest height and width of an image
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
    yield _store(root, plan, spec, source, arrays)
    yield f"content hash {Imported(plan.name, str(root)).content_hash}"
    yield "In a configuration:"
    root_entry = f", root: {root.resolve()}" if plan.root else ""
    yield f"data: {{class_path: genbench.data.imported.Imported, name: {plan.name}{root_entry}}}"
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
    reason = reason_against(plan.name)
    if reason:
        raise InputError(f"--name {reason}")
    if plan.name in names_taken():
        raise InputError(
            f"--name {plan.name}: {plan.name} is the name of another data set; choose another"
        )
    if not 1 <= plan.size <= _LARGEST_SIZE:
        raise InputError(f"--size {plan.size}: height and width of an image, 1 to {_LARGEST_SIZE}")
    root = data_root(plan.root)
    place = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    if not place.is_dir():
        option = "--root" if plan.root else "GENBENCH_DATA"
        raise InputError(f"{option} {root}: {place} is no folder; choose another place")
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
        count = _count(split, _SHARE if n is None else n, total)
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


def _count(split: str, n: float, images: int) -> int:
    """The number of pictures that `n` means: itself, or below 1 a share of all."""
    if n <= 0 or (n >= 1 and n != int(n)):
        raise InputError(f"--{split} {n:g}: a number of pictures, or a share between 0 and 1")
    if n < 1:
        return min(images, max(1, round(n * images)))
    return min(images, int(n))


def _store(
    root: Path, plan: Import, spec: Spec, source: dict[str, object], arrays: dict[Split, Arrays]
) -> str:
    """Put the data set in its place; returns a line about it."""
    folder = import_folder(root, plan.name)
    with writing_to(folder), folder_beside(folder) as copy:
        _put_back(folder)
        content = write_copy(copy, spec, source, arrays)
        if folder.exists() and not plan.replace:
            if _hash(root, plan.name) == content:
                return f"{folder}: was there already, the same"
            raise InputError(
                f"{folder} holds another data set {plan.name}: choose another --name, or --replace "
                "it"
            )
        # the old one gives way in one step, and comes back if the new one does not arrive
        old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
        if folder.exists():
            folder.rename(old)
        try:
            copy.rename(folder)
        except BaseException:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    return f"{folder}: stored"


def _put_back(folder: Path) -> None:
    """Undo or complete the replacement of a data set by a process that was killed meanwhile."""
    for old in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.????????.old")):
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def _hash(root: Path, name: str) -> str | None:
    """Content hash of an imported data set; None where there is none, or a damaged one."""
    try:
        return Imported(name, str(root)).content_hash
    except (ValueError, InputError):
        return None
