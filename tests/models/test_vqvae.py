"""VQ-VAE and the prior of its codes: codes, gradients, and code lengths against the sum over all codes."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch

from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.models.autoregressive.latent_prior import LatentPrior
from genbench.models.vae.vqvae import VQVAE, perplexity, share_in_use
from genbench.nets.autoregressive import draw_in_order
from genbench.nets.made import MADE
from genbench.nets.mlp import MLP
from genbench.nets.transformer import Transformer
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.spec import Labels, Spec

pytestmark = pytest.mark.usefixtures("double")
ADAM = partial(torch.optim.Adam, lr=1e-3)
SPEC = Spec((1, 2, 2), 4)
UNIVERSE = torch.cartesian_prod(*[torch.arange(4, dtype=torch.uint8)] * 4).view(-1, 1, 2, 2)


def small(K=3, grid=(1, 2), beta=0.25) -> VQVAE:
    """A VQ-VAE of four pixels with random weights, and codes that lie among the encoder's vectors."""
    net = partial(MLP, width=16, depth=2)
    torch.manual_seed(0)
    model = VQVAE(SPEC, net, net, ADAM, K=K, grid=grid, d=2, beta=beta)
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(0.7 * Rng(i, [0]).normal(p.shape)[0])
    return model


def with_prior(tokenizer: VQVAE, conditional: bool = False) -> LatentPrior:
    """A prior with random weights over the codes of a model; conditional: given one of two labels."""
    torch.manual_seed(1)
    spec = replace(SPEC, y=Labels(2)) if conditional else SPEC
    model = LatentPrior(spec, partial(MADE, width=16), ADAM, tokenizer, conditional)
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(0.5 * Rng(i, [1]).normal(p.shape)[0])
    return model


def all_codes(model: VQVAE) -> torch.Tensor:
    """Every grid of codes, int64 (K^(h w), h, w)."""
    return torch.cartesian_prod(*[torch.arange(model.K)] * model.latent.dims).view(
        -1, *model.latent.shape
    )


def test_codes_are_the_nearest_by_brute_force():
    model = small(K=5)
    z_e = model.encoder(model.to_real(UNIVERSE))
    difference = z_e[:, None] - model.codebook[None, :, :, None, None]  # (B, K, d, h, w)
    expected = (difference**2).sum(2).argmin(1)
    assert torch.equal(model.tokens(UNIVERSE), expected)
    assert len(expected.unique()) > 2
    assert torch.equal(model.vectors(expected)[7, :, 0, 1], model.codebook[expected[7, 0, 1]])


