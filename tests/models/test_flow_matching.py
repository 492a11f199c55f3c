"""Flow matching: the path, exact fields of Gaussians and of point sets, densities, samples."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from genbench.capabilities import Denoises
from genbench.formulas.noise import Linear, Schedule, Straight
from genbench.formulas.pixels import bits_per_dim
from genbench.formulas.solvers import divergence, grid, trace_probes
from genbench.metrics.speed import count_evaluations
from genbench.models.flow_matching.flow_matching import FlowMatching
from genbench.nets.mlp import MLP
from genbench.nets.net import Net
from genbench.nets.unet import UNet
from genbench.rng import Rng
from genbench.spec import Labels, Spec

STRAIGHT = Straight()
POINTS = Spec((1, 1, 2), 16, Labels(2))
PIXELS = torch.cartesian_prod(torch.arange(16), torch.arange(16)).view(-1, 1, 1, 2).to(torch.uint8)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-2)


def small(spec=POINTS, width=16, net=None, schedule=STRAIGHT, **options) -> FlowMatching:
    torch.manual_seed(0)
    net = net or partial(MLP, width=width, depth=2)
    model = FlowMatching(spec, net, adam, schedule, cond_width=8, **options)
    return model.to(torch.get_default_dtype())


def streams(n, seed=0) -> Rng:
    return Rng(seed, range(n), torch.get_default_dtype())


class Field(Net):
    """Minus a known field v(x, t); its conditioning vector is 1 - t itself."""

    def __init__(self, v) -> None:
        super().__init__()
        self.v = v

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        return -self.v(x, 1 - cond[:, :1, None, None])


def vectors(model: FlowMatching, rng: Rng, trace="exact", probes=1) -> Tensor:
    return trace_probes(rng, model.spec.shape, trace, probes)


class Time(nn.Module):
    def forward(self, t: Tensor) -> Tensor:
        return t[:, None] / 100


def exact(v, spec=POINTS, **options) -> FlowMatching:
    model = small(spec, **options)
    model.network.time, model.network.net = Time(), Field(v)
    return model


def gaussian(m: Tensor, s: Tensor):
    """E[eps - x | x_t] for x ~ N(m, diag(s^2)) and sigma_min = 0."""

    def v(x_t, t):
        var = t**2 + (1 - t) ** 2 * s**2
        return -m + (t - (1 - t) * s**2) / var * (x_t - (1 - t) * m)

    return v


M, S = torch.tensor([0.3, -0.2], dtype=torch.float64), torch.tensor([0.5, 0.2], dtype=torch.float64)


def log_normal(x: Tensor) -> Tensor:
    return torch.distributions.Normal(M, S).log_prob(x).sum((1, 2, 3))


# --- the path and the loss --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma_min", [0.0, 0.1])
def test_loss_is_the_speed_of_the_path(double, sigma_min):
    """v is d x_t / dt, whatever t; the field 0 has the loss E |v|^2 / D, which is known for one image."""
    model, rng = small(schedule=Straight(sigma_min)), streams(5)
    path = model.schedule
    x, eps, t = rng.normal((1, 1, 2)), rng.normal((1, 1, 2)), rng.uniform()
    v = (path.diffuse(x, eps, t + 0.5) - path.diffuse(x, eps, t)) / 0.5
    torch.testing.assert_close(v, (1 - sigma_min) * eps - x)
    torch.testing.assert_close(path.velocity(x, eps, t), v)
    torch.testing.assert_close(path.diffuse(x, eps, torch.ones(5)), eps)
    torch.testing.assert_close(path.diffuse(x, eps, torch.zeros(5)), x + sigma_min * eps)
    model.network.net = Field(lambda x, t: torch.zeros_like(x))
    x = torch.full((20_000, 1, 1, 2), 12, dtype=torch.uint8)
    centre, width = 2 * 12.5 / 16 - 1, 2 / 16
    expected = centre**2 + width**2 / 12 + (1 - sigma_min) ** 2
    assert float(model.loss(x, None, streams(20_000))["loss"]) == pytest.approx(expected, rel=0.03)


def test_the_field_is_learnt_at_the_time_of_its_image(double):
    """A field that is 10 t everywhere: its loss by the draws of the stream, in their order."""
    model, rng = small(), streams(40)
    model.velocity = lambda x_t, t, cond=None: 10 * t.view(-1, 1, 1, 1).expand_as(x_t)
    t, eps = 1 - rng.uniform(), rng.normal((1, 1, 2))
    x, _ = model.dequantise(PIXELS[:40], None, rng, 0)
    expected = ((10 * t.view(-1, 1, 1, 1) - (eps - x)) ** 2).mean()
    torch.testing.assert_close(model.loss(PIXELS[:40], None, streams(40))["loss"], expected)


def test_dequantised_images_stay_in_their_cells(double):
    model = small()
    x, _ = model.dequantise(PIXELS, None, streams(256), 0)
    assert x.min() > -1 and x.max() < 1 and torch.equal(model.to_pixels(x), PIXELS)


def test_the_minimiser_is_the_conditional_expectation(double):
    """Two points: E[v | x_t] in closed form has a smaller loss than its neighbours, by the square of their distance."""
    points = torch.tensor([-0.5, 0.5])

    def best(x_t, t):
        # x_t given a is N((1 - t) a, t^2); v = (x_t - a) / t
        log_w = -((x_t[..., None] - (1 - t[..., None]) * points) ** 2) / (2 * t[..., None] ** 2)
        return (x_t - (log_w.softmax(-1) * points).sum(-1)) / t

    n, rng = 20_000, streams(20_000)
    t, eps = 1 - 0.9 * rng.uniform(), rng.normal((1, 1, 1))
    x = points[rng.integers(2)].view(-1, 1, 1, 1)
    model = exact(best)
    x_t = model.schedule.diffuse(x, eps, t)
    error = (model.velocity(x_t, t) - (eps - x)).flatten()
    directions = [
        torch.ones(n),
        x_t.flatten(),
        torch.tanh(3 * x_t.flatten()),
        t * x_t.flatten() ** 2,
    ]
    # the residual is orthogonal to every function of (x_t, t)
    for g in directions:
        assert abs(float((error * g).mean())) < 4 * float((error * g).std()) / math.sqrt(n)
    # and the estimate is not of no power: without the mean of x it would be
    assert abs(float(((error + 0.1 * directions[2]) * directions[2]).mean())) > 4 * float(
        (error * directions[2]).std()
    ) / math.sqrt(n)


class Circle(Schedule):
    """alpha = cos(pi t / 2) and sigma = 3 sin(pi t / 2), whose noise has the standard deviation 3 at t = 1."""

    def alpha(self, t: Tensor) -> Tensor:
        return (t.double() * math.pi / 2).cos()

    def sigma(self, t: Tensor) -> Tensor:
        return 3 * (t.double() * math.pi / 2).sin()


class HalfWay(Circle):
    """Ends at alpha = 0.707, so that noise is no draw of x_1."""

    def alpha(self, t: Tensor) -> Tensor:
        return super().alpha(t / 2)


def test_a_path_that_ends_with_an_image_is_refused():
    with pytest.raises(
        ValueError, match=r"schedule HalfWay ends at alpha = 0\.707 and sigma = 3; "
    ):
        small(schedule=HalfWay())


def test_another_path_has_the_same_ends(double):
    """The exact field of N(m, diag(s^2)) along a path that is neither straight nor ends in unit noise."""
    path = Circle()

    def v(x_t, t):
        alpha, sigma = path.alpha(t), path.sigma(t)
        x = M + alpha * S**2 / (alpha**2 * S**2 + sigma**2) * (x_t - alpha * M)
        alpha_rate, sigma_rate = path.rates(t)
        return alpha_rate * x + sigma_rate * (x_t - alpha * x) / sigma.clamp(min=1e-9)

    model, rng = exact(v, schedule=path), streams(50)
    eps = rng.normal((1, 1, 2))
    *_, x = model.trajectory(eps, solver="rk4", steps=100)
    torch.testing.assert_close(x, M + S * eps, rtol=0, atol=1e-3)
    prior, change = model.density_parts(
        M + S * eps, None, vectors(model, streams(50)), grid(100), "rk4"
    )
    torch.testing.assert_close(prior + change, log_normal(M + S * eps), rtol=0, atol=1e-2)


def test_denoise_is_the_posterior_mean_at_a_time_per_image(double):
    model = exact(gaussian(M, S))
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    x_t = M + 2 * streams(9).normal((1, 1, 2))
    alpha, sigma = (1 - t).view(-1, 1, 1, 1), t.view(-1, 1, 1, 1)
    expected = M + alpha * S**2 / (alpha**2 * S**2 + sigma**2) * (x_t - alpha * M)
    assert isinstance(model, Denoises)
    torch.testing.assert_close(model.denoise(x_t, t), expected, rtol=1e-10, atol=1e-12)


# --- reflow -----------------------------------------------------------------------------------------------------------


def taught(teacher: FlowMatching, v=None, **options) -> FlowMatching:
    if v:
        return exact(v, teacher=teacher, **options)
    return small(teacher=teacher, **options)


def test_reflow_of_a_gaussian_is_its_optimal_map_in_one_step(double):
    """The exact flow from N(0, I) to N(m, diag(s^2)) ends at m + s eps. On these pairs no paths cross: a field has loss 0, and one
    step of Euler follows it, where one along the teacher's ends at m."""
    eps = streams(64).normal((1, 1, 2))
    ends = M + S * eps

    def straight(x_t, t):
        return -M + (1 - S) * (x_t - (1 - t) * M) / (t + (1 - t) * S)

    teacher = exact(gaussian(M, S))
    model = taught(teacher, straight, reflow=1_000)
    torch.testing.assert_close(model.transport(eps, None, model.reflow), ends, rtol=0, atol=1e-4)
    x = torch.zeros(64, 1, 1, 2, dtype=torch.uint8)  # what the images are is of no consequence
    assert float(model.loss(x, None, streams(64))["loss"]) < 1e-8
    assert (
        float(taught(teacher, gaussian(M, S), reflow=1_000).loss(x, None, streams(64))["loss"])
        > 0.01
    )
    one = {"solver": "euler", "steps": 1}
    torch.testing.assert_close(next(model.trajectory(eps, **one)), ends)
    torch.testing.assert_close(next(teacher.trajectory(eps, **one)), M.expand_as(eps))


