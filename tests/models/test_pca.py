"""Principal components: scikit-learn's, the stationary point of the likelihood, and what the model draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import decomposition

from genbench.batch import Batch
from genbench.models.classical.pca import PCA
from genbench.rng import Rng
from genbench.spec import Spec

SPEC = Spec((1, 2, 3), 64)
FLOOR = (2 / 64) ** 2 / 12


def images(n: int, seed: int = 0) -> torch.Tensor:
    """Correlated integer images."""
    mix = torch.tril(torch.ones(6, 6, dtype=torch.float64)) * torch.linspace(1.0, 0.2, 6).double()
    v = 32 + 5 * Rng(seed, range(n), torch.float64).normal((6,)) @ mix.T
    return v.round().clamp(0, 63).to(torch.uint8).view(n, *SPEC.shape)


def batches(x: torch.Tensor, size: int = 64) -> list[Batch]:
    return [Batch(x[rows], None, Rng(0, rows)) for rows in torch.arange(len(x)).split(size)]


def centres(x: torch.Tensor) -> torch.Tensor:
    return (2 * x.double().flatten(1) + 1) / 64 - 1


def fitted(x: torch.Tensor, size: int = 64, **options) -> PCA:
    model = PCA(SPEC, **{"latent": 2, **options}).double().eval()
    model.finalize(batches(x, size), Rng(0, [0], torch.float64))
    return model


def oracle(x: torch.Tensor, latent: int = 2) -> decomposition.PCA:
    """Scikit-learn's, of variances over n and not n - 1, and with the variance of the noise in a cell."""
    result = decomposition.PCA(latent).fit(centres(x).numpy())
    n = len(x)
    result.explained_variance_ = result.explained_variance_ * (n - 1) / n + FLOOR
    result.noise_variance_ = result.noise_variance_ * (n - 1) / n + FLOOR
    return result


def test_the_density_is_scikit_learns(double):
    x = images(200)
    v = centres(images(20, seed=1))
    expected = torch.from_numpy(oracle(x).score_samples(v.numpy()))
    torch.testing.assert_close(
        fitted(x).log_density(v.view(-1, *SPEC.shape)), expected, rtol=1e-9, atol=1e-9
    )


def test_the_components_are_scikit_learns(double):
    x = images(200)
    model = fitted(x)
    cosines = (torch.from_numpy(oracle(x).components_) @ model.U).diagonal()
    assert cosines.abs().numpy() == pytest.approx(1, abs=1e-9)
    assert model.lambdas.numpy() == pytest.approx(oracle(x).explained_variance_)
    assert float(model.variance) == pytest.approx(oracle(x).noise_variance_)


def test_the_codes_of_pca_are_whitened_projections_and_its_reconstructions_are_nearest(double):
    x = images(200)
    model = fitted(x, probabilistic=False)
    theirs = oracle(x)
    projections = theirs.transform(centres(x).numpy())
    signs = np.sign((theirs.components_ * model.U.T.numpy()).sum(1))
    whitened = projections * signs / np.sqrt(theirs.explained_variance_)
    assert np.allclose(model.encode(x).numpy(), whitened)
    reconstruction = model.mu + model.encode(x) @ model.W.T
    assert np.allclose(reconstruction.numpy(), theirs.inverse_transform(projections))
    apart = np.square(centres(x).numpy() - theirs.inverse_transform(projections)).sum(1).mean()
    assert model.loss(x, None, Rng(0, range(200)))["loss"].item() == pytest.approx(apart)
    assert torch.equal(model.decode(model.encode(x)), model._image(reconstruction))


def test_the_probabilistic_code_is_the_mean_of_the_posterior(double):
    """By the joint covariance of z and v: E[z | v] = W^T (W W^T + sigma^2 I)^{-1} (v - mu)."""
    x = images(200)
    model = fitted(x)
    C = model.W @ model.W.T + model.variance * torch.eye(6)
    expected = torch.linalg.solve(C, (centres(x) - model.mu).T).T @ model.W
    torch.testing.assert_close(model.encode(x), expected)
    law = stats.multivariate_normal(model.mu.numpy(), C.numpy())
    log_p = model.log_density(centres(x).view_as(x))
    assert np.allclose(log_p.numpy(), law.logpdf(centres(x).numpy()))


def test_no_other_plane_and_no_other_noise_is_likelier(double):
    """The gradient of the mean log density of the dequantised images by W and sigma^2 is zero there."""
    x = images(200)
    model = fitted(x)
    v = centres(x) - model.mu
    S = v.T @ v / len(v) + FLOOR * torch.eye(6)
    W = model.W.requires_grad_()
    variance = model.variance.detach().clone().requires_grad_()
    C = W @ W.T + variance * torch.eye(6)
    nll = 0.5 * (torch.logdet(C) + (torch.linalg.inv(C) @ S).trace())
    gradients = torch.autograd.grad(nll, (W, variance))
    assert max(float(g.abs().max()) for g in gradients) < 1e-8
    assert float(v.sum(0).abs().max()) < 1e-10


def test_pca_is_the_limit_of_little_noise(double):
    x = images(200)
    probabilistic = fitted(x)
    limit = fitted(x, probabilistic=False)
    probabilistic.variance.fill_(1e-14)
    torch.testing.assert_close(probabilistic.encode(x), limit.encode(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("probabilistic", [True, False])
def test_samples_have_the_moments_of_the_model(double, probabilistic):
    """Up to the rounding into cells, whose variance is that of the noise in a cell, nearly."""
    model = fitted(images(200), probabilistic=probabilistic)
    n = 40_000
    v = centres(model.sample(Rng(2, range(n), torch.float64)))
    C = model.W @ model.W.T + model.variance * torch.eye(6)
    assert ((v.mean(0) - model.mu).abs() < 5 * (C.diagonal() / n).sqrt() + 1e-3).all()
    torch.testing.assert_close(torch.cov(v.T) - FLOOR * torch.eye(6), C, rtol=0.05, atol=5e-4)


def test_the_fit_depends_on_no_batches(double):
    x = images(150)
    a = fitted(x, size=7)
    b = fitted(x, size=150)
    for one, other in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_constant_pixels_have_a_density(double):
    x = images(100)
    x[:, 0, 0] = 3
    model = fitted(x, latent=5)
    assert model.log_prob(x).isfinite().all()
    assert model.encode(x).isfinite().all()


def test_without_noise_there_is_no_density():
    model = PCA(SPEC, latent=6, probabilistic=False)
    assert model.likelihood is None and model.dequantisation is None
    with pytest.raises(TypeError, match="implicit density"):
        model.log_prob(images(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent is 1 to 5 for 6 pixels, not 0"),
        ({"latent": 6}, "latent is 1 to 5 for 6 pixels, not 6"),
        ({"latent": 7, "probabilistic": False}, "latent is 1 to 6 for 6 pixels, not 7"),
        ({"floor": 0.0}, "floor is above 0"),
        ({"floor": math.inf}, "floor is above 0"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PCA(SPEC, **{"latent": 2, **options})
