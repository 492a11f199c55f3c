"""Flows, RealNVP and NICE: inverse, Jacobian, the density as a density, and the bound as a bound."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from zuko.transforms import AdditiveTransform, CouplingTransform, MonotonicAffineTransform

from genbench.formulas.pixels import bits_per_dim
from genbench.formulas.priors import Logistic
from genbench.models.flow.flow import Flow
from genbench.nets.bijections.coupling import (
    AdditiveCoupling,
    AffineCoupling,
    Logit,
    Scaling,
    Squeeze,
    channel_mask,
    checkerboard_mask,
    parity_mask,
)
from genbench.nets.bijections.nice import NICE
from genbench.nets.bijections.realnvp import RealNVP
from genbench.nets.mlp import MLP
from genbench.nets.resnet import ResNet
from genbench.rng import Rng
from genbench.spec import Labels, Spec

SMALL = partial(ResNet, width=8, blocks=1)
KINDS = {
    "points": (Spec((1, 1, 2), 256), partial(MLP, width=16), 1),
    "digits": (Spec((1, 8, 8), 17), SMALL, 3),
    "odd": (Spec((2, 5, 3), 4), SMALL, 1),
    "colour": (Spec((3, 32, 32), 256), partial(ResNet, width=4, blocks=1), 3),
}
LEVELS = 16
# how far the logit transform reaches beyond the unit cube
MARGIN = 0.05 / 0.9


def flow(spec, net, scales, couplings=3, std=0.2, **options):
    """A flow whose weights are all random: nothing is the identity."""
    bijection = partial(RealNVP, net=net, scales=scales, couplings=couplings)
    return random_weights(Flow(spec, bijection, torch.optim.Adam, **options), std)


def nice(spec, couplings=4, std=0.3, prior="logistic", **options):
    """NICE with random weights."""
    bijection = partial(NICE, net=partial(MLP, width=16), couplings=couplings)
    return random_weights(Flow(spec, bijection, torch.optim.Adam, prior, **options), std)


def random_weights(model, std):
    draw = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std, generator=draw)
    return model.requires_grad_(False)


def points(levels=LEVELS, labels=None):
    spec, conditional = Spec((1, 1, 2), levels, labels and Labels(labels)), labels is not None
    return flow(spec, partial(MLP, width=16), 1, std=0.35, conditional=conditional)


def axis(levels=LEVELS, nodes=16):
    """Gauss-Legendre nodes and weights per cell, on its part inside (0, 1): (levels, nodes) each."""
    t, w = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(nodes))
    return (torch.arange(levels)[:, None] + 0.5 + t / 2) / levels, (w / (2 * levels)).expand(
        levels, nodes
    )


def margins(nodes=32):
    """Nodes and weights on the two ends that the logit transform reaches beyond (0, 1): (2, nodes) each."""
    t, w = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(nodes))
    below = -MARGIN / 2 + MARGIN / 2 * t
    return torch.stack((below, 1 - below)), (w * MARGIN / 2).expand(2, nodes)


def log_density(model, a, b, y=None):
    """log f, or log f(. | y), on the product grid: (len(a), len(b))."""
    v = torch.stack(torch.meshgrid(a, b, indexing="ij"), dim=-1).reshape(-1, 1, 1, 2)
    return model.log_density(v, None if y is None else torch.full((len(v),), y)).reshape(
        len(a), len(b)
    )


def cells(model, levels=LEVELS, y=None):
    """P(x), or P(x | y), for every x, (levels, levels): the mass that `floor` and `clamp` send to x."""
    (a, w), (outer, outer_w) = axis(levels), margins()
    nodes, weights = (
        torch.cat((outer[0], a.flatten(), outer[1])),
        torch.cat((outer_w[0], w.flatten(), outer_w[1])),
    )
    mass = log_density(model, nodes, nodes, y).exp() * weights[:, None] * weights
    owner = (nodes * levels).floor().clamp(0, levels - 1).long()
    table = torch.zeros(levels, len(nodes)).index_add_(0, owner, mass)
    return torch.zeros(levels, levels).index_add_(1, owner, table)


def inner_cells(model):
    """Mean of f and of log f over the part of every cell inside the unit square: (levels, levels) each."""
    a, w = axis()
    log_f = log_density(model, a.flatten(), a.flatten()).reshape(
        LEVELS, a.shape[1], LEVELS, a.shape[1]
    )
    p = w[0] / w[0].sum()
    return torch.einsum("iajb,a,b->ij", log_f.exp(), p, p), torch.einsum(
        "iajb,a,b->ij", log_f, p, p
    )


def universe():
    i = torch.arange(LEVELS, dtype=torch.uint8)
    return torch.cartesian_prod(i, i)[:, None, None, :]


# --- bijections -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_inverse(kind, double):
    spec, _, _ = KINDS[kind]
    model = flow(*KINDS[kind])
    v = Rng(0, range(3), torch.float64).uniform(spec.shape)
    z, _ = model(v)
    assert z.shape == (3, spec.dims)
    assert (z - Logit(0.05)(v)[0].flatten(1)).abs().mean() > 0.05
    torch.testing.assert_close(model.inverse(z), v, rtol=0, atol=1e-10)
    z = Rng(1, range(3), torch.float64).normal((spec.dims,))
    torch.testing.assert_close(model(model.inverse(z))[0], z, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["points", "digits", "odd"])
def test_log_det_is_that_of_the_jacobian(kind, double):
    spec, _, _ = KINDS[kind]
    model = flow(*KINDS[kind])
    v = Rng(0, range(2), torch.float64).uniform(spec.shape)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0][0]))(v).reshape(
        2, spec.dims, spec.dims
    )
    torch.testing.assert_close(
        model(v)[1], torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-12, atol=1e-10
    )


@pytest.mark.parametrize(
    "mask",
    [checkerboard_mask((2, 4, 4), 1), channel_mask((2, 4, 4), 0)],
    ids=["checkerboard", "channel"],
)
def test_coupling_is_zukos(mask, double):
    torch.manual_seed(0)
    coupling = AffineCoupling(mask, SMALL((2, 4, 4), (4, 4, 4))).requires_grad_(False)
    nn.init.normal_(coupling.net.last[-1].weight)
    coupling.bound.copy_(torch.tensor([0.7, 1.3])[:, None, None])

    def meta(constant):
        x = torch.zeros(constant.shape[0], 2, 4, 4)
        x[:, mask] = constant
        raw, t = coupling.net(x).tensor_split(2, dim=1)
        s = coupling.bound * raw.tanh()
        # zuko bounds its log-scale a as a / (1 + |a| / 10) for this slope; this is the a that gives s
        return MonotonicAffineTransform(
            t[:, ~mask], (s / (1 - s.abs() / 10))[:, ~mask], slope=math.exp(-10)
        )

    x = torch.randn(5, 2, 4, 4)
    y, log_det = coupling(x)
    oracle = CouplingTransform(meta, mask.flatten())
    y_oracle, log_det_oracle = oracle.call_and_ladj(x.flatten(1))
    torch.testing.assert_close(y.flatten(1), y_oracle, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_det, log_det_oracle.sum(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        coupling.inverse(y_oracle.reshape(x.shape)), x, rtol=1e-10, atol=1e-10
    )
    assert torch.equal(y[:, mask], x[:, mask]) and log_det.abs().min() > 0.1


def test_masks_halve_and_alternate():
    for make, shape in (
        (checkerboard_mask, (2, 4, 6)),
        (channel_mask, (4, 3, 3)),
        (checkerboard_mask, (1, 1, 2)),
    ):
        even, odd = make(shape, 0), make(shape, 1)
        assert torch.equal(even, ~odd) and even.sum() * 2 == even.numel() and even.shape == shape
    board = checkerboard_mask((1, 4, 4), 0)
    assert (board[:, 1:] != board[:, :-1]).all() and (board[:, :, 1:] != board[:, :, :-1]).all()


def test_every_pair_of_couplings_transforms_all_entries():
    masks = [
        f.mask
        for f in flow(*KINDS["digits"], couplings=2).modules()
        if isinstance(f, AffineCoupling)
    ]
    assert [tuple(b.shape) for b in masks[::2]] == [
        (1, 8, 8),
        (4, 4, 4),
        (2, 4, 4),
        (8, 2, 2),
        (4, 2, 2),
    ]
    assert all(torch.equal(a, 1 - b) for a, b in zip(masks[::2], masks[1::2], strict=True))


def test_squeeze_is_a_permutation_that_keeps_squares_together():
    x = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    y, log_det = Squeeze()(x.double())
    assert y.shape == (2, 12, 2, 3) and not log_det.any()
    assert torch.equal(y[0].flatten().sort().values, x[0].flatten().double())
    assert torch.equal(Squeeze().inverse(y), x.double())
    # pixel (1, 2) is the square of rows 2, 3 and columns 4, 5; its channels are (row, column, colour)
    assert torch.equal(y[1, :, 1, 2].reshape(2, 2, 3), x[1, :, 2:, 4:].permute(1, 2, 0).double())


def test_every_entry_is_transformed_and_mixed_with_others(double):
    """With two couplings per group, the Jacobian has no entry that only itself decides."""
    model = flow(*KINDS["digits"], couplings=2)
    v = Rng(0, range(1), torch.float64).uniform((1, 8, 8))
    jacobian = torch.autograd.functional.jacobian(lambda one: model(one)[0][0], v).reshape(64, 64)
    assert ((jacobian.abs() > 1e-12).sum(1) > 8).all() and (
        (jacobian.abs() > 1e-12).sum(0) > 8
    ).all()


# --- NICE -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 8, 8), (2, 5, 3)])
def test_nice_inverse_and_log_det(shape, double):
    model = nice(Spec(shape, 17))
    v = Rng(0, range(2), torch.float64).uniform(shape)
    z, log_det = model(v)
    D = math.prod(shape)
    assert z.shape == (2, D) and (z - v.flatten(1)).abs().mean() > 0.05
    torch.testing.assert_close(model.inverse(z), v, rtol=0, atol=1e-10)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0][0]))(v)
    expected = torch.linalg.slogdet(jacobian.reshape(2, D, D)).logabsdet
    torch.testing.assert_close(log_det, expected, rtol=1e-12, atol=1e-10)
    (scaling,) = [f for f in model.modules() if isinstance(f, Scaling)]
    scales = math.log(2 * math.pi) + scaling.log_scale
    torch.testing.assert_close(log_det, scales.sum().expand(2))


def test_additive_coupling_is_zukos(double):
    torch.manual_seed(0)
    mask = parity_mask((1, 2, 3), 1)
    coupling = AdditiveCoupling(mask, MLP((1, 2, 3), (1, 2, 3), width=8)).requires_grad_(False)

    def meta(constant):
        x = torch.zeros(len(constant), 1, 2, 3)
        x[:, mask] = constant
        return AdditiveTransform(coupling.net(x)[:, ~mask])

    x = torch.randn(5, 1, 2, 3)
    y, log_det = coupling(x)
    expected, zero = CouplingTransform(meta, mask.flatten()).call_and_ladj(x.flatten(1))
    torch.testing.assert_close(y.flatten(1), expected, rtol=1e-12, atol=1e-12)
    assert not log_det.any() and not zero.any() and not torch.equal(y, x)
    assert mask.flatten().tolist() == [True, False] * 3
    assert torch.equal(parity_mask((1, 2, 3), 0), ~mask)


def test_three_couplings_of_nice_mix_every_entry_with_every_other(double):
    model = nice(Spec((1, 2, 3), 17), couplings=3)
    v = Rng(0, range(1), torch.float64).uniform((1, 2, 3))
    jacobian = torch.autograd.functional.jacobian(lambda one: model(one)[0][0], v)
    assert (jacobian.reshape(6, 6).abs() > 1e-9).all()


def test_the_logistic_prior_is_scipys_and_its_noise_is_normal(double):
    eps = torch.linspace(-12, 12, 49)
    z = Logistic().from_normal(eps)
    torch.testing.assert_close(Logistic().to_normal(z), eps, rtol=1e-9, atol=1e-9)
    quantiles = torch.from_numpy(stats.norm.cdf(eps.numpy()))
    torch.testing.assert_close(
        torch.from_numpy(stats.logistic.cdf(z.numpy())), quantiles, rtol=1e-9, atol=0
    )
    v = Rng(0, range(5), torch.float64).uniform((1, 1, 2))
    model = nice(Spec((1, 1, 2), 17))
    latents, log_det = model(v)
    expected = torch.from_numpy(stats.logistic.logpdf(latents.numpy())).sum(1) + log_det
    torch.testing.assert_close(model.log_density(v), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("prior", ["normal", "logistic"])
def test_samples_of_nice_have_the_probabilities_of_their_cells(prior, double):
    """Inner cells; the outer ones hold what lies beyond the unit cube."""
    model = nice(Spec((1, 1, 2), LEVELS), prior=prior, std=0.2)
    *couplings, scaling, _ = model.bijection.chain.bijections
    for coupling in couplings:
        coupling.net.last.bias.zero_()
    scaling.log_scale.fill_(1.5 - math.log(2 * math.pi))
    n = 50_000
    x = model.sample(Rng(1, range(n), torch.float64)).long().flatten(1)
    counts = torch.bincount(x[:, 0] * LEVELS + x[:, 1], minlength=LEVELS**2).double()
    inner = slice(1, -1)
    observed = counts.view(LEVELS, LEVELS)[inner, inner].flatten()
    expected = n / LEVELS**2 * inner_cells(model)[0][inner, inner].flatten()
    assert expected.sum() > n / 20
    deviation = (observed - expected) / expected.sqrt()
    assert (deviation**2).sum() < stats.chi2.isf(1e-4, len(expected))


@pytest.mark.parametrize("prior", ["normal", "logistic"])
def test_nice_decodes_what_it_encodes_and_knows_the_label(prior):
    model = nice(Spec((1, 8, 8), 17, y=Labels(3)), prior=prior, std=0.1, conditional=True)
    x = Rng(0, range(5)).integers(17, (1, 8, 8)).to(torch.uint8)
    y = torch.tensor([0, 1, 2, 1, 0])
    z = model.encode(x, y)
    assert torch.equal(model.decode(z, y), x)
    assert (model.encode(x, (y + 1) % 3) - z).abs().amax(1).min() > 1e-4


# --- the density and the bound --------------------------------------------------------------------------------------------


def test_density_integrates_to_one(double):
    P = cells(points())
    torch.testing.assert_close(P.sum(), torch.tensor(1.0), rtol=0, atol=1e-7)
    assert P.max() > 2 / LEVELS**2


def test_bound_is_below_the_probability_of_every_image(double):
    model = points()
    P, (mean_f, mean_log_f) = cells(model), inner_cells(model)
    bound = mean_log_f - 2 * math.log(LEVELS)
    assert (bound < P.log()).all()
    assert 0.8 < bound.exp().sum() < (mean_f / LEVELS**2).sum() < 1
    inner = slice(1, -1)
    torch.testing.assert_close(
        (mean_f / LEVELS**2)[inner, inner], P[inner, inner], rtol=1e-9, atol=0
    )


def test_one_noise_estimates_the_bound(double):
    model, n, some = points(), 2000, [0, 60, 136, 242]
    log_f = model.log_prob(
        universe()[some].repeat(n, 1, 1, 1), rng=Rng(7, range(4 * n), torch.float64)
    ).reshape(n, 4)
    bound = inner_cells(model)[1].flatten()[some] - 2 * math.log(LEVELS)
    assert ((log_f.mean(0) - bound).abs() < 5 * log_f.std(0) / math.sqrt(n)).all()


def test_many_noises_reach_the_probability(double):
    """Log-mean-exp tends to the density's mean over the cell, the plain mean to its geometric mean."""
    model, x = points(), universe()
    mean_f, mean_log_f = (table.flatten() for table in inner_cells(model))
    gap = (mean_f - mean_log_f.exp()).sum() / LEVELS**2
    total = model.log_prob(x, rng=Rng(0, range(len(x)), torch.float64), K=200).exp().sum()
    assert gap > 0.01
    assert (total - mean_f.sum() / LEVELS**2).abs() < 0.2 * gap


