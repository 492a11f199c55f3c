"""Schedules, the four views of one prediction, and samplers on a Gaussian whose posterior mean is known."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import pytest
import torch
from conftest import parts_of_recipes
from schedule_checks import (
    noise_grows,
    path_begins_at_the_image,
    path_ends_in_noise,
    rates_are_differences,
    values_are_float64,
    views_are_inverses,
)
from torch import Tensor

from genbench.formulas import samplers
from genbench.formulas.chain import Chain
from genbench.formulas.noise import (
    CLEAN,
    Cosine,
    Exploding,
    Karras,
    Level,
    Linear,
    Schedule,
    Straight,
    SubVP,
)
from genbench.nets.denoiser import precondition
from genbench.rng import Rng

OWN = {
    "straight": Straight(),
    "straight with a rest": Straight(0.1),
    "linear": Linear(),
    "sub-VP": SubVP(),
    "cosine": Cosine(),
    "exploding": Exploding(),
    "karras": Karras(),
}
OF_RECIPES = parts_of_recipes(Schedule)
# `python -m pytest tests/formulas/test_noise.py -k Circle` asks a class of one's own that a recipe names
SMOOTH = {**OWN, **{n: s for n, s in OF_RECIPES.items() if s not in OWN.values()}}


class Noisy(Schedule):
    """alpha^2 + sigma^2 = 1, but there is noise at t = 0."""

    def alpha(self, t: Tensor) -> Tensor:
        return 0.5 * (1 - t.double())

    def sigma(self, t: Tensor) -> Tensor:
        return (1 - self.alpha(t) ** 2).sqrt()


CHAIN = Chain(torch.cat((torch.ones(1).double(), torch.cumprod(1 - Linear().betas(20), 0))))
SCHEDULES = {**SMOOTH, "chain": CHAIN}
M, S = 0.3, 0.5


def streams(n: int, seed: int = 0) -> Rng:
    return Rng(seed, range(n), torch.float64)


def posterior_mean(x_t: Tensor, level: Level) -> Tensor:
    """E[x | x_t] for x ~ N(M, S^2), by the formula for jointly normal variables."""
    gain = level.alpha * S**2 / (level.alpha**2 * S**2 + level.sigma**2)
    return M + gain * (x_t - level.alpha * M)


def end(states) -> Tensor:
    *_, x = states
    return x


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*OWN, "chain"])
def test_noise_grows_from_data_to_noise(name):
    schedule = SCHEDULES[name]
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    alpha = schedule.alpha(t)
    ratio = schedule.sigma(t) / alpha.clamp(min=1e-30)
    assert alpha.dtype == ratio.dtype == torch.float64
    assert float(alpha[0]) == pytest.approx(1)
    assert (ratio.diff() > 0).all()
    # what is left of the image, in standard deviations of the noise
    assert ratio[0] < 0.12
    assert ratio[-1] > 40


def test_schedules_keep_what_their_names_say():
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    for schedule in (Linear(), Cosine(), CHAIN):
        torch.testing.assert_close(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, t * 0 + 1)
    torch.testing.assert_close(SubVP().sigma(t), Linear().sigma(t) ** 2)
    for schedule in (Exploding(), Karras()):
        assert (schedule.alpha(t) == 1).all()
    roots = Karras().sigma(t) ** (1 / 7)
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(20))
    levels = Karras().levels(18)
    assert len(levels) == 19
    assert [levels[0].sigma, levels[17].sigma] == pytest.approx([80, 0.002])
    assert levels[-1] == CLEAN


def test_schedules_have_the_rates_that_are_asked_for():
    """B(1/2) = 0.5 / 2 + (10 - 0.5) / 8 = 1.4375; of Karras's at rho = 2 the root is halfway."""
    half = torch.tensor(0.5, dtype=torch.float64)
    kept = math.exp(-1.4375)
    linear = Linear(0.5, 10.0)
    assert float(linear.alpha(half)) == pytest.approx(math.sqrt(kept))
    assert float(linear.sigma(half)) == pytest.approx(math.sqrt(1 - kept))
    assert linear.betas(500)[[0, -1]].tolist() == pytest.approx([0.001, 0.02])
    slower = SubVP(0.5, 10.0)
    assert float(slower.alpha(half)) == pytest.approx(math.sqrt(kept))
    assert float(slower.sigma(half)) == pytest.approx(1 - kept)
    assert float(Karras(1.0, 25.0, rho=2.0).sigma(half)) == pytest.approx(9)


