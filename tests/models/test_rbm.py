"""Restricted Boltzmann machines that are small enough to list all their states; scikit-learn's as an oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from sklearn.neural_network import BernoulliRBM

from genbench.batch import Batch, ImageBuffer, image_buffers
from genbench.config.protocol import load_protocol
from genbench.config.recipe import load_config
from genbench.data.digits import BinaryDigits
from genbench.errors import InputError
from genbench.metrics.likelihood import measure_likelihood
from genbench.models.classical.rbm import RBM
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Spec

pytestmark = pytest.mark.usefixtures("double")
SPEC = Spec((1, 2, 3), levels=2)
HIDDEN = 4


def universe(bits: int) -> torch.Tensor:
    """All binary reals of a length, (2^bits, bits)."""
    return torch.cartesian_prod(*[torch.arange(2.0)] * bits)


def machine(**arguments) -> RBM:
    """With weights of order 1."""
    model = RBM(SPEC, torch.optim.SGD, hidden=HIDDEN, **arguments)
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(1.2 * Rng(i, [0], torch.float64).normal(parameter.shape)[0])
        model.a.copy_(torch.linspace(-1, 1, SPEC.dims))
    return model.requires_grad_(True)


def log_joint(model: RBM, t: float = 1.0) -> torch.Tensor:
    """log of the tempered exp(-E(v, h)) by its definition, (2^D, 2^H)."""
    v = universe(SPEC.dims)
    h = universe(HIDDEN)
    energy = -(v @ model.b)[:, None] - (h @ model.c)[None] - v @ model.W @ h.T
    return -t * energy + (1 - t) * (v @ model.a)[:, None]


def probabilities(model: RBM, t: float = 1.0) -> torch.Tensor:
    """Exact probabilities of all images v, (2^D,)."""
    return log_joint(model, t).logsumexp(1).softmax(0).detach()


def numbers(v: torch.Tensor) -> torch.Tensor:
    """Places of binary reals in the universe."""
    return (v.long() * 2 ** torch.arange(SPEC.dims - 1, -1, -1)).sum(1)


def as_images(v: torch.Tensor) -> torch.Tensor:
    return v.to(torch.uint8).view(-1, *SPEC.shape)


def streams(n: int, seed: int = 0) -> Rng:
    return Rng(seed, range(n), torch.float64)


def draws(p: torch.Tensor, n: int, seed: int) -> torch.Tensor:
    """n states v by their probabilities."""
    u = streams(n, seed).split("draws").uniform(())
    places = torch.searchsorted(p.cumsum(0), u).clamp(max=len(p) - 1)
    return universe(SPEC.dims)[places]


def test_free_energy_sums_over_the_hidden_units():
    model = machine()
    v = universe(SPEC.dims)
    torch.testing.assert_close(-model.free_energy(v), log_joint(model).logsumexp(1))


def test_free_energy_and_conditionals_are_those_of_scikit_learn():
    model = machine()
    oracle = BernoulliRBM(n_components=HIDDEN, random_state=0)
    oracle.components_ = model.W.detach().numpy().T
    oracle.intercept_hidden_ = model.c.detach().numpy()
    oracle.intercept_visible_ = model.b.detach().numpy()
    v = universe(SPEC.dims)
    np.testing.assert_allclose(
        model.free_energy(v).detach().numpy(), oracle._free_energy(v.numpy()), rtol=1e-12
    )
    # one sweep of either, from the same images
    n = 20_000
    start = v[21].expand(n, -1)
    ours = model.sweep(start, streams(n)).detach().mean(0).numpy()
    generator = np.random.RandomState(0)
    hidden = oracle._sample_hiddens(start.numpy(), generator)
    theirs = oracle._sample_visibles(hidden, generator).mean(0)
    assert np.abs(ours - theirs).max() < 5 * math.sqrt(0.5 / n)


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_gibbs_leaves_the_tempered_distribution_invariant(t):
    """One sweep has the frequencies of the kernel sum_h p(h | v) p(v' | h), which is invariant."""
    model = machine()
    joint = log_joint(model, t).detach()
    kernel = joint.softmax(1) @ joint.softmax(0).T  # p(h | v), then p(v' | h)
    p = probabilities(model, t)
    torch.testing.assert_close(p @ kernel, p)
    n = 20_000
    for place in (0, 21, 63):
        start = universe(SPEC.dims)[place].expand(n, -1)
        counts = torch.bincount(
            numbers(model.machine().sweep(start, streams(n, place), t)), minlength=2**SPEC.dims
        )
        expected = n * kernel[place]
        often = expected >= 10
        rest = n - expected[often].sum()
        statistic = ((counts - expected).square() / expected)[often].sum()
        statistic = statistic + (counts[~often].sum() - rest).square() / rest.clamp(min=1)
        assert chi2.sf(float(statistic), int(often.sum())) > 1e-6


def test_annealing_is_unbiased_in_Z():
    """A handful of temperatures give weights that spread, and have the right mean."""
    model = machine()
    log_Z = float(log_joint(model).detach().logsumexp((0, 1)))
    log_Z_0 = float(log_joint(model, 0.0).detach().logsumexp((0, 1)))
    n = 40_000
    log_w = model.machine().log_weights(streams(n), 3)
    ratio = (log_w - (log_Z - log_Z_0)).exp()
    error = float(ratio.std()) / math.sqrt(n)
    assert ratio.std() > 0.2
    assert abs(float(ratio.mean()) - 1) < 4.5 * error
    assert log_w.mean() < log_Z - log_Z_0


def some_batches(n: int = 640) -> list[Batch]:
    v = draws(torch.linspace(1, 3, 64).softmax(0), n, 5)
    return [Batch(as_images(v[rows]), None, streams(n)[rows]) for rows in torch.arange(n).split(64)]


def test_finalize_knows_log_Z_with_its_error():
    """The base rates first, by which the chains begin; then Z, whose error is as large as it is said to be."""
    z = []
    for seed in range(30):
        model = machine(ais_chains=60, ais_temperatures=12)
        model.finalize(some_batches(), Rng(seed, [0], torch.float64))
        log_Z = log_joint(model).detach().logsumexp((0, 1))
        z.append(float((model.log_z - log_Z) / model.shared_error()))
        assert model.log_z_error < 0.2
    ones = torch.cat([batch.x for batch in some_batches()]).flatten(1).double().sum(0)
    torch.testing.assert_close(model.a, torch.logit((ones + 1) / 642))
    assert len(set(z)) == 30
    spread = torch.tensor(z).square().mean().sqrt()
    assert 0.6 < spread < 1.6


def test_finalize_has_the_temperatures_and_the_chains_that_are_asked_for():
    model = machine(ais_chains=5, ais_temperatures=11)
    model.finalize(some_batches(), Rng(0, [0], torch.float64))
    other = machine()
    other.estimate(some_batches(), Rng(0, [0], torch.float64), T=11, chains=5)
    assert torch.equal(model.log_z, other.log_z)


def test_probabilities_add_up_as_well_as_Z_is_known():
    model = machine(ais_chains=400, ais_temperatures=300)
    model.finalize(some_batches(), Rng(0, [0], torch.float64))
    total = model.log_prob(as_images(universe(SPEC.dims))).exp().sum()
    assert model.shared_error() < 0.02
    assert abs(float(total.detach().log())) < 4 * model.shared_error()
    exact = log_joint(model).logsumexp(1) - log_joint(model).logsumexp((0, 1))
    difference = model.log_prob(as_images(universe(SPEC.dims))) - exact
    assert float(difference.detach().abs().max()) < 4 * model.shared_error()


def test_a_preview_knows_log_Z_coarsely():
    fine, coarse = machine(ais_chains=300, ais_temperatures=600), machine(ais_chains=300)
    fine.finalize(some_batches(), Rng(0, [0], torch.float64))
    coarse.finalize_preview(some_batches(), Rng(0, [0], torch.float64))
    assert torch.equal(fine.a, coarse.a)
    assert 3 * fine.shared_error() < coarse.shared_error() < 0.2


def test_samples_have_the_probabilities():
    model = machine().eval()
    n = 5_000
    x = model.sample(Rng.of_samples(0, range(n), torch.float64), steps=120)
    counts = torch.bincount(numbers(x.flatten(1)), minlength=64)
    expected = n * probabilities(model)
    often = expected >= 10
    statistic = ((counts - expected).square() / expected)[often].sum()
    assert chi2.sf(float(statistic), int(often.sum())) > 1e-6


def test_samples_begin_at_the_base_rates():
    """One temperature: a sweep from independent pixels of log odds a, whose kernel is known."""
    model = machine().eval()
    model.a.copy_(3 * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]))
    joint = log_joint(model).detach()
    kernel = joint.softmax(1) @ joint.softmax(0).T
    n = 20_000
    x = model.sample(Rng.of_samples(0, range(n), torch.float64), steps=1)
    counts = torch.bincount(numbers(x.flatten(1)), minlength=64)
    expected = n * (probabilities(model, 0.0) @ kernel)
    often = expected >= 10
    statistic = ((counts - expected).square() / expected)[often].sum()
    assert chi2.sf(float(statistic), int(often.sum())) > 1e-6


