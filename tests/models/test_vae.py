"""The VAE against models whose likelihood is known: linear-Gaussian ones, and universes small enough to enumerate."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from genbench.formulas.pixel_laws import pixel_law
from genbench.formulas.pixels import to_real
from genbench.models.vae.autoencoder import Autoencoder
from genbench.models.vae.vae import VAE
from genbench.nets.mlp import MLP
from genbench.nets.net import Net
from genbench.nets.posteriors import IAF, Isotropic, Planar
from genbench.nets.priors import FlowPrior, GaussianMixture, VampPrior
from genbench.rng import Rng
from genbench.spec import Labels, Spec

pytestmark = pytest.mark.usefixtures("double")
ADAM = partial(torch.optim.Adam, lr=1e-3)
BIN = 2 / 255


class Affine(Net):
    """A flattened x + c, reshaped; counts its calls."""

    def __init__(self, outputs, A, c):
        super().__init__()
        self.outputs, self.calls = outputs, 0
        self.A, self.c = nn.Parameter(A), nn.Parameter(c)

    def forward(self, x, cond=None):
        self.calls += 1
        return (x.flatten(1) @ self.A.T + self.c).unflatten(1, self.outputs)


def linear_gaussian(s=0.4, off=0.0, wide=0.0):
    """x = W z + b + s e on 4 pixels of 256 levels, z of 2; W has orthogonal columns, so the posterior is diagonal.

    Returns the model, whose encoder is the posterior displaced by `off` and widened by e^wide, and its density of real images.
    """
    W = torch.tensor([[0.3, 0.2], [-0.1, 0.3], [0.2, -0.1], [0.1, -0.05]])
    W[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / (W[:, 0] @ W[:, 0])
    b = torch.tensor([0.1, -0.2, 0.0, 0.15])
    precision = 1 + (W**2).sum(0) / s**2
    gain = (W / s**2 / precision).T
    log_s = -0.5 * precision.log() + wide

    def decoder(inputs, outputs, cond):
        return Affine(
            outputs,
            torch.cat((W, torch.zeros(4, 2))),
            torch.cat((b, torch.full((4,), math.log(s)))),
        )

    def encoder(inputs, outputs, cond):
        return Affine(
            outputs, torch.cat((gain, torch.zeros(2, 4))), torch.cat((off - gain @ b, log_s))
        )

    model = VAE(Spec((1, 1, 4), 256), encoder, decoder, ADAM, latent=2, likelihood_model="gaussian")
    return model, MultivariateNormal(b, W @ W.T + s**2 * torch.eye(4))


def repeated(x, n):
    return x.repeat_interleave(n, dim=0)


IMAGES = torch.tensor(
    [[[[140, 99, 128, 150]]], [[[100, 160, 90, 140]]], [[[60, 128, 190, 170]]]], dtype=torch.uint8
)


def exact(marginal):
    """Density of the bin centres times the volume of a bin: the mass, but for the curvature inside a bin."""
    return marginal.log_prob(to_real(IMAGES, 256, torch.float64).flatten(1)) + 4 * math.log(BIN)


@pytest.mark.parametrize("s", [0.1, 0.4, 1.5])
@pytest.mark.parametrize("K", [2, 7])
@torch.no_grad()
def test_importance_weights_are_the_likelihood_where_the_encoder_is_the_posterior(s, K):
    """p(x|z) p(z) / q(z|x) = p(x) for every z: every draw is exact, up to the (bin/s)^2 of masses against densities."""
    model, marginal = linear_gaussian(s)
    for seed in range(5):
        value = model.log_prob(IMAGES, rng=Rng(seed, range(3), torch.float64), K=K)
        torch.testing.assert_close(value, exact(marginal), rtol=0, atol=4 * (BIN / s) ** 2)


@pytest.mark.parametrize(("off", "wide"), [(0, 0), (0.3, 0), (0, 0.4), (-0.2, -0.5)])
@torch.no_grad()
def test_the_elbo_misses_the_likelihood_by_the_divergence_of_the_posterior(off, wide):
    """E ELBO = log p(x) - KL(q(z|x) || p(z|x))."""
    n = 20_000
    model, marginal = linear_gaussian(off=off, wide=wide)
    posterior, _ = linear_gaussian()
    (m, log_s), (m_p, log_s_p) = (
        net.encoder(model.to_real(IMAGES)).chunk(2, 1) for net in (model, posterior)
    )
    gap = kl_divergence(Normal(m, log_s.exp()), Normal(m_p, log_s_p.exp())).sum(1)
    elbo = model.log_prob(repeated(IMAGES, n), rng=Rng(0, range(3 * n), torch.float64)).view(3, n)
    error = elbo.std(1) / math.sqrt(n)
    assert bool(((elbo.mean(1) - exact(marginal) + gap).abs() < 5 * error + (BIN / 0.4) ** 2).all())
    assert bool((error < 0.02).all())


@torch.no_grad()
def test_the_bound_rises_with_K_towards_the_likelihood():
    """Burda et al., theorem 1, on averages whose errors are known."""
    n = 4_000
    model, marginal = linear_gaussian(off=0.5, wide=0.3)
    x, log_p = repeated(IMAGES, n), exact(marginal)
    draws = [
        model.log_prob(x, rng=Rng(1, range(3 * n), torch.float64).split("K", K), K=K).view(3, n)
        for K in (1, 2, 4, 16, 64)
    ]
    means, errors = (
        torch.stack([f(d) for d in draws])
        for f in (lambda d: d.mean(1), lambda d: d.std(1) / math.sqrt(n))
    )
    assert bool((means.diff(dim=0) > 3 * errors[:-1]).all())
    assert bool((means < log_p).all())
    assert bool((log_p - means[-1] < 0.02).all())


@pytest.mark.parametrize("K", [1, 2, 9])
def test_K_is_the_number_of_samples(K):
    model, _ = linear_gaussian()
    model.log_prob(IMAGES, K=K)
    assert (model.encoder.calls, model.decoder.calls) == (1, K)


@pytest.mark.parametrize("K", [0, -3])
def test_K_must_be_positive(K):
    with pytest.raises(ValueError, match="K is at least 1"):
        linear_gaussian()[0].log_prob(IMAGES, K=K)


@pytest.mark.parametrize("K", [1, 5])
@torch.no_grad()
def test_terms_add_up_and_the_kl_is_a_divergence(K):
    model, _ = linear_gaussian(off=0.4)
    rng = lambda: Rng(2, range(3), torch.float64)  # noqa: E731
    terms = model.terms(IMAGES, rng=rng(), K=K)
    torch.testing.assert_close(-sum(terms.values()), model.log_prob(IMAGES, rng=rng(), K=K))
    if K == 1:
        m, log_s = model.encoder(model.to_real(IMAGES)).chunk(2, 1)
        divergence = kl_divergence(
            Normal(m, log_s.exp()), Normal(torch.zeros(2), torch.ones(2))
        ).sum(1)
        torch.testing.assert_close(terms["kl"], divergence)
        z = m + log_s.exp() * rng().normal((2,))
        torch.testing.assert_close(terms["reconstruction"], -model.log_likelihood(IMAGES, z))


@pytest.mark.parametrize("beta", [0, 1, 4])
def test_the_loss_is_the_negative_elbo_in_bits_with_a_weighted_divergence(beta):
    model, _ = linear_gaussian()
    model.beta = beta
    rng = lambda: Rng(3, range(3), torch.float64)  # noqa: E731
    losses, terms = model.loss(IMAGES, None, rng()), model.terms(IMAGES, rng=rng())
    bits = {name: nats.mean() / (4 * math.log(2)) for name, nats in terms.items()}
    torch.testing.assert_close(losses["loss"], bits["reconstruction"] + beta * bits["kl"])
    if beta == 1:
        torch.testing.assert_close(
            losses["loss"], -model.log_prob(IMAGES, rng=rng()).mean() / (4 * math.log(2))
        )
    gradients = torch.autograd.grad(losses["loss"], list(model.parameters()))
    assert all(float(g.abs().max()) > 0 for g in gradients)


# --- universes small enough to enumerate, one latent, so that quadrature gives p(x) ------------------------------------------


UNIVERSES = {
    "logistic": (Spec((1, 1, 2), 16), "logistic"),
    "gaussian": (Spec((1, 1, 2), 16), "gaussian"),
    "bernoulli": (Spec((1, 2, 2), 2), "bernoulli"),
    "gaussian, two channels of two levels": (Spec((2, 1, 2), 2), "gaussian"),
}
universes = pytest.mark.parametrize(("spec", "kind"), UNIVERSES.values(), ids=UNIVERSES)


def tiny(spec, kind, labels=None):
    """A VAE of one latent with given random weights, and every image of its universe; of p(x | y) where there are labels."""
    net, conditional = partial(MLP, width=12, depth=1), labels is not None
    model = VAE(
        replace(spec, y=labels and Labels(labels)),
        net,
        net,
        ADAM,
        latent=1,
        likelihood_model=kind,
        conditional=conditional,
    )
    for i, parameter in enumerate(model.parameters()):
        parameter.data = (
            0.7 * Rng(i, [0], torch.float64).split("weights").normal(parameter.shape)[0]
        )
    # an encoder near the prior and a little wider, so that importance weights have small variance
    model.encoder.last.weight.data *= 0.1
    model.encoder.last.bias.data = torch.tensor([0.0, 0.2])
    # scales of a few bins
    if kind != "bernoulli":
        model.decoder.last.bias.data[spec.dims :] -= 1
    x = torch.cartesian_prod(*[torch.arange(spec.levels)] * spec.dims)
    return model.requires_grad_(False), x.to(torch.uint8).view(-1, *spec.shape)


def masses(spec, kind, theta):
    """P(pixel = v | z) of every level, (levels, nodes, *shape), from scipy's distribution functions."""
    theta, levels = theta.numpy(), spec.levels
    if kind == "bernoulli":
        p = 1 / (1 + np.exp(-theta))
        return np.stack((1 - p, p))
    mean, log_s = np.split(theta, 2, axis=1)
    law = (stats.logistic if kind == "logistic" else stats.norm)(mean, np.exp(log_s))
    inner = [law.cdf(2 * (v + 0.5) / (levels - 1) - 1) for v in range(levels - 1)]
    return np.diff(np.stack([0 * mean, *inner, 0 * mean + 1]), axis=0)


