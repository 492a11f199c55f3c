"""Features of a data set's own images, which are computed once and kept in a file. Its name has the
hash of everything that they depend on.

    <root>/features/<data>-<split>-<key>.safetensors     features (N, F) and logits (N, K), float32, row i for image i
    key = SHA-256 over [content hash of the data, split, levels, name and hash of the extractor,
    chunk, device class, torch version]

Other images, other weights or another version of torch give another name. The code of an extractor
is no part of the name: when it changes, so does the extractor's card, and with it the hash. A file
appears whole or not at all. It holds the SHA-256 of its key and its rows, which is checked whenever
it is read. A file that is damaged, or of other images, is written again. Where none can be written,
the features are computed each time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.data.decoded import Split
from genbench.data.images import ImageData
from genbench.data.location import data_root
from genbench.errors import InputError, Stopped
from genbench.metrics.extractor import Extractor
from genbench.metrics.features import Features
from genbench.system.files import open_regular, write_atomic
from genbench.system.json_files import digest
from genbench.system.processes import first_alone, unanimous
from genbench.system.temporary import remove_abandoned

__all__ = ["feature_file", "feature_key", "load_features", "reference_features", "save_features"]

_log = logging.getLogger("genbench")


def feature_file(
    data: ImageData, split: Split, extractor: Extractor, chunk: int, device: str
) -> Path:
    """The file of the features of a split, whether it exists or not.

    Args:
        data: The data whose images are used.
        split: Which of them.
        extractor: What sees them.
        chunk: Images computed at once.
        device: Where they are computed.
    """
    key = feature_key(data, split, extractor, chunk, device)
    try:
        root = data_root()
    except InputError:  # Without a home folder, the folder of the data is used.
        root = data.root
    return root / "features" / f"{data.name}-{split}-{key[:16]}.safetensors"


def feature_key(
    data: ImageData, split: Split, extractor: Extractor, chunk: int, device: str
) -> str:
    """SHA-256 of everything that the features of a split depend on.

    Args:
        data: The data whose images are used.
        split: Which of them.
        extractor: What sees them.
        chunk: Images computed at once, on which the last digits of a feature may depend.
        device: Where they are computed.

    Returns:
        64 hex digits.
    """
    parts = [data.content_hash, split, data.spec.levels, extractor.name, extractor.hash, chunk]
    return digest([*parts, torch.device(device).type, torch.__version__])


def reference_features(
    data: ImageData,
    split: Split,
    extractor: Extractor,
    chunk: int,
    device: str,
    compute: Callable[[], Features],
) -> Features:
    """Features of a split, from their file, or computed and written to it.

    All processes call this at the same point, since they compute together.

    Args:
        data: The data whose images are used.
        split: Which of them.
        extractor: What sees them.
        chunk: Images computed at once.
        device: Where.
        compute: Computes the features where there is no file.

    Returns:
        Features (N, F) and logits (N, K), float32, on the device.
    """
    path = feature_file(data, split, extractor, chunk, device)
    key = feature_key(data, split, extractor, chunk, device)
    images, _ = data.arrays(split)
    stored = None
    if path.exists():
        try:
            stored = load_features(path, key, len(images))
        except (ValueError, OSError) as error:
            _log.warning("%s is damaged (%s); its features are computed again", path, error)
    # All processes compute together. If one of them lacks the file, since it is on the disk of
    # another node, all of them compute the features.
    if unanimous(stored is not None) and stored is not None:
        return Features(stored.features.to(device), stored.logits.to(device))
    features = compute()
    with first_alone() as first:
        if first:
            try:
                save_features(path, key, features)
            except (OSError, Stopped) as error:
                _log.warning("features are not kept, and computed again the next time: %s", error)
    return features


def save_features(path: Path, key: str, features: Features) -> None:
    """Write features and logits, with the hash of their key and their rows, whole or not at all.

    Args:
        path: The file.
        key: The key that `feature_key` gives.
        features: Features (N, F) and logits (N, K).

    Raises:
        OSError: The file cannot be written.
        Stopped: The disk is full.
    """
    from safetensors.torch import save

    tensors = {name: value.cpu().contiguous() for name, value in features._asdict().items()}
    remove_abandoned(path.parent)
    write_atomic(path, save(tensors, {"sha256": _hash(key, tensors)}))


def load_features(path: Path, key: str, images: int) -> Features:
    """Read what `save_features` has written under a key. The tensors are on the CPU.

    Args:
        path: The file.
        key: The key that `feature_key` gives.
        images: Number of rows N.

    Raises:
        ValueError: The file is damaged, or of other images.
        OSError: The file cannot be read, or is no regular file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        # safetensors would wait forever for the content of a FIFO.
        with open_regular(path), safe_open(path, "pt") as file:
            card = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in Features._fields}
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    rows = {len(tensor) for tensor in tensors.values()}
    if rows != {images}:
        raise ValueError(f"it has {', '.join(map(str, sorted(rows)))} rows for {images} images")
    if card.get("sha256") != _hash(key, tensors):
        raise ValueError("its rows are not those of its name, by the hash that it holds")
    return Features(**tensors)


def _hash(key: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the key, and the shapes and rows of features and logits."""
    content = hashlib.sha256(key.encode())
    for name in Features._fields:
        array = np.ascontiguousarray(tensors[name].numpy())
        content.update(f"{name} {array.dtype} {array.shape}".encode())
        content.update(array.data)
    return content.hexdigest()