def test_reflow_learns_pairs_and_the_teacher_does_not_learn(double):
    teacher, x = small(), PIXELS[:32]
    model = taught(teacher, reflow=3)
    names = [*model.state_dict()]
    loss = model.loss(x, None, streams(32))["loss"]
    t, eps = 1 - (rng := streams(32)).uniform(), rng.normal((1, 1, 2))
    *_, image = teacher.trajectory(eps, steps=3)
    x_t = (1 - t.view(-1, 1, 1, 1)) * image + t.view(-1, 1, 1, 1) * eps
    expected = ((model.velocity(x_t, t) - (eps - image)) ** 2).mean()
    torch.testing.assert_close(loss, expected)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert any(g.abs().max() > 0 for g in gradients)
    assert [*model.state_dict()] == names == [*small().state_dict()]
    assert not set(map(id, teacher.parameters())) & set(map(id, model.parameters()))
    # wherever the model goes, and whatever it is told
    teacher.eval()
    model.float().train()
    assert teacher.dtype == next(teacher.parameters()).dtype == torch.float32
    assert not teacher.training


def test_a_model_of_p_of_x_given_y_is_taught_by_one(double):
    y = torch.arange(8) % 2
    told = small(conditional=True)
    model = taught(told, conditional=True, reflow=2)
    with torch.no_grad():
        told.network.label.weight.normal_()
        ends = [
            model.transport(streams(8).normal((1, 1, 2)), labels, model.reflow)
            for labels in (y, 1 - y)
        ]
    assert (ends[0] - ends[1]).abs().max() > 1e-3
    with pytest.raises(ValueError, match=r"needs\.teacher\.model\.conditional=true"):
        taught(small(), conditional=True, reflow=2)


