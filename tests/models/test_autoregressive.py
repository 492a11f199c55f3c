from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.stats import chisquare
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from genbench.models.autoregressive.autoregressive import Autoregressive
from genbench.nets.autoregressive import AutoregressiveNet
from genbench.nets.fvbn import FVBN
from genbench.nets.made import MADE
from genbench.nets.mlp import MLP
from genbench.nets.nade import NADE
from genbench.nets.pixelcnn import GatedPixelCNN
from genbench.nets.transformer import Transformer
from genbench.rng import Rng
from genbench.spec import Labels, Spec

UNIVERSES = [((1, 1, 2), 16), ((1, 2, 2), 3), ((2, 1, 2), 3), ((1, 2, 1), 5), ((3, 1, 1), 4)]
MAKERS = {
    "pixelcnn": lambda i, o, c: GatedPixelCNN(i, o, c, width=6, layers=3),
    "made": lambda i, o, c: MADE(i, o, c, width=12, depth=2),
    "made without hidden layers": lambda i, o, c: MADE(i, o, c, depth=0),
    "fvbn": FVBN,
    "nade": lambda i, o, c: NADE(i, o, c, width=12),
    "transformer": lambda i, o, c: Transformer(i, o, c, width=16, depth=2, heads=2),
}
INCREMENTAL = ("fvbn", "nade")


def adam(parameters):
    return torch.optim.Adam(parameters, lr=3e-3)


def randomise(net, scale=0.5):
    """Weights far from zero, so that a dependency that exists can be seen, and one that must not would be."""
    generator = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        parameter.data = scale * torch.randn(
            parameter.shape, generator=generator, dtype=parameter.dtype
        )
    return net


def random_model(kind, shape, levels, labels=None):
    model = Autoregressive(
        Spec(shape, levels, labels and Labels(labels)),
        MAKERS[kind],
        adam,
        conditional=labels is not None,
    )
    randomise(model.net)
    return model


def universe(shape, levels):
    return torch.tensor(
        list(itertools.product(range(levels), repeat=math.prod(shape))), dtype=torch.uint8
    ).view(-1, *shape)


def in_order(x):
    """(..., C, H, W) -> (..., D) by position."""
    return x.movedim(-3, -1).flatten(-3)


def strictly_later(dims):
    """Entry (i, j): whether the logits of position i depend on pixel j."""
    return torch.ones(dims, dims).tril(-1).bool()


@pytest.mark.parametrize(
    ("shape", "layers", "kernel", "cond"),
    [
        ((1, 6, 6), 6, 3, 0),
        ((1, 4, 7), 4, 5, 0),
        ((1, 7, 3), 7, 3, 0),
        ((3, 4, 5), 5, 3, 0),
        ((2, 5, 3), 3, 5, 2),
        ((1, 1, 5), 5, 3, 0),
    ],
)
def test_pixelcnn_depends_on_all_earlier_positions_and_no_others(
    double, shape, layers, kernel, cond
):
    net = randomise(GatedPixelCNN(shape, (4, *shape), cond, width=4, layers=layers, kernel=kernel))
    # at several images, since the rectifiers before the last layer may cut a path at one
    x, dims = Rng(0, range(8), torch.float64).uniform(shape) * 3, math.prod(shape)
    vector = torch.full((8, cond), 0.3) if cond else None
    mixture = torch.linspace(-1, 2, 4).view(4, 1, 1, 1)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: in_order((net(x, vector) * mixture).sum((0, 1))), x
    )
    assert torch.equal(in_order(jacobian).abs().sum(1) > 0, strictly_later(dims))


