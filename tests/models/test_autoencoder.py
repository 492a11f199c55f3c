"""The autoencoder: principal components, the mixture of its codes against scikit-learn, and draws against moments."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from genbench.batch import Batch
from genbench.formulas.gaussians import Full
from genbench.formulas.mixtures import FittedMixture, em_start, em_step
from genbench.models.vae import autoencoder
from genbench.models.vae.autoencoder import Autoencoder
from genbench.nets.linear import Linear
from genbench.nets.mlp import MLP
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Spec

ADAM = partial(torch.optim.Adam, lr=1e-3)
SPEC = Spec((1, 2, 3), 64)


def images(n: int, seed: int = 0) -> torch.Tensor:
    """Correlated integer images around three centres."""
    rng = Rng(seed, range(n), torch.float64)
    mix = torch.tril(torch.ones(6, 6, dtype=torch.float64)) * torch.linspace(1.0, 0.2, 6).double()
    v = 32 + 14 * (rng.integers(3)[:, None] - 1) + 4 * rng.normal((6,)) @ mix.T
    return v.round().clamp(0, 63).to(torch.uint8).view(n, *SPEC.shape)


def batches(x: torch.Tensor, size: int = 64) -> list[Batch]:
    return [Batch(x[rows], None, Rng(0, rows)) for rows in torch.arange(len(x)).split(size)]


def trained(model: Autoencoder, x: torch.Tensor, steps: int = 200) -> float:
    """The loss after quasi-Newton steps on all images at once, with the same noise in each."""
    optimizer = torch.optim.LBFGS(
        model.players()["model"].parameters, max_iter=steps, tolerance_change=1e-12, tolerance_grad=1e-9,
        line_search_fn="strong_wolfe", history_size=50,
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = model.loss(x, None, Rng(0, range(len(x)), torch.float64))["loss"]
        loss.backward()
        return loss

    optimizer.step(closure)
    return closure().item()


NARROW = partial(MLP, width=8)


def small(net=NARROW, **options) -> Autoencoder:
    return Autoencoder(SPEC, net, net, ADAM, **{"latent": 3, **options}).double().eval()


# --- the loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
def test_linear_networks_find_the_principal_components(double, tied):
    """Of the squared error: D spans their plane, and the error is the variance outside it (Baldi & Hornik 1989)."""
    x = images(200)
    model = Autoencoder(SPEC, Linear, None if tied else Linear, ADAM, latent=2, beta=0.0).double()
    loss = trained(model, x)
    v = model.to_real(x).flatten(1).numpy()
    oracle = PCA(2).fit(v)
    W = model.E.map.weight.T if tied else model.D.map.weight
    assert subspace_angles(W.detach().numpy(), oracle.components_.T).max() < 0.005
    outside = np.square(v - oracle.inverse_transform(oracle.transform(v))).sum(1).mean()
    assert loss == pytest.approx(outside, rel=1e-6)


def test_tied_weights_are_orthonormal(double):
    """Of W^T W x the nearest one to x is a projection."""
    model = Autoencoder(SPEC, Linear, None, ADAM, latent=2, beta=0.0).double()
    trained(model, images(200))
    W = model.E.map.weight.detach()
    torch.testing.assert_close(W @ W.T, torch.eye(2), rtol=1e-3, atol=1e-3)
    assert set(model.state_dict()) >= {"E.map.weight", "E.map.bias", "D.c"}
    assert not any(name.startswith("D.") and "weight" in name for name in model.state_dict())


def test_a_linear_denoiser_is_wieners_filter_and_its_residual_the_score(double):
    """Of Gaussian images: E[x | x~] = mu + S (S + sigma^2 I)^{-1} (x~ - mu), and the score of x~ is
    (S + sigma^2 I)^{-1} (mu - x~)."""
    sigma = 0.3
    x = images(100).repeat(40, 1, 1, 1)
    model = Autoencoder(SPEC, Linear, Linear, ADAM, latent=6, beta=0.0, noise=sigma).double()
    trained(model, x, steps=60)
    v = model.to_real(x).flatten(1)
    mu, S = v.mean(0), torch.cov(v.T, correction=0)
    noisy = v[:300] + sigma * Rng(1, range(300), torch.float64).normal((6,))
    score = torch.linalg.solve(S + sigma**2 * torch.eye(6), (mu - noisy).T).T
    with torch.no_grad():
        residual = model.D(model.E(noisy.view(-1, *SPEC.shape))).flatten(1) - noisy
    # a fit to 4,000 draws of noise
    apart = (residual / sigma**2 - score).square().mean().sqrt()
    assert apart < 0.08 * score.square().mean().sqrt()


def test_noise_is_a_function_of_the_streams_alone_and_only_training_has_it(double):
    x = images(5)
    plain, noisy = small(), small(noise=0.5)
    noisy.load_state_dict(plain.state_dict())
    assert torch.equal(plain.encode(x), noisy.encode(x))
    losses = [noisy.loss(x, None, Rng(seed, range(5)))["loss"].item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert plain.loss(x, None, Rng(0, range(5)))["loss"].item() != losses[0]


def test_sparsity_empties_codes_and_a_relu_keeps_them_from_being_negative(double):
    """A dictionary whose atoms are non-negative combinations: the sum of the codes' sizes is paid."""
    x = images(100)
    encoder = partial(Linear, activation="relu")
    sizes = []
    for sparsity in (0.0, 0.3):
        model = Autoencoder(
            SPEC, encoder, Linear, ADAM, latent=6, beta=0.0, sparsity=sparsity, weight_penalty=1e-2
        ).double()
        with torch.no_grad():
            for i, p in enumerate([*model.E.parameters(), *model.D.parameters()]):
                p.copy_(0.3 * Rng(i, [0], torch.float64).normal(p.shape)[0])
        trained(model, x, steps=80)
        z = model.encode(x).detach()
        assert (z >= 0).all()
        sizes.append(float((z == 0).double().mean()))
        losses = model.loss(x, None, Rng(0, range(100)))
        parts = losses["reconstruction"] + 1e-2 * losses["weights"]
        assert losses["loss"].item() == pytest.approx((parts + sparsity * z.sum(1).mean()).item())
    assert sizes[1] > sizes[0] + 0.2