def probabilities(model, spec, kind, x, y=None):
    """p(x) = int p(x|z) N(z) dz, or p(x|y), by the trapezoidal rule on [-9, 9], exact to rounding for smooth integrands that vanish."""
    z = torch.linspace(-9, 9, 2001)
    weights = (-0.5 * z**2).exp() / math.sqrt(2 * math.pi) * (z[1] - z[0])
    cond = None if y is None else model.condition(torch.full((len(z),), y))
    P = masses(spec, kind, model.decoder(z[:, None], cond))
    P = torch.from_numpy(P).flatten(2)
    p_given_z = torch.stack(
        [P[image.long(), :, torch.arange(spec.dims)].prod(0) for image in x.flatten(1)]
    )
    return p_given_z @ weights


@universes
def test_importance_weighting_finds_every_probability_of_a_universe(spec, kind):
    model, x = tiny(spec, kind)
    p = probabilities(model, spec, kind, x)
    assert math.isclose(float(p.sum()), 1, abs_tol=1e-9)
    draws = torch.stack(
        [model.log_prob(x, rng=Rng(k, range(len(x)), torch.float64), K=100) for k in range(8)]
    )
    weight = draws.exp()
    assert abs(float(weight.sum(1).mean()) - 1) < 5 * float(weight.sum(1).std()) / math.sqrt(8)
    # 800 weights per image, whose own spread tells the error; a share of p keeps images of few effective weights out of it
    error = weight.std(0) / math.sqrt(8)
    assert bool(((weight.mean(0) - p).abs() < 7 * error + 0.02 * p).all())