@pytest.mark.parametrize(
    ("shape", "cond"),
    [((1, 1, 2), 0), ((1, 3, 2), 0), ((3, 2, 1), 0), ((2, 2, 2), 3), ((1, 1, 1), 2)],
)
@pytest.mark.parametrize("kind", MAKERS)
def test_changing_a_pixel_changes_the_logits_of_all_later_positions_and_no_others(
    double, kind, shape, cond
):
    # differences in place of a Jacobian, since MADE reads integers
    net, dims, images = randomise(MAKERS[kind](shape, (5, *shape), cond)), math.prod(shape), 8
    x = Rng(0, range(images)).integers(5, shape)
    vector = torch.full((images, cond), 0.3) if cond else None
    before, seen = net(x, vector), []
    for i in range(dims):
        changed = x.clone()
        changed[:, i % shape[0], i // shape[0] // shape[2], i // shape[0] % shape[2]] += 2
        seen.append(in_order((net(changed % 5, vector) - before).abs().sum((0, 1))) > 1e-9)
    assert torch.equal(torch.stack(seen, dim=1), strictly_later(dims))


@pytest.mark.parametrize("kind", MAKERS)
def test_conditioning_vector_reaches_every_position(double, kind):
    shape = (2, 2, 2)
    net = randomise(MAKERS[kind](shape, (3, *shape), 2))
    x, vector = torch.ones(1, *shape), torch.tensor([[0.3, -0.4]])
    jacobian = torch.autograd.functional.jacobian(
        lambda v: in_order(net(x, v)[:, 1]).flatten(), vector
    )
    assert (jacobian != 0).all()


@pytest.mark.parametrize(("shape", "levels"), UNIVERSES)
@pytest.mark.parametrize("kind", MAKERS)
def test_probabilities_of_all_images_add_up_to_one(double, kind, shape, levels):
    log_prob = random_model(kind, shape, levels).log_prob(universe(shape, levels))
    assert log_prob.std() > 0.3
    assert abs(log_prob.exp().sum().item() - 1) < 1e-10


@pytest.mark.parametrize(("shape", "levels"), UNIVERSES)
@pytest.mark.parametrize("kind", MAKERS)
def test_conditional_probabilities_of_all_images_add_up_to_one_for_every_label(
    double, kind, shape, levels
):
    model, x = random_model(kind, shape, levels, labels=3), universe(shape, levels)
    tables = [model.log_prob(x, torch.full((len(x),), y)).exp() for y in range(3)]
    for table, other in zip(tables, tables[1:] + tables[:1]):
        assert abs(table.sum().item() - 1) < 1e-10
        assert (table - other).abs().sum() > 0.1


@pytest.mark.parametrize("kind", MAKERS)
def test_log_prob_is_the_sum_of_the_conditionals_met_while_sampling(double, kind):
    model, met = random_model(kind, (2, 2, 3), 5), []
    rng = Rng(3, range(7), torch.float64)
    x = model.sample(rng)
    values = in_order(x).long()

    def choose(logits, i):
        met.append(logits.log_softmax(1).gather(1, values[:, i, None])[:, 0])
        return values[:, i]

    assert torch.equal(model.net.generate(choose, 7), x.long())
    torch.testing.assert_close(model.log_prob(x), sum(met), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("shape", "levels"), [((1, 1, 2), 6), ((1, 2, 2), 3), ((2, 1, 2), 3)])
@pytest.mark.parametrize("kind", MAKERS)
def test_frequencies_of_samples_are_the_probabilities(double, kind, shape, levels):
    model, n = random_model(kind, shape, levels), 20_000
    probability = model.log_prob(universe(shape, levels)).exp().detach()
    x = model.sample(Rng(0, range(n), torch.float64))
    place = levels ** torch.arange(math.prod(shape) - 1, -1, -1)
    counts = torch.bincount((x.flatten(1).long() * place).sum(1), minlength=len(probability))
    # chi-square needs some expected counts per cell: the rare images are one cell
    often = probability * n >= 10
    observed = torch.cat((counts[often], counts[~often].sum()[None]))
    expected = torch.cat((probability[often], probability[~often].sum()[None])) * n
    kept = expected > 0
    assert often.sum() > 10
    assert chisquare(observed[kept], expected[kept]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("shape", "kernel", "cond"),
    [((1, 4, 6), 3, 0), ((3, 5, 4), 3, 0), ((3, 5, 4), 5, 3), ((2, 1, 3), 7, 0), ((1, 5, 1), 3, 2)],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_cached_generation_equals_the_naive_one(shape, kernel, cond, dtype, tolerance):
    net = GatedPixelCNN(shape, (7, *shape), cond, width=5, layers=3, kernel=kernel).to(dtype)
    vector = Rng(1, range(3), dtype).normal((cond,)) if cond else None
    images, logits = [], []
    for generate in (net.generate, lambda *arguments: AutoregressiveNet.generate(net, *arguments)):
        met, values = [], Rng(0, range(3)).integers(7, (math.prod(shape),))

        def choose(logits, i, met=met, values=values):
            met.append(logits)
            return values[:, i]

        images.append(generate(choose, 3, vector))
        logits.append(torch.stack(met))
    assert torch.equal(*images)
    assert logits[0].std() > 0.03
    torch.testing.assert_close(*logits, rtol=0, atol=tolerance)


@torch.no_grad()
def test_cached_logits_at_full_size_are_those_of_the_whole_image():
    """28x28 in float32: the logits met while sampling are those of one pass over the finished images."""
    net, values, met = GatedPixelCNN((1, 28, 28), (256, 1, 28, 28), width=32, layers=6), None, []
    values = Rng(0, range(4)).integers(256, (784,))

    def choose(logits, i):
        met.append(logits)
        return values[:, i]

    images = net.generate(choose, 4)
    torch.testing.assert_close(
        torch.stack(met, 2), net(images.float(), None).flatten(2), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 5, 4)])
