r"""Inception score of a sample set, from the class probabilities p(y | x) of a classifier.

    IS_k = exp( 1/n_k sum_{i in split k} KL(p(y | x_i) || q_k(y)) )
         = exp( 1/n_k sum_i sum_y p log p - sum_y q_k log q_k ),   q_k = 1/n_k sum_i p(y | x_i)   (Salimans et al. 2016, sec. 4)

Split k of S holds the images with indices floor(k n / S) <= i < floor((k + 1) n / S), whichever
process makes them; the score is the mean over splits. Papers print beside it the standard deviation
over splits (divisor S). The standard error of the mean of S independent splits is this standard
deviation divided by sqrt(S - 1). 1 <= IS <= number of classes.

References:
    Salimans et al. (2016), Improved techniques for training GANs. arXiv:1606.03498
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from genbench.errors import InputError
from genbench.metrics.finite import require_finite
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = ["METRICS", "InceptionScore", "inception_score", "measure_is"]

METRICS = {
    "is": MetricInfo(
        "IS",
        "higher",
        2,
        inputs=("extractor", "class scores"),
        range=Range(0.999),
        largest="classes",
    ),
}


class InceptionScore(Metric):
    """Streaming inception score: three float64 sums per split, added up over processes.

    Args:
        images: Number n of images that will come.
        classes: Number of classes K.
        splits: Number of splits S.
        options: Options of `torchmetrics.Metric`.
    """

    count: Tensor
    mass: Tensor
    negentropy: Tensor

    def __init__(self, images: int, classes: int, splits: int = 10, **options: Any) -> None:
        super().__init__(**options)
        if not 1 <= splits <= images:
            raise InputError(
                f"inception score: splits is 1 to the number of images, {images}, not {splits}"
            )
        self.images = images
        self.splits = splits
        self.add_state("count", torch.zeros(splits, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state(
            "mass", torch.zeros(splits, classes, dtype=torch.float64), dist_reduce_fx="sum"
        )
        self.add_state("negentropy", torch.zeros(splits, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, index: Tensor, logits: Tensor) -> None:
        """Global indices (B,) in {0, ..., n - 1} and logits (B, K)."""
        require_finite(logits, what="class scores")
        starts = torch.tensor(
            [k * self.images // self.splits for k in range(self.splits)], device=index.device
        )
        split = torch.searchsorted(starts, index, right=True) - 1
        p = logits.double().softmax(1)
        self.count.index_add_(0, split, torch.ones_like(split))
        self.mass.index_add_(0, split, p)
        self.negentropy.index_add_(0, split, -torch.special.entr(p).sum(1))

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation over the splits."""
        if int(self.count.sum()) != self.images:
            raise ValueError(
                f"InceptionScore: {int(self.count.sum())} images came, not {self.images}"
            )
        q = self.mass / self.count[:, None]
        score = (self.negentropy / self.count + torch.special.entr(q).sum(1)).exp()
        return score.mean(), score.std(correction=0)


def inception_score(logits: Tensor, splits: int = 10) -> Estimate:
    """Score of logits (n, K) in index order, and its standard error over the splits; None with one
    split.
    """
    # Every process holds all rows here, so that nothing is added up over processes.
    score = InceptionScore(len(logits), logits.shape[1], splits, sync_on_compute=False).to(
        logits.device
    )
    score.update(torch.arange(len(logits), device=logits.device), logits)
    mean, spread = score.compute()
    return mean.item(), (spread.item() / (splits - 1) ** 0.5 if splits > 1 else None)


def measure_is(samples: Samples) -> Estimate:
    """Inception score of the class scores of the generated images, over ten splits."""
    generated = present(samples.generated, "the class scores of the generated images", "is")
    return inception_score(generated.logits)