def test_reflow_and_its_teacher_come_together():
    with pytest.raises(
        ValueError, match=r"reflow=2 learns from .* that Transports \(conditional, t"
    ):
        small(reflow=2)
    with pytest.raises(ValueError, match="reflow=0 learns from no other run"):
        small(teacher=small())


# --- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", [partial(MLP, width=8), partial(UNet, width=8)])
def test_divergence_is_the_trace_of_the_jacobian(double, net):
    spec = Spec((1, 4, 4), 5)
    model = small(spec, net=net)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, t = streams(3).normal(spec.shape), torch.full((1,), 0.4)
    v = lambda x: model.velocity(x, t.expand(len(x)))  # noqa: E731
    jacobian = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x: v(x[None])[0], row).reshape(16, 16)
            for row in x
        ]
    )
    with torch.no_grad():
        out, trace = divergence(v, x, vectors(model, streams(3)))
        torch.testing.assert_close(out, v(x))
        torch.testing.assert_close(trace, jacobian.diagonal(dim1=1, dim2=2).sum(1))
        # Hutchinson: mean, and variance sum_{i != j} over the symmetric part; 4 standard errors
        estimates = torch.stack(
            [divergence(v, x, vectors(model, streams(3, k), "hutchinson"))[1] for k in range(150)]
        )
        pairs = divergence(v, x, vectors(model, streams(3), "hutchinson", 150))[1]
    symmetric = (jacobian + jacobian.mT) / 2
    deviation = (
        2 * (symmetric**2).sum((1, 2)) - 2 * (symmetric.diagonal(dim1=1, dim2=2) ** 2).sum(1)
    ).sqrt()
    for mean in (estimates.mean(0), pairs):
        assert ((mean - trace).abs() < 4 * deviation / math.sqrt(150)).all()
    torch.testing.assert_close(estimates.std(0), deviation, rtol=0.35, atol=0)


