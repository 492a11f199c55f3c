"""One pass of the feature extractor feeds every sample metric.

    features h   (N, F), the extractor's last hidden layer: Fréchet and kernel distance, precision, recall, density, coverage
    logits l     (N, K), its class scores: inception score

A `FeatureBank` collects them with the global index of each image, on as many processes as there are, and gives them back in
index order: the metrics are then computed from the same rows in the same order whatever the world size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from genbench.metrics.frechet import frechet_distance, moments
from genbench.metrics.inception_score import InceptionScore
from genbench.metrics.kid import kernel_distance
from genbench.metrics.precision_recall import density_coverage, precision_recall

__all__ = ["FeatureBank", "Features", "sample_metrics"]


class Features(NamedTuple):
    """What an extractor sees in N images: features (N, F) and logits (N, K), row i for image i."""

    features: Tensor
    logits: Tensor


class FeatureBank(Metric):
    """Features and logits of images that come in any order, on any process, a process without images included.

    `compute` is collective: every process calls it, and every process gets all rows.

    Args:
        features: Length F of a feature vector.
        logits: Number of class scores K.
    """

    index: list[Tensor]
    features: list[Tensor]
    logits: list[Tensor]

    def __init__(self, features: int, logits: int) -> None:
        # its own gather below: torchmetrics gathers lists batch by batch, which hangs where processes have unequal counts
        super().__init__(sync_on_compute=False)
        self.widths = (features, logits)
        for state in ("index", "features", "logits"):
            self.add_state(state, [], dist_reduce_fx=None)

    def update(self, index: Tensor, features: Tensor, logits: Tensor) -> None:
        """Global indices (B,), features (B, F) and logits (B, K) of some images."""
        shapes = [tuple(v.shape) for v in (index, features, logits)]
        wanted = [(len(index),), *((len(index), width) for width in self.widths)]
        if shapes != wanted:
            raise ValueError(f"FeatureBank: index, features and logits have shapes {shapes}, not {wanted}")
        self.index.append(index.long())
        self.features.append(features.float())
        self.logits.append(logits.float())

    def compute(self) -> Features:
        """All rows of all processes, in index order.

        Raises:
            ValueError: An image came twice.
        """
        empty = [torch.zeros((0, *shape), device=self.device) for shape in ((), (self.widths[0],), (self.widths[1],))]
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


def sample_metrics(generated: Features, reference: Features, splits: int = 10) -> dict[str, float]:
    """Every sample metric from one feature pass over the generated and one over the reference images.

    Args:
        generated: Features of the generated images, in index order.
        reference: Features of the reference images.
        splits: Splits of the inception score.

    Returns:
        fid, is, is_std (over splits), kid, kid_error (standard error), precision, recall (k = 3), density, coverage (k = 5).
    """
    x, r = generated.features, reference.features
    # every process holds all rows here: nothing is to be added up
    score = InceptionScore(len(x), generated.logits.shape[1], splits, sync_on_compute=False).to(x.device)
    score.update(torch.arange(len(x), device=x.device), generated.logits)
    is_mean, is_std = (value.item() for value in score.compute())
    kid, kid_error = kernel_distance(x, r)
    precision, recall = precision_recall(x, r)
    density, coverage = density_coverage(x, r)
    return {
        "fid": frechet_distance(*moments(x), *moments(r)),
        "is": is_mean,
        "is_std": is_std,
        "kid": kid,
        "kid_error": kid_error,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }
