"""Sigmoid belief networks that are small enough to list the states of all their units."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.stats import chi2

from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.models.classical.sbn import SBN, baselines
from genbench.nets.sigmoid_layers import SigmoidLayers, log_weight
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Spec

pytestmark = pytest.mark.usefixtures("double")
SPEC = Spec((1, 2, 2), levels=2)
HIDDEN = (2, 1)


def bits(n: int) -> torch.Tensor:
    """All binary reals of a length, (2^n, n)."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)


def network(**arguments) -> SBN:
    """With weights of order 1."""
    model = SBN(SPEC, torch.optim.SGD, hidden=HIDDEN, **arguments)
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(0.8 * Rng(i, [0], torch.float64).normal(parameter.shape)[0])
    return model


def streams(n: int, seed: int = 0) -> Rng:
    return Rng(seed, range(n), torch.float64)


def logistic(layer: torch.nn.Linear, parents: torch.Tensor, children: torch.Tensor) -> torch.Tensor:
    """log p(children | parents) of all pairs, by the probabilities of single units: (parents, children)."""
    p = torch.sigmoid(layer.bias + (2 * parents - 1) @ layer.weight.T)[:, None]
    return torch.where(children == 1, p, 1 - p).log().sum(-1)


def log_joint(model: SBN) -> torch.Tensor:
    """log p(h_2, h_1, x) of all states, (2, 4, 16)."""
    second, first = model.p.below.layers
    h_2, h_1, x = bits(1), bits(2), bits(4)
    p = torch.sigmoid(model.p.b_0)
    top = torch.where(h_2 == 1, p, 1 - p).log().sum(1)
    return top[:, None, None] + logistic(second, h_2, h_1)[..., None] + logistic(first, h_1, x)


def log_recognition(model: SBN) -> torch.Tensor:
    """log q(h_2, h_1 | x) of all states, (2, 4, 16)."""
    first, second = model.q.layers
    h_2, h_1, x = bits(1), bits(2), bits(4)
    return logistic(second, h_1, h_2).T[..., None] + logistic(first, x, h_1).T


def images(v: torch.Tensor) -> torch.Tensor:
    return v.to(torch.uint8).view(-1, *SPEC.shape)


def places(x: torch.Tensor) -> torch.Tensor:
    """Places of binary images in the universe."""
    return (x.flatten(1).long() * 2 ** torch.arange(3, -1, -1)).sum(1)


def test_the_weight_of_a_draw_is_that_of_all_states_listed():
    model = network()
    x = bits(4)
    states = model.q.draw(x, streams(16))
    h_1 = (states[1].long() * torch.tensor([2, 1])).sum(1)
    h_2 = states[2].long()[:, 0]
    expected = (log_joint(model) - log_recognition(model))[h_2, h_1, torch.arange(16)]
    torch.testing.assert_close(log_weight(model.p, model.q, x, streams(16)), expected)
    torch.testing.assert_close(log_joint(model).logsumexp((0, 1, 2)).exp().item(), 1.0)


def expected_bound(model: SBN, place: int, K: int) -> torch.Tensor:
    """E log 1/K sum_k w_k of one image, over all K-tuples of hidden states."""
    log_q = log_recognition(model)[:, :, place].flatten()
    log_w = log_joint(model)[:, :, place].flatten() - log_q
    tuples = torch.tensor(list(itertools.product(range(len(log_q)), repeat=K)))
    bound = log_w[tuples].logsumexp(1) - math.log(K)
    return (log_q[tuples].sum(1).exp() * bound).sum()


def test_the_bound_is_below_the_likelihood_and_rises_with_K():
    model = network().requires_grad_(False)
    n = 20_000
    for place in (0, 6, 11):
        exact = float(log_joint(model)[:, :, place].logsumexp((0, 1)))
        x = images(bits(4)[place]).expand(n, -1, -1, -1)
        previous = -math.inf
        for K in (1, 2, 4):
            right = float(expected_bound(model, place, K))
            assert previous + 1e-3 < right < exact
            bounds = model.log_prob(x, rng=streams(n, K), K=K)
            assert abs(float(bounds.mean()) - right) < 4.5 * float(bounds.std()) / math.sqrt(n)
            previous = right
        # the mean weight is the likelihood
        w = (model.log_prob(x, rng=streams(n, 9)) - exact).exp()
        assert abs(float(w.mean()) - 1) < 4.5 * float(w.std()) / math.sqrt(n)