# --- an exact Gaussian ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "heun", "times": grid(600)},
        {"solver": "rk4", "times": grid(60)},
        {"solver": "dopri5", "times": [0.0, 1.0], "tolerance": 1e-7},
    ],
)
def test_density_of_a_gaussian(double, options):
    model, x = exact(gaussian(M, S)), M + S * streams(50).normal((1, 1, 2))
    prior, change = model.density_parts(x, None, vectors(model, streams(50)), **options)
    torch.testing.assert_close(prior + change, log_normal(x), rtol=0, atol=1e-4)
    # the Jacobian is diagonal, so that random signs give the trace itself
    prior, change = model.density_parts(
        x, None, vectors(model, streams(50), "hutchinson"), **options
    )
    torch.testing.assert_close(prior + change, log_normal(x), rtol=0, atol=1e-4)


def test_log_prob_of_a_gaussian_is_the_mass_of_the_cell(double):
    """By many noises; with one it is the mean over the cell, from below."""
    model = exact(gaussian(M, S))
    edges = torch.distributions.Normal(M, S).cdf(torch.linspace(-1, 1, 17)[:, None])
    x = torch.tensor([[9, 6], [12, 8], [4, 5]]).view(-1, 1, 1, 2).to(torch.uint8)
    mass = sum((edges[i + 1, k] - edges[i, k]).log() for k, i in enumerate(x[:, 0, 0].long().T))
    with torch.no_grad():
        many = model.log_prob(x, None, streams(3), K=60, steps=30)
        torch.testing.assert_close(many, mass, rtol=0, atol=0.15)
        single = torch.stack([model.log_prob(x, None, streams(3, k), steps=30) for k in range(60)])
    deviation = single.std(0) / math.sqrt(60)
    assert (single.mean(0) < mass + 3 * deviation).all() and (single.mean(0) > mass - 0.5).all()


