"""Exact, bound, estimate: what is recorded of each against the truth, on points whose model tables quadrature finds."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import load_config
from torch.distributions import MultivariateNormal, Normal

from genbench.config.protocol import Protocol, load_protocol
from genbench.data.points2d import Points2d
from genbench.errors import GenbenchError, InputError
from genbench.formulas.ais import _hamiltonian, _with_slope, annealed_importance, temperatures
from genbench.formulas.likelihood import gaussian_log_mass, importance_weighted
from genbench.metrics.likelihood import measure_likelihood, network_rows
from genbench.metrics.log_densities import log_table
from genbench.model import GenerativeModel
from genbench.models.flow.flow import Flow
from genbench.models.vae.vae import VAE
from genbench.nets.bijections.realnvp import RealNVP
from genbench.nets.resnet import ResNet
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Labels, Spec

L = 16
UNIVERSE = torch.cartesian_prod(torch.arange(L), torch.arange(L)).to(torch.uint8).view(-1, 1, 1, 2)
PROTOCOL = Protocol("test", (), 2, chunk=128, scored_images=100, repeats=6)
pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture(scope="module")
def data():
    data = Points2d(levels=L)
    data.prepare_data()
    return data


def recipe(name: str, *overrides: str, noise: float = 0.1) -> GenerativeModel:
    """The smoke version of a recipe on 16 x 16 points, away from its first weights."""
    torch.manual_seed(0)
    _, model = build(
        load_config(
            f"points2d/{name}", ["data.levels=16", "wandb.mode=disabled", *overrides], smoke=True
        )
    )
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(noise * Rng(i, [0], p.dtype).normal(p.shape)[0])
    return model.eval().requires_grad_(False)


def measure(model, data, protocol=PROTOCOL, **options):
    with torch.no_grad():
        return measure_likelihood(model, data, options, protocol, "cpu")


def scored(data, log_p, n=100):
    """Mean of -log p of the images that the protocol scores, by a table of the universe."""
    x = data.tensors("test")[0][:n].flatten(1).long()
    return -float(log_p[x[:, 0] * L + x[:, 1]].mean())


def agrees(found, truth, sure=4.0):
    return abs(found.nats - truth) < sure * found.repeat_error * 2 * math.log(2)


# --- sums of weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 2, 7])
def test_weights_are_averaged_and_exactly_K_of_them(K):
    log_w, asked = 30 * Rng(0, range(5), torch.float64).normal((K,)), []
    value = importance_weighted(K, lambda k: asked.append(k) or log_w[:, k])
    torch.testing.assert_close(value, log_w.logsumexp(1) - math.log(K), rtol=1e-13, atol=0)
    assert asked == [*range(K)]


def test_thousands_of_small_weights_in_float32():
    log_w = -3000 + Rng(0, range(4), torch.float32).normal((5000,))
    value = importance_weighted(5000, lambda k: log_w[:, k])
    assert value.dtype == torch.float32
    torch.testing.assert_close(
        value.double(), log_w.double().logsumexp(1) - math.log(5000), rtol=0, atol=2.5e-4
    )


def test_a_weight_of_zero_counts():
    value = importance_weighted(3, lambda k: torch.tensor([-math.inf if k < 2 else 1.0, -math.inf]))
    assert value.tolist() == [pytest.approx(1 - math.log(3)), -math.inf]
    with pytest.raises(ValueError, match="K is at least 1, not 0"):
        importance_weighted(0, lambda k: torch.zeros(1))


# --- annealing ------------------------------------------------------------------------------------------------------------


def linear_gaussian(d=6, D=8, s=0.5):
    """x = A z + s noise: log w(e) from the prior, z = e, for one x, and log p(x)."""
    A, x = (
        Rng(0, [0], torch.float64).normal((D, d))[0],
        1.5 * Rng(1, [0], torch.float64).normal((D,))[0],
    )
    truth = MultivariateNormal(torch.zeros(D), A @ A.T + s**2 * torch.eye(D)).log_prob(x)
    return (lambda e: Normal(e @ A.T, s).log_prob(x).sum(1)), d, float(truth)


def test_annealing_finds_the_evidence_of_a_linear_gaussian_model():
    """By the chain from the prior: more temperatures are nearer, and a thousand plain weights are further away."""
    log_w, d, truth = linear_gaussian()
    n = 150
    coarse, fine = (
        annealed_importance(log_w, d, Rng(2, range(n), torch.float64), T) for T in (20, 300)
    )
    weight, error = (fine - truth).exp(), float(fine.std()) / math.sqrt(n)
    assert abs(float(weight.mean()) - 1) < 4 * float(weight.std()) / math.sqrt(n)
    # the mean of logarithms is low by about half their variance
    assert truth - float(fine.var()) < float(fine.mean()) < truth + 4 * error
    assert float(coarse.mean()) < float(fine.mean()) - 4 * error
    rng = Rng(3, range(n), torch.float64)
    plain = importance_weighted(1000, lambda k: annealed_importance(log_w, d, rng))
    assert float(plain.mean()) < float(fine.mean()) - 4 * error


def test_one_temperature_is_one_weight_and_a_constant_weight_is_exact():
    log_w, d, _ = linear_gaussian()
    rng = lambda: Rng(0, range(4), torch.float64)  # noqa: E731
    assert torch.equal(annealed_importance(log_w, d, rng()), log_w(rng().normal((d,))))
    # where the start is the posterior, the weight is the evidence
    value = annealed_importance(
        lambda e: 0 * e.sum(1) - 7.5, 2, Rng(0, range(4), torch.float64), 13
    )
    torch.testing.assert_close(value, torch.full((4,), -7.5), rtol=1e-12, atol=0)
    beta = temperatures(20)
    assert (beta[0], beta[-1], len(beta)) == (0, 1, 21)
    assert all(a < b for a, b in pairwise(beta))
    with pytest.raises(ValueError, match="ais is at least 1"):
        annealed_importance(log_w, d, rng(), 0)


def test_annealing_leaves_the_annealed_density_invariant():
    """Equal-weight particles of a Gaussian end: after the chain, self-normalised moments are the posterior's."""
    m, s = 1.5, 0.6  # N(e; m, s^2) against N(e; 0, 1), with mass exp(2)
    log_w = lambda e: (2 + Normal(m, s).log_prob(e) - Normal(0.0, 1.0).log_prob(e)).sum(1)  # noqa: E731
    value = annealed_importance(log_w, 1, Rng(5, range(4000), torch.float64), 12)
    assert abs(float(value.logsumexp(0)) - math.log(4000) - 2) < 0.03


