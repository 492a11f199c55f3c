"""Images that no model of the run made: the noise floor, and those of another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genbench.data.images import ImageData
from genbench.evaluation.foreign import evaluate_samples
from genbench.evaluation.noise_floor import noise_floor
from genbench.records.store import read_record

__all__ = ["metrics_without_a_model"]


def metrics_without_a_model(
    data: ImageData, protocol: Path, folder: Path, images: int
) -> dict[str, Any]:
    """The metrics of the noise floor and of foreign images by a protocol, together."""
    floor = read_record(noise_floor(data, 0, folder, protocol_name=str(protocol)))
    path = folder / "x.npz"
    np.savez(path, images=data.arrays("val")[0][:images], levels=17)
    foreign = read_record(
        evaluate_samples(path, data, "others", folder, protocol_name=str(protocol))
    )
    return {**floor.metrics, **foreign.metrics}
