r"""Precision and recall, density and coverage of generated features among reference features, and
recall class by class.

Balls B(z_i) around each point of a set, closed (<=) or open (<), reach to the k-th nearest other
point of its own set:

    precision = 1/n sum_j 1[x_j in some closed B(r_i)]      fidelity, k = 3           (Kynkäänniemi et al. 2019, eq. 1-3)
    recall    = 1/m sum_i 1[r_i in some closed B(x_j)]      diversity, k = 3
    density   = 1/(k n) sum_j sum_i 1[x_j in open B(r_i)]   k = 5, may exceed 1       (Naeem et al. 2020, eq. 4)
    coverage  = 1/m sum_i 1[some x_j in open B(r_i)]        k = 5                     (eq. 5)
    recall of class c: the mean of recall's indicator over the reference images r_i of class c

x_1 ... x_n are generated, r_1 ... r_m are reference. `Balls` finds once which points may be in
which balls. Every metric is then a function of two masks, which say which images of either set
count, so that it is the same function for the whole sets and for halves.

References:
    Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative
        models. arXiv:1904.06991
    Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models.
        arXiv:2002.09797
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.finite import require_finite
from genbench.metrics.neighbours import nearest_others, pairs_within
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.system.typed import Range

__all__ = [
    "METRICS",
    "Balls",
    "class_recall",
    "covered",
    "density",
    "density_coverage",
    "measure_class_recall",
    "measure_coverage",
    "measure_density",
    "measure_precision",
    "measure_recall",
    "occupied",
    "precision_recall",
]

METRICS = {
    "precision": MetricInfo(
        "Precision", "higher", 3, inputs=("extractor", "reference images"), range=Range(0, 1)
    ),
    "recall": MetricInfo(
        "Recall", "higher", 3, inputs=("extractor", "reference images"), range=Range(0, 1)
    ),
    # Density counts neighbours. The data themselves have the value 1, and a larger value is not
    # better.
    "density": MetricInfo(
        "Density", None, 3, inputs=("extractor", "reference images"), range=Range(0)
    ),
    "coverage": MetricInfo(
        "Coverage", "higher", 3, inputs=("extractor", "reference images"), range=Range(0, 1)
    ),
    "class_recall": MetricInfo(
        "Recall of the worst class",
        "higher",
        3,
        inputs=("extractor", "reference images", "labels"),
        range=Range(0, 1),
    ),
}


class Balls:
    """The balls around the points of one set, and which points of another set are in them.

    Args:
        centres: Features of shape (m, F).
        points: Features of shape (n, F).
        reach: How many nearest others of a centre are kept. The k-th nearest of a random half is
            among the first 40 in all but one of ten million cases (k = 5). In this case the ball
            ends at the last one that is kept.
    """

    def __init__(self, centres: Tensor, points: Tensor, reach: int = 40) -> None:
        require_finite(centres)
        require_finite(points)
        if len(centres) < 2:
            raise InputError(
                f"precision and recall need at least 2 images in each set, not {len(centres)}"
            )
        self.neighbours = nearest_others(centres, reach)
        self.pairs = pairs_within(centres, self.neighbours.distance[:, -1], points)
        self.sizes = len(centres), len(points)

    def everything(self) -> tuple[Tensor, Tensor]:
        """Masks of all centres (m,) and all points (n,)."""
        centres, points = (
            torch.ones(size, dtype=torch.bool, device=self.pairs.centre.device)
            for size in self.sizes
        )
        return centres, points

    def radii(self, k: int, centres: Tensor) -> Tensor:
        """Distance (m,) from each centre to its k-th nearest other one among those of the mask
        (m,).
        """
        if not 1 <= k < (count := int(centres.sum())):
            raise InputError(
                f"precision and recall: k is 1 to the number of images less one, {count - 1}, not "
                f"{k}"
            )
        rank = centres[self.neighbours.others].cumsum(1)
        below = (rank < k).sum(1).clamp(max=rank.shape[1] - 1)
        return self.neighbours.distance.gather(1, below[:, None])[:, 0]

    def inside(
        self, k: int, centres: Tensor, points: Tensor, closed: bool
    ) -> tuple[Tensor, Tensor]:
        """Centre and point of every pair of which the point is in the centre's ball, both (P,)."""
        centre, point, distance = self.pairs
        radius = self.radii(k, centres)[centre]
        near = (distance <= radius) if closed else (distance < radius)
        near &= centres[centre] & points[point]
        return centre[near], point[near]


