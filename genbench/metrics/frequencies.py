r"""How much of the fine detail of the data the generated images have: their energy at high frequencies.

    X      = C_H x C_W^T,   C_N[u, i] = sqrt((1 + [u > 0]) / N) cos(pi u (i + 1/2) / N)       (orthonormal DCT-II)
    E(x)   = sum of X[u, v]^2 over the channels and over all (u, v) with u > H / 2 or v > W / 2
    ratio  = 1/n sum_i E(x_i)  /  1/m sum_j E(r_j)       of n generated images x_i and m reference images r_j

The cosine u has u / 2 periods over the N pixels of a row. The highest frequency that pixels can show, half a period a
pixel (Nyquist), would be u = N, so that u > N / 2 are those above half of it. The transform is orthonormal:
all X[u, v]^2 together are the sum of squares of the pixels. Its borders are those of a mirrored image, and
add no edge where opposite sides of an image differ.

The ratio is 1 for images like the data. Below 1 they are blurred: a low-pass filter that keeps the mean takes
energy away from high frequencies alone. Above 1 they hold noise that the data do not have; noise can
also hide blur, so that samples are judged before the noise of single pixels is added to them, where a
model has such noise. The ratio is not ranked: neither direction is better.

The standard error is that of a ratio of two means to first order, sqrt(var E(x) / n + ratio^2 var E(r) / m) over the
mean of the references.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "cosines", "high_energy", "measure_high_frequencies"]

METRICS = {
    "high_frequencies": MetricInfo(
        "High frequencies", None, 3, inputs=("reference images",), range=Range(0)
    ),
}


def measure_high_frequencies(samples: Samples) -> Estimate:
    """Mean energy at high frequencies over that of the reference images, and its standard error.

    Raises:
        InputError: The reference images have no energy at high frequencies.
    """
    name = "high_frequencies"
    x = high_energy(present(samples.images, "the generated images", name))
    r = high_energy(present(samples.reference_images, "the reference images", name))
    mean = float(r.mean())
    if mean == 0:
        raise InputError(f"{name}: the reference images have no energy at high frequencies")
    ratio = float(x.mean()) / mean
    variance = float(x.var()) / len(x) + ratio**2 * float(r.var()) / len(r)
    return ratio, math.sqrt(variance) / mean


def high_energy(images: Tensor) -> Tensor:
    """Energy above half of the Nyquist frequency, in squared levels.

    Args:
        images: Integers (N, C, H, W).

    Returns:
        float64 (N,).
    """
    height, width = images.shape[2:]
    rows = cosines(height, images.device)
    columns = cosines(width, images.device)
    X = rows @ images.double() @ columns.T
    u = torch.arange(height, device=images.device)[:, None]
    v = torch.arange(width, device=images.device)
    is_high = (2 * u > height) | (2 * v > width)
    return (X.square() * is_high).flatten(1).sum(1)


def cosines(N: int, device: torch.device | str = "cpu") -> Tensor:
    """The matrix C_N of the orthonormal DCT-II, float64 (N, N), one cosine a row.

    Examples:
        >>> bool(torch.allclose(cosines(5) @ cosines(5).T, torch.eye(5, dtype=torch.float64)))
        True
    """
    u = torch.arange(N, dtype=torch.float64, device=device)[:, None]
    i = torch.arange(N, dtype=torch.float64, device=device)
    scale = ((1 + (u > 0).double()) / N).sqrt()
    return scale * torch.cos(math.pi * u * (i + 0.5) / N)