def test_more_noises_are_a_tighter_bound(double):
    model, x = points(), universe().repeat(20, 1, 1, 1)
    means = [
        model.log_prob(x, rng=Rng(0, range(len(x)), torch.float64), K=K).mean() for K in (1, 4, 16)
    ]
    assert means[0] < means[1] < means[2]


def test_terms_add_up(double):
    model = flow(*KINDS["digits"])
    x, rng = model.sample(Rng(1, range(6), torch.float64)), Rng(2, range(6), torch.float64)
    terms = model.terms(x, rng=rng)
    assert set(terms) == {"prior", "jacobian", "cell"}
    torch.testing.assert_close(
        -sum(terms.values()), model.log_prob(x, rng=rng), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(terms["cell"], torch.full((6,), 64 * math.log(17)))
    loss = model.loss(x, None, rng)
    torch.testing.assert_close(
        loss["loss"], bits_per_dim(model.log_prob(x, rng=rng), 64).mean(), rtol=1e-12, atol=1e-12
    )


# --- p(x | y) -------------------------------------------------------------------------------------------------------------


def test_conditional_density_integrates_to_one_for_every_label(double):
    tables = [cells(points(labels=3), y=y) for y in range(3)]
    for P, other in zip(tables, tables[1:] + tables[:1]):
        torch.testing.assert_close(P.sum(), torch.tensor(1.0), rtol=0, atol=1e-6)
        assert (P - other).abs().sum() > 0.05


def test_conditional_samples_have_the_probabilities_of_their_cells(double):
    """Mixed labels in one batch; each row is the one of its label alone."""
    model, n = points(labels=2), 40_000
    y, rng = torch.arange(n) % 2, Rng(1, range(n), torch.float64)
    x = model.sample(rng[:], y)
    assert torch.equal(model.sample(rng[:][:8], y[:8])[1::2], model.sample(rng[:][1:8:2], y[1:8:2]))
    for label in range(2):
        code = x[y == label].long().flatten(1) @ torch.tensor([LEVELS, 1])
        counts, expected = (
            torch.bincount(code, minlength=LEVELS**2).double(),
            n / 2 * cells(model, y=label).flatten(),
        )
        rare = expected < 5
        counts, expected = (torch.cat((a[~rare], a[rare].sum()[None])) for a in (counts, expected))
        assert len(counts) > 30
        assert (
            stats.chisquare(counts.numpy(), (expected * n / 2 / expected.sum()).numpy()).pvalue
            > 1e-3
        )


@pytest.mark.parametrize("kind", ["points", "digits"])
def test_conditional_inverse_and_the_label_in_every_coupling(kind, double):
    spec, net, scales = KINDS[kind]
    model = flow(Spec(spec.shape, spec.levels, y=Labels(4)), net, scales, conditional=True)
    x, y = (
        Rng(0, range(4)).integers(spec.levels, spec.shape).to(torch.uint8),
        torch.tensor([3, 0, 0, 2]),
    )
    z = model.encode(x, y)
    assert torch.equal(model.decode(z, y), x)
    torch.testing.assert_close(model(model.inverse(z, y), y)[0], z, rtol=0, atol=1e-10)
    couplings = [f for f in model.modules() if isinstance(f, AffineCoupling)]
    assert couplings
    for coupling in couplings:
        image = Rng(0, range(4), torch.float64).normal(coupling.mask.shape)
        before, after = (coupling(image, model.condition(labels))[0] for labels in (y, (y + 1) % 4))
        free = coupling.mask.expand_as(image) == 0
        assert ((before - after)[free].abs() > 1e-6).all() and not (before - after)[~free].any()


# --- samples --------------------------------------------------------------------------------------------------------------


def test_samples_have_the_probabilities_of_their_cells(double):
    model, n = points(), 50_000
    x = model.sample(Rng(1, range(n), torch.float64)).long()
    counts = torch.bincount(x[:, 0, 0, 0] * LEVELS + x[:, 0, 0, 1], minlength=LEVELS**2).double()
    expected = n * cells(model).flatten()
    rare = expected < 5
    counts, expected = (torch.cat((a[~rare], a[rare].sum()[None])) for a in (counts, expected))
    assert len(counts) > 30
    assert stats.chisquare(counts.numpy(), (expected * n / expected.sum()).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["points", "digits"])
def test_an_image_does_not_depend_on_its_batch(kind):
    model = flow(*KINDS[kind])
    x = model.sample(Rng(5, range(40)))
    assert (
        x.dtype == torch.uint8
        and x.shape == (40, *model.spec.shape)
        and int(x.max()) < model.spec.levels
    )
    parts = [range(1), range(1, 8), range(8, 40)]
    assert (torch.cat([model.sample(Rng(5, p)) for p in parts]) != x).double().mean() < 1e-3
    for K in (1, 3):
        whole = model.log_prob(x, rng=Rng(6, range(40)), K=K)
        torch.testing.assert_close(
            torch.cat([model.log_prob(x[p], rng=Rng(6, p), K=K) for p in parts]), whole
        )


@pytest.mark.parametrize("kind", KINDS)
def test_decode_undoes_encode(kind):
    model = flow(*KINDS[kind])
    x = Rng(0, range(5)).integers(model.spec.levels, model.spec.shape).to(torch.uint8)
    assert torch.equal(model.decode(model.encode(x)), x)


def test_the_brightest_cell_is_finite_in_float32():
    """(255 + u) / 256 rounds to 1 for u near 1."""
    model = flow(*KINDS["points"])
    assert (
        model.log_density(torch.ones(1, 1, 1, 2)).isfinite()
        and model.log_density(torch.zeros(1, 1, 1, 2)).isfinite()
    )


def test_log_prob_without_a_stream_is_a_function():
    model = flow(*KINDS["digits"])
    x = model.sample(Rng(0, range(4)))
    assert torch.equal(model.log_prob(x), model.log_prob(x))


# --- training and arguments -----------------------------------------------------------------------------------------------


def test_training_learns_a_table(double):
    """Two clusters of four cells, entropy log 8: the flow gets within 0.5 nats, and its samples fall where the data is."""
    torch.manual_seed(0)
    bijection = partial(RealNVP, net=partial(MLP, width=32), scales=1, couplings=6)
    model = Flow(Spec((1, 1, 2), LEVELS), bijection, partial(torch.optim.Adam, lr=5e-3))
    corner = torch.tensor([[2, 3], [11, 12]])
    x = (
        torch.stack([torch.cartesian_prod(c, c) for c in corner])
        .reshape(8, 1, 1, 2)
        .to(torch.uint8)
    )
    optimizer = model.optimizer(list(model.parameters()))
    for step in range(200):
        rng = Rng(0, range(128 * step, 128 * (step + 1)), torch.float64)
        optimizer.zero_grad()
        model.loss(x.repeat(16, 1, 1, 1), None, rng)["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        bound = model.log_prob(x.repeat(50, 1, 1, 1), rng=Rng(1, range(400), torch.float64)).mean()
        assert -math.log(8) - 0.5 < bound < -math.log(8)
        drawn = model.sample(Rng(2, range(1000), torch.float64))
    assert (drawn[:, None] == x).flatten(2).all(2).any(1).double().mean() > 0.7


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 8, 8), {"scales": 0}, "at most 3 scales"),
        ((1, 8, 8), {"scales": 4}, "at most 3 scales"),
        ((1, 28, 28), {"scales": 4}, "at most 3 scales"),
        ((1, 1, 2), {"scales": 2}, "at most 1 scales"),
        ((1, 1, 1), {"scales": 1}, "at most 0 scales"),
        ((1, 8, 8), {"couplings": 1}, "couplings is at least 2"),
        ((1, 8, 8), {"alpha": 0.0}, "alpha"),
        ((1, 8, 8), {"alpha": 0.5}, "alpha"),
    ],
)
def test_wrong_arguments(shape, options, message):
    with pytest.raises(ValueError, match=message) as error:
        RealNVP(shape, 0, SMALL, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: NICE((1, 8, 8), 0, net, couplings=1), "couplings is at least 2"),
        (lambda net: NICE((1, 1, 1), 0, net), "no second entry"),
        (
            lambda net: Flow(
                Spec((1, 1, 2), 4), partial(NICE, net=net), torch.optim.Adam, prior="cauchy"
            ),
            "prior is 'normal' or 'logistic', not 'cauchy'",
        ),
        (
            lambda net: Flow(
                Spec((1, 1, 2), 4),
                partial(NICE, net=net),
                torch.optim.Adam,
                dequantiser_couplings=1,
            ),
            "dequantiser_couplings is at least 2",
        ),
    ],
)
def test_wrong_arguments_of_nice_and_of_flows(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make(partial(MLP, width=4))
    assert "\n" not in str(error.value)


def test_wrong_number_of_noises():
    model = flow(*KINDS["points"])
    with pytest.raises(ValueError, match="K is at least 1"):
        model.log_prob(torch.zeros(1, 1, 1, 2, dtype=torch.uint8), K=0)


# --- the network ----------------------------------------------------------------------------------------------------------


def test_resnet(double):
    torch.manual_seed(0)
    net = ResNet((3, 5, 4), (6, 5, 4), cond=2, width=12, blocks=2)
    x, cond = torch.randn(4, 3, 5, 4), torch.randn(4, 2)
    assert net(x, cond).shape == (4, 6, 5, 4) and not net(x, cond).any()
    nn.init.normal_(net.last[-1].weight)
    y = net(x, cond)
    torch.testing.assert_close(net(x[1:2], cond[1:2]), y[1:2], rtol=1e-12, atol=1e-12)
    assert (net(x, cond + 1) - y).abs().mean() > 1e-3


@pytest.mark.parametrize(
    "arguments",
    [{"outputs": (2, 4, 4)}, {"inputs": (10,)}, {"width": 0}, {"blocks": -1}],
    ids=lambda arguments: str(arguments),
)
def test_resnet_wrong_arguments(arguments):
    with pytest.raises(ValueError, match="ResNet"):
        ResNet(**{"inputs": (1, 8, 8), "outputs": (2, 8, 8), **arguments})
