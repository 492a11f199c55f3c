r"""Reconstruction error: what is lost of an image between its code and the image of the code.

    x' = decode(encode(x)),      error = mean over pixels and images of (v - v')^2

with v, v' the levels of x, x' as reals in [-1, 1], so that 4 is white for black. The images are those
of the protocol's split, whose number has nothing to do with that of the samples. Only models that
encode and decode have it; an inverse function has 0.

The standard error is that of a mean over images.
"""

from __future__ import annotations

import math

from genbench.formulas.pixels import to_real
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "measure_reconstruction"]

METRICS = {
    "reconstruction": MetricInfo(
        "Reconstruction error",
        "lower",
        4,
        inputs=("reconstructions", "reference images"),
        range=Range(0, 4),
    ),
}


def measure_reconstruction(samples: Samples) -> Estimate:
    """Mean squared error of a pixel in [-1, 1] over all images, and its standard error."""
    back = present(samples.reconstructions, "reconstructions", "reconstruction").double()
    x = present(samples.reference_images, "the reference images", "reconstruction").double()
    levels = present(samples.levels, "the number of levels", "reconstruction")
    apart = to_real(x, levels, x.dtype) - to_real(back, levels, x.dtype)
    errors = apart.square().flatten(1).mean(1)
    return float(errors.mean()), float(errors.std()) / math.sqrt(len(errors))
