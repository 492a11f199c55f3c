"""Helmholtz machines that are small enough to list the states of all their units."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.models.classical.helmholtz import HelmholtzMachine
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Spec

pytestmark = pytest.mark.usefixtures("double")
SPEC = Spec((1, 1, 3), levels=2)
HIDDEN = (2, 1)
# all states of x, h_1 and h_2, one a row: (64, 6)
ROWS = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64)
X, H_1, H_2 = ROWS.split([3, 2, 1], dim=1)
PLACES = (X.long() * torch.tensor([4, 2, 1])).sum(1)


def machine() -> HelmholtzMachine:
    """With weights of order 1."""
    model = HelmholtzMachine(SPEC, torch.optim.SGD, hidden=HIDDEN)
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(0.8 * Rng(i, [0], torch.float64).normal(parameter.shape)[0])
    return model


def unit_probabilities(log_odds: Tensor, states: Tensor) -> Tensor:
    """log p of independent bits, by the probability of each."""
    p = torch.sigmoid(log_odds)
    return torch.where(states == 1, p, 1 - p).log().sum(-1)


def log_p(model: HelmholtzMachine) -> Tensor:
    """log p(x, h) of every row."""
    second, first = model.p.below.layers
    return (
        unit_probabilities(model.p.b_0.expand(64, 1), H_2)
        + unit_probabilities(second(2 * H_2 - 1), H_1)
        + unit_probabilities(first(2 * H_1 - 1), X)
    )


def log_q(model: HelmholtzMachine) -> Tensor:
    """log q(h | x) of every row."""
    first, second = model.q.layers
    return unit_probabilities(first(2 * X - 1), H_1) + unit_probabilities(second(2 * H_1 - 1), H_2)


def data(n: int) -> tuple[Tensor, Tensor]:
    """n images of unequal frequencies, and the frequency of that of every row."""
    counts = torch.tensor([1, 2, 3, 4, 5, 6, 7, 12]) * n // 40
    x = torch.tensor(list(itertools.product((0, 1), repeat=3))).repeat_interleave(counts, 0)
    return x.to(torch.uint8).view(-1, *SPEC.shape), (counts / counts.sum())[PLACES]


def block_gradients(model: HelmholtzMachine, name: str, x: Tensor, blocks: int) -> Tensor:
    """Gradients of a player's loss by many streams, (blocks, parameters)."""
    player = model.players()[name]
    rows = []
    for block in range(blocks):
        rng = Rng(2, range(block * len(x), (block + 1) * len(x)), torch.float64)
        gradients = torch.autograd.grad(player.loss(x, None, rng)["loss"], player.parameters)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(rows)


@pytest.mark.parametrize("name", ["wake", "sleep"])
def test_each_phase_follows_the_gradient_of_its_objective(name):
    """Wake: -E_data E_q log p(x, h). Sleep: -E_p log q(h | x). Over all states, with the draws' weights held."""
    model = machine()
    x, frequency = data(400)
    if name == "wake":
        objective = -(frequency * log_q(model).detach().exp() * log_p(model)).sum()
    else:
        objective = -(log_p(model).detach().exp() * log_q(model)).sum()
    parameters = model.players()[name].parameters
    right = torch.autograd.grad(objective / (3 * math.log(2)), parameters)
    exact = torch.cat([gradient.flatten() for gradient in right])
    blocks = 100
    estimates = block_gradients(model, name, x, blocks)
    error = estimates.std(0) / math.sqrt(blocks)
    assert float(((estimates.mean(0) - exact) / error).abs().max()) < 4.5
    assert float(error.max()) < 0.1 * float(exact.abs().max())


def test_waking_descends_on_the_bound_and_logs_it():
    """d/dp of -E_q log p(x, h) is that of -E_q log w, as q does not depend on p."""
    model = machine()
    x, frequency = data(40_000)
    bound = (frequency * log_q(model).exp() * (log_p(model) - log_q(model))).sum()
    losses = model.wake(x, None, Rng(0, range(len(x)), torch.float64))
    assert losses["bound"].item() == pytest.approx(-bound.item() / (3 * math.log(2)), rel=0.01)
    assert not losses["bound"].requires_grad


def test_dreams_do_not_depend_on_the_images():
    model = machine()
    x, _ = data(40)
    rng = Rng(0, range(len(x)), torch.float64)
    loss = model.sleep(x, None, rng[:])["loss"]
    assert torch.equal(loss, model.sleep(1 - x, None, rng[:])["loss"])


def test_nobody_steps_on_the_weights_of_the_other():
    model = machine()
    players = model.players()
    assert list(players) == ["wake", "sleep"]
    wakes, sleeps = (set(map(id, player.parameters)) for player in players.values())
    assert not wakes & sleeps
    assert wakes | sleeps == set(map(id, model.parameters()))


def test_the_bound_rises_with_K_to_the_likelihood():
    model = machine().requires_grad_(False)
    exact = torch.zeros(8).index_add(0, PLACES, log_p(model).exp()).log()
    x = torch.tensor(list(itertools.product((0, 1), repeat=3))).to(torch.uint8)
    n = 1_000
    images = x.view(-1, *SPEC.shape).repeat(n, 1, 1, 1)
    before = torch.full((8,), -torch.inf)
    for K in (1, 4, 64):
        rng = Rng(K, range(8 * n), torch.float64)
        bound = model.log_prob(images, rng=rng, K=K).view(n, 8).mean(0)
        assert (before < bound).all() and (bound < exact).all()
        before = bound
    assert (exact - before).max() < 0.3


def test_it_learns_what_independent_pixels_cannot():
    """Two images, of which no pixel is alike: the bound comes near their entropy, one bit."""
    torch.manual_seed(0)
    model = HelmholtzMachine(SPEC, torch.optim.Adam, hidden=(8, 4))
    pair = torch.tensor([[0, 0, 1], [1, 1, 0]]).to(torch.uint8)
    x = pair.view(-1, *SPEC.shape).repeat(32, 1, 1, 1)
    optimizers = [torch.optim.Adam(p.parameters, lr=5e-2) for p in model.players().values()]
    for step in range(100):
        rng = Rng(1, range(64 * step, 64 * step + 64), torch.float64)
        for player, optimizer in zip(model.players().values(), optimizers):
            optimizer.zero_grad()
            loss = player.loss(x, None, rng.split("turn", optimizers.index(optimizer)))["loss"]
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        bits = -model.log_prob(x, K=100).mean() / math.log(2)
    assert 0.99 < float(bits) < 1.3


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.class_path=genbench.data.digits.Digits", "2 levels, as BinaryDigits has, not 17"),
        ("model.hidden=[0]", "hidden is at least one layer of at least 1 unit, not"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_line(option, message):
    with pytest.raises(InputError, match=message) as error:
        build(load_config("digits-binary/helmholtz", [option], smoke=True))
    assert "\n" not in str(error.value)