def test_the_penalties_are_those_of_the_paper(double):
    x = images(5)
    model = small(beta=0.5, weight_penalty=0.25)
    losses = model.loss(x, None, Rng(0, range(5)))
    v = model.to_real(x)
    z = model.E(v)
    error = sum((a - b).square().sum().item() for a, b in zip(v, model.D(z))) / 5
    code = sum((one @ one).item() for one in z) / 10
    weights = sum(p.square().sum().item() for p in model.D.parameters())
    assert losses["loss"].item() == pytest.approx(error + 0.5 * code + 0.25 * weights)
    plain = small(beta=0.0).loss(x, None, Rng(0, range(5)))
    assert plain["loss"].item() == plain["reconstruction"].item()


# --- the mixture ----------------------------------------------------------------------------------------------------------


def test_the_mixture_of_the_codes_is_as_likely_as_scikit_learns(double):
    """From the same start, by as many steps."""
    x = images(500)
    model = small(components=3, passes=25)
    z = model.encode(x).detach()
    start = Full(3, 3, learnt=False).double()
    floor = 1e-3 * float(z.var(0, correction=0).mean())
    group = torch.zeros(500, dtype=torch.int64)
    em_start(start, torch.zeros(1, 3), z, group, floor, Rng(0, [0], torch.float64))
    variance = (z.var(0, correction=0) + floor).numpy()
    oracle = GaussianMixture(
        3, reg_covar=floor, max_iter=25, tol=0, means_init=start.mean.numpy(), weights_init=np.full(3, 1 / 3),
        precisions_init=np.tile(np.diag(1 / variance), (3, 1, 1)),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="did not converge"):
        oracle.fit(z.numpy())
    model.finalize(batches(x), Rng(0, [0], torch.float64))
    mine = model.prior.log_density(z)[:, 0]
    torch.testing.assert_close(
        mine, torch.from_numpy(oracle.score_samples(z.numpy())), rtol=1e-6, atol=1e-7
    )


