"""Training draws from the streams that a model is given, and from no generator that has a state.

A number drawn from a global generator depends on what was drawn before it, and so on interruptions
and on the number of processes: no resumed run would equal an uninterrupted one.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from conftest import DISTINCT, PUPILS
from contract import no_global_randomness
from torch import nn

from genbench.rng import Rng
from genbench.runs.build import build


@pytest.mark.parametrize("name", [*DISTINCT, *PUPILS])
def test_training_draws_nothing_from_global_generators(name, tiny):
    data, model = build(tiny(name))
    model.train()
    batches = data.batches(0, 10**6, 0, 1, torch.device("cpu"), torch.float32)
    optimizers = model.configure_optimizers()
    with no_global_randomness():
        for (player_name, player), optimizer in zip(model.players().items(), optimizers):
            for _, batch in zip(range(2), batches):
                losses = player.loss(batch.x, batch.y, batch.rng)
                losses["loss"].backward()
                optimizer.step()
                model.after_step(player_name, {k: v.detach() for k, v in losses.items()})
    with no_global_randomness():
        model.finalize(data.finalize_batches(model), Rng(0, [0]).split("finalize"))


def draw_by_dropout() -> None:
    nn.Dropout(0.1).train()(torch.ones(4))


DRAWS = [
    draw_by_dropout,
    lambda: torch.randn(1),
    lambda: torch.ones(2).bernoulli_(0.5),
    lambda: np.random.rand(),
    lambda: random.random(),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_from_global_generators_are_seen(draw):
    with pytest.raises(AssertionError, match="global generator"), no_global_randomness():
        draw()


def test_draws_from_streams_are_none_of_a_global_generator():
    with no_global_randomness():
        Rng(0, range(3)).normal((4,))
