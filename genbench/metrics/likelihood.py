r"""Bits per dimension of a model, with what kind of number they are, their errors and their cost.

    l_nr           -log p^(x_n) in nats by the r-th noise, n <= N images, r <= R repeats; R = 1 where log p is exact
    nats           1/N sum_n m_n,   m_n = 1/R sum_r l_nr
    stderr         sd(m_1, ..., m_N) / sqrt(N): by how much other images would change it
    repeat_error   sd over r of (1/N sum_n l_nr) / sqrt(R): by how much other noise would change it
    evaluations    images that the busiest network is given, per image and repeat
    step_error     |1/M sum_n (l_n - l'_n)| over the first M images, l' with half the step, or with ten times the
                   tolerance of an adaptive solver, for a model whose log p takes steps
    shared_error   standard error of what all l_n share and the model has estimated before, such as log Z

The kind is the model's, given its options. The mean of a bound over repeats is a bound; no weights
are averaged across repeats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genbench.config.protocol import Protocol
from genbench.data.images import ImageData
from genbench.errors import GenbenchError, InputError
from genbench.model import GenerativeModel
from genbench.records.parts import Likelihood
from genbench.rng import Rng
from genbench.system.processes import chunks, collected

__all__ = [
    "check_finite",
    "measure_likelihood",
    "measure_step_error",
    "network_rows",
    "scored",
]

# A score is a function of images, their y and their streams. It returns scores by name, each of
# shape (B,).
Score = Callable[[Tensor, Tensor | None, Rng], dict[str, Tensor]]


def measure_likelihood(
    model: GenerativeModel,
    data: ImageData,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
) -> Likelihood:
    """What a record says of the likelihood of the protocol's images.

    Args:
        model: With a density.
        data: The data whose images are scored.
        options: Options of the model's `log_prob`.
        protocol: Split, images, chunks, evaluation seed, repeats.
        device: Where the model is.

    Raises:
        InputError: The model refuses the options, or they give a probability above 1, which steps
            that are too coarse do.
        GenbenchError: A log-probability is NaN or infinite; the line names the image.
    """
    x, y = data.tensors(protocol.split, device)
    x = x[: protocol.scored_images]
    y = None if y is None else y[: protocol.scored_images]
    kind = model.likelihood_kind(**options)
    assert kind is not None
    repeats = 1 if kind == "exact" else protocol.repeats
    runs = []
    for r in range(repeats):
        with network_rows(model) as rows:

            def score(x: Tensor, y: Tensor | None, rng: Rng) -> dict[str, Tensor]:
                rows.clear()
                terms = model.terms(x, y, rng, **options)
                return {
                    **terms,
                    _EVALUATIONS: torch.full(
                        (len(x),), max(rows.values(), default=0) / len(x), dtype=torch.float64
                    ),
                }

            runs.append(scored(score, x, y, model, protocol, device, r))
        check_finite(_nats(runs[-1]), lambda n: f"{protocol.split} image {n}")
    nats = torch.stack([_nats(run) for run in runs])
    means = nats.mean(0)
    by_noise = nats.mean(1)
    bits = 1 / (model.spec.dims * math.log(2))
    shared = model.shared_error()
    if float(means.mean()) < 0:
        raise InputError(
            f"log_prob options {options}: {float(means.mean()) * bits:.2f} bits/dim over the "
            f"{protocol.split} images, where no "
            "probability of integer images is above 1, 0 bits/dim; right are finer steps, or more "
            "noises"
        )
    return Likelihood(
        kind=kind,
        bits_per_dim=float(means.mean()) * bits,
        stderr=float(means.std()) / math.sqrt(len(means)) * bits if len(means) > 1 else None,
        nats=float(means.mean()),
        images=len(means),
        dequantisation=model.dequantisation,
        conditional=model.conditional,
        options=options,
        terms={name: bits * _mean(runs, name) for name in runs[0] if name != _EVALUATIONS},
        defaults=model.defaults("log_prob", options),
        repeats=repeats,
        repeat_error=float(by_noise.std()) / math.sqrt(repeats) * bits if repeats > 1 else None,
        network_evaluations=_mean(runs, _EVALUATIONS),
        shared_error=None if shared is None else shared * bits,
        step_error=measure_step_error(model, x, y, options, protocol, device),
    )


def measure_step_error(
    model: GenerativeModel,
    x: Tensor,
    y: Tensor | None,
    options: dict[str, Any],
    protocol: Protocol,
    device: str,
) -> float | None:
    """By how many bits/dim the mean of the first images moves when `log_prob` takes finer steps;
    None where it takes none.

    Args:
        model: With a density.
        x: integers (N, C, H, W), of which the first 64 are scored, each with the noise that it has in
            `measure_likelihood`.
        y: One per image, of a model of p(x | y).
        options: Options of the model's `log_prob`.
        protocol: Chunks, evaluation seed.
        device: Where the model is.
    """
    pair = model.finer(**options)
    if pair is None:
        return None
    some = replace(protocol, chunk=min(protocol.chunk, _STEP_IMAGES, len(x)))
    images = x[:_STEP_IMAGES]
    conditions = None if y is None else y[:_STEP_IMAGES]

    def mean(steps: dict[str, Any]) -> float:
        scores = scored(
            lambda x, y, rng: model.terms(x, y, rng, **steps),
            images,
            conditions,
            model,
            some,
            device,
            0,
        )
        return float(_nats(scores).mean())

    coarse, fine = pair
    return abs(mean(fine) - mean(coarse)) / (model.spec.dims * math.log(2))


@contextmanager
def network_rows(model: nn.Module) -> Iterator[Counter[nn.Module]]:
    """How many rows each network is given meanwhile.

    A network is a module that the model itself calls, not another module.
    """
    rows: Counter[nn.Module] = Counter()
    inside: list[nn.Module] = []

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not inside and inputs and isinstance(inputs[0], Tensor):
            rows[module] += len(inputs[0])
        inside.append(module)

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        inside.pop()

    parts = [module for module in model.modules() if module is not model]
    hooks = [part.register_forward_pre_hook(enter) for part in parts]
    hooks += [part.register_forward_hook(leave) for part in parts]
    try:
        yield rows
    finally:
        for hook in hooks:
            hook.remove()


# The error of the steps is measured on this many images. Few are enough, since both likelihoods
# that it compares use the same noise.
_STEP_IMAGES = 64
# The scores of an image hold the number of network evaluations under this name. It is no term of
# the likelihood.
_EVALUATIONS = "network evaluations"


def scored(
    score: Score,
    x: Tensor,
    y: Tensor | None,
    model: GenerativeModel,
    protocol: Protocol,
    device: str,
    repeat: int,
) -> dict[str, Tensor]:
    """Scores of images x with their y, each with its own stream, by chunks: (N,) float64 on
    the CPU.
    """
    parts = []
    for first, indices in chunks(len(x), protocol.chunk):
        rows = torch.tensor(indices, device=device)
        rng = Rng(protocol.evaluation_seed, rows, model.dtype, device).split("log_prob", repeat)
        rows = rows.clamp(max=len(x) - 1)
        try:
            scores = score(x[rows], None if y is None else y[rows], rng)
        except (TypeError, ValueError) as error:
            raise InputError(f"log_prob options: {error}") from None
        parts.append(
            (
                first,
                {name: values[: len(x) - first].cpu().double() for name, values in scores.items()},
            )
        )
    every = collected(parts)
    return {name: torch.cat([scores[name] for scores in every]) for name in every[0]}


def _nats(run: dict[str, Tensor]) -> Tensor:
    return torch.stack([values for name, values in run.items() if name != _EVALUATIONS]).sum(0)


def _mean(runs: list[dict[str, Tensor]], name: str) -> float:
    return float(torch.stack([run[name] for run in runs]).mean())


def check_finite(nats: Tensor, name: Callable[[int], str]) -> None:
    """Check that -log p of images is finite.

    Args:
        nats: (N,) nats.
        name: What the n-th image is called in the message.

    Raises:
        GenbenchError: A value is NaN or infinite; the line names the image.
    """
    bad = (~torch.isfinite(nats)).nonzero()
    if len(bad):
        n = int(bad[0])
        raise GenbenchError(f"log_prob of {name(n)} is {-float(nats[n])}: not a probability")
