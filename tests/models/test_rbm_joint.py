"""Boltzmann machines with label units, small enough to list all their images, labels and hidden states."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2

from genbench.batch import Batch
from genbench.capabilities import Classifies
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.models.classical.rbm import RBM
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Labels, Spec

pytestmark = pytest.mark.usefixtures("double")
SPEC = Spec((1, 2, 3), levels=2, y=Labels(3))
HIDDEN = 4
K = 3


def universe(bits: int) -> torch.Tensor:
    """All binary reals of a length, (2^bits, bits)."""
    return torch.cartesian_prod(*[torch.arange(2.0, dtype=torch.float64)] * bits)


V = universe(SPEC.dims)
IMAGES = V.to(torch.uint8).view(-1, *SPEC.shape)


def machine(**arguments) -> RBM:
    """With weights of order 1."""
    model = RBM(SPEC, torch.optim.SGD, hidden=HIDDEN, conditional=True, **arguments)
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(1.2 * Rng(i, [0], torch.float64).normal(parameter.shape)[0])
        model.a.copy_(torch.linspace(-1, 1, K * SPEC.dims).view(K, -1))
    return model


def log_states(model: RBM) -> torch.Tensor:
    """log of exp(-E(v, e, h)) by its definition, (2^D, K, 2^H)."""
    h = universe(HIDDEN)
    pixels = (V @ model.b)[:, None] + V @ model.W @ h.T
    labels = model.d[:, None] + model.U @ h.T
    return pixels[:, None] + labels[None] + h @ model.c


def log_clamped(model: RBM, k: int, t: float) -> torch.Tensor:
    """log f_t(v, h) of class k up to e^{d_k}, (2^D, 2^H)."""
    log_p = t * (log_states(model)[:, k] - model.d[k])
    return (log_p + (1 - t) * (V @ model.a[k])[:, None]).detach()


def joint(model: RBM) -> torch.Tensor:
    """Exact p(v, y), (2^D, K)."""
    log_p = log_states(model).logsumexp(2).detach()
    return (log_p - log_p.logsumexp((0, 1))).exp()


def streams(n: int, seed: int = 0) -> Rng:
    return Rng(seed, range(n), torch.float64)


def numbers(v: torch.Tensor) -> torch.Tensor:
    """Places of binary reals in the universe."""
    return (v.long() * 2 ** torch.arange(SPEC.dims - 1, -1, -1)).sum(1)


def one_hot(y: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(y, K).double()


def draws(p: torch.Tensor, n: int, seed: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """n images, binary reals, and labels by a table of probabilities, (2^D, K)."""
    u = streams(n, seed).split("draws").uniform(())
    places = torch.searchsorted(p.flatten().cumsum(0), u).clamp(max=p.numel() - 1)
    return V[places // K], places % K


def assert_drawn_from(counts: torch.Tensor, p: torch.Tensor) -> None:
    """Chi-square of counts, with all rare states as one more."""
    expected = counts.sum() * p
    often = expected >= 10
    rest = expected[~often].sum()
    statistic = ((counts - expected).square() / expected)[often].sum()
    statistic = statistic + (counts[~often].sum() - rest).square() / rest.clamp(min=1)
    assert int(often.sum()) > 5
    assert chi2.sf(float(statistic), int(often.sum())) > 1e-6


def some_batches(n: int = 640) -> list[Batch]:
    x, y = draws(torch.linspace(1, 3, 64 * K).softmax(0), n)
    x = x.to(torch.uint8).view(-1, *SPEC.shape)
    return [Batch(x[rows], y[rows], streams(n)[rows]) for rows in torch.arange(n).split(64)]


def test_the_free_energy_sums_over_the_hidden_units():
    model = machine()
    for k in range(K):
        expected = -log_states(model)[:, k].logsumexp(1)
        e = one_hot(torch.full((64,), k))
        torch.testing.assert_close(model.free_energy(V, e), expected)


def test_the_probability_of_a_class_is_that_of_the_enumeration_whatever_Z_is():
    model = machine()
    assert isinstance(model, Classifies)
    p = joint(model)
    model.log_z.copy_(torch.tensor([3.0, -1.0, 7.0]))
    posterior = model.log_joint(IMAGES).softmax(1)
    torch.testing.assert_close(posterior, p / p.sum(1, keepdim=True))
    assert float((posterior.amax(1) - posterior.amin(1)).detach().min()) > 0.01


def test_the_joint_density_the_conditional_one_and_those_of_classes_are_of_one_distribution():
    """With the exact Z_y: p(x, y) = p(x | y) p(y) is that of the enumeration."""
    model = machine()
    p = joint(model)
    model.log_z.copy_(log_states(model).logsumexp(2).logsumexp(0))
    torch.testing.assert_close(model.log_joint(IMAGES).exp(), p)
    for k in range(K):
        given = model.log_prob(IMAGES, torch.full((64,), k)).exp()
        torch.testing.assert_close(given, p[:, k] / p[:, k].sum())
    torch.testing.assert_close(model.log_z.softmax(0), p.sum(0))


def test_a_sweep_of_all_units_leaves_the_joint_distribution_invariant():
    """One sweep has the frequencies of the kernel sum_h p(h | v, y) p(v' | h) p(y' | h), which is invariant."""
    model = machine()
    states = log_states(model).flatten(0, 1).detach()
    kernel = states.softmax(1) @ states.softmax(0).T
    p = joint(model).flatten()
    torch.testing.assert_close(p @ kernel, p)
    n = 20_000
    for place in (0, 65, 190):
        start = torch.cat((V[place // K], one_hot(torch.tensor(place % K)))).expand(n, -1)
        state = model.sweep(start, streams(n, place))
        assert (state[:, SPEC.dims :].sum(1) == 1).all()
        ends = numbers(state[:, : SPEC.dims]) * K + state[:, SPEC.dims :].argmax(1)
        assert_drawn_from(torch.bincount(ends, minlength=64 * K), kernel[place].detach())


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_a_sweep_with_clamped_labels_leaves_the_tempered_distribution_invariant(t):
    model = machine()
    n = 20_000
    for k in (0, 2):
        log_f = log_clamped(model, k, t)
        kernel = log_f.softmax(1) @ log_f.softmax(0).T
        p = log_f.logsumexp(1).softmax(0)
        torch.testing.assert_close(p @ kernel, p)
        units = model.machine(one_hot(torch.full((n,), k)))
        ends = numbers(units.sweep(V[21].expand(n, -1), streams(n, k), t))
        assert_drawn_from(torch.bincount(ends, minlength=64), kernel[21])


def test_annealing_of_every_class_is_unbiased():
    """Few temperatures, chains of all classes side by side: weights spread, and have the right mean."""
    model = machine()
    n = 20_000
    y = torch.arange(K).repeat_interleave(n)
    log_w = model.machine(one_hot(y)).log_weights(streams(K * n), 3).view(K, n).detach()
    for k in range(K):
        right = log_clamped(model, k, 1.0).logsumexp((0, 1))
        ratio = (log_w[k] - right + log_clamped(model, k, 0.0).logsumexp((0, 1))).exp()
        assert ratio.std() > 0.2
        assert abs(float(ratio.mean()) - 1) < 4.5 * float(ratio.std()) / math.sqrt(n)


def test_finalize_knows_the_constant_of_every_class_with_its_error():
    z = []
    for seed in range(12):
        model = machine(ais_chains=60, ais_temperatures=12)
        model.finalize(some_batches(), Rng(seed, [0], torch.float64))
        right = log_states(model).detach().logsumexp(2).logsumexp(0)
        z.append((model.log_z - right) / model.log_z_error)
        assert float(model.log_z_error.max()) < 0.3
    spread = torch.stack(z).square().mean(0).sqrt()
    assert (spread > 0.4).all() and (spread < 1.9).all()
    assert len(torch.cat(z).unique()) == 12 * K
    x = torch.cat([batch.x for batch in some_batches()]).flatten(1).double()
    y = torch.cat([batch.y for batch in some_batches()])
    for k in range(K):
        ones = x[y == k].sum(0)
        torch.testing.assert_close(model.a[k], torch.logit((ones + 1) / (int((y == k).sum()) + 2)))


def test_densities_add_up_as_well_as_Z_is_known():
    model = machine(ais_chains=200, ais_temperatures=120)
    model.finalize(some_batches(), Rng(0, [0], torch.float64))
    for k in range(K):
        total = model.log_prob(IMAGES, torch.full((64,), k)).exp().sum()
        assert abs(float(total.detach().log())) < 4.5 * float(model.log_z_error[k])
    assert float(model.log_joint(IMAGES).detach().exp().sum()) == pytest.approx(1, abs=0.05)
    p = model.log_z.softmax(0)
    error = math.sqrt(float((p * model.log_z_error).square().sum()))
    assert model.shared_error() == pytest.approx(error)
    torch.testing.assert_close(p, joint(model).sum(0), atol=0.02, rtol=0)


def test_chains_of_classes_have_streams_of_their_own():
    """Classes of the same weights and base rates get other errors."""
    model = machine(ais_chains=40, ais_temperatures=4)
    with torch.no_grad():
        model.U.copy_(model.U[:1].expand(K, -1))
        model.d.zero_()
    x = IMAGES.repeat(K, 1, 1, 1)
    y = torch.arange(K).repeat_interleave(64)
    model.finalize([Batch(x, y, streams(64 * K))], Rng(0, [0], torch.float64))
    assert float((model.a - model.a[0]).abs().max()) < 1e-12
    assert len(model.log_z.unique()) == K


def test_samples_of_a_class_have_its_probabilities():
    model = machine().eval()
    p = joint(model)
    n = 3_000
    for k in range(K):
        rng = Rng.of_samples(k, range(n), torch.float64)
        x = model.sample(rng, torch.full((n,), k), steps=80)
        counts = torch.bincount(numbers(x.flatten(1)), minlength=64)
        assert_drawn_from(counts, p[:, k] / p[:, k].sum())


def test_the_gradient_is_that_of_the_joint_likelihood_where_the_chains_have_reached_it():
    n = 60_000
    model = machine(chains=n)
    v, y = draws(torch.linspace(1, 3, 64 * K).softmax(0).view(64, K), 500, 7)
    states = log_states(model).logsumexp(2)
    nll = -(states[numbers(v), y] - states.logsumexp((0, 1))).mean()
    right = torch.autograd.grad(nll, list(model.parameters()))
    chain, labels = draws(joint(model), n, 8)
    model.chains.rows.copy_(torch.cat((chain, one_hot(labels)), 1))
    x = v.to(torch.uint8).view(-1, *SPEC.shape)
    loss = model.loss(x.repeat(n // 500, 1, 1, 1), y.repeat(n // 500), streams(n))["loss"]
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    assert len(right) == 5
    for gradient, exact in zip(gradients, right, strict=True):
        # entries are means of numbers in [0, 1]
        assert float((gradient - exact).abs().max()) < 5 * 0.5 / math.sqrt(n)
        assert float(exact.abs().max()) > 0.03


@pytest.mark.parametrize("chains", [0, 8])
def test_chains_have_labels_of_their_own(chains):
    """Of contrastive divergence they begin at the images and their labels, else where they were."""
    model = machine(chains=chains, k=2)
    x, y = IMAGES[:8], torch.arange(8) % K
    state = torch.cat((V[:8], one_hot(y)), 1)
    if chains:
        state = model.chains.rows.double()
        assert state.shape == (8, SPEC.dims + K)
        assert (state[:, SPEC.dims :].sum(1) == 1).all()
    rng = streams(8)
    for _ in range(2):
        state = model.sweep(state, rng)
    loss = model.loss(x, y, streams(8))["loss"]
    e = state[:, SPEC.dims :]
    expected = model.free_energy(V[:8], one_hot(y)).mean()
    expected = expected - model.free_energy(state[:, : SPEC.dims], e).mean()
    torch.testing.assert_close(loss, expected)
    if chains:
        model.chains.write(1)
        assert torch.equal(model.chains.rows, state.to(torch.uint8))


def test_without_label_units_the_only_class_is_all_images():
    model = RBM(SPEC, torch.optim.SGD, hidden=HIDDEN)
    torch.testing.assert_close(model.log_joint(IMAGES), model.log_prob(IMAGES)[:, None])
    assert not hasattr(model, "U")


def test_labels_that_are_needed_and_missing_get_one_line():
    model = machine()
    with pytest.raises(ValueError, match="needs labels y, one per image"):
        model.log_prob(IMAGES)
    option = "data.class_path=genbench.data.digits.Digits"
    with pytest.raises(InputError, match="2 levels, as BinaryDigits has, not 17"):
        build(load_config("digits-binary/rbm-joint", [option], smoke=True))