@universes
def test_mean_bounds_of_a_universe_add_up_to_less_than_one(spec, kind):
    """exp(E log estimate) <= p(x) image by image."""
    model, x = tiny(spec, kind)
    log_p, n = probabilities(model, spec, kind, x).log(), 200
    for K in (1, 3):
        draws = model.log_prob(
            repeated(x, n), rng=Rng(4, range(n * len(x)), torch.float64), K=K
        ).view(-1, n)
        mean, error = draws.mean(1), draws.std(1) / math.sqrt(n)
        assert float(mean.exp().sum()) < 1
        assert bool((mean < log_p + 5 * error).all())


@universes
def test_samples_have_the_model_s_frequencies(spec, kind):
    model, x = tiny(spec, kind)
    n = 30_000
    place = torch.tensor([spec.levels**i for i in reversed(range(spec.dims))])
    samples = model.sample(Rng(5, range(n), torch.float64))
    assert samples.dtype == torch.uint8
    assert samples.shape == (n, *spec.shape)
    counts = (samples.flatten(1).long() * place).sum(1).bincount(minlength=len(x)).double()
    assert torch.equal((x.flatten(1).long() * place).sum(1), torch.arange(len(x)))
    expected = n * probabilities(model, spec, kind, x)
    rare = expected < 10
    pool = lambda v: np.append(v[~rare].numpy(), float(v[rare].sum()))  # noqa: E731
    kept = pool(expected) > 0
    statistic = ((pool(counts) - pool(expected))[kept] ** 2 / pool(expected)[kept]).sum()
    assert stats.chi2.sf(statistic, kept.sum() - 1) > 1e-3
    assert kept.sum() > 5


