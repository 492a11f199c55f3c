r"""Point clouds in the plane with an exactly known distribution.

Every claim about a density can be checked on them to the last digit.

A cloud is a mixture of K components on the square [-4, 4]^2. Its density is evaluated at the
centres of a grid of L x L cells and normalised: p(i, j) = sum_k w_k p_k(i, j) is then the truth,
not an approximation. A point is an image of shape (1, 1, 2) with L levels: x = (i, j). Entropy,
KL(p || model) and the modes that a model covers follow from the table.

    eight_gaussians        K = 8, radius 2, standard deviation 0.2
    twenty_five_gaussians  K = 25 at the points of a 5 x 5 grid, 1.5 apart, standard deviation 0.05
    two_moons              K = 2 half circles of radius 1.5, standard deviation 0.15
    checkerboard           K = 8 squares of a 4 x 4 board, uniform
    pinwheel               K = 5 spiral arms: r ~ N(2, 0.6^2), angle | r ~ N(angle_k + r, (0.25 / r)^2)

The Gaussians on a circle and on a grid are those on which mode dropping is usually shown, such as in
Srivastava et al. (2017), VEEGAN, arXiv:1705.07761. Those on the grid are so narrow that points which
are uniform on the square cover no mode; on the circle they cover all.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from itertools import product
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from genbench.data.decoded import Arrays, Split
from genbench.data.images import ImageData
from genbench.rng import Rng
from genbench.spec import Labels, Scatter, Spec

__all__ = ["Cloud", "Points2d", "components"]

Cloud = Literal["eight_gaussians", "twenty_five_gaussians", "two_moons", "checkerboard", "pinwheel"]
_HALF_WIDTH = 4.0


class Points2d(ImageData):
    """Draws from a known table: 20,000 for training, 2,000 for validation, 10,000 for testing.

    The label of a point is its component.

    Args:
        root: Folder for decoded arrays. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Points per optimizer step, over all processes.
        cloud: Name of the distribution.
        levels: Cells per axis, 16 to 256.
    """

    sizes = (20_000, 2_000, 10_000)
    needs_folder = False

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 256,
        cloud: Cloud = "eight_gaussians",
        levels: int = 256,
    ) -> None:
        super().__init__(root, batch_size)
        if not 16 <= levels <= 256 or levels % 4:
            raise ValueError(
                f"data.levels of points2d is a multiple of 4 from 16 to 256, not {levels}"
            )
        self.cloud = cloud
        self.name = "points2d" if cloud == "eight_gaussians" else f"points2d-{cloud}"
        labels = Labels(len(components(cloud, 16)))
        self.spec = Spec((1, 1, 2), levels, labels, looks=Scatter())

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        return [cls(root, cloud=cloud) for cloud in get_args(Cloud)]

    @property
    def protocol(self) -> str:
        return "points2d"

    @cached_property
    def known_components(self) -> np.ndarray:
        """w_k p_k(i, j), float64 of shape (K, L, L), sum 1."""
        return components(self.cloud, self.spec.levels)

    @cached_property
    def source(self) -> dict[str, object]:
        """The source, with the hash of the distribution: points from another one are no copy."""
        rounded = self.known_components.round(12)
        return {**super().source, "distribution": hashlib.sha256(rounded.tobytes()).hexdigest()}

    @property
    def table(self) -> np.ndarray:
        """p(i, j), float64 of shape (L, L)."""
        return self.known_components.sum(0)

    @property
    def entropy(self) -> float:
        """Entropy of a point, in nats: no model's mean -log p(x) can be lower."""
        p = self.table[self.table > 0]
        return float(-(p * np.log(p)).sum())

    def known_log_prob(self, x: Tensor) -> Tensor:
        i, j = x.flatten(1).long().cpu().T
        return torch.from_numpy(self.table)[i, j].log()

    def decode(self) -> dict[Split, Arrays]:
        return {
            split: self._draw(split, n)
            for split, n in zip(get_args(Split), self.sizes, strict=True)
        }

    def _draw(self, split: Split, n: int) -> Arrays:
        """Draw n points and their components by the inverse distribution function.

        The seed is 0, always: it is part of the data set.
        """
        bits = Rng(0, range(n)).split(f"points2d/{split}").bits((2,)).numpy()
        u = (bits[:, 0] * 2.0**21 + (bits[:, 1] >> 11) + 0.5) * 2.0**-53
        table = self.known_components
        cell = np.searchsorted(np.cumsum(table.ravel()), u).clip(max=table.size - 1)
        k, i, j = np.unravel_index(cell, table.shape)
        points = np.stack((i, j), axis=1).astype(np.uint8)
        return points[:, None, None, :], k.astype(np.int64)


def components(cloud: Cloud, levels: int) -> np.ndarray:
    """The weighted components of a cloud on the grid.

    Args:
        cloud: Name of the distribution.
        levels: Cells per axis L.

    Returns:
        w_k p_k(i, j), float64 (K, L, L); all entries together sum to 1.
    """
    centres = (np.arange(levels) + 0.5) / levels * 2 * _HALF_WIDTH - _HALF_WIDTH
    a, b = np.meshgrid(centres, centres, indexing="ij")
    density = {
        "eight_gaussians": _gaussians_on_a_circle,
        "twenty_five_gaussians": _gaussians_on_a_grid,
        "two_moons": _moons,
        "checkerboard": _checkerboard,
        "pinwheel": _pinwheel,
    }[cloud]
    parts = density(a, b)
    parts = parts / parts.sum((1, 2), keepdims=True) / len(parts)
    return parts / parts.sum()


def _normal(squared: np.ndarray, sd: float) -> np.ndarray:
    return np.exp(-squared / (2 * sd**2))


def _gaussians_on_a_circle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    angles = np.arange(8) * math.pi / 4
    return np.stack(
        [_normal((a - 2 * math.cos(t)) ** 2 + (b - 2 * math.sin(t)) ** 2, 0.2) for t in angles]
    )


def _gaussians_on_a_grid(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    places = 1.5 * np.arange(-2, 3)
    return np.stack(
        [_normal((a - i) ** 2 + (b - j) ** 2, 0.05) for i, j in product(places, places)]
    )


def _moons(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    angles = (np.arange(256) + 0.5) / 256 * math.pi
    upper = sum(
        _normal((a + 0.75 - 1.5 * math.cos(t)) ** 2 + (b + 0.4 - 1.5 * math.sin(t)) ** 2, 0.15)
        for t in angles
    )
    lower = sum(
        _normal((a - 0.75 + 1.5 * math.cos(t)) ** 2 + (b - 0.4 + 1.5 * math.sin(t)) ** 2, 0.15)
        for t in angles
    )
    return np.stack([upper, lower])


def _checkerboard(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    row = np.floor((a + _HALF_WIDTH) / 2)
    column = np.floor((b + _HALF_WIDTH) / 2)
    return np.stack(
        [
            ((row == r) & (column == c)).astype(float)
            for r in range(4)
            for c in range(4)
            if (r + c) % 2 == 0
        ]
    )


def _pinwheel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    r = np.maximum(np.hypot(a, b), 1e-9)
    angle = np.arctan2(b, a)
    arms = []
    for k in range(5):
        deviation = np.angle(np.exp(1j * (angle - 2 * math.pi * k / 5 - r)))
        # The density is p(r) p(angle | r) / r. That of the angle has the factor r / 0.25, so the
        # two factors of r cancel.
        arms.append(_normal((r - 2) ** 2, 0.6) * _normal((deviation * r) ** 2, 0.25))
    return np.stack(arms)