def test_a_transition_of_long_steps_leaves_its_density_invariant():
    """From particles of the target itself: steps near the end of stability, of which a part is rejected."""
    m, s, n = 1.5, 0.6, 20_000
    log_w = lambda e: (Normal(m, s).log_prob(e) - Normal(0.0, 1.0).log_prob(e)).sum(1)  # noqa: E731
    rng = Rng(6, range(n), torch.float64)
    before = m + s * rng.normal((1,))
    value, slope = _with_slope(log_w, before)
    step = torch.full((n,), 1.1, dtype=torch.float64)
    after, _, _, accepted = _hamiltonian(log_w, 1.0, before, value, slope, step, rng)
    assert 0.2 < float(accepted.double().mean()) < 0.9
    assert torch.equal(after[~accepted], before[~accepted])
    assert float(after.mean()) == pytest.approx(m, abs=4 * s / math.sqrt(n))
    assert float(after.std()) == pytest.approx(s, abs=4 * s / math.sqrt(2 * n))


def test_a_chain_depends_on_no_other_and_survives_walls():
    def log_w(e):
        return torch.where(e[:, 0] > 0.3, torch.nan, -e.square().sum(1))

    value = annealed_importance(log_w, 2, Rng(0, range(50), torch.float64), 8)
    inside = ~value.isnan()
    assert 10 < int(inside.sum()) < 50  # those that began beyond the wall
    alone = annealed_importance(log_w, 2, Rng(0, range(7, 9), torch.float64), 8)
    torch.testing.assert_close(alone, value[7:9], rtol=1e-12, atol=0, equal_nan=True)


