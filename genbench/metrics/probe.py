r"""Linear probe: what a linear classifier makes of a few labelled images, by their codes, beside two floors.

    z = encode(x)       codes of d entries              floors: z = x, the D pixels, and the first d principal components of x
    z' = (z - m) / s    m: mean over the training images, s^2: their variance, the mean over the entries
    min over A, b:      sum_n -log softmax(A z'_n + b)[y_n] + |A|^2 / (2 C)               over n labelled images of each class

The encoder and the principal components have seen all training images, without labels; the classifier sees n images of
each class, 10, 20, 50 or all of them. The labelled images are drawn anew 20 times, and are the same for codes and
floors. The penalty is rotation invariant, and no entry is scaled by itself: entries that hardly vary stay small. C is
0.01, 0.1, 1, 10 or 100, for codes and floors the one of the largest accuracy on the validation images, on average over
the draws (all of their labels are used for this one number).

    accuracy = 1/R sum_r 1/s sum_i c_ri          c_ri = 1 where test image i is classified rightly after the r-th draw
    error^2  = var_r(mean_i c_ri) / R + var_i(mean_r c_ri) / s             other labelled images, and other test images
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Encoded, Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.rng import Rng
from genbench.system.typed import Range

__all__ = ["METRICS", "labelled", "principal_components", "probe", "scaled"]

METRICS = {
    "probe_10": MetricInfo("Codes, 10 labels", "higher", 3, ("codes", "labels"), Range(0, 1)),
    "pixels_10": MetricInfo("Pixels, 10 labels", None, 3, ("codes", "labels"), Range(0, 1)),
    "pca_10": MetricInfo("PCA, 10 labels", None, 3, ("codes", "labels"), Range(0, 1)),
    "probe_20": MetricInfo("Codes, 20 labels", "higher", 3, ("codes", "labels"), Range(0, 1)),
    "pixels_20": MetricInfo("Pixels, 20 labels", None, 3, ("codes", "labels"), Range(0, 1)),
    "pca_20": MetricInfo("PCA, 20 labels", None, 3, ("codes", "labels"), Range(0, 1)),
    "probe_50": MetricInfo("Codes, 50 labels", "higher", 3, ("codes", "labels"), Range(0, 1)),
    "pixels_50": MetricInfo("Pixels, 50 labels", None, 3, ("codes", "labels"), Range(0, 1)),
    "pca_50": MetricInfo("PCA, 50 labels", None, 3, ("codes", "labels"), Range(0, 1)),
    "probe_all": MetricInfo("Codes, all labels", "higher", 3, ("codes", "labels"), Range(0, 1)),
    "pixels_all": MetricInfo("Pixels, all labels", None, 3, ("codes", "labels"), Range(0, 1)),
    "pca_all": MetricInfo("PCA, all labels", None, 3, ("codes", "labels"), Range(0, 1)),
}

_DRAWS = 20
_C = (0.01, 0.1, 1.0, 10.0, 100.0)


class Parts(NamedTuple):
    """Something of the images of three splits, such as entries z, (N, d), or labels y, (N,)."""

    train: Tensor
    val: Tensor
    test: Tensor


# A view maps images with codes to the entries that are probed.
View = Callable[[dict[str, Encoded]], Parts]


def _probed(view: View, n: int | None) -> Callable[[Samples], Estimate]:
    """The function that measures a metric.

    Args:
        view: What is probed.
        n: Labelled images of a class; None: all.
    """

    def measure(samples: Samples) -> Estimate:
        sets = present(samples.encoded, "codes of the images", "a probe")
        y = Parts(sets["train"].y, sets["val"].y, sets["test"].y)
        return probe(scaled(view(sets)), y, labelled(y.train, n, samples.rng.to("cpu")))

    return measure


def codes(sets: dict[str, Encoded]) -> Parts:
    """The codes z."""
    return Parts(sets["train"].z, sets["val"].z, sets["test"].z)


def pixels(sets: dict[str, Encoded]) -> Parts:
    """The pixels of the images."""
    return Parts(*(sets[name].x.flatten(1).double() for name in ("train", "val", "test")))


def components(sets: dict[str, Encoded]) -> Parts:
    """As many principal components of the pixels as a code has entries."""
    return principal_components(pixels(sets), sets["train"].z.shape[1])


measure_probe_10 = _probed(codes, 10)
measure_pixels_10 = _probed(pixels, 10)
measure_pca_10 = _probed(components, 10)
measure_probe_20 = _probed(codes, 20)
measure_pixels_20 = _probed(pixels, 20)
measure_pca_20 = _probed(components, 20)
measure_probe_50 = _probed(codes, 50)
measure_pixels_50 = _probed(pixels, 50)
measure_pca_50 = _probed(components, 50)
measure_probe_all = _probed(codes, None)
measure_pixels_all = _probed(pixels, None)
measure_pca_all = _probed(components, None)


def principal_components(x: Parts, d: int) -> Parts:
    """The first d principal components of the training images, or all, of every split.

    Args:
        x: Entries (N, D), float64.
        d: How many.
    """
    mean = x.train.mean(0)
    directions = torch.linalg.svd(x.train - mean, full_matrices=False).Vh[:d]
    return Parts(*((part - mean) @ directions.T for part in x))


def scaled(z: Parts) -> Parts:
    """Entries about the mean of the training images, over the root of their mean variance.

    Args:
        z: Entries (N, d), float64.
    """
    mean = z.train.mean(0)
    scale = (z.train - mean).square().mean().sqrt().clamp(min=torch.finfo(torch.float64).tiny)
    return Parts(*((part - mean) / scale for part in z))


def labelled(y: Tensor, n: int | None, rng: Rng) -> list[Tensor]:
    """Places of the labelled images of every draw.

    Args:
        y: Labels of the training images, int64 (N,).
        n: How many of each class; None: one draw of all images.
        rng: One stream per draw, of which 20 are used.

    Raises:
        InputError: A class has fewer.
    """
    if n is None:
        return [torch.arange(len(y))]
    counts = torch.bincount(y)
    if int(counts.min()) < n:
        k = int(counts.argmin())
        raise InputError(f"a probe of {n} labels needs as many training images of class {k}, not {int(counts[k])}")  # fmt: skip
    orders = rng[:_DRAWS].split("labelled", n).bits((len(y),)).argsort(dim=1, stable=True)
    return [torch.cat([order[y[order] == k][:n] for k in range(len(counts))]) for order in orders]


def probe(z: Parts, y: Parts, draws: list[Tensor]) -> Estimate:
    """Accuracy of the linear classifier on the test images, and its standard error.

    Args:
        z: Entries of the images, scaled, float64 (N, d).
        y: Their labels.
        draws: Places of labelled training images, one tensor a draw.
    """
    best = -1.0
    right = torch.empty(0)
    for C in _C:
        fits = [_fit(z.train[rows], y.train[rows], C, (z.val, z.test)) for rows in draws]
        of_val = torch.stack([(val == y.val).double().mean() for val, _ in fits]).mean()
        if float(of_val) > best:
            best = float(of_val)
            right = torch.stack([(test == y.test).double() for _, test in fits])
    variance = float(right.mean(0).var()) / right.shape[1]
    if len(right) > 1:
        variance += float(right.mean(1).var()) / len(right)
    return float(right.mean()), math.sqrt(variance)


def _fit(z: Tensor, y: Tensor, C: float, others: tuple[Tensor, ...]) -> list[Tensor]:
    """The classes that a logistic regression on z and y gives other images."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=C, max_iter=1_000).fit(z.numpy(), y.numpy())
    return [torch.from_numpy(model.predict(other.numpy())) for other in others]
