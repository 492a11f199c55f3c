r"""How small a share of all arrays of pixels the images of a data set are.

With D pixels of L levels there are L^D arrays. Of a distribution with the entropy H bits about 2^H of
them are typical: together they have nearly all of its mass. Their share of all arrays is

    2^H / L^D  <=  2^(-D (log2 L - b)),    b D = E[-log2 p(x)] = H + KL(data || model) >= H

where b is the bits per dimension of a model p on held-out images. An exact b is an upper bound of the
entropy already; a bound of it, such as an ELBO, is one more. Both give an upper bound of the
share, which can therefore be found to be small, and never to be large. An estimate of b can be below
the entropy, and proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import KIND_SIGNS, value_cell
from genbench.leaderboard.claims.numbers import number_text
from genbench.leaderboard.claims.row_test import Measured, RowTest
from genbench.leaderboard.claims.statistics import compare_paired
from genbench.leaderboard.intervals import paired
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.system.typed import Range

__all__ = ["Volume", "log2_share"]


@dataclass(frozen=True)
class Volume(RowTest):
    """By the likelihood of the subject, typical images are less than a share of all arrays of pixels.

    Args:
        share: The share, above 0 and below 1.
    """

    share: Annotated[float, Range(high=1, above=0)]

    def measure(self, board: Board, subject: Row, rivals: Sequence[Row]) -> Measured | str:
        """The logarithm of the share over the seeds, by Student's t."""
        bits = [x.bits_per_dim for x in subject.likelihoods if not x.conditional]
        kind = subject.kind
        levels = board.protocol.levels
        if not bits or kind is None:
            return f"bits/dim: not measured for {subject.label}"
        dims = math.prod(board.protocol.shape)
        logs = [log2_share(b, dims, levels) for b in bits]
        limit = [math.log2(self.share)] * len(logs)
        summary = Summary(tuple(logs))
        cell = value_cell(Summary(tuple(bits)), 3, sign=KIND_SIGNS[kind]).text
        sentence = (
            f"{subject.label} {cell} bits/dim of {math.log2(levels):.3f}: at most "
            f"2^({number_text(summary.mean)}) of all arrays of {dims} pixels"
        )
        if kind == "estimate":
            sentence = f"{sentence} if the estimate is not too low, which nothing proves"
        is_bound = kind != "estimate"
        return Measured(
            sentence=sentence,
            unit="log2 of the share",
            effect=summary.mean,
            interval=paired(logs, [0.0] * len(logs)),
            p_support=compare_paired(logs, limit).below if is_bound else 1.0,
        )


def log2_share(bits_per_dim: float, dims: int, levels: int) -> float:
    """log2 of the share of typical images in all arrays of pixels.

    Args:
        bits_per_dim: -log2 p(x) of a pixel, b.
        dims: Number of pixels of all channels, D.
        levels: Number of values of a pixel, L.

    Examples:
        >>> log2_share(bits_per_dim=1.0, dims=64, levels=16)
        -192.0
    """
    return -dims * (math.log2(levels) - bits_per_dim)