# --- exact ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("made", ()), ("gmm", ("model.covariance=diagonal", "model.fit=gradient"))],
)
def test_exact_models_add_up_to_one_and_are_not_repeated(name, overrides, data):
    model = recipe(name, *overrides)
    with torch.no_grad():
        log_q = log_table(model, data, {}, PROTOCOL, "cpu")
    assert math.isclose(np.exp(log_q).sum(), 1, abs_tol=1e-10)
    # the true table against the model's: cross-entropy is at least entropy
    assert -(data.table.ravel() * log_q).sum() > data.entropy
    found = measure(model, data)
    assert (found.kind, found.repeats, found.repeat_error, found.dequantisation) == (
        "exact",
        1,
        None,
        None,
    )
    assert found.nats == pytest.approx(scored(data, torch.tensor(log_q)), rel=1e-12)
    assert found.network_evaluations == (1 if name == "made" else 0)


# --- the VAE, whose two latents quadrature sums over -----------------------------------------------------------------------


def vae_table(model):
    """log p(x) of the universe, by the trapezoidal rule on [-6.5, 6.5]^2."""
    line = torch.linspace(-6.5, 6.5, 131)
    z = torch.cartesian_prod(line, line)
    log_prior = Normal(0.0, 1.0).log_prob(z).sum(1) + 2 * (line[1] - line[0]).log()
    mean, log_s = model.decoder(z).flatten(1)[:, None].chunk(2, dim=2)
    levels = torch.arange(L).to(torch.uint8)[None, :, None]
    masses = gaussian_log_mass(levels, L, mean, log_s.clamp(-7, 5)).exp()  # (nodes, levels, 2)
    return (
        torch.einsum("n,ni,nj->ij", log_prior.exp(), masses[..., 0], masses[..., 1]).log().flatten()
    )


@pytest.fixture
def vae():
    """Latents that matter, and an encoder that knows little of the posterior."""
    model = recipe("vae", noise=0.0)
    for i, p in enumerate(model.decoder.parameters()):
        p.copy_(0.2 * Rng(i, [0], torch.float64).split("decoder").normal(p.shape)[0])
    model.decoder.last.weight[2:] *= 0.1
    model.decoder.last.bias[2:] = -0.7  # scales of a few bins
    model.encoder.last.weight *= 0.1
    model.encoder.last.bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.3]))
    return model


def test_bounds_of_the_vae_are_below_and_annealing_agrees(vae, data):
    log_p = vae_table(vae)
    assert math.isclose(float(log_p.exp().sum()), 1, abs_tol=1e-6)
    truth = scored(data, log_p)
    elbo, weighted, annealed = (
        measure(vae, data, **o) for o in ({}, {"K": 16}, {"K": 4, "ais": 12})
    )
    assert [found.kind for found in (elbo, weighted, annealed)] == ["bound", "bound", "estimate"]
    assert [found.network_evaluations for found in (elbo, weighted, annealed)] == [1, 16, 444]
    assert elbo.defaults == {"K": 1, "ais": 1}
    assert (weighted.options, weighted.defaults) == ({"K": 16}, {"ais": 1})
    assert {**elbo.terms}.keys() == {"reconstruction", "kl"}
    errors = [4 * found.repeat_error * 2 * math.log(2) for found in (elbo, weighted, annealed)]
    # the two that are far from tight are seen to be above on -log p
    assert elbo.nats > weighted.nats + errors[0] > truth + errors[1]
    assert weighted.nats > truth - errors[1]
    # the mean of logarithms is low by about half the variance of the weights
    assert truth - errors[2] < annealed.nats < truth + errors[2] + 0.02
    assert annealed.nats < weighted.nats + math.hypot(errors[1], errors[2])


def test_many_weights_of_the_vae_find_its_table(vae, data):
    with torch.no_grad():
        log_q = torch.tensor(
            log_table(vae, data, {"K": 100}, replace(PROTOCOL, chunk=256, repeats=1), "cpu")
        )
    log_p = vae_table(vae)
    p = log_p.exp()
    assert float((p * (log_p - log_q)).sum()) < 0.02
    assert abs(float(log_q.exp().sum()) - 1) < 0.05


# --- flows, by quadrature over the cell ------------------------------------------------------------------------------------