def test_noise_grows_by_equal_factors_or_by_equal_differences():
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    exploding = torch.tensor([0.1, 0.2, 0.4, 0.8, 1.6], dtype=torch.float64)
    torch.testing.assert_close(Exploding(0.1, 1.6).sigma(t), exploding)
    straight = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=torch.float64)
    torch.testing.assert_close(Straight(0.2).sigma(t), straight)


def test_the_chain_is_the_limit_of_its_schedule():
    """Its steps tend to the continuous path as they become many."""
    t = torch.linspace(0.05, 1, 20, dtype=torch.float64)
    for smooth in (Linear(), Cosine()):
        errors = []
        for steps in (1000, 10_000):
            abar = torch.cumprod(1 - smooth.betas(steps), 0)
            chain = Chain(torch.cat((torch.ones(1, dtype=torch.float64), abar)))
            errors.append(float((chain.alpha(t) - smooth.alpha(t)).abs().max()))
        assert errors[1] < errors[0] / 4 or errors[0] < 1e-9
        assert errors[0] < 2e-2


@pytest.mark.parametrize("schedule", [Straight(), SubVP(), Exploding(), Karras(), Noisy()])
def test_a_schedule_that_is_no_chain_is_refused(schedule):
    with pytest.raises(
        ValueError, match=r"is no schedule of a chain, where alpha falls from 1 and"
    ):
        schedule.betas(10)


@pytest.mark.parametrize("name", SMOOTH)
def test_values_are_float64(name):
    values_are_float64(SMOOTH[name])


@pytest.mark.parametrize("name", SMOOTH)
def test_paths_go_from_the_image_to_noise(name):
    path_begins_at_the_image(SMOOTH[name])
    path_ends_in_noise(SMOOTH[name])


@pytest.mark.parametrize("name", SMOOTH)
def test_rates_are_differences(name):
    rates_are_differences(SMOOTH[name])