def test_gradients_go_straight_through_the_codes():
    """By the chain rule by hand: the encoder has d(-log p)/dz_q times dz_e, and the commitment's; the codebook only eq. 3's second."""
    model = small()
    x = UNIVERSE[::17]
    encoder = list(model.encoder.parameters())
    bits = 1 / (SPEC.dims * math.log(2)) / len(x)
    losses = model.loss(x, None, Rng(0, range(len(x))))
    gradients = torch.autograd.grad(losses["loss"], [*encoder, model.codebook])

    z_e = model.encoder(model.to_real(x))
    z_q = model.vectors(model.nearest(z_e)).detach().requires_grad_()
    (by_decoder,) = torch.autograd.grad(-model.log_mass(x, z_q).sum() * bits, z_q)
    upstream = by_decoder + 2 * model.beta * (z_e - z_q).detach() * bits
    expected = torch.autograd.grad(z_e, encoder, upstream)
    for gradient, right in zip(gradients, expected, strict=False):
        torch.testing.assert_close(gradient, right, rtol=1e-9, atol=1e-12)

    z = model.tokens(x)
    by_code = torch.zeros_like(model.codebook)
    for vector, code in zip(z_e.detach().movedim(1, -1).flatten(0, 2), z.flatten(), strict=True):
        by_code[code] += 2 * (model.codebook[code].detach() - vector) * bits
    torch.testing.assert_close(gradients[-1], by_code, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("prior", [False, True], ids=["uniform", "autoregressive"])
def test_code_length_is_a_bound_of_the_sum_over_all_codes(prior):
    """p(x) = sum_z p(z) p(x | z) adds up to 1 over the universe; the bound is below it at every image."""
    tokenizer = small()
    model = with_prior(tokenizer) if prior else tokenizer
    z = all_codes(tokenizer)
    with torch.no_grad():
        log_p_z = -model.code_length(z, None) if prior else torch.full((len(z),), -math.log(len(z)))
        torch.testing.assert_close(log_p_z.exp().sum(), torch.tensor(1.0), rtol=1e-12, atol=0)
        joint = torch.stack(
            [tokenizer.log_likelihood(UNIVERSE, code.expand(len(UNIVERSE), -1, -1)) for code in z]
        )
        log_p = (joint + log_p_z[:, None]).logsumexp(0)
        bound = model.log_prob(UNIVERSE)
    torch.testing.assert_close(log_p.exp().sum(), torch.tensor(1.0), rtol=1e-10, atol=0)
    assert (bound < log_p).all()
    assert 0.01 < bound.exp().sum() < 0.99


@pytest.mark.parametrize("prior", ["uniform", "autoregressive", "conditional"])
def test_samples_have_the_probabilities_of_the_sum_over_all_codes(prior):
    tokenizer = small()
    z = all_codes(tokenizer)
    n = 40_000
    model = tokenizer
    log_p_z = torch.full((len(z),), -math.log(len(z)))
    y = torch.ones(n, dtype=torch.int64) if prior == "conditional" else None
    if prior != "uniform":
        model = with_prior(tokenizer, prior == "conditional")
        log_p_z = -model.code_length(z, None if y is None else y[: len(z)]).detach()
    with torch.no_grad():
        joint = torch.stack(
            [tokenizer.log_likelihood(UNIVERSE, code.expand(len(UNIVERSE), -1, -1)) for code in z]
        )
        p = (joint + log_p_z[:, None]).logsumexp(0).exp()
        x = model.sample(Rng(2, range(n)), y).flatten(1).long()
    counts = torch.bincount(x @ torch.tensor([64, 16, 4, 1]), minlength=256).double()
    common = n * p > 10
    chi2 = ((counts - n * p) ** 2 / (n * p))[common].sum()
    degrees = int(common.sum())
    assert degrees > 20
    assert chi2 < degrees + 5 * (2 * degrees) ** 0.5


def test_the_codebook_begins_small_beside_the_encoder_s_vectors():
    net = partial(MLP, width=16, depth=2)
    codebook = VQVAE(SPEC, net, net, ADAM, K=512, grid=(1, 2), d=8).codebook
    assert codebook.std().item() == pytest.approx(0.1, rel=4 / math.sqrt(2 * 512 * 8))


def test_the_mean_of_the_decoder_is_what_decoding_gives():
    model = small()
    rng = Rng(3, range(6))
    z = model.latent.draw(rng)
    assert torch.equal(model.decode(z), model.draw(z, rng, "mean"))
    assert model.encode(UNIVERSE).shape == (256, 1, 2)
    with pytest.raises(ValueError, match="decoder is 'sample' or 'mean', not 'best'"):
        model.draw(z, rng, "best")


@pytest.mark.parametrize("prior", [False, True], ids=["uniform", "autoregressive"])
def test_a_mean_sample_is_the_mean_of_its_codes(prior):
    tokenizer = small()
    model = with_prior(tokenizer) if prior else tokenizer
    z = tokenizer.latent.draw(Rng(3, range(40)))
    if prior:
        z = draw_in_order(model.net, Rng(3, range(40)).split("codes"), None)[:, 0]
    mean = model.sample(Rng(3, range(40)), decoder="mean")
    assert torch.equal(mean, tokenizer.decode(z))
    assert not torch.equal(mean, model.sample(Rng(3, range(40))))


def test_the_prior_is_trained_by_its_code_length_per_dimension_of_the_image():
    model = with_prior(small())
    x = UNIVERSE[:9]
    bits = model.terms(x)["codes"].mean() / (SPEC.dims * math.log(2))
    torch.testing.assert_close(model.loss(x, None, Rng(0, range(9)))["loss"], bits)


def test_perplexity_counts_the_codes_in_use():
    assert perplexity(torch.arange(8).repeat(3), 512).item() == pytest.approx(8)
    assert perplexity(torch.zeros(4, 2, 2, dtype=torch.int64), 512).item() == pytest.approx(1)


def test_codes_that_no_image_reaches_are_counted_as_dead():
    """Three codes lie where the encoder puts images, three where it never does."""
    model = small(K=6)
    with torch.no_grad():
        z_e = model.encoder(model.to_real(UNIVERSE)).movedim(1, -1).flatten(0, 2)
        model.codebook[:3] = z_e[:: len(z_e) // 3][:3]
        model.codebook[3:] = 1e3
    rng = Rng(0, range(len(UNIVERSE)))
    assert (
        model.loss(UNIVERSE, None, rng)["codes_in_use"].item() == 0
    )  # of no batch before this one
    model.recent.write(1)
    losses = model.loss(UNIVERSE, None, rng)
    assert losses["codes_in_use"].item() == 0.5
    assert 1 < losses["perplexity"] <= 3
    assert share_in_use(torch.zeros(4, 2, 2, dtype=torch.int64), 512).item() == 1 / 512
    assert not losses["codes_in_use"].requires_grad


def test_codes_in_use_are_those_of_the_last_4096_training_images():
    model = small(K=6)
    x = UNIVERSE[:1]
    with torch.no_grad():
        model.codebook[:] = 1e3
        model.codebook[2] = 0
    for image, code, share in ((0, 2, 1 / 6), (1, 5, 2 / 6), (4_095, 5, 2 / 6), (4_096, 5, 1 / 6)):
        with torch.no_grad():
            model.codebook[[2, 5]] = 1e3
            model.codebook[code] = 0
        model.loss(x, None, Rng(0, [image]))
        model.recent.write(1)
        in_use = model.loss(x, None, Rng(0, [image + 1]))["codes_in_use"].item()
        model.recent.forget()
        assert in_use == pytest.approx(share)


def test_512_codes_train_and_score():
    model = small(K=512, grid=(2, 2))
    x = UNIVERSE[:32]
    assert torch.isfinite(model.loss(x, None, Rng(0, range(32)))["loss"])
    assert int(model.tokens(UNIVERSE).max()) > 255
    torch.testing.assert_close(
        model.terms(x)["codes"], torch.full((32,), 4 * math.log(512.0)), rtol=1e-12, atol=0
    )
    prior = with_prior(model)
    assert prior.net.levels == 512
    assert prior.sample(Rng(0, range(3))).shape == (3, 1, 2, 2)


def test_the_prior_s_network_drops_features_in_training_alone():
    tokenizer = small()
    net = partial(Transformer, width=8, heads=2, dropout=0.5)
    model = LatentPrior(SPEC, net, ADAM, tokenizer)
    x = UNIVERSE[:16]
    losses = [model.loss(x, None, Rng(seed, range(16)))["loss"] for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(model.log_prob(x, None, Rng(0, range(16))), model.log_prob(x))


def test_the_tokenizer_is_no_part_of_the_prior():
    model = with_prior(small())
    loss = model.loss(UNIVERSE[:16], None, Rng(0, range(16)))["loss"]
    owned = [id(p) for p in model.players()["model"].parameters]
    assert owned == [id(p) for p in model.net.parameters()]
    assert any(g.abs().max() > 0 for g in torch.autograd.grad(loss, list(model.net.parameters())))
    assert {name.partition(".")[0] for name in model.state_dict()} == {"net"}


def test_the_tokenizer_of_a_recipe_is_frozen():
    _, model = build(load_config("digits/vqvae-prior"))
    assert not model.tokenizer.training
    assert not any(p.requires_grad for p in model.tokenizer.parameters())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "needs.tokenizer=digits/vae",
            r"needs\.tokenizer is a VAE, without codes and tokens and draw; "
            r"LatentPrior learns from a tokenizer that Tokenizes "
            r"\(codes, tokens, log_likelihood, draw\), such as VQVAE",
        ),
        (
            "needs=null",
            r"needs\.tokenizer is missing: LatentPrior learns from a finished run, whose recipe it "
            r"names: a tokenizer that Tokenizes \(codes, tokens, log_likelihood, draw\), such as VQVAE",
        ),
        ("model.tokenizer=5", "unknown key tokenizer"),
    ],
)
def test_what_has_no_codes_is_refused(override, says):
    with pytest.raises(InputError, match=says):
        build(load_config("digits/vqvae-prior", [override]))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"K": 1}, "K is 2 to 65,536, not 1"),
        ({"K": 65_537}, "K is 2 to 65,536, not 65537"),
        ({"grid": (0, 2)}, "grid and d are at least 1"),
        ({"beta": -0.1}, "beta is at least 0"),
    ],
)
def test_wrong_arguments_have_one_line(wrong, says):
    with pytest.raises(ValueError, match=says):
        small(**wrong)