NODES, WEIGHTS = (torch.tensor(a) for a in np.polynomial.legendre.leggauss(10))
SQUARE = torch.cartesian_prod(NODES, NODES) / 2 + 0.5  # points u of the unit square
MASS = torch.outer(WEIGHTS, WEIGHTS).flatten() / 4


def over_cells(f, x):
    """f(x, u) at every node of every image's cell: (images, nodes)."""
    u = SQUARE.repeat(len(x), 1).view(-1, 1, 1, 2)
    return f(x.repeat_interleave(len(SQUARE), 0), u).view(len(x), -1)


def log_density(model):
    return lambda x, u: model.log_density((x.double() + u) / L) - 2 * math.log(L)


def test_uniform_bounds_of_a_flow_are_the_mean_over_the_cell(data):
    model = recipe("realnvp", "model.bijection.net.width=16", noise=0.4)
    log_f = over_cells(log_density(model), UNIVERSE)
    bound, log_p = log_f @ MASS, (log_f.exp() @ MASS).log()
    one, many = measure(model, data), measure(model, data, K=64)
    assert (one.kind, one.dequantisation, one.network_evaluations, many.network_evaluations) == (
        "bound",
        "uniform",
        1,
        64,
    )
    assert agrees(one, scored(data, bound))
    assert scored(data, log_p) - 4 * many.repeat_error * 2 * math.log(2) < many.nats < one.nats
    assert float(log_p.exp().sum()) < 1


@pytest.fixture(scope="module")
def variational():
    """A flow whose density varies within the cells, and a q(u | x) that was fitted to it for a little."""
    torch.set_default_dtype(torch.float64)
    overrides = (
        "model.dequantiser.class_path=genbench.nets.mlp.MLP",
        "model.dequantiser.width=16",
        "model.bijection.couplings=4",
    )
    model, x = recipe("realnvp", *overrides, noise=0.4), Points2d(levels=L).tensors("train")[0]
    for coupling in model.dequantiser.flow.bijections:
        _identity(coupling)
    optimizer = torch.optim.Adam(model.dequantiser.requires_grad_(True).parameters(), lr=1e-2)
    for step in range(150):
        optimizer.zero_grad()
        rows = torch.arange(128 * step, 128 * (step + 1)) % len(x)
        model.loss(x[rows], None, Rng(0, rows, torch.float64).split("step", step))[
            "loss"
        ].backward()
        optimizer.step()
    return model.requires_grad_(False)


def _identity(coupling):
    coupling.net.last.weight.zero_()
    coupling.net.last.bias.zero_()


def log_q(model):
    """log q(u | x) by the inverse of its flow, at any u."""

    def f(x, u):
        h, v = torch.special.ndtri(u), model.to_real(x)
        eps = model.dequantiser.flow.inverse(torch.cat((h, v), 1)).chunk(2, 1)[0]
        again, found = model.dequantiser(eps, v)
        torch.testing.assert_close(again, u, rtol=0, atol=1e-9)
        return found

    return f


def test_variational_dequantisation_is_a_density_of_the_cell_and_its_bound_is_the_mean_over_it(
    variational, data
):
    model, some, bits = variational, data.tensors("test")[0][:40], 2 * math.log(2)
    log_q_u = over_cells(log_q(model), some)
    q = log_q_u.exp() @ MASS
    # Gauss's rule hardly sees the corners of the cell
    torch.testing.assert_close(q, torch.ones(40), rtol=0, atol=0.02)
    log_f = over_cells(log_density(model), some)
    truth = float(-((log_q_u.exp() * (log_f - log_q_u)) @ MASS / q).mean())
    found = measure(model, data, replace(PROTOCOL, scored_images=40, repeats=30))
    assert (found.kind, found.dequantisation, found.network_evaluations) == (
        "bound",
        "variational",
        1,
    )
    assert math.isclose(sum(found.terms.values()), found.bits_per_dim, rel_tol=1e-12)
    assert abs(found.nats - truth) < 4 * found.repeat_error * bits + 0.01
    # above -log of the cell's probability, and nearer to it than uniform noise in the same flow
    exact, uniform = -float((log_f.exp() @ MASS).log().mean()), -float((log_f @ MASS).mean())
    assert exact < truth < uniform - 0.5 * (uniform - exact)
    many = measure(model, data, replace(PROTOCOL, scored_images=40), K=64)
    assert exact - 0.01 < many.nats < found.nats


