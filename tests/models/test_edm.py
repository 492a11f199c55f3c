"""EDM: its loss, its preconditioning, densities and samples of a Gaussian with the exact denoiser."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from genbench.capabilities import Denoises
from genbench.formulas.noise import Karras, Linear, Schedule
from genbench.formulas.samplers import Heun, Stochastic
from genbench.formulas.solvers import grid, trace_probes
from genbench.models.diffusion.edm import EDM
from genbench.nets.denoiser import Denoiser, precondition
from genbench.nets.mlp import MLP
from genbench.nets.net import Net
from genbench.rng import Rng
from genbench.spec import Labels, Spec

KARRAS = Karras()
POINTS = Spec((1, 1, 2), 16, Labels(2))
PIXELS = torch.cartesian_prod(torch.arange(16), torch.arange(16)).view(-1, 1, 1, 2).to(torch.uint8)
M, S = torch.tensor([0.3, -0.2], dtype=torch.float64), torch.tensor([0.5, 0.2], dtype=torch.float64)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-2)


def small(width=16, schedule=KARRAS, **options) -> EDM:
    torch.manual_seed(0)
    net = partial(MLP, width=width, depth=2)
    model = EDM(POINTS, net, adam, schedule, cond_width=8, **options)
    return model.to(torch.get_default_dtype())


def streams(n, seed=0) -> Rng:
    return Rng(seed, range(n), torch.get_default_dtype())


class Exact(Denoiser):
    """E[v | v + s eps] for v ~ N(M, S^2)."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, x: Tensor, s: Tensor, y: Tensor | None = None) -> Tensor:
        gain = S**2 / (S**2 + s.view(-1, 1, 1, 1) ** 2)
        return M + gain * (x - M)


def exact(**options) -> EDM:
    model = small(**options)
    model.denoiser = Exact()
    return model


