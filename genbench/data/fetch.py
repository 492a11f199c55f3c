"""Downloads with a hash: a file appears whole and with that hash, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from genbench.data.images import ImageData
from genbench.errors import InputError
from genbench.system.files import errors_about, open_regular, stop_if_disk_full, temporary_path
from genbench.system.temporary import remove_abandoned

__all__ = ["download", "fetch"]

_TIMEOUT_SECONDS = 30
_BLOCK_BYTES = 2**20


def fetch(data: ImageData, mirror: str | None = None) -> Iterator[str]:
    """Bring the source files of a data set into its root.

    Args:
        data: The data set.
        mirror: Address of a folder laid out like a root (MNIST/raw/..., cifar-10-python.tar.gz), in
            place of the published addresses. Default: $GENBENCH_MIRROR, if it is set.

    Yields:
        One line per file.

    Raises:
        InputError: It has no download, no address answers, or a file has another hash.
    """
    mirror = mirror or os.environ.get("GENBENCH_MIRROR")
    if not data.downloads and data.source_files:
        folder = data.source_files[0].parent
        raise InputError(
            f"{data.name} has no published hash, so is not fetched: put {data.source_files[0].name} and "
            f"the like into {folder}"
        )
    if not data.downloads:
        raise InputError(f"{data.name} needs no download: genbench data show {data.name}")
    for file in data.downloads:
        path = data.root / file.path
        urls = file.urls
        if mirror:
            urls = (f"{mirror.rstrip('/')}/{file.path}",)
        done = "downloaded" if download(urls, path, file.md5) else "was here"
        yield f"{path}: {done}, MD5 {file.md5}"


def download(urls: Sequence[str], path: Path, expected: str, algorithm: str = "md5") -> bool:
    """Download a file unless it exists.

    Args:
        urls: Addresses, which are tried in turn.
        path: Where the file goes.
        expected: The hash of its content, in hexadecimal digits; of SHA-256 the first ones are
            enough.
        algorithm: Algorithm of the hash: md5, sha256, ...

    Returns:
        Whether it was downloaded.

    Raises:
        InputError: No address answers, or the content has another hash; `path` is as it was.
    """
    if path.exists():
        with open_regular(path) as file:
            existing = hashlib.file_digest(file, algorithm).hexdigest()
        if not existing.startswith(expected):
            raise InputError(
                f"{path} is here with {algorithm} {existing[: len(expected)]}, not {expected}; "
                "delete it first"
            )
        return False
    failures = []
    for url in urls:
        try:
            _download(url, path, expected, algorithm)
            return True
        except InputError as error:
            # This address has answered, with other content.
            failures.append(str(error))
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            TimeoutError,
            ConnectionError,
            ValueError,
        ) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
    raise InputError(
        f"no download of {path.name}: {'; '.join(failures)}; another address: --mirror URL"
    )


def _refuse_pipe(url: str) -> None:
    """Refuse a named pipe or a device on this machine: reading it would wait for ever.

    Args:
        url: An address, which may be that of a file.

    Raises:
        InputError: It is the address of what is no regular file.
    """
    parts = urllib.parse.urlsplit(url)
    path = Path(urllib.request.url2pathname(parts.path))
    if parts.scheme == "file" and path.exists() and not path.is_file():
        raise InputError(f"{url}: it is no regular file")


def _download(url: str, path: Path, expected: str, algorithm: str) -> None:
    """Download from one address into a temporary file, check the hash, and put it in its place."""
    _refuse_pipe(url)
    beside = temporary_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent)
    content = hashlib.new(algorithm)
    try:
        with (
            errors_about(path),
            urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,
            stop_if_disk_full(path),
            beside.open("wb") as target,
        ):
            while block := response.read(_BLOCK_BYTES):
                content.update(block)
                target.write(block)
        if not content.hexdigest().startswith(expected):
            raise InputError(
                f"{url}: its content has {algorithm} {content.hexdigest()}, not {expected}; "
                "nothing was kept"
            )
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