@pytest.mark.parametrize("K", [2, 3])
def test_the_gradient_is_that_of_the_bound_without_bias(K):
    """The mean over many streams, against the derivative of the bound over all draws: of p and of q."""
    model = network(K=K)
    place = 6
    parameters = list(model.parameters())
    nats = 4 * math.log(2)
    right = torch.autograd.grad(-expected_bound(model, place, K) / nats, parameters)
    blocks = 100
    size = 400
    x = images(bits(4)[place]).expand(size, -1, -1, -1)
    every: list[torch.Tensor] = []
    for block in range(blocks):
        rng = Rng(1, range(block * size, block * size + size), torch.float64)
        gradients = torch.autograd.grad(model.loss(x, None, rng)["loss"], parameters)
        every.append(torch.cat([gradient.flatten() for gradient in gradients]))
    estimates = torch.stack(every)
    exact = torch.cat([gradient.flatten() for gradient in right])
    of_q = sum(p.numel() for p in model.q.parameters())
    assert exact[-of_q:].abs().max() > 0.02
    error = estimates.std(0) / math.sqrt(blocks)
    assert float(((estimates.mean(0) - exact) / error).abs().max()) < 4.5
    assert float(error.max()) < 0.1 * float(exact.abs().max())


def test_the_loss_is_the_bound_in_bits_per_dim():
    model = network(K=3)
    x = images(bits(4))
    loss = model.loss(x, None, streams(16))["loss"]
    v = bits(4)[:, None].expand(-1, 3, -1)
    states = model.q.draw(v, streams(16))
    log_w = model.p.log_prob(states[::-1]) - model.q.log_prob(states)
    bound = log_w.exp().mean(1).log().mean()
    torch.testing.assert_close(loss, -bound / (4 * math.log(2)))


def test_a_baseline_does_not_know_its_own_draw():
    log_w = streams(3).normal((5,))
    for k in range(5):
        other = log_w.clone()
        other[:, k] += 1.7
        same = (baselines(other) - baselines(log_w)).abs() < 1e-12
        assert same[:, k].all() and not same[:, torch.arange(5) != k].any()
        rest = log_w[:, torch.arange(5) != k]
        geometric = rest.exp().prod(1) ** (1 / 4)
        right = ((rest.exp().sum(1) + geometric) / 5).log()
        torch.testing.assert_close(baselines(log_w)[:, k], right)


def test_the_baselines_take_most_of_the_variance():
    model = network(K=4)
    n = 4_000
    x = images(bits(4)[6]).expand(n, -1, -1, -1)
    v = x.flatten(1).double()[:, None].expand(-1, 4, -1)
    states = model.q.draw(v, streams(n))
    log_w = (model.p.log_prob(states[::-1]) - model.q.log_prob(states)).detach()
    L = log_w.logsumexp(1, keepdim=True) - math.log(4)
    assert (L - baselines(log_w)).square().mean() < 0.2 * L.square().mean()


def test_frequencies_of_samples_are_the_masses():
    model = network().requires_grad_(False)
    n = 20_000
    counts = torch.bincount(places(model.sample(Rng.of_samples(0, range(n)))), minlength=16)
    expected = n * log_joint(model).logsumexp((0, 1)).exp()
    assert expected.min() > 5
    statistic = ((counts - expected).square() / expected).sum()
    assert chi2.sf(float(statistic), 15) > 1e-6


def test_it_learns_what_independent_pixels_cannot():
    """Two images and their noise: the bound comes near the entropy of the data."""
    torch.manual_seed(0)
    model = SBN(SPEC, torch.optim.Adam, hidden=(8, 4))
    p = torch.full((16,), 0.1 / 14)
    p[[0b0011, 0b1100]] = 0.45
    entropy = float(-(p * p.log()).sum())
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-2)
    for step in range(150):
        rng = Rng(1, range(128 * step, 128 * step + 128), torch.float64)
        u = rng.split("data").uniform(())
        x = images(bits(4)[torch.searchsorted(p.cumsum(0), u).clamp(max=15)])
        optimizer.zero_grad()
        model.loss(x, None, rng)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        bound = model.log_prob(images(bits(4)), K=200)
    assert entropy - 0.02 < float(-(p * bound).sum()) < entropy + 0.15


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.class_path=genbench.data.digits.Digits", "2 levels, as BinaryDigits has, not 17"),
        ("model.hidden=[8, 0]", "hidden is at least one layer of at least 1 unit, not"),
        ("model.hidden=[]", "hidden is at least one layer of at least 1 unit, not"),
        ("model.K=1", "K is at least 2, since draws are compared, not 1"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_line(option, message):
    with pytest.raises(InputError, match=message) as error:
        build(load_config("digits-binary/sbn", [option], smoke=True))
    assert "\n" not in str(error.value)


def test_layers_are_at_least_two():
    with pytest.raises(ValueError, match="sigmoid layers are at least 2"):
        SigmoidLayers((3,))