def test_cached_samples_are_the_naive_samples(double, shape, monkeypatch):
    model = random_model("pixelcnn", shape, 9)
    fast = model.sample(Rng(0, range(16), torch.float64))
    monkeypatch.setattr(GatedPixelCNN, "generate", AutoregressiveNet.generate)
    assert torch.equal(fast, model.sample(Rng(0, range(16), torch.float64)))
    assert fast.unique().numel() == 9


@pytest.mark.parametrize("size", [8, 28])
def test_cached_conditional_samples_are_the_naive_ones(double, size, monkeypatch):
    """Rows of mixed labels, each of which equals the one drawn alone."""
    shape, y = (1, size, size), torch.tensor([2, 0, 1])
    model, rng = random_model("pixelcnn", shape, 5, labels=3), Rng(4, range(3), torch.float64)
    fast = model.sample(rng[:], y)
    assert torch.equal(
        fast, torch.cat([model.sample(rng[i : i + 1], y[i : i + 1]) for i in range(3)])
    )
    assert (fast != model.sample(rng[:], (y + 1) % 3)).double().mean() > 0.1
    monkeypatch.setattr(GatedPixelCNN, "generate", AutoregressiveNet.generate)
    assert torch.equal(fast, model.sample(rng[:], y))


@pytest.mark.parametrize("kind", MAKERS)
def test_frequencies_of_conditional_samples_are_the_probabilities(double, kind):
    """Mixed labels in one batch."""
    model, n, x = random_model(kind, (1, 1, 2), 4, labels=2), 20_000, universe((1, 1, 2), 4)
    y = torch.arange(n) % 2
    drawn = model.sample(Rng(0, range(n), torch.float64), y).flatten(1).long() @ torch.tensor(
        [4, 1]
    )
    for label in range(2):
        p = model.log_prob(x, torch.full((16,), label)).exp().detach()
        counts, often = torch.bincount(drawn[y == label], minlength=16), p * n / 2 >= 10
        observed, expected = (
            torch.cat((v[often], v[~often].sum()[None])) for v in (counts, p * n / 2)
        )
        kept = expected > 0
        assert often.sum() > 4
        assert chisquare(observed[kept], expected[kept]).pvalue > 1e-3