# --- p(x | y) ----------------------------------------------------------------------------------------------------------------


@universes
def test_conditional_probabilities_of_a_universe_add_up_to_one_for_every_label_and_bounds_to_less(
    spec, kind
):
    model, x = tiny(spec, kind, labels=3)
    tables, n = [probabilities(model, spec, kind, x, y) for y in range(3)], 200
    for y, p in enumerate(tables):
        assert math.isclose(float(p.sum()), 1, abs_tol=1e-9)
        assert float((p - tables[y - 1]).abs().sum()) > 0.05
        labels, rng = torch.full((n * len(x),), y), Rng(4, range(n * len(x)), torch.float64)
        draws = model.log_prob(repeated(x, n), labels, rng, K=3).view(-1, n)
        mean, error = draws.mean(1), draws.std(1) / math.sqrt(n)
        assert 1e-3 < float(mean.exp().sum()) < 1
        assert bool((mean < p.log() + 5 * error).all())


@pytest.mark.parametrize("y", [0, 2])
def test_a_label_is_a_bias_of_both_networks(y):
    """p(x | y) is the model of p(x) whose first layers have the label's column in their bias: bounds, samples, codes."""
    spec, kind = UNIVERSES["logistic"]
    (model, x), (plain, _) = tiny(spec, kind, labels=3), tiny(spec, kind)
    for net, other in ((model.encoder, plain.encoder), (model.decoder, plain.decoder)):
        inputs = other.first.in_features
        other.load_state_dict(
            {name: value for name, value in net.state_dict().items() if name != "first.weight"},
            strict=False,
        )
        other.first.weight.data = net.first.weight[:, :inputs]
        other.first.bias.data += net.first.weight[:, inputs + y]
    labels, rng = torch.full((len(x),), y), lambda: Rng(8, range(len(x)), torch.float64)
    for K in (1, 3):
        torch.testing.assert_close(
            model.log_prob(x, labels, rng(), K=K), plain.log_prob(x, None, rng(), K=K)
        )
    assert torch.equal(model.sample(rng(), labels), plain.sample(rng()))
    z = model.encode(x, labels)
    torch.testing.assert_close(z, plain.encode(x))
    assert torch.equal(model.decode(z, labels), plain.decode(z))


