"""One pass of the feature extractor feeds every sample metric.

    features h   (N, F), the extractor's last hidden layer: Fréchet, kernel and sliced distance, precision, recall, density, coverage
    logits l     (N, K), its class scores: inception score

A `FeatureBank` collects them with the global index of each image, on as many processes as there
are, and gives them back in index order: the metrics are then computed from the same rows in the
same order whatever the world size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed
from torchmetrics import Metric

from genbench.metrics.measure import measure
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Features, Samples
from genbench.rng import Rng

__all__ = ["FeatureBank", "Features", "sample_metrics"]


class FeatureBank(Metric):
    """Features and logits of images that come in any order, on any process. A process may have no
    images.

    `compute` is collective: every process calls it, and every process gets all rows.

    Args:
        features: Length F of a feature vector.
        logits: Number of class scores K.
    """

    index: list[Tensor]
    features: list[Tensor]
    logits: list[Tensor]

    def __init__(self, features: int, logits: int) -> None:
        # Rows are gathered by `_gather` below. torchmetrics gathers lists batch by batch, which
        # hangs where processes have different numbers of batches.
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
    training: Tensor | None = None,
) -> dict[str, Estimate]:
    """Metrics of the features of generated and reference images. Only the metrics that are asked
    for are computed.

    Args:
        generated: Features of the generated images, in index order.
        reference: Features of the reference images.
        metrics: Names out of `genbench.records.catalogue.image_metrics()`.
        rng: Random numbers of the errors and of fid_infinity, one stream per draw. 50 streams give
            an error to a tenth of itself.
        labels: Class of each reference image, int64 (m,); class_recall needs them.
        training: Features of the training images, (N, F); memorisation needs them.

    Returns:
        For each name its value and standard error. The error is that of `half_sample_error`, except
        for kid (jackknife) and is (over ten splits). It is None where there are too few images for
        an error.

    Raises:
        InputError: A metric has another name or lacks what it needs; an image's features are not
            finite.
    """
    samples = Samples(rng, generated, reference, labels=labels, training=training)
    return measure(samples, metrics)
