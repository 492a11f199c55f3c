"""The lines that `genbench data import` prints about what it has read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from genbench.data.commands import numbered_name
from genbench.data.containers import Container, printable
from genbench.data.decoded import Arrays, Split
from genbench.data.gather import Gathered
from genbench.data.prepare import refuse_dark
from genbench.errors import InputError
from genbench.spec import Spec

__all__ = ["depth_lines", "description_lines", "summary_line"]

# The counts of at most this many classes are printed.
_CLASSES = 20
# At most this many folders without a picture are named.
_FOLDERS = 5


def summary_line(pictures: Gathered, container: Container, skip_bad: bool) -> str:
    """How many pictures were read, and what was left out.

    Args:
        pictures: What was read.
        container: Where it was read from.
        skip_bad: Whether pictures that cannot be used are left out.
    """
    bad = len(pictures.bad)
    grey = len(pictures.x) - pictures.colour
    line = (
        f"{len(pictures.x) + bad:,} pictures: {pictures.colour:,} in colour, {grey:,} grey,"
        f" {bad:,} bad"
    )
    if skip_bad and bad:
        line += ", left out"
    counts = {
        "files that are no pictures": container.others,
        "hidden pictures, left out": container.hidden,
        "links to folders that were read already, left out": container.repeated,
        "left out as asked": container.left_out,
    }
    for words, count in counts.items():
        if count:
            line += f"; {words}: {count:,}"
    if container.empty:
        names = ", ".join(printable(name) for name in container.empty[:_FOLDERS])
        more = ", ..." if len(container.empty) > _FOLDERS else ""
        line += f"; folders without a picture: {len(container.empty):,} ({names}{more})"
    return line


def depth_lines(pictures: Gathered, white: int | None, origin: Path) -> Iterator[str]:
    """The values of pictures of more than 8 bits, and which of them is white.

    Args:
        pictures: What was read.
        white: The value that the caller declares white; None: 65,535.
        origin: Where the pictures were read from.

    Raises:
        InputError: They would come out black, or a white is declared and there are none.
    """
    if white is not None and all(depth.is_high_byte for depth in pictures.depths):
        raise InputError(
            f"--white {white} is about grey pictures of more than 8 bits; {origin} has none"
        )
    for depth in pictures.depths:
        kind = "high bytes of pictures" if depth.is_high_byte else "grey pictures"
        values = f"{depth.lowest:,} to {depth.highest:,}; white is {depth.white:,}"
        yield f"  {kind} of more than 8 bits: {values}"
        if white is not None and not depth.is_high_byte:
            continue
        example = _next_white(depth.highest)
        try:
            refuse_dark(depth, f"say which value is white, such as --white {example}")
        except ValueError as error:
            raise InputError(f"{origin}: {error}") from None


def description_lines(
    spec: Spec, arrays: dict[Split, Arrays], classes: tuple[str, ...]
) -> Iterator[str]:
    """Shape, levels, sizes of the splits and classes of the new data set.

    Args:
        spec: Shape and levels of an image.
        arrays: Images and labels by split.
        classes: Names of the classes by label.
    """
    repeats = _repeats(arrays)
    if repeats:
        yield f"  {repeats:,} repeat another one pixel by pixel; they are kept"
    sizes = ", ".join(f"{split} {len(x):,}" for split, (x, _) in arrays.items())
    yield f"  shape {'x'.join(map(str, spec.shape))}, {spec.levels} levels; {sizes}"
    if classes:
        yield f"  classes: {_counts(arrays, classes)}"
    else:
        yield "  no classes"
    untrained = _without_training(arrays, classes)
    if untrained:
        names = ", ".join(printable(name) for name in untrained[:5])
        yield f"  classes without a picture for training: {len(untrained):,}, such as {names}"


def _next_white(highest: int) -> int:
    """The largest value of the number of bits that a value needs."""
    return max(255, 2 ** highest.bit_length() - 1)


def _repeats(arrays: dict[Split, Arrays]) -> int:
    """Number of images that equal an earlier one."""
    images = [image.tobytes() for x, _ in arrays.values() for image in x]
    return len(images) - len(set(images))


def _counts(arrays: dict[Split, Arrays], classes: tuple[str, ...]) -> str:
    """Number of images of the first classes."""
    counts = Counter(label for _, y in arrays.values() if y is not None for label in y.tolist())
    shown = []
    for label, name in enumerate(classes[:_CLASSES]):
        shown.append(f"{numbered_name(label, name)}: {counts[label]:,}")
    if len(classes) > _CLASSES:
        shown.append(f"... {len(classes)} in all")
    return ", ".join(shown)


def _without_training(arrays: dict[Split, Arrays], classes: tuple[str, ...]) -> list[str]:
    """Names of classes without an image for training."""
    _, y = arrays["train"]
    if y is None:
        return []
    return [classes[k] for k in sorted(set(range(len(classes))).difference(y.tolist()))]
