"""Networks: shapes, gradients to every parameter, the conditioning vector, arguments that cannot be met."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from genbench.nets.conv import ConvDecoder, ConvEncoder
from genbench.nets.mlp import MLP
from genbench.nets.net import Net
from genbench.nets.norm import BatchNorm, calibrate
from genbench.rng import Rng

# network, inputs, outputs
CASES = {
    "mlp": (partial(MLP, width=16, depth=3), (1, 1, 2), (2, 1, 2)),
    "mlp, one layer": (partial(MLP, width=16, depth=1), (5,), (3,)),
    "encoder": (partial(ConvEncoder, width=4), (1, 8, 8), (6,)),
    "encoder, not square": (
        partial(ConvEncoder, width=4, stages=1, norm="none"),
        (3, 6, 10),
        (2, 3),
    ),
    "encoder, no stage": (partial(ConvEncoder, width=4, stages=0), (2, 3, 5), (1,)),
    "encoder, batch": (partial(ConvEncoder, width=4, norm="batch"), (1, 8, 8), (1,)),
    "encoder, pooled": (partial(ConvEncoder, width=4, strided=False), (1, 8, 8), (6,)),
    "encoder, hidden": (partial(ConvEncoder, width=4, hidden=9), (1, 8, 8), (6,)),
    "encoder, relu": (partial(ConvEncoder, width=8, activation="relu"), (1, 8, 8), (6,)),
    "decoder": (partial(ConvDecoder, width=4), (6,), (2, 8, 8)),
    "decoder, repeated": (partial(ConvDecoder, width=4, strided=False), (6,), (2, 8, 8)),
    "decoder, hidden": (partial(ConvDecoder, width=4, hidden=9), (6,), (2, 8, 8)),
    "decoder, tanh": (partial(ConvDecoder, width=4, activation="tanh"), (6,), (2, 8, 8)),
    "decoder, not square": (partial(ConvDecoder, width=4, stages=1, norm="none"), (5,), (3, 6, 10)),
    "decoder, no stage": (partial(ConvDecoder, width=4, stages=0), (2, 3), (1, 3, 5)),
    "decoder, batch": (partial(ConvDecoder, width=4, norm="batch"), (6,), (1, 8, 8)),
}
CONVOLUTIONS = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
cases = pytest.mark.parametrize(("make", "inputs", "outputs"), CASES.values(), ids=CASES)
CONV = pytest.mark.parametrize(
    "make",
    [
        lambda **o: ConvEncoder((1, 8, 12), (3,), **o),
        lambda **o: ConvDecoder((3,), (1, 8, 12), **o),
    ],
)


def normal(purpose, rows, *shape):
    return Rng(0, range(rows), torch.float64).split(purpose).normal(shape)


def filled(net: Net) -> Net:
    """Random weights, equal in every run."""
    for i, parameter in enumerate(net.double().parameters()):
        parameter.data = (
            0.4 * Rng(i, [0], torch.float64).split("weights").normal(parameter.shape)[0]
        )
    return net


@cases
@pytest.mark.parametrize("cond", [0, 3])
def test_shapes_and_gradients_to_every_parameter(make, inputs, outputs, cond):
    net = filled(make(inputs, outputs, cond))
    assert isinstance(net, Net)
    c = normal("cond", 5, cond) if cond else None
    y = net(normal("x", 5, *inputs), c)
    assert y.shape == (5, *outputs)
    # squares against given weights: no normalisation makes this loss a constant
    loss = ((y - normal("target", 5, *outputs)) ** 2).sum()
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    dead = [n for (n, _), g in zip(net.named_parameters(), gradients) if not g.abs().max() > 0]
    # batch normalisation takes away the bias before it
    assert all("bias" in name for name in dead) and (not dead or "batch" in str(make.keywords))


# each rule of DCGAN: what breaks it, and whether a layer keeps it
RULES = {
    "strides": ({"strided": False}, lambda m: getattr(m, "stride", 1) == (2, 2)),
    "normalisation": ({"norm": "none"}, lambda m: isinstance(m, BatchNorm)),
    "activation": (
        {"activation": "tanh"},
        lambda m: isinstance(m, torch.nn.ReLU | torch.nn.LeakyReLU),
    ),
}


@CONV
@pytest.mark.parametrize("broken", RULES)
def test_an_argument_breaks_one_rule_of_dcgan_and_keeps_the_others(make, broken):
    given = RULES[broken][0]
    for rule, (_, keeps) in RULES.items():
        count = sum(map(keeps, make(norm="batch").modules()))
        assert count >= 2
        left = sum(map(keeps, make(**{"norm": "batch", **given}).modules()))
        assert left == (0 if rule == broken else count)


@CONV
def test_a_hidden_layer_is_fully_connected_and_everything_passes_it(make):
    net = filled(make(hidden=1, norm="none", activation="relu"))
    inputs = (1, 8, 12) if isinstance(net, ConvEncoder) else (3,)
    y = net(normal("x", 64, *inputs)).flatten(1)
    # one neuron behind ReLU: where it is silent, all outputs are those of silence
    silent = (y[:, None] == y).all(-1).sum(1) > 1
    assert 0 < int(silent.sum()) < 64
    if isinstance(net, ConvEncoder):
        # elsewhere outputs lie on one line
        assert torch.linalg.matrix_rank(y - y[silent][0], atol=1e-10) == 1


@cases
def test_every_entry_of_input_and_conditioning_matters(make, inputs, outputs):
    net = filled(make(inputs, outputs, 3)).eval()
    x, c = normal("x", 2, *inputs).requires_grad_(), normal("cond", 2, 3).requires_grad_()
    y = net(x, c)
    for gradient in torch.autograd.grad((y * normal("weights", 2, *outputs)).sum(), (x, c)):
        assert bool((gradient != 0).all())
    assert not torch.allclose(net(x, c + 0.1), y)


@cases
def test_images_of_a_batch_do_not_meet_in_evaluation(make, inputs, outputs):
    net = filled(make(inputs, outputs, 3)).eval()
    x, c = normal("x", 4, *inputs), normal("cond", 4, 3)
    torch.testing.assert_close(net(x[2:3], c[2:3]), net(x, c)[2:3], rtol=1e-12, atol=1e-12)


def test_mlp_is_its_formula():
    net = filled(MLP((2, 3), (4,), cond=2, width=5, depth=3))
    x, c = normal("x", 3, 2, 3), normal("cond", 3, 2)
    silu = lambda t: t / (1 + torch.exp(-t))  # noqa: E731
    h = silu(torch.cat((x.flatten(1), c), 1) @ net.first.weight.T + net.first.bias)
    for layer, shift in zip(net.hidden, net.shifts, strict=True):
        h = h + silu(h @ layer.weight.T + layer.bias + c @ shift.weight.T)
    torch.testing.assert_close(net(x, c), h @ net.last.weight.T + net.last.bias)


@CONV
def test_stages_halve_the_size_and_double_the_width(make):
    widths = [
        m.out_channels for m in make(width=4, stages=2).modules() if isinstance(m, CONVOLUTIONS)
    ]
    assert {4, 8, 16} <= set(widths)


@CONV
@pytest.mark.parametrize("stages", [3, -1])
def test_stages_that_do_not_fit_are_refused(make, stages):
    with pytest.raises(ValueError, match=r"stages = -?\d does not fit images of 8 x 12"):
        make(stages=stages)


@CONV
def test_an_unknown_normalisation_is_refused(make):
    with pytest.raises(ValueError, match="norm is"):
        make(norm="no-such-word")


@pytest.mark.parametrize("wrong", [{"width": 0}, {"depth": 0}])
def test_an_mlp_without_layers_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        MLP((2,), (2,), **wrong)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4, 4)])
def test_batch_norm_equals_torch_in_training(shape):
    x = 2 * normal("x", *shape) + 1
    ours, theirs = (
        filled(BatchNorm(3)),
        torch.nn.BatchNorm1d(3) if len(shape) == 2 else torch.nn.BatchNorm2d(3),
    )
    theirs = theirs.double()
    theirs.weight.data, theirs.bias.data = ours.scale.data, ours.shift.data
    torch.testing.assert_close(ours(x), theirs(x))
    # training leaves no trace in the statistics
    assert not ours.mean.any()
    assert bool((ours.var == 1).all())


def test_batch_norm_evaluates_by_its_statistics():
    layer = filled(BatchNorm(2)).eval()
    layer.mean.copy_(torch.tensor([1.0, -2.0]))
    layer.var.copy_(torch.tensor([4.0, 0.25]))
    x = normal("x", 3, 2)
    expected = layer.scale * (x - layer.mean) / torch.sqrt(layer.var + 1e-5) + layer.shift
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("training", [True, False])
def test_calibration_makes_evaluation_reproduce_training_on_its_batch(training):
    net = filled(ConvDecoder((4,), (1, 8, 8), width=4, norm="batch")).train(training)
    z = normal("z", 40, 4)
    calibrate(net, z)
    assert all(module.training == training for module in net.modules())
    before = [m.mean.clone() for m in net.modules() if isinstance(m, BatchNorm)]
    assert before
    torch.testing.assert_close(net.eval()(z), net.train()(z), rtol=1e-9, atol=1e-10)
    # one more pass in training mode is not recorded
    net(3 * z)
    assert all(
        torch.equal(a, m.mean)
        for a, m in zip(before, (m for m in net.modules() if isinstance(m, BatchNorm)))
    )


def test_calibration_of_a_net_without_batch_norm_does_nothing():
    net = filled(ConvDecoder((4,), (1, 8, 8), width=4))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    calibrate(net, normal("z", 3, 4))
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