class Short(Schedule):
    """alpha = 1 - 0.9 t, sigma = 0.01 + 0.99 t: a scale that falls, with noise at t = 0."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - 0.9 * t.double()

    def sigma(self, t: Tensor) -> Tensor:
        return 0.01 + 0.99 * t.double()


@pytest.mark.parametrize("schedule", [KARRAS, Short()])
def test_denoise_is_the_posterior_mean_at_a_time_per_image(double, schedule):
    model = exact(schedule=schedule)
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    alpha, sigma = (rate.view(-1, 1, 1, 1) for rate in (schedule.alpha(t), schedule.sigma(t)))
    x_t = sigma * streams(9).normal((1, 1, 2))
    expected = M + alpha * S**2 / (alpha**2 * S**2 + sigma**2) * (x_t - alpha * M)
    assert isinstance(model, Denoises)
    torch.testing.assert_close(model.denoise(x_t, t), expected, rtol=1e-10, atol=1e-12)


def test_a_path_that_ends_with_an_image_is_refused():
    with pytest.raises(ValueError, match="schedule Karras ends at alpha = 1 and sigma = 9; right "):
        small(schedule=Karras(sigma_max=9.0))


class Silent(Net):
    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        return torch.zeros_like(x)


# --- preconditioning and the loss -----------------------------------------------------------------


@pytest.mark.parametrize("s", [0.01, 0.5, 20.0])
def test_a_preconditioned_network_sees_and_learns_unit_variance(double, s):
    """Inputs and targets of F, eq. 7, for data of the standard deviation sigma_data."""
    n, sigma_data = 40_000, 0.7
    rng = streams(n)
    v = sigma_data * rng.normal()
    noisy = v + s * rng.normal()
    c = precondition(torch.tensor(s), sigma_data)
    for values in (c.inner * noisy, (v - c.skip * noisy) / c.out):
        assert float((values**2).mean()) == pytest.approx(1, abs=5 * math.sqrt(2 / n))
    # of all skips this one has the least target: errors of F are amplified least (appendix B.6)
    for other in (0.95 * c.skip, 1.05 * c.skip + 0.01):
        assert ((v - other * noisy) ** 2).mean() > ((v - c.skip * noisy) ** 2).mean()


@pytest.mark.parametrize("P_mean", [-4.0, -1.2, 2.0])
def test_an_untrained_network_has_the_loss_one_at_every_noise(double, P_mean):
    """Of images whose reals have the root mean square sigma_data, and a network that gives 0."""
    n = 20_000
    x = Rng(3, range(n)).integers(16, POINTS.shape).to(torch.uint8)
    root_mean_square = math.sqrt(1 / 3)
    model = small(sigma_data=root_mean_square, P_mean=P_mean, P_std=0.1)
    model.denoiser = Denoiser(lambda *_: Silent(), POINTS.shape, root_mean_square, 8)
    loss = float(model.loss(x, None, streams(n))["loss"])
    assert loss == pytest.approx(1, abs=5 / math.sqrt(n))


def test_noise_is_lognormal(double):
    """By the noise that the network is told, for the default mean and deviation of table 1."""
    n, levels = 20_000, []
    model = small()
    model.denoiser.register_forward_pre_hook(lambda _, inputs: levels.append(inputs[1]))
    model.loss(PIXELS[:1].expand(n, -1, -1, -1), None, streams(n))
    log_s = levels[0].log()
    assert float(log_s.mean()) == pytest.approx(-1.2, abs=5 * 1.2 / math.sqrt(n))
    assert float(log_s.std()) == pytest.approx(1.2, rel=5 / math.sqrt(2 * n))


def test_the_exact_denoiser_has_the_least_loss(double):
    """Its error is that of the posterior, in closed form: lambda S^2 s^2 / (S^2 + s^2), with no other net below it."""
    n = 20_000
    rng = streams(n)
    s = torch.full((n,), 0.3)
    v = M + S * rng.normal(POINTS.shape)
    noisy = v + 0.3 * rng.normal(POINTS.shape)
    error = ((Exact()(noisy, s) - v) ** 2).mean((0, 1, 2))
    torch.testing.assert_close(error, S**2 * 0.09 / (S**2 + 0.09), rtol=0.05, atol=0)
    for other in (Exact()(noisy, 0.9 * s), Exact()(noisy, 1.2 * s)):
        assert ((other - v) ** 2).mean() > error.mean()


# --- an exact Gaussian ----------------------------------------------------------------------------


@pytest.mark.parametrize("sigma_max", [80.0, 20.0])
def test_density_of_a_gaussian(double, sigma_max):
    model, x = exact(schedule=Karras(sigma_max=sigma_max)), M + S * streams(50).normal(POINTS.shape)
    times = grid(100)
    # the equation is affine; the prior knows nothing of M and S
    low, high = model.schedule.sigma_min, model.schedule.sigma_max
    growth = ((S**2 + high**2) / (S**2 + low**2)).sqrt()
    log_normal = Normal(0.0, sigma_max).log_prob(M + growth * (x - M)) + growth.log()
    expected = log_normal.sum((1, 2, 3))
    for trace in ("exact", "hutchinson"):
        probes = trace_probes(streams(50), POINTS.shape, trace)
        prior, change = model.density_parts(x, None, probes, times, "rk4")
        torch.testing.assert_close(prior + change, expected, rtol=0, atol=1e-3)
    truth = Normal(M, S).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(expected, truth, rtol=0, atol=2 / sigma_max)


def test_another_schedule_has_the_same_samples_and_densities(double):
    """The path whose scale falls while its noise grows: x_t / alpha_t and sigma_t / alpha_t are those of the paper's."""
    model, x = exact(schedule=Short()), M + S * streams(50).normal(POINTS.shape)
    prior, change = model.density_parts(
        x, None, trace_probes(streams(50), POINTS.shape), grid(200), "rk4"
    )
    level = model.schedule.level(1.0)
    # where the curve of x ends, and how far neighbouring curves are from each other
    growth = ((level.alpha**2 * S**2 + level.sigma**2) / (S**2 + 0.01**2)).sqrt()
    end = level.alpha * M + growth * (x - M)
    expected = Normal(0.0, level.sigma).log_prob(end) + growth.log()
    torch.testing.assert_close(prior + change, expected.sum((1, 2, 3)), rtol=0, atol=1e-4)
    eps = streams(20).normal(POINTS.shape)
    *_, v = model.trajectory(eps, streams(20), steps=400)
    low = Exact()(M + (level.sigma * eps - level.alpha * M) / growth, torch.full((20,), 0.01))
    torch.testing.assert_close(v, low, rtol=0, atol=1e-3)


