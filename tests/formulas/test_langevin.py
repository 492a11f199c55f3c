"""Langevin's chain against its closed form for a quadratic energy, and against torchebm's."""

from __future__ import annotations

import math

import pytest
import torch
from torchebm.core import BaseModel
from torchebm.samplers import LangevinDynamics

from genbench.formulas.langevin import langevin_step
from genbench.rng import Rng

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize(("eps", "s"), [(0.1, 1.0), (0.5, 0.7), (0.02, 0.2), (0.4, 0.5)])
def test_a_quadratic_energy_has_its_stationary_variance(eps, s):
    """s^2 / (1 - eps / (2 s^2)), twice that of p at eps = s^2; chains that begin there stay, and far ones come."""
    n = 20_000
    rng = Rng(0, range(n), torch.float64)
    right = s**2 / (1 - eps / (2 * s**2))
    x = torch.cat((math.sqrt(right) * rng.normal((1,)), torch.full((n, 1), 2.0)), dim=1)
    for _ in range(math.ceil(4 / -math.log(abs(1 - eps / s**2) + 1e-9)) + 2):
        x = langevin_step(lambda x: (x**2).sum(1) / (2 * s**2), x, eps, rng.normal((2,)))
    error = right * math.sqrt(2 / n)
    assert ((x.var(0) - right).abs() < 4.5 * error).all()
    # what is left of the far start is at most e^-4 of it
    assert (x.mean(0).abs() < 4.5 * math.sqrt(right / n) + 2 * math.exp(-4)).all()


class Quartic(BaseModel):
    """E(x) = |x|^4 / 4 - x_0 x_1."""

    def forward(self, x):
        return x.square().sum(-1).square() / 4 - x[..., 0] * x[..., 1]


def test_chains_are_those_of_torchebm():
    """The same noise makes the same chain."""
    eps = 0.03
    # in the order of memory in which theirs draws noise
    start = Rng(0, range(5), torch.float64).normal((3,)).contiguous()
    energy = Quartic(dtype=torch.float64)
    oracle = LangevinDynamics(energy, step_size=eps, dtype=torch.float64, device="cpu")
    theirs = oracle.sample(x=start, n_steps=7, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    ours = start
    for _ in range(7):
        z = torch.randn(5, 3, dtype=torch.float64, generator=generator)
        ours = langevin_step(energy, ours, eps, z)
    assert (ours - start).abs().min() > 1e-3
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_step_keeps_no_graph():
    weight = torch.ones(2, requires_grad=True)
    x = langevin_step(lambda x: (weight * x**2).sum(1), torch.ones(3, 2), 0.1, torch.zeros(3, 2))
    torch.testing.assert_close(x, torch.full((3, 2), 0.8))
    assert not x.requires_grad
    assert weight.grad is None
