"""pix2pix (Isola et al. 2017): both losses by hand, a discriminator that sees pairs and patches, and samples of their own y."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from scipy.stats import kstest, norm
from torch import nn

from genbench.models.gan.games import LeastSquares, NonSaturating, Wasserstein
from genbench.models.gan.pix2pix import Pix2Pix
from genbench.nets.conv import ConvEncoder, ConvPatches
from genbench.nets.net import Net
from genbench.nets.unet import UNet
from genbench.rng import Rng
from genbench.spec import Image, Labels, Spec

SPEC = Spec((1, 8, 8), 17, Image((1, 8, 8), 17))
SGD = partial(torch.optim.SGD, lr=0.1)
SMALL = partial(UNet, width=8, multipliers=(1, 2), attention=())
PATCHES = partial(ConvPatches, width=8, depth=3)


class Constant(Net):
    """Answers with one number everywhere."""

    def __init__(self, inputs, outputs, cond, value):
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.value = nn.Parameter(torch.tensor(float(value), dtype=torch.float64))

    def forward(self, x, cond=None):
        return self.value.expand(len(x), *self.outputs)


@pytest.fixture
def pairs(double):
    """Eight images x whose y are their first four rows, and streams."""
    x = Rng(1, range(8)).integers(17, (1, 8, 8)).to(torch.uint8)
    y = x.clone()
    y[:, :, 4:] = 0
    return x, y, Rng(2, range(8), torch.float64)


def model_of(generator=SMALL, discriminator=PATCHES, game=None, spec=SPEC, **options):
    torch.manual_seed(0)
    model = Pix2Pix(spec, generator, SGD, discriminator, game or NonSaturating(), **options)
    with torch.no_grad():  # the U-Net's last layer begins at 0
        for i, p in enumerate(model.parameters()):
            p.add_(0.1 * Rng(i, [0], p.dtype).normal(p.shape)[0])
    return model.double()


def test_the_generator_pays_lambda_times_the_mean_distance_to_the_centres_of_the_cells(pairs):
    """G = tanh(a) everywhere and d = b everywhere: equation 4 is softplus(-b) + lambda E |c - tanh(a)|."""
    x, y, rng = pairs
    a, b = 0.3, -0.7
    model = Pix2Pix(
        SPEC, partial(Constant, value=a), SGD, partial(Constant, value=b), NonSaturating(), 20.0
    )
    losses = model.loss(x, y, rng)
    centres = (2 * x.double() + 1) / 17 - 1
    l1 = (centres - torch.tensor(a).double().tanh()).abs().mean()
    adversarial = torch.tensor(-b).double().exp().log1p()
    torch.testing.assert_close(losses["l1"], l1)
    torch.testing.assert_close(losses["adversarial"], adversarial)
    torch.testing.assert_close(losses["loss"], 20 * l1 + adversarial)


def test_without_a_discriminator_the_generator_alone_learns_the_median(pairs):
    """E |c - g| is least at the median of c: x is 2, 2, 2 and 16 with one y."""
    _, _, rng = pairs
    x = torch.tensor([2, 2, 2, 16] * 2, dtype=torch.uint8).view(8, 1, 1, 1).expand(8, 1, 8, 8)
    model = Pix2Pix(SPEC, partial(Constant, value=0.0), partial(torch.optim.Adam, lr=0.02))
    assert list(model.players()) == ["generator"]
    (optimizer,) = model.configure_optimizers()
    for _ in range(300):
        optimizer.zero_grad()
        model.loss(x, torch.zeros_like(x), rng)["loss"].backward()
        optimizer.step()
    assert set(model.sample(Rng(3, range(2)), x[:2]).flatten().tolist()) == {2}


def test_the_discriminator_sees_pairs(pairs):
    """With y of other images its loss is another, with x and y permuted alike the same; d = 0 costs log 4."""
    x, y, rng = pairs
    model = model_of()
    loss = model.discriminator_loss(x, y, rng)["loss"]
    rolled = torch.arange(8).roll(1)
    streams = lambda: Rng(2, range(8), torch.float64)  # noqa: E731
    torch.testing.assert_close(model.discriminator_loss(x, y, streams())["loss"], loss)
    both = model.discriminator_loss(x[rolled], y[rolled], streams()[rolled])["loss"]
    torch.testing.assert_close(both, loss)
    # the generator that ignores y: what changes is what the discriminator sees
    model.G = Constant((2, 8, 8), (1, 8, 8), 0, 0.2)
    loss = model.discriminator_loss(x, y, streams())["loss"]
    other = model.discriminator_loss(x, y[rolled], streams())["loss"]
    assert abs((other - loss).item()) > 1e-6
    model.D = Constant((2, 8, 8), (1, 8, 8), 0, 0.0)
    zero = model.discriminator_loss(x, y, streams())["loss"]
    assert zero.item() == pytest.approx(2 * torch.tensor(2.0).log().item())


def test_the_discriminator_sees_x_anywhere_in_its_cells(pairs):
    """Not at their centres, which a tanh would have to hit."""
    x, y, rng = pairs
    model = model_of()
    seen = []
    model.D.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, :1]))
    model.discriminator_loss(x, y, rng)
    place = (seen[0] + 1) / 2 * 17 - x  # in the unit interval of each pixel
    assert bool(((place > 0) & (place < 1)).all())
    assert place.mean().item() == pytest.approx(1 / 2, abs=4 / math.sqrt(12 * 512))
    assert place.var().item() == pytest.approx(1 / 12, rel=0.2)


def test_the_generator_sees_y_and_normal_noise_at_every_pixel(pairs):
    _, y, rng = pairs
    model = model_of()
    seen = []
    model.G.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.generate(rng, y)
    torch.testing.assert_close(seen[0][:, :1], y / 8 - 1.0, check_dtype=False)
    z = seen[0][:, 1:]
    assert z.shape == (8, 1, 8, 8)
    assert kstest(z.flatten().numpy(), norm.cdf).pvalue > 1e-3


def test_the_players_partition_the_parameters_and_only_move_their_own(pairs):
    x, y, rng = pairs
    model = model_of(game=LeastSquares(), discriminator_optimizer=partial(SGD, lr=0.01))
    players = model.players()
    assert list(players) == ["discriminator", "generator"]
    assert [id(p) for p in players["discriminator"].parameters] == [*map(id, model.D.parameters())]
    assert [id(p) for p in players["generator"].parameters] == [*map(id, model.G.parameters())]
    discriminator, generator = model.configure_optimizers()
    assert (discriminator.param_groups[0]["lr"], generator.param_groups[0]["lr"]) == (0.01, 0.1)
    # the discriminator's loss has no gradient for the generator
    loss = players["discriminator"].loss(x, y, rng)["loss"]
    of_generator = torch.autograd.grad(loss, players["generator"].parameters, allow_unused=True)
    assert all(gradient is None for gradient in of_generator)


def test_a_logit_is_a_function_of_the_patch_around_its_pixel_alone(double):
    """Three convolutions: 7 x 7 pixels of x and of y."""
    net = ConvPatches((2, 20, 20), (1, 20, 20), width=4, depth=3).double()
    pair = torch.randn(1, 2, 20, 20, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(pair)[0, 0, 10, 9], pair)
    rows, columns = torch.where(gradient[0].abs().sum(0) > 0)
    assert (int(rows.min()), int(rows.max())) == (7, 13)
    assert (int(columns.min()), int(columns.max())) == (6, 12)
    assert bool((gradient[0].abs().sum((1, 2)) > 0).all())


def test_samples_follow_their_own_y_and_noise(pairs):
    _, y, _ = pairs
    model = model_of().eval()
    streams = lambda rows: Rng(4, rows, torch.float64).split("sample")  # noqa: E731
    with torch.no_grad():
        together = model.sample(streams(range(8)), y)
        apart = torch.cat([model.sample(streams([i]), y[i : i + 1]) for i in range(8)])
        other_y = model.sample(streams(range(8)), y.roll(1, 0))
        other_noise = model.sample(streams(range(8, 16)), y)
    assert torch.equal(together, apart)
    assert all((together != other).any() for other in (other_y, other_noise))
    with pytest.raises(ValueError, match="it needs images y"):
        model.sample(streams(range(8)))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"spec": Spec((1, 8, 8), 17, Labels(10))}, "of images y; y of these data: labels"),
        ({"spec": Spec((1, 8, 8), 17, Image((1, 4, 8), 17))}, "not of the height and width of x"),
        ({"l1_weight": -1.0}, "l1_weight is at least 0, not -1.0"),
        ({"discriminator": None}, "discriminator and game go together"),
        ({"game": Wasserstein()}, "nothing keeps the discriminator Lipschitz"),
        ({"discriminator": partial(ConvPatches, depth=0)}, "width and depth are at least 1"),
        (
            {"generator": partial(ConvEncoder, norm="batch")},
            "the generator normalises by the batch",
        ),
    ],
)
def test_wrong_arguments_get_one_line(options, line):
    with pytest.raises(ValueError, match=line) as refusal:
        model_of(**options)
    assert "\n" not in str(refusal.value)


def test_l1_of_weight_0_alone_is_refused():
    with pytest.raises(ValueError, match="nothing else is to be learnt"):
        Pix2Pix(SPEC, SMALL, SGD, l1_weight=0.0)