def test_log_prob_of_a_gaussian_is_the_mass_of_the_cell(double):
    model = exact()
    edges = Normal(M, S).cdf(torch.linspace(-1, 1, 17)[:, None])
    x = torch.tensor([[9, 6], [12, 8], [4, 5]]).view(-1, 1, 1, 2).to(torch.uint8)
    mass = sum((edges[i + 1, k] - edges[i, k]).log() for k, i in enumerate(x[:, 0, 0].long().T))
    many = model.log_prob(x, None, streams(3), K=60, steps=30)
    torch.testing.assert_close(many, mass, rtol=0, atol=0.15)


def test_heun_is_the_affine_map_of_a_gaussian(double):
    x = streams(20).normal(POINTS.shape)
    model = exact()
    *_, v = model.trajectory(x, streams(20), steps=200)
    # from sigma_max down to sigma_min along the equation, and then D
    low, high = model.schedule.sigma_min, model.schedule.sigma_max
    start = high * x - M
    at_low = M + start * ((S**2 + low**2) / (S**2 + high**2)).sqrt()
    torch.testing.assert_close(v, Exact()(at_low, torch.full((20,), low)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("sampler", ["heun", "stochastic"])
def test_samples_of_a_gaussian(double, sampler):
    n, model = 4000, exact()
    rng = streams(n)
    *_, v = model.trajectory(rng.normal(POINTS.shape), rng, None, sampler, 40)
    assert (v.mean((0, 1, 2)) - M).abs().lt(4 * S / math.sqrt(n)).all()
    torch.testing.assert_close(v.std((0, 1, 2)), S, rtol=4 / math.sqrt(2 * n) + 0.02, atol=0)


def test_a_word_is_a_sampler_with_the_options_beside_it(double):
    model = small()
    for words, sampler in (
        ({}, Heun()),
        ({"sampler": "stochastic", "churn": 10.0}, Stochastic(churn=10.0)),
    ):
        expected = model.sample(streams(50), steps=5, **words)
        assert torch.equal(model.sample(streams(50), steps=5, sampler=sampler), expected)


def test_the_network_is_evaluated_twice_a_step_and_once_in_the_last(double):
    calls = []
    model = small()
    model.denoiser.register_forward_pre_hook(lambda *_: calls.append(1))
    model.sample(streams(2), steps=18)
    assert len(calls) == 35


# --- training -------------------------------------------------------------------------------------


def test_training_learns_points_of_their_labels():
    model, y = small(width=64, conditional=True), torch.tensor([0, 1]).repeat(64)
    x = PIXELS[[34, 221]].repeat(64, 1, 1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for k in range(300):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - k / 300)
        optimizer.zero_grad()
        model.loss(x, y, Rng(0, range(128 * k, 128 * (k + 1))))["loss"].backward()
        optimizer.step()
    for sampler in ("heun", "stochastic"):
        samples = model.sample(Rng(0, range(128)), y, sampler=sampler).flatten(1).int()
        distance = (samples - PIXELS[[34, 221]].flatten(1).int()[y]).abs().amax(1)
        assert float((distance <= 1).float().mean()) > 0.8
    own, other = (model.log_prob(x[:2], torch.tensor(labels)) for labels in ([0, 1], [1, 0]))
    assert (own - other > 3).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: small().sample(streams(1), steps=1),
        lambda: small().sample(streams(1), sampler="no-such-word"),
        lambda: small().log_prob(PIXELS[:1], trace="no-such-word"),
        lambda: small().sample(streams(1), sampler="stochastic", churn=-1.0),
        lambda: small().sample(streams(1), churn=10.0),
        lambda: small().sample(streams(1), sampler=Stochastic(churn=5.0), churn=10.0),
        lambda: small(sigma_data=0.0),
        lambda: small(P_std=-1.2),
        lambda: small(schedule=Karras(sigma_min=2.0, sigma_max=1.0)),
        lambda: small(schedule=Karras(sigma_min=0.0)),
        lambda: small(schedule=Linear()),
    ],
)
def test_wrong_options_are_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        call()
