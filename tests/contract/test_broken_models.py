"""The contract sees what is wrong: models broken on purpose, each in one line that a new model may well have, fail one of its checks.

The models themselves, unbroken, pass all of them in test_contract.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from contract import (
    bounds_are_ordered,
    decoding_inverts_encoding,
    exact_masses_add_up,
    jacobians_are_those_of_autograd,
    kind_is_as_declared,
    labels_reach_all_methods_alike,
    samples_have_the_masses,
    streams_are_used_once,
)
from test_contract import Case, case

from genbench.formulas.likelihood import (
    gaussian_kl,
    gaussian_log_density,
    importance_weighted,
    sum_dims,
)
from genbench.models.autoregressive.autoregressive import Autoregressive
from genbench.models.classical.gmm import GMM
from genbench.models.diffusion.ddpm import DDPM
from genbench.models.flow.flow import Flow
from genbench.models.flow_matching.flow_matching import FlowMatching
from genbench.models.gan.gan import GAN
from genbench.models.vae.vae import VAE
from genbench.nets.bijections.coupling import AffineCoupling, Logit
from genbench.rng import Rng

# --- ways to break a model: each replaces one method -----------------------------------------------------------------------


def shift_alone(self, x, cond):
    """Of an additive coupling, y = b x + (1 - b) (x + t)."""
    s, t = scale_and_shift(self, x, cond)
    return torch.zeros_like(s), t


scale_and_shift = AffineCoupling._scale_and_shift


def logit_without_log_determinant(self, x, cond=None):
    y, log_det = logit(self, x, cond)
    return y, torch.zeros_like(log_det)


def logit_with_log_determinant_of_the_inverse(self, x, cond=None):
    y, log_det = logit(self, x, cond)
    return y, -log_det


logit = Logit.forward


def log_determinant_without_gradient(self, x, cond=None, real=AffineCoupling.forward):
    z, log_det = real(self, x, cond)
    return z, log_det.detach()


def no_log_determinant(self, x, cond=None):
    s, t = self._scale_and_shift(x, cond)
    return x * torch.exp(s) + t, sum_dims(torch.zeros_like(s))


def log_determinant_of_the_inverse(self, x, cond=None):
    s, t = self._scale_and_shift(x, cond)
    return x * torch.exp(s) + t, -sum_dims(s)


def inverse_that_adds(self, y, cond=None):
    s, t = self._scale_and_shift(y, cond)
    return (y + t) * torch.exp(-s)


def inverse_that_forgets_the_scale(self, y, cond=None):
    _, t = self._scale_and_shift(y, cond)
    return y - t


def no_cell_volume(self, x, y=None, rng=None, K=1):
    return with_cells_of(1, self, x, y, rng, K)


def volume_of_bins(self, x, y=None, rng=None, K=1):
    return with_cells_of(1 / (self.spec.levels - 1), self, x, y, rng, K)


def with_cells_of(width, self, x, y, rng, K):
    terms = terms_of_flow(self, x, y, rng, K)
    first = next(iter(terms.values()))
    return {
        **terms,
        "other cells": torch.full_like(first, -self.spec.dims * math.log(self.spec.levels * width)),
    }


terms_of_flow = Flow.terms


def no_dequantisation(self, x, y=None, rng=None, K=1):
    v = (x.to(self.dtype) + 0.5) / self.spec.levels
    return {"nll": -self.log_density(v, y) + self.spec.dims * math.log(self.spec.levels)}


def one_noise_for_all_weights(self, x, y, rng, k):
    return dequantise_at(self, x, y, rng, 0)


dequantise_at = Flow.dequantise


def logarithm_with_noise(self, x, y, rng, k):
    """As where a trace is estimated: without bias for K = 1, and above the mass for more weights."""
    v, log_q = dequantise_at(self, x, y, rng, k)
    return v, log_q + rng.split("trace", k).normal()


def divergence_turned(self, *arguments):
    prior, change = density_parts(self, *arguments)
    return prior, -change


density_parts = FlowMatching.density_parts


def divergence_that_is_added(self, x, y=None, rng=None, K=1, ais=1):
    if K > 1:
        return terms_of_vae(self, x, y, rng, K)
    m, log_s = self.encoder(self.to_real(x), self.condition(y)).chunk(2, dim=1)
    z = m + log_s.exp() * (rng or self.fixed_rng(x)).normal(self.latent.shape)
    kl = sum_dims(gaussian_kl(m, log_s, torch.zeros_like(m), torch.zeros_like(m)))
    return {"reconstruction": -self.log_likelihood(x, z, y), "kl": -kl}


def weights_without_q(self, x, y=None, rng=None, K=1, ais=1):
    if K == 1:
        return terms_of_vae(self, x, y, rng)
    m, log_s = self.encoder(self.to_real(x), self.condition(y)).chunk(2, dim=1)
    rng = rng or self.fixed_rng(x)

    def log_w(k):
        z = m + log_s.exp() * rng.normal(self.latent.shape)
        return self.log_likelihood(x, z, y) + sum_dims(
            gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
        )

    return {"nll": -importance_weighted(K, log_w)}


terms_of_vae = VAE.terms


def root_of_mean_squares(self, x, y=None, rng=None, K=1, ais=1):
    """Of the weights, log (mean of w^2)^(1/2): at least the mass, where it is declared to be at most the mass."""
    if K == 1:
        return terms_of_vae(self, x, y, rng)
    m, log_s = self.encoder(self.to_real(x), self.condition(y)).chunk(2, dim=1)
    rng = rng or self.fixed_rng(x)

    def log_w2(k):
        z = m + log_s.exp() * rng.normal(self.latent.shape)
        prior = gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
        return 2 * (
            self.log_likelihood(x, z, y) + sum_dims(prior - gaussian_log_density(z, m, log_s))
        )

    return {"nll": -importance_weighted(K, log_w2) / 2}


def fixed_stream(self, x, y=None, rng=None, K=1, ais=1):
    return terms_of_vae(self, x, y, None, K)


def noise_of_the_latent_again(self, rng, y=None, decoder="sample"):
    theta = self.decoder(self.latent.draw(rng.split("one")), self.condition(y))
    mean, log_s = theta.chunk(2, dim=1)
    return self.to_pixels(mean + log_s.exp() * rng.split("one").normal(self.spec.shape))


def one_latent_for_all_images(self, rng, y=None, decoder="sample"):
    return sample_vae(self, Rng(0, [0] * len(rng), rng.dtype), y)


sample_vae = VAE.sample


def shifted(method: Callable, position: int) -> Callable:
    """The method with y + 1 in place of y."""

    def broken(self, *arguments, **options):
        y = (arguments[position] + 1) % self.classes
        return method(self, *arguments[:position], y, *arguments[position + 1 :], **options)

    return broken


def masses_without_tails(self, x):
    mean, log_s = self.gaussians.mean.double(), self.gaussians.log_s.double()
    v = (2 * x.double().flatten(1)[:, None] + 1) / self.spec.levels - 1
    inside = torch.special.ndtr((v + 1 / self.spec.levels - mean) / log_s.exp())
    return (
        (inside - torch.special.ndtr((v - 1 / self.spec.levels - mean) / log_s.exp()))
        .clamp(min=1e-300)
        .log()
        .sum(2)
    )


def pixels_in_the_order_of_sampling_reversed(self, x, y=None, rng=None):
    return terms_of_pixels(self, x.flip(3), y)


terms_of_pixels = Autoregressive.terms


class Broken(NamedTuple):
    """A recipe of points2d, the class and the attribute that is replaced, and by what."""

    recipe: str
    owner: type
    attribute: str
    replacement: object
    conditional: bool = False
    additive: bool = False
    kind: str | None = None


BROKEN = {
    "additive flow: log-determinant left out": Broken(
        "realnvp", Logit, "forward", logit_without_log_determinant, additive=True
    ),
    "additive flow: log-determinant turned": Broken(
        "realnvp", Logit, "forward", logit_with_log_determinant_of_the_inverse, additive=True
    ),
    "additive flow: inverse that is none": Broken(
        "realnvp", AffineCoupling, "inverse", inverse_that_adds, additive=True
    ),
    "flow: log-determinant left out": Broken(
        "realnvp", AffineCoupling, "forward", no_log_determinant
    ),
    "flow: log-determinant with its sign turned": Broken(
        "realnvp", AffineCoupling, "forward", log_determinant_of_the_inverse
    ),
    "flow: log-determinant without a gradient": Broken(
        "realnvp", AffineCoupling, "forward", log_determinant_without_gradient
    ),
    "flow: inverse that is none": Broken("realnvp", AffineCoupling, "inverse", inverse_that_adds),
    "flow: inverse without the scale": Broken(
        "realnvp", AffineCoupling, "inverse", inverse_that_forgets_the_scale
    ),
    "flow: no cell volume": Broken("realnvp", Flow, "terms", no_cell_volume),
    "flow: volume of L - 1 cells": Broken("realnvp", Flow, "terms", volume_of_bins),
    "flow: density at the centre declared a bound": Broken(
        "realnvp", Flow, "terms", no_dequantisation
    ),
    "flow: bound declared exact": Broken("realnvp", Flow, "likelihood", "exact"),
    "flow: one noise for K weights": Broken(
        "realnvp", Flow, "dequantise", one_noise_for_all_weights
    ),
    "flow matching: divergence with its sign turned": Broken(
        "flow_matching", FlowMatching, "density_parts", divergence_turned
    ),
    "flow: noise in the logarithm of weights": Broken(
        "realnvp", Flow, "dequantise", logarithm_with_noise
    ),
    "flow matching: estimate declared a bound": Broken(
        "flow_matching", FlowMatching, "likelihood", "bound"
    ),
    "vae: upper bound declared a bound": Broken("vae", VAE, "terms", root_of_mean_squares),
    "vae: bound of a fixed stream declared exact": Broken(
        "vae", VAE, "terms", fixed_stream, kind="exact"
    ),
    "vae: bound declared exact": Broken(
        "vae", VAE, "likelihood_kind", lambda self, **options: "exact"
    ),
    "vae: divergence with its sign turned": Broken("vae", VAE, "terms", divergence_that_is_added),
    "vae: weights without q": Broken("vae", VAE, "terms", weights_without_q),
    "vae: noise of the latent used again": Broken("vae", VAE, "sample", noise_of_the_latent_again),
    "vae: one stream for all images": Broken("vae", VAE, "sample", one_latent_for_all_images),
    "gmm: outer cells without their tails": Broken("gmm", GMM, "_log_masses", masses_without_tails),
    "made: scores mirrored images": Broken(
        "made", Autoregressive, "terms", pixels_in_the_order_of_sampling_reversed
    ),
    "made: score of the next label": Broken(
        "made", Autoregressive, "terms", shifted(terms_of_pixels, 1), True
    ),
    "made: samples of the next label": Broken(
        "made", Autoregressive, "sample", shifted(Autoregressive.sample, 1), True
    ),
    "ddpm: samples of the next label": Broken(
        "ddpm", DDPM, "sample", shifted(DDPM.sample, 1), True
    ),
    "vae: loss of the next label": Broken("vae", VAE, "loss", shifted(VAE.loss, 1), True),
    "gan: samples of the next label": Broken("gan", GAN, "sample", shifted(GAN.sample, 1), True),
}


def first_failure(it: Case) -> str | None:
    """What the first check of the contract that the model fails says, the cheap ones first; None where it passes all."""
    model = it.model
    options = it.fine_sample, it.fine_log_prob
    checks = []
    if hasattr(model, "inverse"):
        checks.append(lambda: jacobians_are_those_of_autograd(model, it.x[:1], it.labels(1)))
        checks.append(lambda: decoding_inverts_encoding(model, it.x[:8], it.labels(8)))
    checks.append(
        lambda: streams_are_used_once(model, it.x[:3], it.labels(3), it.sample, it.log_prob)
    )
    if model.conditional:
        checks.append(
            lambda: labels_reach_all_methods_alike(model, it.x, it.y, it.sample, it.log_prob)
        )
    if model.likelihood is not None:
        kind = model.likelihood_kind(**it.fine_log_prob)
        checks.append(lambda: kind_is_as_declared(model, it.x[:4], it.labels(4), it.log_prob))
        if kind == "exact":
            checks.append(lambda: exact_masses_add_up(model, it.label))
        checks.append(lambda: samples_have_the_masses(model, it.label, *options))
        if kind == "bound":
            checks.append(lambda: bounds_are_ordered(model, it.label, *options))
    for check in checks:
        try:
            check()
        except AssertionError as error:
            return str(error) or "not equal"
    return None


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_model_fails_the_contract(broken, tiny, double, monkeypatch):
    it = case(tiny, f"points2d/{broken.recipe}", broken.conditional, "data.levels=16")
    if broken.additive:
        monkeypatch.setattr(AffineCoupling, "_scale_and_shift", shift_alone)
    monkeypatch.setattr(broken.owner, broken.attribute, broken.replacement)
    if broken.kind is not None:
        monkeypatch.setattr(broken.owner, "likelihood_kind", lambda self, **options: broken.kind)
    failure = first_failure(it)
    print(failure)
    assert failure


@pytest.mark.parametrize("conditional", [False, True])
def test_an_additive_flow_passes_the_contract(conditional, tiny, double, monkeypatch):
    monkeypatch.setattr(AffineCoupling, "_scale_and_shift", shift_alone)
    assert first_failure(case(tiny, "points2d/realnvp", conditional, "data.levels=16")) is None