@pytest.mark.parametrize(
    "options", [{"solver": "heun", "steps": 100}, {"solver": "dopri5", "steps": 1}]
)
def test_samples_of_a_gaussian(double, options):
    n, model = 4000, exact(gaussian(M, S))
    *_, x = model.trajectory(streams(n).normal((1, 1, 2)), **options)
    assert (x.mean((0, 1, 2)) - M).abs().lt(4 * S / math.sqrt(n)).all()
    torch.testing.assert_close(x.std((0, 1, 2)), S, rtol=4 / math.sqrt(2 * n), atol=0)
    # the map of the path is the affine one
    torch.testing.assert_close(x, M + S * streams(n).normal((1, 1, 2)), rtol=0, atol=1e-3)


# --- networks ---------------------------------------------------------------------------------------------------------


def trained(conditional=False, steps=300) -> FlowMatching:
    """Two points of the universe, one per label."""
    model = small(width=64, conditional=conditional)
    x, y = PIXELS[[34, 221]].repeat(64, 1, 1, 1), torch.tensor([0, 1]).repeat(64)
    optimizer = torch.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - k / steps)
        optimizer.zero_grad()
        model.loss(x, y, Rng(0, range(128 * k, 128 * (k + 1))))["loss"].backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def learned() -> FlowMatching:
    return trained()


def test_masses_of_a_universe_add_up(learned):
    """Every cell once; what is missing from one lies outside the square or is the error of few noises."""
    with torch.no_grad():
        log_p = learned.log_prob(PIXELS, None, Rng(0, range(256)), K=16, steps=40, power=2.0)
    assert 0.9 < float(log_p.exp().sum()) < 1.05
    assert float(log_p[[34, 221]].exp().sum()) > 0.2
    assert float(bits_per_dim(log_p[[34, 221]], 2).mean()) < 2


def test_samples_lie_on_the_data_and_agree_between_solvers(learned):
    images = learned.sample(Rng(0, range(300)))
    distance = (images.flatten(1).int()[:, None] - PIXELS[[34, 221]].flatten(1).int()).abs().amax(2)
    assert float((distance.min(1).values <= 1).float().mean()) > 0.8
    assert 0.4 < float((distance.argmin(1) == 0).float().mean()) < 0.6
    adaptive = learned.sample(Rng(0, range(300)), solver="dopri5")
    assert float((images == adaptive).float().mean()) > 0.99
    start = Rng(0, range(300)).normal((1, 1, 2))
    *_, fine = learned.trajectory(start, steps=200)
    *_, x = learned.trajectory(start, solver="dopri5", steps=1, tolerance=1e-6)
    torch.testing.assert_close(fine, x, rtol=0, atol=5e-3)


def test_adaptive_and_fixed_densities_agree(learned):
    x = PIXELS[[34, 35, 221]]
    fixed = learned.log_prob(x, rng=Rng(0, range(3)), steps=400)
    torch.testing.assert_close(
        learned.log_prob(x, rng=Rng(0, range(3)), solver="dopri5"), fixed, rtol=0, atol=2e-2
    )


def test_labels_choose_the_point():
    model, y = trained(conditional=True), torch.tensor([0, 1] * 50)
    samples = model.sample(Rng(0, range(100)), y).flatten(1).int()
    distance = (samples - PIXELS[[34, 221]].flatten(1).int()[y]).abs().amax(1)
    assert float((distance <= 1).float().mean()) > 0.8
    x = PIXELS[[34, 221]]
    own, other = (model.log_prob(x, torch.tensor(y)) for y in ([0, 1], [1, 0]))
    assert (own - other > 3).all()


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4"])
def test_an_image_does_not_depend_on_its_batch(double, solver):
    spec = Spec((1, 4, 4), 5)
    model = small(spec, net=partial(UNet, width=8))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    images = model.sample(streams(6), solver=solver, steps=4)
    assert (
        images.dtype == torch.uint8
        and images.shape == (6, 1, 4, 4)
        and images.max() < 5
        and images.float().std() > 0
    )
    assert torch.equal(images[2:4], model.sample(streams(6)[2:4], solver=solver, steps=4))
    options = {"trace": "hutchinson", "probes": 2, "solver": solver, "steps": 4, "K": 2}
    whole = model.log_prob(images, rng=streams(6), **options)
    torch.testing.assert_close(
        model.log_prob(images[2:4], rng=streams(6)[2:4], **options),
        whole[2:4],
        rtol=1e-9,
        atol=1e-9,
    )