def test_a_trajectory_has_a_state_for_every_temperature():
    x = streams(3).normal(SPEC.shape)
    for steps in (1, 7):
        assert len(list(machine().trajectory(x, streams(3), steps=steps))) == steps


def test_learning_begins_at_small_weights_and_no_biases():
    model = RBM(Spec((1, 8, 8), levels=2), torch.optim.SGD, hidden=64)
    assert model.W.std().item() == pytest.approx(0.01, rel=4 / math.sqrt(2 * 64 * 64))
    assert not model.b.any() and not model.c.any()


def test_log_Z_of_a_model_in_float32_has_the_digits_of_float64():
    torch.set_default_dtype(torch.float32)
    model = machine()
    model.estimate(some_batches(), Rng(0, [0]), T=5, chains=20)
    log_w = model.machine().log_weights(Rng(int(Rng(0, [0]).bits()), range(20)), 5)
    log_Z_0 = HIDDEN * math.log(2) + torch.nn.functional.softplus(model.a.double()).sum()
    expected = log_Z_0 + log_w.logsumexp(0) - math.log(20)
    torch.testing.assert_close(model.log_z, expected, rtol=1e-12, atol=0)


def test_gradient_is_that_of_the_likelihood_where_the_chains_have_reached_it():
    n = 60_000
    model = machine(chains=n)
    data = draws(torch.linspace(1, 3, 64).softmax(0), 500, 7)
    nll = -(log_joint(model).logsumexp(1) - log_joint(model).logsumexp((0, 1)))
    right = torch.autograd.grad(nll[numbers(data)].mean(), list(model.parameters()))
    model.chains.rows.copy_(draws(probabilities(model), n, 8))
    images = as_images(data.repeat(n // 500, 1))
    loss = model.loss(images, None, streams(n))["loss"]
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for gradient, exact in zip(gradients, right):
        # entries are means of numbers in [0, 1]
        assert float((gradient - exact).abs().max()) < 5 * 0.5 / math.sqrt(n)
        assert float(exact.abs().max()) > 0.05


def learnt(chains: int, steps: int) -> float:
    """KL(data || model) after learning from a distribution of two far modes."""
    model = RBM(SPEC, torch.optim.SGD, hidden=HIDDEN, chains=chains)
    p = torch.full((64,), 0.1 / 62)
    p[[0b000111, 0b111000]] = 0.45
    optimizer = torch.optim.SGD(model.parameters())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.8 * (1 - step / steps)
        data = draws(p, 256, step)
        rng = Rng(1, range(256 * step, 256 * step + 256), torch.float64)
        optimizer.zero_grad()
        model.loss(as_images(data), None, rng)["loss"].backward()
        optimizer.step()
        for buffer in image_buffers(model):
            buffer.write(1)
    return float((p * (p / probabilities(model)).log()).sum())


def test_persistent_chains_learn_a_distribution():
    start = learnt(256, 0)
    assert start > 2
    assert learnt(256, 200) < 0.3


def test_chains_persist_and_contrastive_divergence_has_none():
    model = machine(chains=8, k=2)
    rng = streams(8)
    before = model.chains.rows.clone()
    model.loss(as_images(universe(6)[:8]), None, rng)
    assert torch.equal(model.chains.rows, before)
    model.chains.write(1)
    state = before.double()
    again = streams(8)
    for _ in range(2):
        state = model.sweep(state, again)
    assert torch.equal(model.chains.rows, state.to(torch.uint8))
    free = machine(chains=0)
    assert not any(isinstance(module, ImageBuffer) for module in free.modules())
    data = universe(6)[:8]
    chain = free.sweep(data, streams(8))
    loss = free.loss(as_images(data), None, streams(8))["loss"]
    expected = free.free_energy(data).mean() - free.free_energy(chain).mean()
    torch.testing.assert_close(loss, expected)


def test_the_error_of_log_Z_is_in_the_record(tmp_path):
    torch.set_default_dtype(torch.float32)
    config = load_config("digits-binary/rbm", [f"run_dir={tmp_path}"], smoke=True)
    data, model = build(config)
    model.finalize(data.finalize_batches(model), Rng(0, [0]))
    likelihood = measure_likelihood(
        model.eval().requires_grad_(False), data, {}, load_protocol("digits-binary"), "cpu"
    )
    assert likelihood.kind == "estimate"
    assert likelihood.shared_error == pytest.approx(model.shared_error() / 64 / math.log(2))
    assert likelihood.shared_error > 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.class_path=genbench.data.digits.Digits", "2 levels, as BinaryDigits has, not 17"),
        ("model.hidden=0", "are at least 1, ais_chains at least 2 and chains at least 0, not 0, 1"),
        ("model.ais_chains=1", "not 8, 1, 20, 1 and 100"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_one_line(option, message):
    with pytest.raises(InputError, match=message) as error:
        build(load_config("digits-binary/rbm", [option], smoke=True))
    assert "\n" not in str(error.value)


# --- the data --------------------------------------------------------------------------------------


def test_binary_digits_are_draws_of_the_grey_ones():
    binary = BinaryDigits()
    grey = binary._grey
    for split, n in zip(("train", "val", "test"), binary.sizes):
        x, y = binary.arrays(split)
        g, labels = grey.arrays(split)
        assert x.shape == (n, 1, 8, 8)
        assert set(np.unique(x)) == {0, 1}
        assert np.array_equal(y, labels)
        assert np.array_equal(x[(g == 0) | (g == 16)], g[(g == 0) | (g == 16)] // 16)
        z = (x - g / 16).sum() / np.sqrt((g / 16 * (1 - g / 16)).sum())
        assert abs(z) < 4.5


def test_binary_digits_are_drawn_anew_for_training():
    data = BinaryDigits(batch_size=449)
    grey = torch.tensor(data._grey.arrays("train")[0]).double() / 16
    device = torch.device("cpu")
    sums = torch.zeros(1, 8, 8)
    epochs = 40
    first: list[torch.Tensor] = []
    for batch in data.batches(0, 898 * epochs, 0, 1, device, torch.float64):
        sums += batch.x.double().sum(0)
        first.append(batch.x[0])
    expected = epochs * grey.sum(0)
    sd = (epochs * (grey * (1 - grey)).sum(0)).sqrt()
    assert float(((sums - expected).abs() - 4.5 * sd).max()) <= 0
    again = next(data.batches(0, 449, 0, 1, device, torch.float64))
    assert torch.equal(again.x[0], first[0])