def test_the_fit_does_not_depend_on_the_batches(double):
    x = images(300)
    fits = []
    for size in (32, 300):
        model = small(components=2, passes=5)
        with torch.no_grad():
            for i, p in enumerate(model.parameters()):
                p.copy_(0.5 * Rng(i, [0], torch.float64).normal(p.shape)[0])
        model.finalize(batches(x, size), Rng(0, [0], torch.float64))
        fits.append(model.prior.log_density(model.encode(x)).detach())
    torch.testing.assert_close(*fits, rtol=1e-10, atol=1e-10)


def test_the_fit_takes_all_codes_in_parts_of_any_size(double, monkeypatch):
    model = small(components=2, passes=3)
    x = images(250)
    z = model.encode(x).detach()
    fits = []
    for size in (4096, 100):
        monkeypatch.setattr(autoencoder, "_CODES", size)
        model.finalize(batches(x), Rng(0, [0], torch.float64))
        fits.append(model.prior.log_density(z))
    torch.testing.assert_close(*fits, rtol=1e-9, atol=1e-12)


def test_codes_that_are_all_equal_have_a_density(double):
    """As they are before the networks have learnt anything."""
    model = small(components=2, passes=2)
    with torch.no_grad():
        for parameter in model.E.parameters():
            parameter.zero_()
    model.finalize(batches(images(20)), Rng(0, [0], torch.float64))
    assert model.prior.log_density(torch.zeros(1, 3)).isfinite().all()


def test_a_step_of_the_fit_tells_scikit_learns_mean_log_likelihood_before_it(double):
    """Of 30 points, in parts of 7."""
    prior = fitted()
    z = prior.draw(Rng(3, range(30), torch.float64), (2,))
    L = torch.stack([prior.gaussians.L(k) for k in range(3)])
    oracle = GaussianMixture(3)
    oracle.weights_ = prior.logits.exp()[0].numpy()
    oracle.means_ = prior.gaussians.mean.numpy().copy()
    oracle.precisions_cholesky_ = torch.linalg.inv(L).mT.numpy()
    parts = [(part, torch.zeros(len(part), dtype=torch.int64)) for part in z.split(7)]
    mean = em_step(prior.gaussians, prior.logits, parts, 0.0)
    assert mean == pytest.approx(oracle.score(z.numpy()), rel=1e-10)


def test_a_step_of_the_fit_never_lowers_the_likelihood(double):
    z = Rng(0, range(300), torch.float64).normal((2,)).pow(3)
    gaussians = Full(4, 2, learnt=False).double()
    logits = torch.zeros(1, 4)
    group = torch.zeros(300, dtype=torch.int64)
    em_start(gaussians, logits, z, group, 0.0, Rng(0, [0], torch.float64))
    trace = [em_step(gaussians, logits, [(z, group)], 0.0) for _ in range(15)]
    assert all(b >= a - 1e-10 for a, b in pairwise(trace)) and trace[-1] > trace[0]


def fitted() -> FittedMixture:
    """Three unequal Gaussians in the plane."""
    gaussians = Full(3, 2, learnt=False).double()
    with torch.no_grad():
        gaussians.mean.copy_(torch.tensor([[0.0, 3.0], [-2.0, 0.0], [4.0, -1.0]]))
        gaussians.factor.copy_(torch.tensor([[0.0, 0.8, 0.1], [-1.0, 0.3, 0.2], [0.4, -0.5, -0.7]]))
    return FittedMixture(gaussians, torch.tensor([[0.2, 0.5, 0.3]]).double().log())


def test_draws_of_the_mixture_have_its_moments_and_its_quantiles(double):
    prior = fitted()
    n = 40_000
    z = prior.draw(Rng(0, range(n), torch.float64), (2,))
    mean, covariance = prior.moments()
    error = (covariance.diagonal() / n).sqrt()
    assert ((z.mean(0) - mean).abs() < 4 * error).all()
    torch.testing.assert_close(torch.cov(z.T), covariance, rtol=0.03, atol=0.03)
    assert prior.norm(2) == pytest.approx(float(z.square().sum(1).mean().sqrt()), rel=0.01)
    scores = torch.linspace(-2, 2, 9, dtype=torch.float64)
    quantiles = prior.quantiles(scores, 2)
    for q, score in zip(quantiles, scores):
        share = float(torch.special.ndtr(score))
        below = (z < q).double().mean(0)
        assert ((below - share).abs() < 4 * math.sqrt(share * (1 - share) / n)).all()


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_the_norm_of_the_mixture_is_that_of_its_second_moment(double, offset):
    """E |z|^2 = sum_k pi_k (|mu_k|^2 + tr Sigma_k)."""
    prior = fitted()
    prior.gaussians.mean += offset
    square = prior.gaussians.mean.square().sum(1)
    for k in range(3):
        square[k] += (prior.gaussians.L(k) @ prior.gaussians.L(k).T).trace()
    expected = math.sqrt(float(prior.logits.exp()[0] @ square))
    assert prior.norm(2) == pytest.approx(expected, rel=1e-12)