def test_each_label_gets_its_own_images():
    """Two classes at two ends of a universe: after a few steps the labels tell which."""
    spec = Spec((1, 1, 2), 16, y=Labels(2))
    model = VAE(
        spec, partial(MLP, width=16), partial(MLP, width=16), ADAM, latent=1, conditional=True
    )
    y = torch.arange(64) % 2
    x = (
        torch.where(y[:, None] == 0, torch.tensor([2, 3]), torch.tensor([13, 12]))
        .to(torch.uint8)
        .view(-1, 1, 1, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for k in range(80):
        optimizer.zero_grad()
        model.loss(x, y, Rng(k, range(64), torch.float64))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        assert bool((model.log_prob(x, y) > model.log_prob(x, 1 - y) + 1).all())
        drawn = model.sample(Rng(9, range(64), torch.float64), y).double().mean((1, 2, 3))
    assert float(((drawn > 7.5) == (y == 1)).double().mean()) > 0.9


# --- images in, images out -------------------------------------------------------------------------------------------------


@universes
def test_encode_decode_and_mean_samples(spec, kind):
    model, _ = tiny(spec, kind)
    rng = Rng(6, range(5), torch.float64)
    z = model.encode(Rng(7, range(5)).integers(spec.levels, spec.shape).to(torch.uint8))
    assert z.shape == (5, 1)
    x = model.decode(z)
    assert (x.shape, x.dtype) == ((5, *spec.shape), torch.uint8)
    # the mean image of z ~ p(z) is the decoded z: the most probable pixels of a symmetric p(x|z) that is no wider than a bin
    z = rng[:].normal((1,))
    mean = model.sample(rng, decoder="mean")
    assert torch.equal(mean, model.decode(z))
    most_probable = torch.from_numpy(masses(spec, kind, model.decoder(z))).argmax(0)
    inner = (
        (mean > 0) & (mean < spec.levels - 1)
        if spec.levels > 2
        else torch.ones_like(mean, dtype=torch.bool)
    )
    # the outer bins reach to infinity and so may win from inside
    nearest = most_probable.clamp(1, spec.levels - 2) if spec.levels > 2 else most_probable
    assert torch.equal(
        mean[inner & (nearest == most_probable)].long(),
        most_probable[inner & (nearest == most_probable)],
    )


def test_an_unknown_decoder_option_is_refused():
    model, _ = tiny(*UNIVERSES["logistic"])
    with pytest.raises(ValueError, match="'sample' or 'mean'"):
        model.sample(Rng(0, range(2), torch.float64), decoder="no-such-word")


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"likelihood_model": "bernoulli"}, "bernoulli needs data of 2 levels, not 17"),
        ({"likelihood_model": "no-such-word"}, "likelihood_model is"),
        ({"latent": 0}, "latent is at least 1"),
    ],
)
def test_wrong_arguments(wrong, line):
    with pytest.raises(ValueError, match=line):
        VAE(Spec((1, 8, 8), 17), MLP, MLP, ADAM, **wrong)


# --- the objective of importance weights ------------------------------------------------------------------------------------


def test_the_loss_is_the_bound_of_K_samples():
    x, rng = IMAGES, lambda: Rng(3, range(len(IMAGES)), torch.float64)
    for K in (1, 4):
        model = linear_gaussian(off=0.3)[0]
        model.K = K
        expected = -model.log_prob(x, rng=rng(), K=K).mean() / (4 * math.log(2))
        torch.testing.assert_close(model.loss(x, None, rng())["loss"], expected)