def test_every_variational_noise_is_weighed_by_its_density(variational, data):
    """log mean_k f(v_k) / q(u_k | x), less the volume of a cell: K noises by hand."""
    x = data.tensors("test")[0][:6]
    rng = lambda: Rng(2, range(6), torch.float64)  # noqa: E731
    with torch.no_grad():
        noises = [variational.dequantise(x, None, rng(), k) for k in range(3)]
        log_w = torch.stack([variational.log_density(v) - density for v, density in noises])
        expected = log_w.logsumexp(0) - math.log(3) - 2 * math.log(data.spec.levels)
        torch.testing.assert_close(
            variational.log_prob(x, None, rng(), K=3), expected, rtol=1e-12, atol=1e-9
        )
    assert float(torch.stack([density for _, density in noises]).abs().min()) > 1e-3


def test_variational_bounds_of_a_universe_add_up_to_less_than_one(variational, data):
    with torch.no_grad():
        bounds = log_table(variational, data, {}, replace(PROTOCOL, repeats=20, chunk=256), "cpu")
    probability = over_cells(log_density(variational), UNIVERSE).exp() @ MASS
    assert 0.5 * float(probability.sum()) < np.exp(bounds).sum() < float(probability.sum()) < 1


def test_variational_dequantisation_of_labelled_images_learns_with_every_parameter():
    spec, net = Spec((1, 8, 8), 17, y=Labels(3)), partial(ResNet, width=8, blocks=1)
    bijection = partial(RealNVP, net=net, couplings=2)
    model = Flow(
        spec,
        bijection,
        torch.optim.Adam,
        dequantiser=net,
        dequantiser_couplings=2,
        conditional=True,
    )
    for i, p in enumerate(model.parameters()):
        p.data.add_(0.1 * Rng(i, [0], torch.float64).normal(p.shape)[0])
    x, y = Rng(0, range(4)).integers(17, spec.shape).to(torch.uint8), torch.tensor([0, 1, 2, 0])
    losses = model.loss(x, y, Rng(1, range(4), torch.float64))
    assert set(losses) == {"loss", "prior", "jacobian", "cell", "dequantiser"}
    torch.testing.assert_close(
        losses["loss"], sum(value for name, value in losses.items() if name != "loss")
    )
    assert all(
        float(g.abs().max()) > 0
        for g in torch.autograd.grad(losses["loss"], list(model.parameters()))
    )
    model.requires_grad_(False)
    # u stays in the cell, and depends on the image and on its label
    eps, cond = Rng(2, range(4), torch.float64).normal(spec.shape), model.condition(y)
    u, _ = model.dequantiser(eps, model.to_real(x), cond)
    assert bool(((u > 0) & (u < 1)).all())
    for other in (
        model.dequantiser(eps, model.to_real(16 - x), cond),
        model.dequantiser(eps, model.to_real(x), cond.roll(1, 1)),
    ):
        assert float((other[0] - u).abs().amax((1, 2, 3)).min()) > 1e-6
    # the log-density is the change of variables, by autograd
    jacobian = torch.autograd.functional.jacobian(
        lambda e: model.dequantiser(e, model.to_real(x[:1]), cond[:1])[0].flatten(), eps[:1]
    )
    log_det = torch.linalg.slogdet(jacobian.reshape(64, 64))[1]
    log_q_u = Normal(0.0, 1.0).log_prob(eps[0]).sum() - log_det
    torch.testing.assert_close(
        model.dequantiser(eps[:1], model.to_real(x[:1]), cond[:1])[1][0], log_q_u
    )


def test_variational_dequantisation_begins_uniform():
    model = recipe(
        "realnvp", "model.dequantiser.class_path=genbench.nets.mlp.MLP", "model.dequantiser.width=8"
    )
    for coupling in model.dequantiser.flow.bijections:
        _identity(coupling)
    eps = Rng(0, range(5), torch.float64).normal((1, 1, 2))
    u, log_density = model.dequantiser(eps, model.to_real(UNIVERSE[:5]))
    torch.testing.assert_close(u, Normal(0.0, 1.0).cdf(eps))
    torch.testing.assert_close(log_density, torch.zeros(5), rtol=0, atol=1e-12)
    plain = recipe("realnvp")
    assert (plain.dequantiser, plain.dequantisation) == (None, "uniform")


