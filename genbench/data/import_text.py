r"""`genbench data import FILE --length L`: a text of one's own, as windows of L characters.

    c_1 ... c_n   the characters of a file in UTF-8, every one as it is
    windows       images of shape (1, 1, L): c_{iL+1} ... c_{(i+1)L} is window i; the last n mod L characters fill none
    splits        contiguous parts of the text: the first windows are for training, those behind them for validation, the
                  last ones for testing. No character is in two of them
    alphabet      the characters of the training part by their code points; level k is the k-th of them

A character that the training part lacks is written as U+FFFD, the replacement character, which is
then one more level, the last. So a likelihood is that of the text as it is stored, exactly; how
many characters were replaced stands in the report and in the card.

A model is given one window at a time, and nothing of the text before it: bits per dimension are bits
per character of such windows, and longer windows may cost fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from genbench.data.decoded import Arrays, Split, array_dtype
from genbench.data.import_place import check_place, closing_lines, part_of, store_import
from genbench.data.listing import LARGEST_BYTES
from genbench.errors import InputError
from genbench.spec import MAX_LEVELS, Spec, Text
from genbench.system.files import open_regular

__all__ = ["TextImport", "Windows", "import_text", "read_characters", "windows_of"]

# This share of the windows is for validation, and as many for testing, unless the caller says
# otherwise.
_SHARE = 0.05
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
# The report shows at most this many replaced characters.
_SHOWN = 10


@dataclass(frozen=True)
class TextImport:
    """What text to import, and how.

    Args:
        path: A file of text, in UTF-8.
        name: Name of the data set: letters, digits and . _ + -
        length: Characters of a window, at least 2.
        root: Folder for data. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        val: Windows for validation: a number, or below 1 a share; a twentieth where not given.
        test: Windows for testing, likewise.
        replace: Replace another data set of this name.
    """

    path: Path
    name: str
    length: int
    root: Path | None = None
    val: float | None = None
    test: float | None = None
    replace: bool = False


@dataclass(frozen=True)
class Windows:
    """A text as images.

    Attributes:
        arrays: Levels of the characters, (N, 1, 1, L), by split.
        alphabet: The character of every level.
        replaced: The characters that the training part lacks, each once, by their code points.
        counts: How many characters were replaced, by split.
    """

    arrays: dict[Split, Arrays]
    alphabet: str
    replaced: str
    counts: dict[Split, int]


def import_text(plan: TextImport) -> Iterator[str]:
    """Import a text; the data set appears whole or not at all.

    Args:
        plan: What to import, and how.

    Yields:
        The lines of the report.

    Raises:
        InputError: One line: a bad argument, a file that is no text or too short, or a name in use.
    """
    root = check_place(plan.name, plan.root)
    if plan.length < 2:
        raise InputError(f"--length {plan.length}: characters of a window, at least 2")
    text = read_characters(plan.path)
    sizes = _sizes(plan, len(text))
    windows = windows_of(text, plan.length, sizes)
    levels = len(windows.alphabet)
    if not 2 <= levels <= MAX_LEVELS:
        raise InputError(
            f"{plan.path}: {levels:,} different characters; 2 to {MAX_LEVELS:,} are right"
        )
    spec = Spec((1, 1, plan.length), levels, looks=Text(windows.alphabet))
    left_over = len(text) % plan.length
    yield (
        f"{len(text):,} characters: {sum(sizes.values()):,} windows of {plan.length:,}, "
        f"and {left_over:,} at the end that fill none"
    )
    parts = ", ".join(f"{split} {n:,}" for split, n in sizes.items())
    yield f"  shape 1x1x{plan.length}, {levels:,} levels (characters); {parts}"
    yield from _replaced_lines(windows)
    yield from _repeated_lines(windows)
    source: dict[str, object] = {
        "name": plan.name,
        "shape": spec.shape,
        "levels": levels,
        "labels": None,
        "classes": (),
        "sizes": list(sizes.values()),
        "text": {
            "characters": len(text),
            "left_over": left_over,
            "alphabet": windows.alphabet,
            "unknown": _UNKNOWN if windows.replaced else "",
            "unknown_counts": list(windows.counts.values()),
        },
    }
    yield store_import(root, plan.replace, spec, source, windows.arrays)
    yield from closing_lines(plan.name, root, plan.root)


def read_characters(path: Path) -> str:
    """The characters of a file of text, every one as it is, a byte-order mark at its beginning apart.

    Args:
        path: The file, in UTF-8.

    Raises:
        InputError: It is no file, empty, larger than 256 MiB, or not UTF-8.
    """
    wanted = "a file of text in UTF-8 is right"
    if path.is_dir():
        raise InputError(f"{path} is a folder; with --length {wanted}")
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; with --length {wanted}") from None
    if len(content) > LARGEST_BYTES:
        raise InputError(f"{path} has more than {LARGEST_BYTES >> 20} MiB")
    if not content:
        raise InputError(f"{path} is empty; {wanted}")
    if b"\0" in content:
        raise InputError(f"{path} holds bytes of value 0, as no text does; {wanted}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {content[error.start]:#04x} at {error.start:,} is not UTF-8; save the "
            "text as UTF-8"
        ) from None


def windows_of(text: str, length: int, sizes: dict[Split, int]) -> Windows:
    """Cut a text into windows, in its order.

    Args:
        text: The characters.
        length: Characters of a window.
        sizes: Windows of each split, of which the first comes first.

    Examples:
        >>> windows = windows_of("abba" + "ac", 2, {"train": 2, "test": 1})
        >>> windows.alphabet, windows.replaced
        ('ab\\ufffd', 'c')
        >>> windows.arrays["test"][0].tolist()
        [[[[0, 2]]]]
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    lines = codes[: sum(sizes.values()) * length].reshape(-1, length)
    first = next(iter(sizes.values()))
    alphabet = np.unique(lines[:first])
    levels = np.searchsorted(alphabet, lines).clip(max=len(alphabet) - 1)
    is_unknown = alphabet[levels] != lines
    replaced = np.unique(lines[is_unknown])
    characters = "".join(map(chr, alphabet.tolist()))
    if len(replaced) and _UNKNOWN not in characters:
        characters += _UNKNOWN
    if len(replaced):
        levels[is_unknown] = characters.index(_UNKNOWN)
    # The caller refuses a text with too few or too many different characters to be stored.
    dtype = array_dtype(min(max(len(characters), 2), MAX_LEVELS))
    images = levels.astype(dtype)[:, None, None]
    arrays: dict[Split, Arrays] = {}
    counts: dict[Split, int] = {}
    start = 0
    for split, n in sizes.items():
        rows = slice(start, start + n)
        arrays[split] = (images[rows], None)
        counts[split] = int(is_unknown[rows].sum())
        start += n
    return Windows(arrays, characters, "".join(map(chr, replaced.tolist())), counts)