def test_the_gradient_is_that_of_normalised_importance_weights():
    """Burda et al., eq. 14: sum_k w_k / (sum_j w_j) grad log w_k, averaged over the images."""
    model, K = linear_gaussian(off=0.3, wide=0.2)[0], 5
    model.K, parameters = K, list(model.parameters())
    mine = torch.autograd.grad(
        model.loss(IMAGES, None, Rng(3, range(3), torch.float64))["loss"], parameters
    )

    rng = Rng(3, range(3), torch.float64)
    m, log_s = model.encoder(to_real(IMAGES, 256, torch.float64)).chunk(2, dim=1)
    z = [m + log_s.exp() * rng.normal((2,)) for _ in range(K)]
    prior, q = Normal(0.0, 1.0), Normal(m, log_s.exp())
    log_w = torch.stack(
        [model.log_likelihood(IMAGES, v) + (prior.log_prob(v) - q.log_prob(v)).sum(1) for v in z]
    )
    surrogate = (log_w.softmax(0).detach() * log_w).sum(0).mean() / (4 * math.log(2))
    for gradient, oracle in zip(mine, torch.autograd.grad(surrogate, parameters), strict=True):
        torch.testing.assert_close(gradient, -oracle, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("K", "beta"), [(0, 1.0), (5, 2.0)])
def test_the_bound_of_K_samples_has_no_beta(K, beta):
    net = partial(MLP, width=4)
    with pytest.raises(
        ValueError, match=f"K is at least 1, and 1 where beta is not; not {K} with beta {beta:g}"
    ):
        VAE(Spec((1, 1, 4), 256), net, net, ADAM, latent=2, beta=beta, K=K)


@pytest.mark.parametrize("kind", ["logistic", "gaussian"])
@pytest.mark.parametrize("log_s", [-6.9, -5.0, -3.5, 4.9])
def test_scales_far_narrower_than_a_bin_are_kept(kind, log_s):
    """The mass of a bin of 256 levels whose centre is the mean, and of the next one, by scipy."""
    model, _ = linear_gaussian(s=math.exp(log_s))
    model.pixels = pixel_law(kind, "pixel", model.spec)
    x = torch.tensor([[[[100, 101, 100, 99]]]], dtype=torch.uint8)
    with torch.no_grad():
        model.decoder.A.zero_()
        model.decoder.c[:4] = 2 * 100 / 255 - 1 + 0.4 / 255
        found = float(model.log_likelihood(x, torch.zeros(1, 2)))
    law = (stats.logistic if kind == "logistic" else stats.norm)(
        2 * 100 / 255 - 1 + 0.4 / 255, math.exp(log_s)
    )
    expected = sum(
        math.log(law.cdf(2 * (v + 0.5) / 255 - 1) - law.cdf(2 * (v - 0.5) / 255 - 1))
        for v in (100, 101, 100, 99)
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_beta_is_for_training_alone_and_annealed_weights_are_an_estimate():
    model, _ = linear_gaussian()
    rng = lambda: Rng(3, range(3), torch.float64)  # noqa: E731
    before = model.log_prob(IMAGES, rng=rng())
    model.beta = 4.0
    assert torch.equal(model.log_prob(IMAGES, rng=rng()), before)
    assert [model.likelihood_kind(**options) for options in ({}, {"K": 5}, {"K": 5, "ais": 2})] == [
        "bound",
        "bound",
        "estimate",
    ]


# --- one fixed scale ----------------------------------------------------------------------------------------------------------


class Fixed(Net):
    """Codes that are given, whatever x is."""

    def __init__(self, z):
        super().__init__()
        self.z = nn.Parameter(z)

    def forward(self, x, cond=None):
        return self.z


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_the_loss_of_one_fixed_scale_is_the_autoencoders_a_constant_and_the_kl(sigma):
    """The autoencoder's codes are the VAE's draws z, and its decoder is the VAE's."""
    spec = Spec((1, 2, 2), 17)
    net = partial(MLP, width=8)
    model = VAE(spec, net, net, ADAM, latent=3, likelihood_model="gaussian", sigma=sigma)
    x = Rng(0, range(6)).integers(17, spec.shape).to(torch.uint8)
    rng = lambda: Rng(3, range(6), torch.float64)  # noqa: E731
    m, log_s = model.encoder(model.to_real(x)).chunk(2, 1)
    z = m + log_s.exp() * rng().normal((3,))
    decoder = lambda inputs, outputs, cond: model.decoder  # noqa: E731
    plain = Autoencoder(spec, lambda *shapes: Fixed(z), decoder, ADAM, latent=3, beta=0)
    squared = plain.loss(x, None, rng())["loss"]
    kl = kl_divergence(Normal(m, log_s.exp()), Normal(torch.zeros(3), torch.ones(3))).sum(1).mean()
    constant = 4 * (math.log(sigma) + 0.5 * math.log(2 * math.pi) - math.log(2 / 16))
    expected = (squared / (2 * sigma**2) + constant + kl) / (4 * math.log(2))
    loss = model.loss(x, None, rng())["loss"]
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-6)