def test_the_density_of_the_mixture_is_scipys(double):
    prior = fitted()
    z = Rng(1, range(20), torch.float64).normal((2,))
    pi = prior.logits.softmax(1)[0]
    expected = 0.0
    for k in range(3):
        L = prior.gaussians.L(k).numpy()
        law = stats.multivariate_normal(prior.gaussians.mean[k].numpy(), L @ L.T)
        expected = expected + float(pi[k]) * law.pdf(z.numpy())
    assert np.allclose(prior.log_density(z)[:, 0].numpy(), np.log(expected), rtol=1e-10)


# --- samples --------------------------------------------------------------------------------------------------------------


def with_identity(prior: FittedMixture) -> Autoencoder:
    """An autoencoder whose decoder shows the code: D(z) = z / 20, on 256 levels."""
    spec = Spec((1, 1, 2), 256)
    model = Autoencoder(spec, Linear, Linear, ADAM, latent=2, components=3).double().eval()
    with torch.no_grad():
        model.D.map.weight.copy_(torch.eye(2) / 20)
        model.D.map.bias.zero_()
    model.gaussians.load_state_dict(prior.gaussians.state_dict())
    model.logits.copy_(prior.logits)
    return model


@pytest.mark.parametrize("density", ["mixture", "gaussian"])
def test_samples_have_the_moments_of_the_codes(double, density):
    model = with_identity(fitted())
    n = 40_000
    with torch.no_grad():
        x = model.sample(Rng(2, range(n), torch.float64), density=density)
    z = 20 * model.to_real(x).flatten(1)
    mean, covariance = model.prior.moments()
    assert ((z.mean(0) - mean).abs() < 4 * (covariance.diagonal() / n).sqrt() + 1e-3).all()
    torch.testing.assert_close(torch.cov(z.T), covariance, rtol=0.03, atol=0.03)
    # of the mixture few codes lie between its Gaussians
    empty = model.prior.log_density(z) < -9
    assert (float(empty.double().mean()) > 0.1) == (density == "gaussian")


def test_the_weights_are_the_two_networks_and_the_fit_is_kept(tiny):
    _, model = build(tiny("digits/autoencoder"))
    (player,) = model.players().values()
    networks = [*model.E.parameters(), *model.D.parameters()]
    assert {id(p) for p in player.parameters} == {id(p) for p in networks}
    fit = {"gaussians.mean", "gaussians.factor", "logits"}
    assert fit < set(model.state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent, components and passes are at least 1, not 0, 10 and 50"),
        ({"components": 0}, "at least 1"),
        ({"passes": 0}, "at least 1"),
        ({"beta": -1.0}, "beta and weight_penalty are at least 0, not -1.0 and 0.0"),
        ({"weight_penalty": math.nan}, "at least 0"),
        ({"noise": -1.0}, "noise and sparsity are at least 0, not -1.0 and 0.0"),
        ({"sparsity": math.inf}, "noise and sparsity are at least 0"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_another_density_of_codes_is_refused():
    with pytest.raises(ValueError, match="density is 'mixture' or 'gaussian', not 'flow'"):
        small().sample(Rng(0, range(2), torch.float64), density="flow")


def test_weights_are_tied_to_linear_encoders_alone():
    with pytest.raises(
        ValueError,
        match="decoder is null, for tied weights, where the encoder is a Linear, not MLP",
    ):
        Autoencoder(SPEC, NARROW, None, ADAM)
    with pytest.raises(ValueError, match=r"weight_penalty is 0 for tied weights, not 0\.5"):
        Autoencoder(SPEC, Linear, None, ADAM, weight_penalty=0.5)
