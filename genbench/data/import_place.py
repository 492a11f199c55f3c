"""The name, the folder and the splits of a data set that `genbench data import` stores."""

from __future__ import annotations

import glob
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from genbench.data.commands import names_taken
from genbench.data.declaration import check_arrays, reason_against
from genbench.data.decoded import Arrays, Split, read_card, write_copy, writing_to
from genbench.data.imported import Imported, import_folder
from genbench.data.location import data_root
from genbench.errors import InputError
from genbench.spec import Spec
from genbench.system.json_files import canonical_json
from genbench.system.temporary import folder_beside
from genbench.system.yaml12 import parse_yaml, plain

__all__ = ["check_place", "closing_lines", "part_of", "store_import"]

# These letters mean nothing in YAML, wherever they stand.
_PLAIN = re.compile(r"[\w./+-]+")


def check_place(name: str, root: Path | None) -> Path:
    """Check name and root of an import before anything is read.

    Args:
        name: Name of the data set.
        root: Folder for data, as given. Default: $GENBENCH_DATA, else ~/.cache/genbench.

    Returns:
        The folder for data.

    Raises:
        InputError: The name is in use or no name, or the root is no folder.
    """
    reason = reason_against(name)
    if reason:
        raise InputError(f"--name {reason}")
    if name in names_taken():
        raise InputError(f"--name {name}: {name} is the name of another data set; choose another")
    place = data_root(root)
    folder = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    if not folder.is_dir():
        option = "--root" if root else "GENBENCH_DATA"
        raise InputError(f"{option} {place}: {folder} is no folder; choose another place")
    return place


def part_of(split: str, n: float, total: int, things: str) -> int:
    """The number of things in a split: `n` itself, or, if `n` is below 1, that share of all things.

    Args:
        split: Name of the split.
        n: As given on the command line.
        total: Number of things in all.
        things: What they are, for the message.

    Raises:
        InputError: `n` is neither a number of things nor a share.

    Examples:
        >>> part_of("val", 0.05, 100, "windows"), part_of("val", 7, 100, "windows")
        (5, 7)
    """
    if n <= 0 or (n >= 1 and n != int(n)):
        raise InputError(f"--{split} {n:g}: a number of {things}, or a share between 0 and 1")
    if n < 1:
        return min(total, max(1, round(n * total)))
    return min(total, int(n))


def store_import(
    root: Path,
    replace: bool,
    spec: Spec,
    source: dict[str, object],
    arrays: dict[Split, Arrays],
) -> str:
    """Put an imported data set in its place, whole or not at all.

    Args:
        root: Folder for data.
        replace: Whether another data set of the name gives way.
        spec: Shape and levels.
        source: What its card says of it, its name among that.
        arrays: Images and labels by split.

    Returns:
        A line about it.

    Raises:
        InputError: Another data set has the name, or the place cannot be written.
    """
    name = str(source["name"])
    folder = import_folder(root, name)
    with writing_to(folder), folder_beside(folder) as copy:
        _put_back(folder)
        check_arrays(f"imported data {name}", spec, arrays)
        content = write_copy(copy, spec, source, arrays)
        if folder.exists() and not replace:
            if _is_there(root, source, content):
                return f"{folder}: was there already, the same"
            raise InputError(
                f"{folder} holds another data set {name}: choose another --name, or --replace it"
            )
        # The old data set is renamed first, and comes back if the new one cannot be put in place.
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


def closing_lines(name: str, root: Path, given_root: Path | None) -> Iterator[str]:
    """The last lines of a report: the content hash, and what a configuration says.

    Args:
        name: Name of the data set.
        root: The folder for data.
        given_root: The same where it was given, which a configuration has to name.
    """
    yield f"content hash {Imported(name, str(root)).content_hash}"
    yield "In a configuration:"
    root_entry = f", root: {_yaml_word(str(root.resolve()))}" if given_root else ""
    yield (
        "data: {class_path: genbench.data.imported.Imported, name:"
        f" {_yaml_word(name)}{root_entry}}}"
    )


def _yaml_word(text: str) -> str:
    """A text as a value inside the braces of YAML: quoted where it would be read as something else."""
    if _PLAIN.fullmatch(text) and plain(parse_yaml(text, "")) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _put_back(folder: Path) -> None:
    """Undo or complete the replacement of a data set by a process that was killed meanwhile."""
    for old in sorted(folder.parent.glob(f".{glob.escape(folder.name)}.????????.old")):
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def _is_there(root: Path, source: dict[str, object], content: str) -> bool:
    """Whether a whole data set of these arrays and this card lies in its place.

    Two texts over other alphabets may have the same arrays.
    """
    name = str(source["name"])
    try:
        same_arrays = Imported(name, str(root)).content_hash == content
        card = read_card(import_folder(root, name))
    except (ValueError, InputError):
        return False
    return same_arrays and canonical_json(card.source) == canonical_json(source)