def test_estimates_by_an_ode_agree_with_quadrature(data):
    model, n = recipe("flow_matching"), 4
    probes = torch.eye(2).view(2, 1, 1, 1, 2).expand(-1, n * len(SQUARE), -1, -1, -1)

    def f(x, u):
        prior, change = model.density_parts(
            2 * (x + u) / L - 1, None, probes, [i / 24 for i in range(25)], "rk4"
        )
        return prior + change - 2 * math.log(L / 2)

    log_f = over_cells(f, data.tensors("test")[0][:n])
    truth, log_p = -float((log_f @ MASS).mean()), -float((log_f.exp() @ MASS).log().mean())
    for options in ({"trace": "exact"}, {"trace": "hutchinson", "probes": 2}, {"K": 8}):
        protocol = replace(PROTOCOL, scored_images=n, chunk=n, repeats=8)
        found = measure(model, data, protocol, steps=12, solver="rk4", **options)
        assert (found.kind, found.dequantisation) == ("estimate", "uniform")
        assert found.network_evaluations == 48 * options.get("K", 1)
        assert found.defaults["tolerance"] is None
        if "K" in options:
            error = 4 * found.repeat_error * 2 * math.log(2)
            assert log_p - error < found.nats < truth + error
        else:
            assert agrees(found, truth)


@pytest.mark.parametrize(
    ("options", "finer"),
    [
        ({"steps": 3, "solver": "euler"}, {"steps": 6, "solver": "euler"}),
        ({"steps": 40, "power": 2}, {"steps": 80, "power": 2}),
        ({}, {"steps": 100}),
        ({"solver": "dopri5", "tolerance": 1e-3}, {"solver": "dopri5", "tolerance": 1e-2}),
        pytest.param(
            {"solver": "dopri5"}, {"solver": "dopri5", "tolerance": 1e-4}, marks=pytest.mark.slow
        ),
    ],
)
def test_the_error_of_the_steps_is_how_far_finer_ones_move_the_value(options, finer, data):
    model, x = recipe("flow_matching", noise=0.3), data.tensors("test")[0][:64]
    rng = Rng(0, range(64), torch.float64).split("log_prob")
    here, there = (-model.log_prob(x, None, rng[:], **o).mean() for o in (options, finer))
    found = measure(model, data, replace(PROTOCOL, repeats=2), **options)
    assert found.step_error == pytest.approx(abs(float(here - there)) / (2 * math.log(2)), rel=1e-6)
    assert measure(recipe("vae"), data).step_error is None


def test_a_probability_above_one_is_refused(data):
    """A field whose divergence along the curve belongs to no flow, as that of too few steps."""
    model = recipe("flow_matching")
    model.velocity = lambda x, t, cond=None: 20 * (x - x.detach())
    with pytest.raises(
        InputError,
        match=r"log_prob options .*euler.*: -\d+\.\d+ bits/dim over the test images.*finer steps",
    ):
        measure(model, data, solver="euler", steps=1)


def test_an_adaptive_solver_s_evaluations_are_counted(data):
    model = recipe("flow_matching")
    loose, tight = (
        measure(
            model,
            data,
            replace(PROTOCOL, scored_images=20, repeats=1),
            solver="dopri5",
            tolerance=t,
        )
        for t in (1e-2, 1e-7)
    )
    assert 6 < loose.network_evaluations < tight.network_evaluations
    assert loose.options["tolerance"] == 1e-2


def test_a_diffusion_model_s_evaluations_are_counted(data):
    model = recipe("ddpm", "model.T=8")
    everything, some = (
        measure(model, data, replace(PROTOCOL, repeats=1), **o) for o in ({}, {"timesteps": 3})
    )
    assert (everything.kind, everything.network_evaluations, some.network_evaluations) == (
        "bound",
        8,
        4,
    )


# --- repeats, chunks, and what is no probability ---------------------------------------------------------------------------