@pytest.mark.parametrize("kind", MAKERS)
def test_each_label_gets_its_own_images(kind):
    model, y = (
        Autoregressive(Spec((1, 2, 2), 5, y=Labels(2)), MAKERS[kind], adam, conditional=True),
        torch.arange(64) % 2,
    )
    x = torch.where(y == 0, 1, 3).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).to(torch.uint8)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(x, y, Rng(0, range(64)))["loss"].backward()
        optimizer.step()
    assert (model.sample(Rng(1, range(64)), y) == x).float().mean() > 0.8
    assert (model.log_prob(x, y) > model.log_prob(x, 1 - y) + 1).all()


@pytest.mark.parametrize("kind", MAKERS)
def test_sampling_calls_the_busiest_layer_once_per_position(kind):
    model, calls = random_model(kind, (2, 3, 4), 5), {}
    for name, module in model.named_modules():
        if list(module.parameters(recurse=False)):
            calls[name] = 0
            module.register_forward_hook(
                lambda *_, name=name: calls.update({name: calls[name] + 1})
            )
    model.sample(Rng(0, range(2)))
    assert max(calls.values()) == 24


@pytest.mark.parametrize("kind", MAKERS)
def test_an_image_does_not_depend_on_its_batch(double, kind):
    model, rng = random_model(kind, (2, 3, 3), 6), Rng(5, range(6), torch.float64)
    x = model.sample(rng[:])
    assert x.dtype == torch.uint8 and x.shape == (6, 2, 3, 3) and x.max() < 6
    assert torch.equal(x, torch.cat([model.sample(rng[i : i + 1]) for i in range(6)]))
    alone = torch.cat([model.log_prob(x[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(model.log_prob(x), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("shape", "levels"), [((1, 2, 3), 2), ((2, 2, 1), 4)])
@pytest.mark.parametrize("labels", [None, 3])
def test_made_without_hidden_layers_is_a_fully_visible_belief_network(
    double, shape, levels, labels
):
    """The same weights, those of the first level of each pixel zero, have the same log-probabilities."""
    fvbn = random_model("fvbn", shape, levels, labels)
    made = random_model("made without hidden layers", shape, levels, labels)
    dims = math.prod(shape)
    rows = lambda weight: weight.unflatten(0, (dims, levels))[:, 1:]  # noqa: E731
    of_levels = lambda weight: weight.unflatten(0, (dims, levels - 1))  # noqa: E731
    with torch.no_grad():
        for parameter in made.net.parameters():
            parameter.zero_()
        rows(made.net.last.weight).copy_(of_levels(fvbn.net.earlier.W))
        rows(made.net.last.bias).copy_(of_levels(fvbn.net.b))
        if labels:
            rows(made.net.direct.weight).copy_(of_levels(fvbn.net.of_cond.weight))
    x = universe(shape, levels)
    y = None if labels is None else torch.arange(len(x)) % labels
    torch.testing.assert_close(made.log_prob(x, y), fvbn.log_prob(x, y), rtol=0, atol=1e-12)
    assert fvbn.log_prob(x, y).std() > 0.3


def test_a_fully_visible_belief_network_is_a_chain_of_logistic_regressions(double):
    """log p(x) of binary pixels by sigmoids, one after the other."""
    model = random_model("fvbn", (1, 1, 4), 2)
    x = universe((1, 1, 4), 2)
    v = x.flatten(1).double()
    total = torch.zeros(16)
    for i in range(4):
        p = torch.sigmoid(model.net.b[i] + v[:, :i] @ model.net.earlier.W[i, :i])
        total = total + torch.where(v[:, i] == 1, p, 1 - p).log()
    torch.testing.assert_close(model.log_prob(x), total)


def test_nade_has_the_hidden_units_of_its_equation(double):
    """h_i = sigma(c + sum_{j < i} W_j x_j) of every position by itself."""
    model = random_model("nade", (1, 1, 4), 2)
    net = model.net
    x = universe((1, 1, 4), 2)
    v = x.flatten(1).double()
    total = torch.zeros(16)
    for i in range(4):
        h = torch.sigmoid(net.c + v[:, :i] @ net.W[:i, 0])
        p = torch.sigmoid(net.out.b[i, 0] + h @ net.out.V[i, 0])
        total = total + torch.where(v[:, i] == 1, p, 1 - p).log()
    torch.testing.assert_close(model.log_prob(x), total)


@pytest.mark.parametrize("kind", INCREMENTAL)
def test_logits_have_a_triangular_jacobian(double, kind):
    """By the thermometers of pixels in order, of which the logits are a smooth function."""
    net = randomise(MAKERS[kind]((2, 2, 2), (3, 2, 2, 2), 0))
    smooth = net.regress if kind == "fvbn" else net.estimate
    steps = Rng(0, range(2), torch.float64).uniform((8, 2))
    mixture = torch.linspace(-1, 2, 3)
    jacobian = torch.autograd.functional.jacobian(
        lambda steps: (smooth(steps) * mixture).sum((0, 2)), steps
    )
    assert torch.equal(jacobian.abs().sum((1, 3)) > 0, strictly_later(8))


@pytest.mark.parametrize("kind", INCREMENTAL)
@pytest.mark.parametrize(("shape", "levels", "cond"), [((1, 5, 4), 2, 0), ((3, 2, 3), 5, 3)])
def test_incremental_generation_equals_the_naive_one(double, kind, shape, levels, cond):
    net = randomise(MAKERS[kind](shape, (levels, *shape), cond))
    vector = Rng(1, range(3), torch.float64).normal((cond,)) if cond else None
    values = Rng(0, range(3)).integers(levels, (math.prod(shape),))
    images, logits = [], []
    for generate in (net.generate, lambda *arguments: AutoregressiveNet.generate(net, *arguments)):
        met = []

        def choose(logits, i, met=met):
            met.append(logits)
            return values[:, i]

        images.append(generate(choose, 3, vector))
        logits.append(torch.stack(met))
    assert torch.equal(*images)
    torch.testing.assert_close(*logits, rtol=0, atol=1e-12)


def storage(value):
    return value.untyped_storage().data_ptr() if isinstance(value, torch.Tensor) else None


class Entries(TorchDispatchMode):
    """Counts the entries of all results, views apart."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and storage(result) not in map(storage, args):
            self.number += result.numel()
        return result


def test_an_image_of_nade_is_drawn_in_time_linear_in_its_pixels():
    """And the one of a fully visible belief network in quadratic time, where the naive ways take D times as long."""
    cost = {}
    for kind in INCREMENTAL:
        for dims in (50, 100):
            net = MAKERS[kind]((1, 1, dims), (2, 1, 1, dims), 0)
            with Entries() as entries:
                net.generate(lambda logits, i: torch.zeros(4, dtype=torch.int64), 4)
            cost[kind, dims] = entries.number
    assert cost["nade", 100] < 2.1 * cost["nade", 50]
    assert cost["fvbn", 100] < 4.2 * cost["fvbn", 50]


def test_impossible_levels_are_never_drawn(double):
    model = random_model("made", (1, 1, 3), 4)
    model.net.last.bias.data.view(3, 4)[:, [0, 2]] = -torch.inf
    assert model.sample(Rng(0, range(500), torch.float64)).unique().tolist() == [1, 3]


@pytest.mark.parametrize("kind", MAKERS)
def test_training_beats_the_uniform_distribution(kind):
    spec = Spec((1, 4, 4), levels=5)
    model = Autoregressive(spec, MAKERS[kind], adam)
    # rows of one grey level each: a vertical gradient with a random start
    start, rng = Rng(0, range(64)).integers(5), Rng(0, range(64))
    x = (
        ((start[:, None] + torch.arange(4)) % 5)[:, None, :, None]
        .expand(-1, 1, 4, 4)
        .to(torch.uint8)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(x, None, rng)["loss"].backward()
        optimizer.step()
    # the loss is in bits per dimension: log2(5) where nothing is known, log2(5) / 16 where all is
    assert math.log2(5) / 16 - 0.02 < model.loss(x, None, rng)["loss"] < 0.5 * math.log2(5)
    model.double()
    bits = -model.log_prob(x).mean().item() / (16 * math.log(2))
    assert model.loss(x, None, rng)["loss"].item() == pytest.approx(bits, rel=1e-12)


def test_labels_and_streams_leave_the_likelihood_alone():
    model, x = random_model("pixelcnn", (1, 2, 2), 3), universe((1, 2, 2), 3)[:9]
    assert model.likelihood == "exact"
    assert torch.equal(
        model.log_prob(x), model.log_prob(x, torch.zeros(9, dtype=torch.int64), Rng(8, range(9)))
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GatedPixelCNN((1, 2, 2), (3, 1, 2, 2), kernel=4), "kernel is odd"),
        (lambda: GatedPixelCNN((1, 2, 2), (3, 1, 2, 2), layers=0), "layers are at least 1"),
        (lambda: GatedPixelCNN((1, 2, 2), (1, 2, 2)), "outputs"),
        (lambda: MADE((1, 2, 2), (3, 1, 2, 2), depth=-1), "depth at least 0, not 256 and -1"),
        (lambda: NADE((1, 2, 2), (3, 1, 2, 2), width=0), "width is at least 1, not 0"),
        (lambda: MADE((4,), (3, 4)), r"\(C, H, W\)"),
        (lambda: Autoregressive(Spec((1, 2, 2), 3), MLP, adam), "not MLP"),
    ],
)
def test_wrong_arguments_raise_one_clear_line(make, message):
    with pytest.raises(ValueError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_networks_have_no_state_but_their_parameters():
    for make in MAKERS.values():
        net = make((2, 2, 2), (3, 2, 2, 2), 0)
        assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
        assert not any(
            isinstance(module, (nn.Dropout, nn.modules.batchnorm._BatchNorm))
            for module in net.modules()
        )


def test_units_of_made_see_those_of_their_own_number(double):
    """Equation 12 has >=: a unit that knows the first m pixels reads every unit that knows no more, its own kind too."""
    net = MADE((1, 1, 4), (3, 1, 1, 4), width=6, depth=3)
    m = torch.tensor([1, 2, 3, 1, 2, 3])
    for layer in net.hidden:
        assert torch.equal(layer.mask, (m[:, None] >= m).double())
    # of two pixels every unit knows the first one, and the second hidden layer is of use
    net = MADE((1, 1, 2), (3, 1, 1, 2), width=5, depth=2)
    (gradient,) = torch.autograd.grad(
        net(torch.ones(1, 1, 1, 2))[0, :, 0, 0, 1].square().sum(), net.hidden[0].weight
    )
    assert (gradient != 0).all()


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (2, 3), (2, 5)])
def test_a_pixelcnn_reaches_one_row_more_than_columns(double, layers, kernel):
    reach, size = layers * (kernel // 2), 13
    net = GatedPixelCNN((1, size, size), (4, 1, size, size), width=4, layers=layers, kernel=kernel)
    x = (
        torch.randint(0, 4, (1, 1, size, size), generator=torch.Generator().manual_seed(0))
        .double()
        .requires_grad_()
    )
    (gradient,) = torch.autograd.grad(net(x)[0, :, 0, size - 2, size // 2].square().sum(), x)
    rows, columns = (gradient[0, 0] != 0).nonzero().unbind(1)
    assert size - 2 - int(rows.min()) == reach + 1
    assert size // 2 - int(columns.min()) == int(columns.max()) - size // 2 == reach
    assert int(rows.max()) == size - 2