# --- what training minimises --------------------------------------------------------------------------------------------------


def streams(n=3, seed=3):
    return Rng(seed, range(n), torch.float64)


@torch.no_grad()
def test_N_samples_are_averaged_and_the_divergence_is_in_closed_form():
    model = linear_gaussian(off=0.3)[0]
    model.N = 4
    losses = model.loss(IMAGES, None, streams())
    assert (model.encoder.calls, model.decoder.calls) == (1, 4)
    rng = streams()
    m, log_s = model.encoder(model.to_real(IMAGES)).chunk(2, 1)
    draws = [m + log_s.exp() * rng.normal((2,)) for _ in range(4)]
    errors = [-model.log_likelihood(IMAGES, z).mean() / (4 * math.log(2)) for z in draws]
    torch.testing.assert_close(losses["reconstruction"], torch.stack(errors).mean())
    torch.testing.assert_close(losses["kl"], model.loss(IMAGES, None, streams(seed=8))["kl"])


def test_free_bits_are_not_pushed_below_their_number():
    """sum_j max(lambda, mean of KL_j): a latent under lambda has no gradient by its KL."""
    model = linear_gaussian()[0]
    m, log_s = model.encoder(model.to_real(IMAGES)).chunk(2, 1)
    each = kl_divergence(Normal(m, log_s.exp()), Normal(torch.zeros(2), torch.ones(2))).mean(0)
    free = float(each.mean().detach())
    assert each.min() < free < each.max()
    model.free_bits = free
    losses = model.loss(IMAGES, None, streams())
    expected = each.clamp(min=free).sum() / (4 * math.log(2))
    torch.testing.assert_close(losses["loss"] - losses["reconstruction"], expected)
    torch.testing.assert_close(losses["kl"], each.sum() / (4 * math.log(2)))
    net = partial(MLP, width=4)
    assert VAE(Spec((1, 1, 4), 256), net, net, ADAM, free_bits=0.1).batch_coupled
    assert not model.batch_coupled


def test_the_weight_of_the_kl_rises_with_the_images():
    model = linear_gaussian()[0]
    model.beta = 2.0
    model.kl_warmup_images = 100
    for images, weight in ((0, 0.0), (25, 0.5), (100, 2.0), (1000, 2.0)):
        model.resume_at(images)
        losses = model.loss(IMAGES, None, streams())
        expected = losses["reconstruction"] + weight * losses["kl"]
        torch.testing.assert_close(losses["loss"], expected)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"N": 0}, "N is at least 1"),
        ({"free_bits": -1.0}, "free_bits and kl_warmup_images at least 0"),
        ({"K": 2, "N": 2}, "are of the ELBO: K is 1, not 2"),
        ({"K": 2, "free_bits": 0.1}, "are of the ELBO: K is 1, not 2"),
        ({"posterior": IAF, "prior": VampPrior}, "posterior: VampPrior needs .* not IAF"),
        ({"sigma": -1.0}, "sigma is a finite number above 0"),
    ],
)
def test_wrong_variants(wrong, line):
    with pytest.raises(ValueError, match=line):
        VAE(Spec((1, 8, 8), 17), MLP, MLP, ADAM, **wrong)