def test_a_chain_has_no_rates():
    with pytest.raises(TypeError, match="a chain"):
        CHAIN.rates(torch.linspace(0.1, 0.9, 9, dtype=torch.float64))


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_posterior_mean_knows_the_ratio_of_noise_alone(name):
    """Rescaled to variance-exploding, x_t / alpha_t with sigma_t / alpha_t, it is the same; here by quadrature over two points."""
    schedule = SCHEDULES[name]
    points = torch.tensor([-0.5, 0.2, 0.9], dtype=torch.float64)
    x_t = torch.linspace(-1, 1, 9, dtype=torch.float64)

    def mean(x_t: Tensor, alpha: float, sigma: float) -> Tensor:
        log_w = -((x_t[:, None] - alpha * points) ** 2) / (2 * sigma**2)
        return log_w.softmax(1) @ points

    for t in (0.25, 0.5, 0.75):
        alpha, sigma, _ = schedule.level(t)
        exploded = mean(x_t / alpha, 1.0, sigma / alpha)
        torch.testing.assert_close(mean(x_t, alpha, sigma), exploded, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_views_are_inverses_of_each_other(name):
    views_are_inverses(SMOOTH[name])


@pytest.mark.parametrize("name", SMOOTH)
def test_the_score_of_a_posterior_mean_is_the_gradient_of_the_density(name):
    """Tweedie's formula, for a Gaussian."""
    schedule = SMOOTH[name]
    x_t = torch.linspace(-1, 1, 5, dtype=torch.float64)
    for time in (0.3, 0.8):
        level = schedule.level(time)
        t = torch.full((5,), time, dtype=torch.float64)
        variance = level.alpha**2 * S**2 + level.sigma**2
        expected = (level.alpha * M - x_t) / variance
        actual = schedule.score_of(posterior_mean(x_t, level), x_t, t)
        torch.testing.assert_close(actual, expected)


# --- samplers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["straight", "cosine", "karras", "linear"])
@pytest.mark.parametrize(("sampler", "order"), [(samplers.Euler(), 1), (samplers.Heun(), 2)])
def test_order_of_convergence(name, sampler, order):
    """On N(M, S^2), between two times inside the path: the map is affine, and its slope known."""
    schedule = SMOOTH[name]
    x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    slopes = []
    first, last = 0.9, 0.4
    for steps in (40, 80, 160):
        grid = [schedule.level(first + (last - first) * i / steps) for i in range(steps + 1)]
        low, high = end(sampler(posterior_mean, x, grid, streams(2))).flatten()
        slopes.append(float(high - low) / 2)
    deviations = [
        math.sqrt(level.alpha**2 * S**2 + level.sigma**2)
        for level in (schedule.level(first), schedule.level(last))
    ]
    errors = [abs(slope - deviations[1] / deviations[0]) for slope in slopes]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_euler_is_ddim_without_noise_on_every_schedule(name):
    schedule = SCHEDULES[name]
    grid = [*[schedule.level(i / 20) for i in range(19, 0, -1)], CLEAN]
    x = streams(5).normal((2,))
    ddim = end(samplers.DDIM()(posterior_mean, x, grid, streams(5)))
    torch.testing.assert_close(end(samplers.Euler()(posterior_mean, x, grid, streams(5))), ddim)


def test_the_stochastic_sampler_without_churn_is_heun():
    grid, x = Karras().levels(9), 80 * streams(5).normal((2,))
    expected = list(samplers.Heun()(posterior_mean, x, grid, streams(5)))
    states = list(samplers.Stochastic(churn=0.0)(posterior_mean, x, grid, streams(5)))
    assert all(torch.equal(a, b) for a, b in zip(states, expected, strict=True))
    other = end(samplers.Stochastic(churn=40.0)(posterior_mean, x, grid, streams(5)))
    assert (other - expected[-1]).abs().min() > 1e-4


@pytest.mark.parametrize(
    ("sampler", "variance"),
    [
        (samplers.Ancestral(), 0.24609375),
        (samplers.Ancestral("beta"), 0.4375),
        (samplers.DDIM(), 0.0),
        (samplers.DDIM(0.5), 0.0615234375),
        (samplers.DDIM(1.0), 0.24609375),
    ],
)
def test_a_step_adds_the_variance_of_its_option(sampler, variance):
    """From sigma = 0.8 to 0.6: beta = 0.64 - 0.75^2 0.36, of which 0.36 / 0.64 is the posterior's."""
    t, s = Level(0.6, 0.8), Level(0.8, 0.6)
    x_t = streams(4, 1).normal((2,))
    x = posterior_mean(x_t, t)
    mean = (0.8 * 0.4375 * x + 0.75 * 0.36 * x_t) / 0.64
    if isinstance(sampler, samplers.DDIM):
        mean = 0.8 * x + math.sqrt(0.36 - variance) * (x_t - 0.6 * x) / 0.8
    expected = mean + math.sqrt(variance) * streams(4).normal((2,))
    torch.testing.assert_close(end(sampler(posterior_mean, x_t, [t, s], streams(4))), expected)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize(("churn", "gamma"), [(0.4, 0.2), (40.0, 2**0.5 - 1)])
@pytest.mark.parametrize(
    ("ratio", "is_raised"), [(0.9, False), (1.0, True), (4.0, True), (4.1, False)]
)
def test_the_stochastic_sampler_raises_the_level_between_low_and_high(
    alpha, churn, gamma, ratio, is_raised
):
    """Lines 4 to 6 of algorithm 2, at the first of two steps: where D is asked first, and at which level."""
    asked = []

    def denoise(x_t, level):
        asked.append((x_t, level))
        return posterior_mean(x_t, level)

    grid = [Level(alpha, alpha * ratio), Level(alpha, alpha * 0.5), CLEAN]
    x = streams(5).normal((2,))
    end(samplers.Stochastic(churn, low=1.0, high=4.0, noise=1.7)(denoise, x, grid, streams(5)))
    sigma = alpha * ratio
    raised = sigma * (1 + gamma) if is_raised else sigma
    eps = streams(5).normal((2,))
    x_t, level = asked[0]
    assert (level.alpha, level.sigma) == pytest.approx((alpha, raised))
    torch.testing.assert_close(x_t, x + math.sqrt(raised**2 - sigma**2) * 1.7 * eps)


@pytest.mark.parametrize(
    "sampler",
    [
        samplers.Heun(),
        samplers.Euler(),
        samplers.Ancestral(),
        samplers.DDIM(eta=0.7),
        samplers.Stochastic(noise=1.0),
    ],
    ids=["heun", "euler", "ancestral", "ddim", "stochastic"],
)
def test_samplers_reproduce_a_gaussian(sampler):
    n, rng = 4000, streams(4000)
    grid = Karras().levels(150)
    x = end(sampler(posterior_mean, grid[0].sigma * rng.normal((1,)), grid, rng))
    assert float(x.mean()) == pytest.approx(M, abs=4 * S / math.sqrt(n))
    assert float(x.std()) == pytest.approx(S, rel=4 / math.sqrt(2 * n) + 0.02)


class Nothing(samplers.Sampler):
    """A function without `yield`."""

    def __call__(self, denoise, x, grid, rng):
        """No state."""


class First(samplers.Sampler):
    def __call__(self, denoise, x, grid, rng):
        yield from islice(samplers.Euler()(denoise, x, grid, rng), 1)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Nothing(), "the sampler Nothing yields 0 states in 9 steps; right is the state after"),
        (First(), "the sampler First yields 1 states in 9 steps; right is the state after"),
    ],
)
def test_a_walk_that_stops_before_its_end_is_refused(sampler, message):
    x = 80 * streams(5).normal((2,))
    with pytest.raises(ValueError, match=message):
        end(samplers.walk(sampler, posterior_mean, x, Karras().levels(9), streams(5)))


