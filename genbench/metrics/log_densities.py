"""Log-densities of single images that metrics ask for: of the listed images of a small universe, of
the scored images of a split, and of images with every class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.capabilities import Classifies
from genbench.config.protocol import Protocol
from genbench.data.images import ImageData
from genbench.errors import InputError
from genbench.metrics.likelihood import check_finite, scored
from genbench.model import GenerativeModel
from genbench.rng import Rng

__all__ = ["by_bayes", "log_joint", "log_scores", "log_table", "marginal_log_prob"]


def log_table(
    model: GenerativeModel,
    data: ImageData,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
) -> np.ndarray:
    """log q of every image of a universe that is small enough to list. p(x | y) is summed with the training frequencies of labels y.

    Raises:
        InputError: y is no label.
        GenbenchError: A log-probability is NaN or infinite; the line names the image.
    """
    universe = torch.cartesian_prod(*[torch.arange(data.spec.levels)] * data.spec.dims)
    x = universe.reshape(-1, *data.spec.shape).to(device, data.spec.dtype)
    name = lambda n: f"the image of pixels {universe[n].tolist()}"  # noqa: E731
    return marginal_log_prob(model, data, x, options, protocol, device, name).numpy()


def log_scores(
    model: GenerativeModel,
    data: ImageData,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
) -> Tensor:
    """log q of the images of the protocol's split that are scored, (s,) float64. p(x | y) is summed with the training frequencies of y.

    Raises:
        GenbenchError: A log-probability is NaN or infinite; the line names the image.
    """
    x, name = _scored_images(data, protocol, device)
    return marginal_log_prob(model, data, x, options, protocol, device, name)


def marginal_log_prob(
    model: GenerativeModel,
    data: ImageData,
    x: Tensor,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
    name: Callable[[int], str],
) -> Tensor:
    """log q(x) of images, or log sum_y p(y) q(x | y) with the training frequencies of y.

    Args:
        model: With a density.
        data: Where the frequencies come from.
        x: integers (N, C, H, W).
        options: Options of the model's `log_prob`.
        protocol: Chunks, evaluation seed, repeats.
        device: Where the model is.
        name: What the n-th image is called in an error.

    Returns:
        (N,) float64 on the CPU, in nats.
    """
    if not model.conditional:
        return _averaged(model, x, None, options, protocol, device, name)
    if not model.classes:
        raise InputError(f"p(x) sums p(x | y) over labels; y of {data.name} is none")
    return by_bayes(model, data, x, options, protocol, device, name).logsumexp(1)


def log_joint(
    model: GenerativeModel,
    data: ImageData,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
) -> Tensor:
    """log q(x, y) of the images of the protocol's split that are scored and every class y, (s, K)
    float64 on the CPU: by the model's own joint density where it has one (`Classifies`) and
    `log_prob` no options, else by `by_bayes`.

    Args:
        model: Of p(x | y) of labels y, with a density.
        data: Whose images they are.
        options: Options of the model's `log_prob`.
        protocol: Split, images, chunks, evaluation seed, repeats.
        device: Where the model is.

    Raises:
        GenbenchError: A log-probability is NaN or infinite; the line names the image.
    """
    x, name = _scored_images(data, protocol, device)
    if options or not isinstance(model, Classifies):
        return by_bayes(model, data, x, options, protocol, device, name)
    classes = range(model.classes)

    def score(x: Tensor, y: Tensor | None, rng: Rng) -> dict[str, Tensor]:
        return dict(zip(map(str, classes), model.log_joint(x, rng).unbind(1), strict=True))

    scores = scored(score, x, None, model, protocol, device, 0)
    joint = torch.stack([scores[str(k)] for k in classes], 1)
    check_finite(-joint.logsumexp(1), name)
    return joint


def by_bayes(
    model: GenerativeModel,
    data: ImageData,
    x: Tensor,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
    name: Callable[[int], str],
) -> Tensor:
    """log p(y) + log q(x | y) of images and every class y, p(y) by the training frequencies. By Bayes'
    rule its `log_softmax(1)` is log q(y | x).

    The arguments are those of `marginal_log_prob`.

    Returns:
        (N, K) float64 on the CPU, in nats; minus infinity for a class without training images.
    """
    _, labels = data.arrays("train")
    assert labels is not None
    frequencies = np.bincount(labels, minlength=model.classes) / len(labels)
    joint = torch.full((len(x), model.classes), -torch.inf, dtype=torch.float64)
    for k, p in enumerate(frequencies):
        if p > 0:
            y = torch.full((len(x),), k, device=device)
            log_q = _averaged(model, x, y, options, protocol, device, name)
            joint[:, k] = log_q + math.log(p)
    return joint


def _scored_images(
    data: ImageData, protocol: Protocol, device: str
) -> tuple[Tensor, Callable[[int], str]]:
    """The first images of the protocol's split, (s, C, H, W), and what errors call the n-th one."""
    x, _ = data.tensors(protocol.split, device)
    return x[: protocol.scored_images], lambda n: f"{protocol.split} image {n}"


def _averaged(
    model: GenerativeModel,
    x: Tensor,
    y: Tensor | None,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
    name: Callable[[int], str],
) -> Tensor:
    """log q(x), or log q(x | y), the mean over the protocol's repeats: (N,) float64 on the CPU."""
    repeats = 1 if model.likelihood_kind(**options) == "exact" else protocol.repeats
    score = lambda x, y, rng: {"q": model.log_prob(x, y, rng, **options)}  # noqa: E731
    runs = [scored(score, x, y, model, protocol, device, r)["q"] for r in range(repeats)]
    log_q = torch.stack(runs).mean(0)
    check_finite(-log_q, name)
    return log_q