# --- posteriors and priors ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_likelihood_under_a_mixture_of_gaussians_is_a_mixture_of_gaussians():
    """p(x) = sum_k pi_k N(x; W mu_k + b, W diag s_k^2 W^T + s^2 I)."""
    s = 0.4
    model = linear_gaussian(s, wide=0.3)[0]
    prior = GaussianMixture((1, 1, 4), 2, components=3)
    prior.mean.copy_(torch.tensor([[0.5, -0.4], [-0.8, 0.2], [0.1, 0.9]]))
    prior.log_s.copy_(torch.tensor([[-0.3, 0.1], [0.0, -0.2], [-0.5, 0.2]]))
    prior.logits.copy_(torch.tensor([0.1, -0.4, 0.6]))
    model.prior = prior
    W, b = model.decoder.A[:4], model.decoder.c[:4]
    parts = []
    for mean, log_s, log_pi in zip(prior.mean, prior.log_s, prior.logits.log_softmax(0)):
        covariance = W @ torch.diag((2 * log_s).exp()) @ W.T + s**2 * torch.eye(4)
        parts.append(log_pi + exact(MultivariateNormal(W @ mean + b, covariance)))
    log_p = torch.stack(parts).logsumexp(0)
    n = 3_000
    draws = model.log_prob(repeated(IMAGES, n), rng=streams(3 * n), K=2).view(3, n).exp()
    error = draws.std(1) / math.sqrt(n)
    assert bool((error < 0.03 * log_p.exp()).all())
    assert bool(((draws.mean(1) - log_p.exp()).abs() < 5 * error).all())
    assert model.likelihood_kind(K=40, ais=12) == "estimate"


VARIANTS = {
    "isotropic": {"posterior": Isotropic},
    "iaf": {"posterior": partial(IAF, width=8, context=3)},
    "planar": {"posterior": Planar},
    "mixture": {"prior": partial(GaussianMixture, components=3)},
    "vamp": {"prior": partial(VampPrior, components=3)},
    "flow": {"prior": partial(FlowPrior, net=partial(MLP, width=8))},
    "iaf and flow": {
        "posterior": partial(IAF, width=8, context=3),
        "prior": partial(FlowPrior, net=partial(MLP, width=8)),
    },
}


@pytest.mark.parametrize(("name", "labels"), [*((name, None) for name in VARIANTS), ("vamp", 3)])
@torch.no_grad()
def test_every_variant_scores_the_integral_over_its_prior(name, labels):
    """Two latents: sum_z p(x|z) p(z) over a grid is the mean of importance weights; the ELBO is below, annealing between."""
    spec = Spec((1, 1, 2), 16, y=labels and Labels(labels))
    net = partial(MLP, width=8, depth=1)
    model = VAE(spec, net, net, ADAM, latent=2, conditional=labels is not None, **VARIANTS[name])
    for i, p in enumerate(model.parameters()):
        p.copy_(0.4 * Rng(i, [0], torch.float64).split("weights").normal(p.shape)[0])
    n = 400
    x = torch.tensor([[[[3, 9]]]], dtype=torch.uint8)
    label = lambda n: None if labels is None else torch.full((n,), 1)  # noqa: E731
    line = torch.linspace(-7, 7, 101)
    z = torch.cartesian_prod(line, line)
    log_prior = model.law.log_density(z).sum(1) + 2 * math.log(0.14)
    likelihood = model.log_likelihood(x.expand(len(z), -1, -1, -1), z, label(len(z)))
    log_p = float((log_prior + likelihood).logsumexp(0))
    images = x.expand(n, -1, -1, -1)
    w = model.log_prob(images, label(n), streams(n), K=10).exp()
    assert abs(float(w.mean()) - math.exp(log_p)) < 5 * float(w.std()) / math.sqrt(n)
    elbo = model.log_prob(images, label(n), streams(n))
    assert float(elbo.mean()) < log_p
    annealed = model.log_prob(images[:20], label(20), streams(20), K=2, ais=6)
    assert float(elbo.mean()) < float(annealed.mean()) < log_p + 0.1
