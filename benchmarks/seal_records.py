"""Give records of schema 1 a digest, once: `python benchmarks/seal_records.py FOLDER`, a folder with records/.

Records of schema 1 had an id of their configuration and protocol, and nothing that covered their values. Schema 2 has a digest over
the whole file. This script takes the values of the files as they are, so look at them first, and writes `sealed_at` into each record
to say so. A record of schema 2, whole or not, is left alone: a digest that was removed is not made again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError, InputError
from genbench.evaluation.provenance import now
from genbench.records.record import SCHEMA, Record, content_digest
from genbench.records.store import record_files
from genbench.system.files import read_text, write_atomic
from genbench.system.json_files import parse_json


def sealed(tree: dict[str, Any], time: str) -> Record:
    """The record of a file of schema 1, as one of this schema.

    Raises:
        ValueError: It is not such a record, or one of its values is impossible.
    """
    if "digest" in tree:
        raise ValueError("it has a digest, which no record of schema 1 had: the record was edited")
    plain = {**tree, "schema": SCHEMA, "sealed_at": time}
    return Record.from_dict({**plain, "digest": content_digest(plain)})


def seal(out: Path) -> list[Path]:
    """Rewrite every record of schema 1 under <out>/records; all are read before the first is written.

    Returns:
        The files that were rewritten.

    Raises:
        InputError: One line that names the first bad file. Nothing was written.
    """
    texts: dict[Path, str] = {}
    time = now()
    for path in record_files(out):
        try:
            tree = parse_json(read_text(path))
            if isinstance(tree, dict) and tree.get("schema") == 1:
                texts[path] = sealed(tree, time).to_json()
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: {error}") from None
    for path, text in texts.items():
        write_atomic(path, text)
    return list(texts)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/seal_records.py FOLDER")
    try:
        print(f"{len(seal(Path(sys.argv[1])))} records sealed")
    except GenbenchError as failure:
        sys.exit(str(failure))
