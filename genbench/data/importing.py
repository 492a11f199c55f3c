"""`genbench data import`: pictures of any container -> a data set in three splits, and a report of
what was found.
"""

from __future__ import annotations

import glob
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from genbench.data.canonical import canonical, hold_out
from genbench.data.commands import names_taken, numbered_name
from genbench.data.containers import Container, Reading, open_container, printable
from genbench.data.gather import Channels, Gathered, gather
from genbench.data.images import Arrays, Split, data_root, write_copy, writing_to
from genbench.data.imported import Imported, import_folder, reason_against
from genbench.data.prepare import refuse_dark
from genbench.errors import InputError
from genbench.spec import Spec
from genbench.system.temporary import folder_beside

__all__ = ["Import", "import_images", "split_up"]

_SHARE = 0.1
# Below this a distance between distributions of 2048 features is mostly bias.
_ENOUGH = 2_000
_LARGEST_SIZE = 4096


@dataclass(frozen=True)
class Import:
    """What to import, and how.

    Args:
        path: A folder, a zip, an npz or an npy file.
        name: Of the data set: letters, digits and . _ + -
        size: Height and width of its images.
        root: Where to. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        channels: grey, rgb, or auto: grey where every picture is.
        val: Pictures for validation: a number, or below 1 a share; a tenth where not given.
        test: Pictures for testing, likewise.
        skip_bad: Leave out what cannot be used; otherwise it ends the import.
        replace: Replace another data set of this name.
        white: The value of grey pictures of more than 8 bits that is white; 65,535, where it is not
            given.
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
    """Import; yields the lines of the report. What is stored is whole or absent.

    Args:
        plan: What, and how.
        progress: Called with the number of pictures read so far.

    Raises:
        InputError: One line: a bad argument, no pictures, bad pictures without `skip_bad`, or a
            name in use.
    """
    if reason := reason_against(plan.name):
        raise InputError(f"--name {reason}")
    if plan.name in names_taken():
        raise InputError(
            f"--name {plan.name}: {plan.name} is the name of another data set; choose another"
        )
    if not 1 <= plan.size <= _LARGEST_SIZE:
        raise InputError(f"--size {plan.size}: height and width of an image, 1 to {_LARGEST_SIZE}")
    root = data_root(plan.root)
    there = next(place for place in (root, *root.absolute().parents) if place.exists())
    if not there.is_dir():
        raise InputError(
            f"{'--root' if plan.root else 'GENBENCH_DATA'} {root}: {there} is no folder; choose "
            "another place"
        )
    if plan.white is not None and not 1 <= plan.white < 2**31:
        raise InputError(f"--white {plan.white}: the value of white, 1 to {2**31 - 1:,}")
    reading = Reading(labels=plan.labels, leave_out=plan.leave_out, white=plan.white)
    container = open_container(plan.path, reading)
    found = gather(container, plan.size, plan.channels, progress)
    yield _summary(found, container, plan.skip_bad)
    yield from _depth(found, plan)
    if found.changes:
        yield f"  {', '.join(f'{n:,} {change}' for change, n in found.changes.most_common())}"
    for name, reason in found.bad:
        yield f"  bad: {printable(name)}: {reason}"
    if found.bad and not plan.skip_bad:
        raise InputError(
            f"{len(found.bad)} of {len(container.pictures) + len(container.unreadable)} pictures "
            "are bad: mend them, or --skip-bad"
            " leaves them out"
        )
    arrays = split_up(found, plan.val, plan.test)
    spec = Spec(
        (found.x.shape[1], plan.size, plan.size), container.levels, len(found.classes) or None
    )
    yield from _description(spec, arrays, found.classes)
    if container.note:
        yield f"  {container.note}"
    source: dict[str, object] = {
        "name": plan.name,
        "shape": spec.shape,
        "levels": spec.levels,
        "labels": spec.labels,
    }
    source |= {"classes": found.classes, "sizes": [len(x) for x, _ in arrays.values()]}
    yield _store(root, plan, spec, source, arrays)
    yield f"content hash {Imported(plan.name, str(root)).content_hash}"
    yield "In a configuration:"
    given_root = f", root: {root.resolve()}" if plan.root else ""
    yield f"data: {{class_path: genbench.data.imported.Imported, name: {plan.name}{given_root}}}"
    if len(arrays["test"][0]) < _ENOUGH:
        yield "protocol: likelihood  # likelihood and speed alone: sample metrics say little against so few test pictures"


def split_up(
    found: Gathered, val: float | None = None, test: float | None = None
) -> dict[Split, Arrays]:
    """Pictures in canonical order: the last ones for testing, those before them for validation, the
    others for training.

    Args:
        found: The pictures. Where their container has a split of its own, it stays, in canonical
            order.
        val: How many for validation: a number, or below 1 a share; a tenth where not given.
        test: How many for testing, likewise.

    Raises:
        InputError: A split would be empty, or is given twice.
    """
    own = {split: _rows(found, split) for split in get_args(Split) if split in found.splits}
    parts = {"train": _rows(found, None), **own}
    for split, n in (("test", test), ("val", val)):
        if split in own:
            if n is not None:
                raise InputError(
                    f"--{split} {n:g}: the container has pictures for {split} already; leave the "
                    "option out"
                )
            continue
        parts["train"], parts[split] = hold_out(
            parts["train"], _count(split, _SHARE if n is None else n, len(found.x))
        )
    if not all(len(x) for x, _ in parts.values()):
        raise InputError(
            f"{len(found.x)} pictures are too few: training, validation and testing need one each"
        )
    return {split: parts[split] for split in get_args(Split)}


def _rows(found: Gathered, split: Split | None) -> Arrays:
    rows = np.array([i for i, its in enumerate(found.splits) if its == split], dtype=np.int64)
    return canonical(found.x[rows], None if found.y is None else found.y[rows])


def _count(split: str, n: float, images: int) -> int:
    if n <= 0 or (n >= 1 and n != int(n)):
        raise InputError(f"--{split} {n:g}: a number of pictures, or a share between 0 and 1")
    return min(images, max(1, round(n * images)) if n < 1 else int(n))


def _store(
    root: Path, plan: Import, spec: Spec, source: dict[str, object], arrays: dict[Split, Arrays]
) -> str:
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
    """Bring back what a process that was killed while it replaced a data set has moved aside;
    remove what it has replaced.
    """
    for old in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.????????.old")):
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def _hash(root: Path, name: str) -> str | None:
    try:
        return Imported(name, str(root)).content_hash
    except (ValueError, InputError):
        return None


def _summary(found: Gathered, container: Container, skip_bad: bool) -> str:
    n = len(found.x)
    line = f"{n + len(found.bad):,} pictures: {found.colour:,} in colour, {n - found.colour:,} grey, {len(found.bad):,} bad"
    line += ", left out" if skip_bad and found.bad else ""
    counts = {
        "files that are no pictures": container.others,
        "hidden pictures, left out": container.hidden,
        "links to folders that were read already, left out": container.repeated,
        "left out as asked": container.left_out,
    }
    return line + "".join(f"; {words}: {count:,}" for words, count in counts.items() if count)


def _depth(found: Gathered, plan: Import) -> Iterator[str]:
    """What pictures of more than 8 bits hold, and what of it is white.

    Raises:
        InputError: They would come out black, or there are none and a white was given.
    """
    if plan.white is not None and all(depth.is_high_byte for depth in found.depths):
        raise InputError(
            f"--white {plan.white} is about grey pictures of more than 8 bits; {plan.path} has none"
        )
    for depth in found.depths:
        kind = "high bytes of pictures" if depth.is_high_byte else "grey pictures"
        yield f"  {kind} of more than 8 bits: {depth.lowest:,} to {depth.highest:,}; white is {depth.white:,}"
        try:
            if plan.white is None or depth.is_high_byte:
                refuse_dark(
                    depth, f"say which value is white, such as --white {_next_white(depth.highest)}"
                )
        except ValueError as error:
            raise InputError(f"{plan.path}: {error}") from None


def _next_white(highest: int) -> int:
    """The largest value of the number of bits that a value needs."""
    return max(255, 2 ** highest.bit_length() - 1)


def _description(
    spec: Spec, arrays: dict[Split, Arrays], classes: tuple[str, ...]
) -> Iterator[str]:
    if repeats := _repeats(arrays):
        yield f"  {repeats:,} repeat another one pixel by pixel; they are kept"
    sizes = ", ".join(f"{split} {len(x):,}" for split, (x, _) in arrays.items())
    yield f"  shape {'x'.join(map(str, spec.shape))}, {spec.levels} levels; {sizes}"
    yield f"  classes: {_counts(arrays, classes)}" if classes else "  no classes"
    if unlearnt := _without_training(arrays, classes):
        names = ", ".join(printable(name) for name in unlearnt[:5])
        yield f"  classes without a picture for training: {len(unlearnt):,}, such as {names}"


def _repeats(arrays: dict[Split, Arrays]) -> int:
    images = [image.tobytes() for x, _ in arrays.values() for image in x]
    return len(images) - len(set(images))


def _counts(arrays: dict[Split, Arrays], classes: tuple[str, ...]) -> str:
    counts = Counter(label for _, y in arrays.values() if y is not None for label in y.tolist())
    shown = [
        f"{numbered_name(label, name)}: {counts[label]:,}"
        for label, name in enumerate(classes[:20])
    ]
    return ", ".join(shown + [f"... {len(classes)} in all"] * (len(classes) > 20))


def _without_training(arrays: dict[Split, Arrays], classes: tuple[str, ...]) -> list[str]:
    """Names of classes of which no picture is for training."""
    _, y = arrays["train"]
    if y is None:
        return []
    return [classes[k] for k in sorted(set(range(len(classes))).difference(y.tolist()))]