def test_a_walk_yields_the_states_of_its_sampler():
    grid = Karras().levels(9)
    x = 80 * streams(5).normal((2,))
    expected = samplers.Heun()(posterior_mean, x, grid, streams(5))
    states = samplers.walk(samplers.Heun(), posterior_mean, x, grid, streams(5))
    assert all(torch.equal(a, b) for a, b in zip(states, expected, strict=True))


def test_preconditioned_euler_agrees_with_diffusers():
    """Its scheduler for EDM: levels, the four scalars and the states, in float32."""
    from diffusers import EDMEulerScheduler

    scheduler = EDMEulerScheduler(sigma_data=0.5)
    scheduler.set_timesteps(9)

    def net(x: Tensor, noise: Tensor) -> Tensor:
        return torch.tanh(0.7 * x + noise)

    def denoise(x: Tensor, level: Level) -> Tensor:
        c = precondition(torch.tensor(level.sigma, dtype=x.dtype), 0.5)
        return c.skip * x + c.out * net(c.inner * x, c.noise)

    grid = Karras().levels(9)
    x = theirs = 80 * streams(5).normal((2,)).float()
    for t in scheduler.timesteps:
        output = net(scheduler.scale_model_input(theirs, t), t)
        theirs = scheduler.step(output, t, theirs).prev_sample
    torch.testing.assert_close(
        end(samplers.Euler()(denoise, x, grid, streams(5))), theirs, rtol=1e-4, atol=1e-4
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_heun_agrees_with_diffusers():
    from diffusers import HeunDiscreteScheduler

    scheduler = HeunDiscreteScheduler(use_karras_sigmas=True, prediction_type="sample")
    scheduler.set_timesteps(9)
    sigmas = scheduler.sigmas.tolist()
    grid = [Level(1.0, sigma) for sigma in (sigmas[0], *sigmas[1:-1:2], sigmas[-1])]
    assert len(grid) == 10
    x = theirs = grid[0].sigma * streams(5).normal((2,)).float()
    for k, t in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(theirs, t)
        mean = posterior_mean(theirs, Level(1.0, sigmas[k]))
        theirs = scheduler.step(mean, t, theirs).prev_sample
    ours = end(samplers.Heun()(posterior_mean, x, grid, streams(5)))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Exploding, {"sigma_min": 5.0, "sigma_max": 1.0}, "sigma_min is above 0 and below sigma_m"),
        (Exploding, {"sigma_min": 0.0}, "sigma_min is above 0 and below sigma_max, not 0.0 and 50"),
        (Karras, {"sigma_min": 5.0, "sigma_max": 5.0}, "sigma_min is above 0 and below sigma_max"),
        (Karras, {"rho": 0.0}, "rho is at least 1, not 0.0"),
        (Karras, {"rho": -7.0}, "rho is at least 1, not -7.0"),
        (Linear, {"first": 3.0, "last": 2.0}, "first is above 0 and no larger than last, not 3.0"),
        (SubVP, {"first": 3.0, "last": 2.0}, "first is above 0 and no larger than last, not 3.0"),
        (SubVP, {"first": -0.1}, "first is above 0 and no larger than last, not -0.1 and 20.0"),
        (Straight, {"sigma_min": 1.0}, "sigma_min is at least 0 and below 1, not 1.0"),
        (samplers.DDIM, {"eta": 1.5}, "eta is from 0 to 1, not 1.5"),
        (samplers.Ancestral, {"variance": "both"}, "variance is 'posterior' or 'beta', not 'both'"),
        (samplers.Stochastic, {"churn": -1.0}, "churn is at least 0, not -1.0"),
        (samplers.Stochastic, {"low": 3.0, "high": 2.0}, "low is at least 0 and no larger than hi"),
        (samplers.Stochastic, {"low": -1.0}, "low is at least 0 and no larger than high, not -1.0"),
        (samplers.Stochastic, {"noise": -1.0}, "noise is at least 0, not -1.0"),
    ],
)
def test_arguments_outside_of_their_range_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


@pytest.mark.parametrize("name", SMOOTH)
def test_noise_grows_beside_the_image(name):
    noise_grows(SMOOTH[name])