def _sizes(plan: TextImport, characters: int) -> dict[Split, int]:
    """How many windows each split has.

    Raises:
        InputError: One of them would have none.
    """
    total = characters // plan.length
    val = part_of("val", _SHARE if plan.val is None else plan.val, total, "windows")
    test = part_of("test", _SHARE if plan.test is None else plan.test, total, "windows")
    sizes = dict(zip(get_args(Split), (total - val - test, val, test), strict=True))
    if min(sizes.values()) < 1:
        raise InputError(
            f"{plan.path}: {characters:,} characters are {total:,} windows of {plan.length:,}, too "
            "few: training, validation and testing need one each"
        )
    return sizes


def _replaced_lines(windows: Windows) -> Iterator[str]:
    """What the report says of characters that the training part lacks."""
    if not windows.replaced:
        return
    counts = ", ".join(f"{n:,} in {split}" for split, n in windows.counts.items() if n)
    shown = ", ".join(ascii(c) for c in windows.replaced[:_SHOWN])
    if len(windows.replaced) > _SHOWN:
        shown += ", ..."
    yield (
        f"  characters that the training part lacks ({shown}) are written as U+FFFD: {counts}; "
        "likelihoods are those of the text so written"
    )


def _repeated_lines(windows: Windows) -> Iterator[str]:
    """What the report says of held-out windows that the training part has too."""
    known = {window.tobytes() for window in windows.arrays["train"][0]}
    held_out = [x for split, (x, _) in windows.arrays.items() if split != "train"]
    repeats = sum(window.tobytes() in known for x in held_out for window in x)
    if repeats:
        yield f"  {repeats:,} windows for validation and testing are windows for training too"
