"""Records as files: <leaderboard>/records/<dataset>/<model>[@variant]-s<seed>-<id8>.json."""

from __future__ import annotations

import os
from pathlib import Path

from genbench.errors import InputError, reason
from genbench.records.parts import LONGEST_FILE_NAME
from genbench.records.record import Record
from genbench.system.files import check_target, files_below, read_text, write_once

__all__ = [
    "check_place",
    "check_stem",
    "file_stem",
    "picture_path",
    "read_record",
    "record_files",
    "record_path",
    "records_in",
    "write_record",
]


def file_stem(model: str, variant: str, seed: int) -> str:
    """<model>[@variant]-s<seed>: the beginning of the names of records and pictures."""
    if variant:
        return f"{model}@{variant}-s{seed}"
    return f"{model}-s{seed}"


def check_stem(model: str, variant: str, seed: int) -> None:
    """Check that the names of records and pictures are not too long for any file system in use.

    Raises:
        InputError: They are too long.
    """
    name = f"{file_stem(model, variant, seed)}-{'0' * 8}.json"
    if (size := len(os.fsencode(name))) > LONGEST_FILE_NAME:
        raise InputError(
            f"the name {name[:40]}... of a record would have {size} bytes; "
            f"names of files have at most {LONGEST_FILE_NAME}: a shorter name is right"
        )


def picture_path(out: Path, dataset: str, model: str, variant: str, seed: int, id8: str) -> Path:
    """Where the sample grid of a record lies under a leaderboard's folder."""
    return out / "pictures" / dataset / f"{file_stem(model, variant, seed)}-{id8}.png"


def record_path(out: Path, dataset: str, model: str, variant: str, seed: int, id8: str) -> Path:
    """Where a record lies under a leaderboard's folder."""
    return out / "records" / dataset / f"{file_stem(model, variant, seed)}-{id8}.json"


def write_record(out: Path, record: Record) -> Path:
    """Write a record, atomically. Records are immutable: a file that exists stays as it is, also
    where several processes write at once.

    Args:
        out: Folder with records/.
        record: What is written.

    Returns:
        The record's file.
    """
    path = record_path(out, record.dataset, record.model, record.variant, record.seed, record.id)
    Record.from_dict(record.to_dict())  # This checks that what is written can be read.
    if not path.exists():
        write_once(path, record.to_json())
    return path


def check_place(out: Path, dataset: str, model: str, variant: str, seed: int, id8: str) -> None:
    """Check that a record and its picture can be written, before anything is measured.

    Raises:
        InputError: A folder cannot be written to, or a name is too long.
    """
    check_target(record_path(out, dataset, model, variant, seed, id8))
    check_target(picture_path(out, dataset, model, variant, seed, id8))


def records_in(out: Path) -> list[Record]:
    """Every record under <out>/records, sorted by path.

    Raises:
        InputError: One line that names the first bad file: truncated, corrupt, foreign, edited or
            renamed.
    """
    return [record_at(path, out) for path in record_files(out)]


def record_files(out: Path) -> list[Path]:
    """The files of all records under <out>/records, sorted. Hidden files are no records.

    Raises:
        InputError: A folder of records cannot be read, or is a link to nothing.
    """
    files = files_below(out / "records", "*.json", whole=True)
    return [path for path in files if not path.name.startswith(".")]


def read_record(path: Path) -> Record:
    """Read the record in a file.

    Raises:
        InputError: One line that names the file and what is wrong with it. A record under another
            name than its own is wrong too: it would count twice, or stand for a record that was
            never measured.
    """
    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
    record = Record.from_json(text, path)
    place = place_of(record, Path())
    if path.name != place.name:
        raise InputError(f"{path}: a record of this content is named {place}")
    return record


def record_at(path: Path, out: Path) -> Record:
    """Read the record in a file under a leaderboard's folder.

    Raises:
        InputError: The file is bad, or lies in the folder of another data set.
    """
    record = read_record(path)
    place = place_of(record, out)
    if path != place:
        raise InputError(f"{path}: a record of this content is named {place.relative_to(out)}")
    return record


def place_of(record: Record, out: Path) -> Path:
    """The file that a record belongs into."""
    return record_path(out, record.dataset, record.model, record.variant, record.seed, record.id)