def test_repeats_are_other_noise_and_their_errors_are_what_they_say(data):
    model, x = recipe("vae"), data.tensors("test")[0][:100]
    nats = torch.stack(
        [
            -model.log_prob(x, None, Rng(0, range(100), torch.float64).split("log_prob", r))
            for r in range(6)
        ]
    )
    found = measure(model, data)
    assert (found.repeats, found.images) == (6, 100)
    assert found.nats == pytest.approx(float(nats.mean()), rel=1e-12)
    bits = 1 / (2 * math.log(2))
    assert found.repeat_error == pytest.approx(
        float(nats.mean(1).std()) / math.sqrt(6) * bits, rel=1e-9
    )
    assert found.stderr == pytest.approx(float(nats.mean(0).std()) / 10 * bits, rel=1e-9)
    once = measure(model, data, replace(PROTOCOL, repeats=1))
    assert once.nats == pytest.approx(float(nats[0].mean()), rel=1e-12)
    assert once.repeat_error is None


def test_the_chunk_changes_nothing(data):
    model = recipe("vae")
    whole, parts = (measure(model, data, replace(PROTOCOL, chunk=chunk), K=2) for chunk in (100, 7))
    assert parts.nats == pytest.approx(whole.nats, rel=1e-12)
    assert parts.network_evaluations == whole.network_evaluations == 2


def test_any_number_of_processes_finds_the_same_even_where_some_have_no_chunk(data, monkeypatch):
    model, protocol, world, parts = recipe("vae"), replace(PROTOCOL, chunk=60, repeats=1), 3, {}
    alone = measure(model, data, protocol)
    monkeypatch.setattr("genbench.system.processes.world_size", lambda: world)

    class Waits(Exception):
        pass

    def give(everyone, mine):
        parts[len(parts)] = mine
        raise Waits

    def take(everyone, mine):
        everyone[:] = parts.values()

    for gather in (give, take):
        monkeypatch.setattr("torch.distributed.all_gather_object", gather)
        for rank in range(world):
            monkeypatch.setattr("genbench.system.processes.rank", lambda rank=rank: rank)
            if gather is give:
                with pytest.raises(Waits):
                    measure(model, data, protocol)
            else:
                assert measure(model, data, protocol) == alone
    assert [len(mine) for mine in parts.values()] == [1, 1, 0]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_no_probability_names_its_image_under_any_chunk(bad, data, monkeypatch):
    real, x = VAE.terms, data.tensors("test")[0]
    first = int((x[:100] == x[83]).flatten(1).all(1).nonzero()[0])
    table = int(x[83, 0, 0, 0]) * L + int(x[83, 0, 0, 1])

    def broken(self, images, *rest, **options):
        hit = (images == x[83]).flatten(1).all(1)
        return {
            name: torch.where(hit, -bad, nats)
            for name, nats in real(self, images, *rest, **options).items()
        }

    monkeypatch.setattr(VAE, "terms", broken)
    for chunk in (7, 60, 500):
        with pytest.raises(
            GenbenchError, match=f"log_prob of test image {first} is {bad}: not a probability"
        ):
            measure(recipe("vae"), data, replace(PROTOCOL, chunk=chunk))
    with (
        pytest.raises(
            GenbenchError, match=rf"the image of pixels \[{table // L}, {table % L}\] is {bad}"
        ),
        torch.no_grad(),
    ):
        log_table(recipe("vae"), data, {}, PROTOCOL, "cpu")


def test_bad_repeats_are_one_line(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("{metrics: [], images: 2, repeats: 0}")
    with pytest.raises(InputError, match="repeats is 0, not at least 1"):
        load_protocol(str(path))


class Folds(torch.nn.Module):
    """A network that makes rows of every pixel."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(1, 1)

    def forward(self, x):
        return self.inner(x.reshape(-1, 1)).view(x.shape)


def test_rows_are_those_that_a_network_is_given_and_not_those_inside_it():
    model = torch.nn.ModuleDict({"a": Folds(), "b": Folds()})
    with network_rows(model) as rows:
        for _ in range(3):
            model["a"](torch.zeros(5, 4))
        model["b"](torch.zeros(7, 4))
        assert dict(rows) == {model["a"]: 15, model["b"]: 7}
    model["a"](torch.zeros(5, 4))
    assert rows[model["a"]] == 15
