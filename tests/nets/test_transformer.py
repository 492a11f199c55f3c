"""The transformer: cached sampling, and dropout that comes from the streams of the images."""

from __future__ import annotations

import math

import pytest
import torch

from genbench.models.autoregressive.autoregressive import Autoregressive
from genbench.nets.autoregressive import AutoregressiveNet
from genbench.nets.dropout import dropout
from genbench.nets.transformer import Transformer
from genbench.rng import Rng
from genbench.spec import Spec


def transformer(length=256, p=0.0):
    torch.manual_seed(0)
    return Transformer((1, 1, length), (5, 1, 1, length), width=16, depth=2, heads=2, dropout=p)


def positions(net, generate):
    """Rows that the perceptrons of a network compute while images are drawn, per image and block."""
    rows = []
    hooks = [
        block.up.register_forward_hook(lambda _, args, out: rows.append(args[0].shape[1]))
        for block in net.blocks
    ]
    generate(net, lambda logits, i: logits.argmax(1), 2)
    for hook in hooks:
        hook.remove()
    return sum(rows) // len(net.blocks)


def test_cached_sampling_computes_every_position_once():
    net = transformer()
    assert positions(net, Transformer.generate) == 256
    assert positions(transformer(32), AutoregressiveNet.generate) == 32**2


def test_cached_logits_are_those_of_the_whole_network():
    net = transformer(64).double()
    seen = []

    def choose(logits, i):
        seen.append(logits)
        return (logits[:, 0] > logits[:, 1]).long() + i % 3

    x = net.generate(choose, 3)
    assert torch.allclose(torch.stack(seen, -1)[:, :, None, None], net(x), atol=1e-12)


def test_dropout_is_a_function_of_the_streams():
    net = transformer(8, p=0.5)
    x = Rng(0, range(6)).integers(5, (1, 1, 8))
    rng = lambda index: Rng(3, index).split("net")  # noqa: E731
    whole = net(x, None, rng(range(6)))
    state = torch.random.get_rng_state()
    assert torch.equal(whole, net(x, None, rng(range(6))))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.allclose(whole[2:4], net(x[2:4], None, rng(range(2, 4))), atol=1e-6)
    assert not torch.allclose(whole, net(x, None, rng(range(6, 12))), atol=1e-3)
    assert not torch.allclose(whole, net(x), atol=1e-3)


@pytest.mark.parametrize("place", ["entry", "attention", "perceptron"])
def test_features_are_dropped_where_they_enter_and_where_they_are_added(place):
    """Ones come from one place and zeros from the others: what is left of them is 0 or 1 / (1 - p)."""
    net = transformer(64, p=0.9)
    block = net.blocks[1]
    ones = {"entry": net.position, "attention": block.out.bias, "perceptron": block.down.bias}
    with torch.no_grad():
        net.embedding.weight.zero_()
        net.position.zero_()
        for each in net.blocks:
            for last in (each.out, each.down):
                last.weight.zero_()
                last.bias.zero_()
        ones[place].fill_(1)
    features = []
    net.norm.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    net(torch.zeros(50, 1, 1, 64), None, Rng(0, range(50)))
    kept = 26 / 256
    assert features[0].unique().tolist() == pytest.approx([0, 1 / kept])
    share = (features[0] > 0).double().mean().item()
    assert abs(share - kept) < 4 * math.sqrt(kept * (1 - kept) / features[0].numel())


def test_what_blocks_add_begins_smaller_in_a_deeper_network():
    """GPT-2: standard deviations of 0.02 / sqrt(2 depth), and of 0.02 for embeddings."""
    net = Transformer((1, 1, 64), (60, 1, 1, 64), width=64, depth=8, heads=2)
    expected = [(net.embedding.weight, 0.02), (net.position, 0.02)]
    for block in net.blocks:
        expected += [(block.out.weight, 0.005), (block.down.weight, 0.005)]
    for weight, deviation in expected:
        error = deviation / math.sqrt(2 * weight.numel())
        assert abs(weight.std().item() - deviation) < 4 * error


def test_dropout_is_absent_from_the_likelihood_and_present_in_the_loss():
    spec = Spec((1, 1, 8), 5)
    adam = lambda parameters: torch.optim.Adam(parameters)  # noqa: E731
    net = lambda p: lambda i, o, c: Transformer(i, o, c, width=8, depth=1, heads=2, dropout=p)  # noqa: E731
    torch.manual_seed(0)
    noisy = Autoregressive(spec, net(0.5), adam)
    plain = Autoregressive(spec, net(0.0), adam)
    plain.load_state_dict(noisy.state_dict())
    x = Rng(0, range(6)).integers(5, (1, 1, 8)).to(torch.uint8)
    assert torch.equal(noisy.log_prob(x), plain.log_prob(x))
    losses = [
        float(noisy.loss(x, None, Rng(seed, range(6)))["loss"].detach()) for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert float(plain.loss(x, None, Rng(0, range(6)))["loss"].detach()) != losses[0]


def test_dropout_keeps_the_mean():
    h = dropout(torch.ones(1000, 101), 0.3, Rng(0, range(1000)))
    kept = (h > 0).double().mean().item()
    assert abs(kept - (256 - 77) / 256) < 0.01
    assert abs(h.double().mean().item() - 1) < 0.01


def test_a_completion_keeps_its_beginning_and_follows_the_chain_rule():
    """Two binary pixels: the second given the first has the frequencies of the network's softmax."""
    torch.manual_seed(1)
    spec = Spec((1, 1, 2), 2)
    model = Autoregressive(
        spec,
        lambda i, o, c: Transformer(i, o, c, width=8, depth=1, heads=2),
        lambda parameters: torch.optim.Adam(parameters),
    )
    torch.nn.init.normal_(model.net.head.weight, std=2.0)
    rng = Rng(0, range(20_000))
    x = torch.ones(20_000, 1, 1, 2, dtype=torch.uint8)
    completions = model.complete(x, 1, rng)
    assert bool((completions[..., 0] == 1).all())
    images = torch.tensor([[1, 0], [1, 1]], dtype=torch.uint8).view(2, 1, 1, 2)
    p = model.log_prob(images).detach().exp()
    expected = float(p[1] / p.sum())
    frequency = float(completions[..., 1].double().mean())
    assert abs(frequency - expected) < 4 * (expected * (1 - expected) / 20_000) ** 0.5
    assert torch.equal(model.complete(x, 2, Rng(5, range(20_000))), x)
    same = model.sample(Rng(1, range(9)))
    assert torch.equal(model.complete(x[:9], 0, Rng(1, range(9))), same)