def test_latents_and_images(double):
    model = small(Spec((1, 2, 2), 16))
    x = Rng(0, range(20)).integers(16, (1, 2, 2)).to(torch.uint8)
    z = model.encode(x)
    assert z.shape == (20, 4) and torch.equal(model.decode(z), x)
    assert torch.equal(model.decode(streams(5).normal((4,))), model.sample(streams(5)))


def visited(call) -> list[float]:
    """Times at which a field is asked for, those of a step once."""
    times: list[float] = []

    def v(x_t, t):
        if not times or times[-1] != float(t[0]):
            times.append(float(t[0]))
        return 0.1 * x_t

    call(exact(v))
    return times


def test_options_of_the_solver_reach_it(double):
    """Euler asks at the beginning of every step: 0, 1/16, 4/16 and 9/16 at power 2."""
    options = {"solver": "euler", "steps": 4}
    x = PIXELS[:1]
    even = [0, 0.25, 0.5, 0.75]
    assert visited(lambda m: m.encode(x, **options)) == pytest.approx(even)
    assert visited(lambda m: m.log_prob(x, **options)) == pytest.approx(even)
    assert visited(lambda m: m.log_prob(x, **options, power=2.0)) == pytest.approx(
        [0, 0.0625, 0.25, 0.5625]
    )
    back = [1, 0.75, 0.5, 0.25]
    assert visited(lambda m: m.decode(streams(1).normal((2,)), **options)) == pytest.approx(back)
    assert visited(lambda m: m.sample(streams(1), **options)) == pytest.approx(back)
    assert visited(lambda m: m.sample(streams(1), **options, power=2.0)) == pytest.approx(
        [1, 0.5625, 0.25, 0.0625]
    )
    for call in (
        lambda m, tolerance: m.sample(streams(1), solver="dopri5", tolerance=tolerance),
        lambda m, tolerance: m.log_prob(x, solver="dopri5", tolerance=tolerance),
    ):
        coarse, fine = (
            visited(lambda m, tolerance=tolerance, call=call: call(m, tolerance))
            for tolerance in (1e-3, 1e-12)
        )
        assert len(fine) > 2 * len(coarse)


@pytest.mark.parametrize(
    "options, calls", [({"solver": "euler"}, 7), ({"solver": "heun"}, 14), ({"solver": "rk4"}, 28)]
)
def test_evaluations_of_the_network(options, calls):
    assert count_evaluations(small(), "cpu", {**options, "steps": 7}) == calls


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.sample(streams(1), steps=0),
        lambda m: m.sample(streams(1), power=0.5),
        lambda m: m.sample(streams(1), solver="no-such-word"),
        lambda m: m.sample(streams(1), tolerance=1e-3),
        lambda m: m.log_prob(PIXELS, K=0),
        lambda m: m.log_prob(PIXELS, trace="no-such-word"),
        lambda m: m.log_prob(PIXELS, trace="hutchinson", probes=0),
        lambda m: m.log_prob(PIXELS, solver="no-such-word"),
        lambda m: small(schedule=Straight(1.0)),
        lambda m: small(schedule=Linear()),
        lambda m: small(conditional=True).sample(streams(1)),
    ],
)
def test_wrong_options_are_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        call(small())


def test_every_noise_has_its_own_probes(double):
    """K noises of an image with the same random trace would share its error: their mean would not lose it."""
    model, seen = small(), []
    density_parts = model.density_parts

    def watched(x, y, probes, *rest):
        seen.append((x, probes))
        return density_parts(x, y, probes, *rest)

    model.density_parts = watched
    model.log_prob(PIXELS[:40], rng=streams(40), K=3, trace="hutchinson", steps=1)
    assert len(seen) == 3
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(seen[i][0], seen[j][0])
        # of 40 images and 2 pixels, signs agree by chance at half of the places
        agreement = float((seen[i][1] == seen[j][1]).double().mean())
        assert 0.2 < agreement < 0.8
