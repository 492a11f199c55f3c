r"""How near a sample of p(x | y) is to the image that the pair of its y holds.

Sample x'_i was given y_i; x_i is the true image of that pair, D its number of pixels, L = levels - 1
the range from black to white:

    PSNR   10 log10(L^2 / mse),   mse = 1/n sum_i mse_i,   mse_i = |x'_i - x_i|^2 / D       in dB
    SSIM   1/n sum_i of the mean over the pixels of

           (2 m m' + c_1) (2 s_xx' + c_2) / ((m^2 + m'^2 + c_1) (s_x^2 + s_x'^2 + c_2)),
           c_1 = (0.01 L)^2,   c_2 = (0.03 L)^2

with mean m, variance s^2 and covariance s_xx' of the 11 x 11 pixels around a pixel, weighted by a
Gaussian of standard deviation 1.5; beyond its border the image is its mirror image.

Both are highest for the mean of p(x | y), which is blurred where y leaves a choice. The Fréchet
distance is smallest for samples of p(x | y). No model is best in both (Blau & Michaeli 2018), and
so a protocol of pairs measures both.

The standard errors are those of means over images. That of PSNR is the one of mse to first order,
10 / log(10) sd(mse_i) / (sqrt(n) mse).

References:
    Wang, Bovik, Sheikh, Simoncelli (2004), Image quality assessment: from error visibility to
    structural similarity. doi:10.1109/TIP.2003.819861
    Blau, Michaeli (2018), The perception-distortion tradeoff. arXiv:1711.06077
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from genbench.errors import InputError
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "measure_psnr", "measure_ssim"]

METRICS = {
    "psnr": MetricInfo("PSNR, dB", "higher", 2, inputs=("pairs",)),
    "ssim": MetricInfo("SSIM", "higher", 3, inputs=("pairs",), range=Range(-1, 1)),
}

# This many pixels beyond the border of an image are taken from its mirror image.
_BEYOND = 5
# This many images are filtered at once. Each of them needs memory for five filtered copies.
_CHUNK = 1024


def measure_psnr(samples: Samples) -> Estimate:
    """Peak signal-to-noise ratio of all images together, and its standard error, in dB.

    Where the samples equal their images, the ratio would be infinite. It is computed as if one
    pixel of all were off by one level.
    """
    x, truth, white = _pairs(samples, "psnr")
    errors = (x - truth).square().flatten(1).mean(1)
    error = max(float(errors.mean()), 1 / x.numel())
    spread = float(errors.std()) / math.sqrt(len(errors))
    return 10 * math.log10(white**2 / error), 10 / math.log(10) * spread / error


def measure_ssim(samples: Samples) -> Estimate:
    """Mean structural similarity, between -1 and 1, and the standard error of this mean.

    Raises:
        InputError: An image has fewer than 6 x 6 pixels: the mirror image of 5 pixels needs 6.
    """
    x, truth, white = _pairs(samples, "ssim")
    side = _BEYOND + 1
    if min(x.shape[2:]) < side:
        raise InputError(f"ssim needs images of at least {side} x {side} pixels")
    parts = []
    for a, b in zip(x.split(_CHUNK), truth.split(_CHUNK), strict=True):
        similarity = structural_similarity_index_measure(
            a,
            b,
            data_range=white,
            reduction="none",
        )
        assert isinstance(similarity, Tensor)
        parts.append(similarity)
    values = torch.cat(parts)
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))


def _pairs(samples: Samples, metric: str) -> tuple[Tensor, Tensor, float]:
    """Samples and true images, float64 (n, C, H, W) each, and the range from black to white."""
    x = present(samples.images, "the generated images", metric)
    truth = present(samples.truth, "the true images of the pairs", metric)
    levels = present(samples.levels, "the number of levels", metric)
    return x.double(), truth.double(), float(levels - 1)