def covered(balls: Balls, k: int, centres: Tensor, points: Tensor) -> Tensor:
    """Which points are in some closed ball, bool (points,): precision's indicator around r,
    recall's around x.
    """
    _, point = balls.inside(k, centres, points, closed=True)
    return _marked(point, points)[points]


def occupied(balls: Balls, k: int, centres: Tensor, points: Tensor) -> Tensor:
    """Which open balls hold some point, bool (centres,): coverage's indicator."""
    centre, _ = balls.inside(k, centres, points, closed=False)
    return _marked(centre, centres)[centres]


def density(balls: Balls, k: int, centres: Tensor, points: Tensor) -> float:
    """Mean number of open balls that a point is in, over k."""
    return len(balls.inside(k, centres, points, closed=False)[0]) / (k * int(points.sum()))


def class_recall(balls: Balls, k: int, centres: Tensor, points: Tensor, labels: Tensor) -> Tensor:
    """Recall of each class, float64 (classes,); NaN for a class without a reference image.

    Args:
        balls: Around generated features, with reference features as points.
        k: Neighbours.
        centres: Which generated images count, bool (n,).
        points: Which reference images count, bool (m,).
        labels: Class of each reference image, int64 (m,).
    """
    recalled = covered(balls, k, centres, points)
    of = labels[points]
    classes = int(labels.max()) + 1
    return torch.bincount(of, recalled.double(), classes) / torch.bincount(of, minlength=classes)


def measure_precision(samples: Samples) -> Estimate:
    """Precision with k = 3. In the statistics below, a and b are masks of the generated and of the
    reference images.
    """
    balls = samples.once(balls_of_reference)
    return samples.estimate(lambda a, b: share(covered(balls, 3, b, a)), least=4)


def measure_recall(samples: Samples) -> Estimate:
    """Recall with k = 3."""
    balls = samples.once(balls_of_generated)
    return samples.estimate(lambda a, b: share(covered(balls, 3, a, b)), least=4)


def measure_density(samples: Samples) -> Estimate:
    """Density with k = 5."""
    balls = samples.once(balls_of_reference)
    return samples.estimate(lambda a, b: density(balls, 5, b, a), least=6)


def measure_coverage(samples: Samples) -> Estimate:
    """Coverage with k = 5."""
    balls = samples.once(balls_of_reference)
    return samples.estimate(lambda a, b: share(occupied(balls, 5, b, a)), least=6)


def measure_class_recall(samples: Samples) -> Estimate:
    """Recall with k = 3 of the class whose recall is lowest."""
    labels = present(samples.labels, "the labels of the reference images", "class_recall")
    balls = samples.once(balls_of_generated)
    recall = lambda a, b: class_recall(balls, 3, a, b, labels)  # noqa: E731
    return samples.estimate(lambda a, b: recall(a, b).nan_to_num(torch.inf).amin().item(), least=4)


def balls_of_reference(samples: Samples) -> Balls:
    """Balls around the reference images, and the generated images in them."""
    return Balls(samples.r, samples.x)


def balls_of_generated(samples: Samples) -> Balls:
    """Balls around the generated images, and the reference images in them."""
    return Balls(samples.x, samples.r)


def share(which: Tensor) -> float:
    """Share of a mask that is true."""
    return which.double().mean().item()


def precision_recall(x: Tensor, r: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall of generated features x, (n, F), among reference features r,
    (m, F), n > k and m > k.
    """
    of_r = Balls(r, x)
    of_x = Balls(x, r)
    precise = covered(of_r, k, *of_r.everything())
    recalled = covered(of_x, k, *of_x.everything())
    return precise.double().mean().item(), recalled.double().mean().item()


def density_coverage(x: Tensor, r: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage. Arguments as `precision_recall`."""
    balls = Balls(r, x)
    return (
        density(balls, k, *balls.everything()),
        occupied(balls, k, *balls.everything()).double().mean().item(),
    )


def _marked(index: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(like).index_fill_(0, index, True)
