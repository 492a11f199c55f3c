r"""Sums over the times of a chain, such as the terms of a diffusion model's bound.

All terms are computed, each with noise of its own, or the sum is estimated without bias from K of them:

    sum_t L_t = E_{t ~ p} L_t / p_t,    K stratified times t_k = F^-1((k + u) / K),  u ~ U(0, 1),  F the cumulative sum of p

Systematic draws visit every part of the chain, and time t occurs K p_t times on average.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genbench.rng import Rng

__all__ = ["Term", "estimated_sum", "stratified_times", "terms_at"]

# A `Term` maps rows of images, int64 (N,), their times, int64 (N,), and their noise, (N, ...), to
# terms, (N,).
Term = Callable[[Tensor, Tensor, Tensor], Tensor]

# One call of a term gets at most this many pairs of an image and a time, but at least one time of
# every image, so that memory stays small.
_PAIRS = 1024


@torch.no_grad()
def terms_at(term: Term, t: Tensor, rng: Rng, shape: Sequence[int]) -> Tensor:
    """The term of every image at K times of its own, (B, K).

    The k-th noise of an image is the k-th child of its stream, whatever else is computed.

    Args:
        term: Function of images, times and noises, a row each.
        t: int64 (B, K).
        rng: One stream per image.
        shape: Shape of the noise of an image.
    """
    images = len(t)
    parts = []
    chunk = max(1, _PAIRS // max(1, images))
    for columns in torch.arange(t.shape[1], device=t.device).split(chunk):
        noises = [rng.split("x_t", int(k)).normal(shape) for k in columns]
        eps = torch.stack(noises, dim=1).flatten(0, 1)
        rows = torch.arange(images, device=t.device).repeat_interleave(len(columns))
        values = term(rows, t[:, columns].flatten(), eps)
        parts.append(values.unflatten(0, (images, -1)))
    return torch.cat(parts, dim=1)


def estimated_sum(
    terms: Callable[[Tensor], Tensor], known: Tensor, shares: Tensor, u: Tensor, K: int
) -> Tensor:
    """An estimate of sum_t L_t, without bias, from K stratified times per image: float64 (B,).

    Args:
        terms: Function of times, int64 (B, K), to the terms L_t at them, (B, K).
        known: A part of L_t that is the same for all images, and whose sum is not estimated:
            float64 (T + 1,), by t = 0, ..., T.
        shares: p_t, float64 (T + 1,), 0 where there is no term.
        u: One offset in (0, 1) per image, (B,).
        K: Number of times.

    Examples:
        Where the shares are in proportion to the terms, one time tells their sum:

        >>> L = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
        >>> estimated_sum(lambda t: L[t], 0 * L, L / 4, torch.tensor([0.1, 0.6]), K=1).tolist()
        [4.0, 4.0]
    """
    t = stratified_times(shares, u, K)
    varying = (terms(t) - known[t]) * (1 / shares[t])
    return varying.mean(1) + known.sum()


def stratified_times(shares: Tensor, u: Tensor, K: int) -> Tensor:
    """K times per image, int64 (B, K), drawn systematically in proportion to their shares.

    Args:
        shares: p_t, float64 (T + 1,), by t = 0, ..., T; the last is above 0.
        u: One offset in (0, 1) per image, (B,).
        K: Number of times.

    Examples:
        Two of four times lie in the upper half of the shares:

        >>> shares = torch.tensor([0.0, 0.25, 0.25, 0.5], dtype=torch.float64)
        >>> stratified_times(shares, torch.tensor([0.5]), K=4).tolist()
        [[1, 2, 3, 3]]
    """
    cumulative = shares.cumsum(0)
    points = (torch.arange(K, device=u.device) + u[:, None].double()) / K
    first = int((shares > 0).nonzero()[0])
    times = torch.searchsorted(cumulative / cumulative[-1], points)
    return times.clamp(first, len(shares) - 1)
