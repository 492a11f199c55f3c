"""One pass of the feature extractor feeds every sample metric.

    features h   (N, F), the extractor's last hidden layer: Fréchet and kernel distance, precision, recall, density, coverage
    logits l     (N, K), its class scores: inception score

A `FeatureBank` collects them with the global index of each image, on as many processes as there
are, and gives them back in index order: the metrics are then computed from the same rows in the
same order whatever the world size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from genbench.errors import InputError, nearest
from genbench.metrics.fid_infinity import fid_error, fid_infinity
from genbench.metrics.finite import require_finite
from genbench.metrics.frechet import fid, frechet_distance, moments
from genbench.metrics.inception_score import inception_score
from genbench.metrics.kid import kernel_distance
from genbench.metrics.memorisation import memorisation
from genbench.metrics.precision_recall import Balls, class_recall, covered, density, occupied
from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.rng import Rng

__all__ = ["FeatureBank", "Features", "sample_metrics", "sample_metrics_against"]


class Features(NamedTuple):
    """What an extractor sees in N images: features (N, F) and logits (N, K), row i for image i."""

    features: Tensor
    logits: Tensor


class FeatureBank(Metric):
    """Features and logits of images that come in any order, on any process, a process without
    images included.

    `compute` is collective: every process calls it, and every process gets all rows.

    Args:
        features: Length F of a feature vector.
        logits: Number of class scores K.
    """

    index: list[Tensor]
    features: list[Tensor]
    logits: list[Tensor]

    def __init__(self, features: int, logits: int) -> None:
        # its own gather below: torchmetrics gathers lists batch by batch, which hangs where
        # processes have unequal counts
        super().__init__(sync_on_compute=False)
        self.widths = (features, logits)
        for state in ("index", "features", "logits"):
            self.add_state(state, [], dist_reduce_fx=None)

    def update(self, index: Tensor, features: Tensor, logits: Tensor) -> None:
        """Global indices (B,), features (B, F) and logits (B, K) of some images."""
        shapes = [tuple(v.shape) for v in (index, features, logits)]
        wanted = [(len(index),), *((len(index), width) for width in self.widths)]
        if shapes != wanted:
            raise ValueError(
                f"FeatureBank: index, features and logits have shapes {shapes}, not {wanted}"
            )
        self.index.append(index.long())
        self.features.append(features.float())
        self.logits.append(logits.float())

    def compute(self) -> Features:
        """All rows of all processes, in index order.

        Raises:
            ValueError: An image came twice.
        """
        empty = [
            torch.zeros((0, *shape), device=self.device)
            for shape in ((), (self.widths[0],), (self.widths[1],))
        ]
        states = (self.index, self.features, self.logits)
        index, features, logits = (
            _gather(torch.cat([none.to(dtype), *rows]))
            for none, rows, dtype in zip(empty, states, (torch.int64, torch.float32, torch.float32))
        )
        order = index.argsort()
        if bool((index[order].diff() == 0).any()):
            raise ValueError("FeatureBank: the same image index came twice")
        return Features(features[order], logits[order])


def _gather(rows: Tensor) -> Tensor:
    """The rows of all processes, rank after rank: padded to the longest shard, gathered, cut."""
    if not distributed.is_initialized():
        return rows
    world = distributed.get_world_size()
    lengths = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(world)]
    distributed.all_gather(lengths, torch.tensor([len(rows)], device=rows.device))
    longest = max(int(length) for length in lengths)
    padded = torch.cat((rows, rows.new_zeros(longest - len(rows), *rows.shape[1:])))
    shards = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(shards, padded)
    return torch.cat([shard[: int(length)] for shard, length in zip(shards, lengths)])


def sample_metrics(
    generated: Features,
    reference: Features,
    metrics: Sequence[str],
    rng: Rng,
    labels: Tensor | None = None,
    train: Tensor | None = None,
) -> dict[str, Estimate]:
    """Sample metrics from one feature pass over the generated and one over the reference images.
    Only what is asked is computed.

    Args:
        generated: Features of the generated images, in index order.
        reference: Features of the reference images.
        metrics: Names out of `genbench.records.catalogue.IMAGE_METRICS`.
        rng: What the errors and fid_infinity draw; one stream per draw, 50 of them for errors to a
            tenth.
        labels: Class of each reference image, int64 (m,); class_recall needs them.
        train: Features of the training images, (N, F); memorisation needs them.

    Returns:
        For each name its value and standard error. The error is that of `half_sample_error`, but
        for kid (jackknife) and is (over ten splits); None where there are too few images for one.

    Raises:
        InputError: A metric has another name or lacks what it needs; an image's features are not
            finite.
    """
    x = generated.features
    r = reference.features
    require_finite(x, "generated image")
    require_finite(r, "reference image")
    rng = rng.to(x.device)
    around_r = cache(lambda: Balls(r, x))
    around_x = cache(lambda: Balls(x, r))

    def estimate(statistic: Callable[[Tensor, Tensor], float], least: int) -> Estimate:
        whole = (torch.ones(len(rows), dtype=torch.bool, device=x.device) for rows in (x, r))
        return statistic(*whole), half_sample_error(statistic, (len(x), len(r)), rng, least)

    @cache
    def frechet() -> Estimate:
        return fid(x, r), fid_error(x, r, rng)

    def worst_class() -> Estimate:
        if labels is None:
            raise InputError(
                "class_recall needs the labels of the reference images; these have none"
            )
        recall = lambda a, b: class_recall(around_x(), 3, a, b, labels)  # noqa: E731
        return estimate(lambda a, b: recall(a, b).nan_to_num(torch.inf).amin().item(), least=4)

    def copied() -> Estimate:
        if train is None:
            raise InputError("memorisation needs the features of the training images")
        return memorisation(x, r, train, rng)

    # masks: a of generated images, b of reference images
    measure: dict[str, Callable[[], Estimate]] = {
        "fid": frechet,
        "fid_infinity": lambda: fid_infinity(x, r, rng, frechet()[1]),
        "is": lambda: inception_score(generated.logits),
        "kid": lambda: kernel_distance(x, r),
        "precision": lambda: estimate(lambda a, b: _share(covered(around_r(), 3, b, a)), least=4),
        "recall": lambda: estimate(lambda a, b: _share(covered(around_x(), 3, a, b)), least=4),
        "density": lambda: estimate(lambda a, b: density(around_r(), 5, b, a), least=6),
        "coverage": lambda: estimate(lambda a, b: _share(occupied(around_r(), 5, b, a)), least=6),
        "class_recall": worst_class,
        "memorisation": copied,
    }
    for name in metrics:
        if name not in measure:
            raise InputError(f"no sample metric {name!r}; {nearest(name, measure)}")
    return {name: measure[name]() for name in metrics}


def sample_metrics_against(
    generated: Features, mean: Tensor, covariance: Tensor, metrics: Sequence[str], rng: Rng
) -> dict[str, Estimate]:
    """`sample_metrics` where of the reference only mean (F,) and covariance (F, F) are known: fid
    and is.

    The error of fid is over the generated images alone.
    """
    x = generated.features
    require_finite(x, "generated image")

    def frechet() -> Estimate:
        distance = lambda a: frechet_distance(*moments(x[a]), mean, covariance)  # noqa: E731
        every = torch.ones(len(x), dtype=torch.bool, device=x.device)
        return distance(every), half_sample_error(distance, (len(x),), rng.to(x.device), least=2)

    measure: dict[str, Callable[[], Estimate]] = {
        "fid": frechet,
        "is": lambda: inception_score(generated.logits),
    }
    for name in metrics:
        if name not in measure:
            raise InputError(
                f"{name} needs reference images, not their mean and covariance alone; {nearest(name, measure)}"
            )
    return {name: measure[name]() for name in metrics}


def _share(which: Tensor) -> float:
    """Share of a mask that is true."""
    return which.double().mean().item()
