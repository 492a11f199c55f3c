"""Features of a data set's own images, computed once: a file whose name is the hash of everything that they depend on.

    <root>/features/<data>-<split>-<key>.safetensors     features (N, F) and logits (N, K), float32, row i for image i
    key = SHA-256 over [content hash of the data, split, levels, name and hash of the extractor, chunk, device class, torch version]

Other images, weights, or another torch have another name; what a name does not hold is the code of an extractor, which does not
change under its card. A file appears whole or not at all, one that is damaged is made again, and one that cannot be written is done
without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from genbench.data.images import ImageData, Split, data_root
from genbench.errors import Stopped
from genbench.files import digest, write_atomic
from genbench.metrics.extractor import Extractor
from genbench.metrics.features import Features
from genbench.processes import first_alone, unanimous

__all__ = ["feature_file", "reference_features"]

_log = logging.getLogger("genbench")


def feature_file(data: ImageData, split: Split, extractor: Extractor, chunk: int, device: str) -> Path:
    """Where the features of a split lie, whether they are there or not."""
    parts = [data.content_hash, split, data.spec.levels, extractor.name, extractor.hash, chunk]
    key = digest([*parts, torch.device(device).type, torch.__version__])
    return data_root() / "features" / f"{data.name}-{split}-{key[:16]}.safetensors"


def reference_features(
    data: ImageData, split: Split, extractor: Extractor, chunk: int, device: str, compute: Callable[[], Features]
) -> Features:
    """Features of a split: those of the file, or computed and put there. On several processes all call it.

    Args:
        data: Whose images.
        split: Which of them.
        extractor: What sees them.
        chunk: Images computed at once.
        device: Where.
        compute: Makes the features where there is no file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save

    path = feature_file(data, split, extractor, chunk, device)
    found = None
    if path.exists():
        try:
            tensors = load_file(path, device)
            found = Features(tensors["features"], tensors["logits"])
        except (SafetensorError, OSError, KeyError):
            _log.warning("%s is damaged; its features are computed again", path)
    # computing is done together: it takes one process without the file, on another node's disk, for all to do it
    if unanimous(found is not None) and found is not None:
        return found
    found = compute()
    with first_alone() as first:
        if first:
            try:
                write_atomic(path, save({name: value.cpu().contiguous() for name, value in found._asdict().items()}))
            except (OSError, Stopped) as error:
                _log.warning("features are not kept, and computed again the next time: %s", error)
    return found
