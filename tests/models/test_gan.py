"""The game of Goodfellow et al. (2014): its value and gradients, who may move what, samples that do not know their batch."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

from genbench.batch import Batch
from genbench.models.gan.games import Minimax, NonSaturating, Wasserstein
from genbench.models.gan.gan import GAN
from genbench.nets.conv import ConvDecoder, ConvEncoder
from genbench.nets.mlp import MLP
from genbench.nets.net import Net
from genbench.nets.norm import BatchNorm
from genbench.rng import Rng
from genbench.spec import Labels, Spec

DIGITS = Spec((1, 8, 8), 17)
SGD = partial(torch.optim.SGD, lr=0.1)
NON_SATURATING = NonSaturating()


class Logits(Net):
    """A discriminator that answers with given logits, one set per call, and keeps what it saw."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.seen = (
            [nn.Parameter(torch.tensor(a, dtype=torch.float64)) for a in answers],
            [],
        )
        self.told = []

    def forward(self, x, cond=None):
        self.seen.append(x)
        self.told.append(cond)
        return self.answers[len(self.seen) - 1][:, None]


class Strict(Net):
    """d(x) = mean(x) + bias: a discriminator as sure of itself as its bias."""

    def __init__(self, bias):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, x, cond=None):
        return x.flatten(1).mean(1, keepdim=True) + self.bias


def gan(D=None, norm="batch", spec=DIGITS, game=NON_SATURATING, **options):
    """A small DCGAN in float64, weights equal in every run."""
    discriminator = partial(ConvEncoder, width=4, norm=norm) if D is None else lambda *shapes: D
    model = GAN(
        spec,
        partial(ConvDecoder, width=4, norm=norm),
        discriminator,
        SGD,
        game,
        latent=5,
        **options,
    ).double()
    for i, parameter in enumerate(model.G.parameters()):
        parameter.data = (
            0.3 * Rng(i, [0], torch.float64).split("weights").normal(parameter.shape)[0]
        )
    return model


def images(n, spec=DIGITS):
    return Rng(1, range(n)).integers(spec.levels, spec.shape).to(torch.uint8)


def streams(n, purpose="train"):
    return Rng(2, range(n), torch.float64).split(purpose)


def test_the_discriminator_minimises_minus_the_value():
    """-V = -mean log D(x) - mean log(1 - D(G(z))), and it is right where D is on the right side of 1/2."""
    d_real, d_fake = [2.0, -1.0, 0.3, 4.0], [-3.0, -0.1, -2.0, 1.5]
    D = Logits(d_real, d_fake)
    losses = gan(D).discriminator_loss(images(4), None, streams(4))
    sigmoid = lambda d: 1 / (1 + math.exp(-d))  # noqa: E731
    value = (
        sum(math.log(sigmoid(d)) for d in d_real) / 4
        + sum(math.log(1 - sigmoid(d)) for d in d_fake) / 4
    )
    assert math.isclose(float(losses["loss"].detach()), -value, rel_tol=1e-12)
    assert float(losses["accuracy"]) == 0.75


def test_the_wasserstein_game_is_the_difference_of_means():
    """Critic: -(E d(x) - E d(G(z))), here without penalty's share; generator: -E d(G(z))."""
    d_real, d_fake = [2.0, -1.0, 0.3, 4.0], [-3.0, -0.1, -2.0, 1.5]
    model = gan(Linear(0.0), norm="none", game=Wasserstein(), gradient_penalty=1e-300)
    model.D = Logits(d_real, d_fake, [0.0] * 4)
    model.penalty = lambda *_: torch.zeros(())
    losses = model.discriminator_loss(images(4), None, streams(4))
    distance = sum(d_real) / 4 - sum(d_fake) / 4
    assert math.isclose(float(losses["loss"].detach()), -distance, rel_tol=1e-12)
    assert math.isclose(float(losses["distance"].detach()), distance, rel_tol=1e-12)
    model.D = Logits(d_fake)
    assert math.isclose(
        float(model.loss(images(4), None, streams(4))["loss"].detach()),
        -sum(d_fake) / 4,
        rel_tol=1e-12,
    )


class Linear(Net):
    """d(x) = slope / 8 sum(x) + curvature / 2 sum(x^2): of 64 pixels the gradient is slope / 8 + curvature x."""

    def __init__(self, slope, curvature=0.0):
        super().__init__()
        self.slope, self.curvature = (
            nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (slope, curvature)
        )

    def forward(self, x, cond=None):
        x = x.flatten(1)
        return (self.slope / 8 * x + self.curvature / 2 * x**2).sum(1, keepdim=True)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_that_of_its_slope(slope):
    """||grad d|| = |slope| everywhere: lambda (|slope| - 1)^2, with derivative 2 lambda (|slope| - 1), also in a game with logits."""
    for game in (Wasserstein(), NonSaturating()):
        D = Linear(slope)
        model = gan(D, game=game, gradient_penalty=10.0)
        losses = model.discriminator_loss(images(4), None, streams(4))
        assert math.isclose(float(losses["penalty"].detach()), (slope - 1) ** 2, abs_tol=1e-12)
        plain = (
            -losses["distance"]
            if game.lipschitz
            else gan(D).discriminator_loss(images(4), None, streams(4))["loss"]
        )
        assert math.isclose(
            float((losses["loss"] - plain).detach()), 10 * (slope - 1) ** 2, abs_tol=1e-9
        )
        if slope:
            (derivative,) = torch.autograd.grad(losses["penalty"], D.slope)
            assert math.isclose(float(derivative), 2 * (slope - 1), abs_tol=1e-9)


def test_the_penalty_is_taken_on_lines_between_real_and_generated_images():
    """grad of |x|^2 / 2 is x^: its norms are those of epsilon x + (1 - epsilon) G(z), one epsilon per image."""
    model = gan(Linear(0.0, 1.0), game=Wasserstein(), gradient_penalty=1.0)
    real, fake = (
        torch.full((6, 1, 8, 8), 0.75, dtype=torch.float64),
        torch.zeros(6, 1, 8, 8, dtype=torch.float64),
    )
    epsilon = streams(6).split("epsilon").uniform()
    assert float(epsilon.std()) > 0.1
    with torch.no_grad():  # as in evaluation
        penalty = model.penalty(real, fake, None, streams(6))
    torch.testing.assert_close(penalty, ((6 * epsilon - 1) ** 2).mean())
    torch.testing.assert_close(
        model.penalty(fake, real, None, streams(6)), ((6 * (1 - epsilon) - 1) ** 2).mean()
    )


@pytest.mark.parametrize(("game", "sign"), [(NonSaturating(), -1), (Minimax(), 1)])
def test_the_generator_minimises_its_side_of_the_game(game, sign):
    """-mean log D(G(z)), or mean log(1 - D(G(z)))."""
    d = [-3.0, 0.5, 2.0]
    loss = gan(Logits(d), game=game).loss(images(3), None, streams(3))["loss"]
    expected = sum(sign * math.log(1 / (1 + math.exp(sign * t))) for t in d) / 3
    assert math.isclose(float(loss.detach()), expected, rel_tol=1e-12)


def test_the_value_is_minus_log_four_where_nobody_can_tell():
    half = [0.0] * 3
    assert math.isclose(
        float(
            gan(Logits(half, half)).discriminator_loss(images(3), None, streams(3))["loss"].detach()
        ),
        math.log(4),
    )
    assert math.isclose(
        float(gan(Logits(half)).loss(images(3), None, streams(3))["loss"].detach()), math.log(2)
    )
    assert math.isclose(
        float(gan(Logits(half), game=Minimax()).loss(images(3), None, streams(3))["loss"].detach()),
        -math.log(2),
    )


@pytest.mark.parametrize("game", [NonSaturating(), Minimax()])
def test_generator_gradients_by_the_confidence_of_the_discriminator(game):
    """d/dd of -log sigma(d) is -sigma(-d), of log(1 - sigma(d)) is -sigma(d): at d = -20, e^-20 of it is left."""

    def gradient(bias):
        model = gan(Strict(bias), game=game)
        loss = model.loss(images(6), None, streams(6))["loss"]
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss, list(model.G.parameters()))]
        )

    sure, undecided = gradient(-20), gradient(0)
    assert float(undecided.norm()) > 1e-3
    ratio = float(sure.norm() / undecided.norm())
    assert 1.2 < ratio < 4 if isinstance(game, NonSaturating) else ratio < 1e-8
    # the same direction at the start: both want d(G(z)) to grow
    assert float(torch.cosine_similarity(gradient(0), -model_direction(), dim=0)) > 0.95


def model_direction():
    """Gradient of mean d(G(z)) by the generator's parameters."""
    model = gan(Strict(0))
    d = model.D(model.generate(streams(6))).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(d, list(model.G.parameters()))])


def test_the_players_partition_the_parameters_and_only_move_their_own():
    """Algorithm 1: k steps of D, then one of G; neither loss leaves a gradient with the other where it must not."""
    model = gan(critic_steps=3)
    players = model.players()
    order = [name for name, player in players.items() for _ in range(player.steps)]
    assert order == ["discriminator"] * 3 + ["generator"]
    assert {id(p) for p in players["discriminator"].parameters} == {
        id(p) for p in model.D.parameters()
    }
    assert {id(p) for p in players["generator"].parameters} == {id(p) for p in model.G.parameters()}

    loss = players["discriminator"].loss(images(4), None, streams(4))["loss"]
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    moved = {id(p) for p, g in zip(model.parameters(), gradients) if g is not None}
    assert moved == {id(p) for p in model.D.parameters()}
    loss = players["generator"].loss(images(4), None, streams(4))["loss"]
    assert all(g.abs().max() > 0 for n, g in _gradients(model.G, loss).items() if "bias" not in n)


def test_each_player_steps_by_its_own_optimizer():
    """And by the model's where it has none."""
    adam = partial(torch.optim.Adam, lr=0.3)
    for_d, for_g = gan(discriminator_optimizer=adam).configure_optimizers()
    assert (type(for_d), for_d.defaults["lr"]) == (torch.optim.Adam, 0.3)
    assert (type(for_g), for_g.defaults["lr"]) == (torch.optim.SGD, 0.1)
    assert [type(optimizer) for optimizer in gan().configure_optimizers()] == [torch.optim.SGD] * 2


def _gradients(net, loss):
    names, parameters = zip(*net.named_parameters())
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def test_playing_the_game_moves_a_generator_to_the_data():
    """Points around one place of a 64 x 64 plane: Algorithm 1, step by step, without a training loop of ours."""
    spec = Spec((1, 1, 2), 64)
    adam = partial(torch.optim.Adam, lr=3e-3, betas=(0.5, 0.9))
    net = partial(MLP, width=16)
    model = GAN(spec, net, net, adam, NonSaturating(), latent=2, critic_steps=2).double()
    for i, parameter in enumerate(model.parameters()):
        parameter.data = (
            0.3 * Rng(i, [0], torch.float64).split("weights").normal(parameter.shape)[0]
        )
    players = model.players()
    optimizers = {name: model.optimizer(player.parameters) for name, player in players.items()}
    truth = torch.tensor([44.0, 16.0], dtype=torch.float64)
    for step in range(200):
        for name, player in players.items():
            for k in range(player.steps):
                rng = Rng(step, range(64), torch.float64).split(name, k)
                x = (truth + 4 * rng.split("data").normal((1, 1, 2))).round().to(torch.uint8)
                loss = player.loss(x, None, rng)["loss"]
                gradients = torch.autograd.grad(loss, player.parameters)
                for parameter, gradient in zip(player.parameters, gradients, strict=True):
                    parameter.grad = gradient
                optimizers[name].step()
    with torch.no_grad():
        mean = model.sample(Rng(5, range(500), torch.float64)).double().mean((0, 1, 2))
    assert float((mean - truth).norm()) < 10


def test_the_discriminator_sees_dequantised_pixels_and_generated_images_of_one_range():
    D = Logits([0.0] * 5, [0.0] * 5)
    x = images(5)
    gan(D).discriminator_loss(x, None, streams(5))
    real, fake = D.seen
    assert torch.equal(((real + 1) / 2 * 17).floor().to(torch.uint8), x)
    assert float((real * 17 / 2 + 17 / 2 - x).std()) > 0.2
    for v in (real, fake):
        assert bool((v.abs() < 1).all())


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_coupling_is_declared_where_batch_norm_is(norm):
    model = gan(norm=norm)
    assert model.batch_coupled == (norm == "batch")
    assert model.batch_coupled == any(isinstance(m, BatchNorm) for m in model.modules())


def test_finalize_makes_evaluation_reproduce_training_on_its_latents():
    model = gan()
    rng = Rng(3, [0], torch.float64).split("finalize")
    z = rng[:].normal((4096, 5))[0]
    with torch.no_grad():
        model.finalize([], rng)
        torch.testing.assert_close(model.G.eval()(z), model.G.train()(z), rtol=1e-9, atol=1e-10)
        # and nearly so on others: the statistics are those of the latents' distribution
        z = Rng(4, [0], torch.float64).normal((4096, 5))[0]
        assert float((model.G.eval()(z) - model.G.train()(z)).abs().mean()) < 0.05 * float(
            model.G(z).std()
        )


def test_samples_do_not_depend_on_the_batch_once_finalized():
    model = gan()
    model.finalize([], Rng(3, [0], torch.float64))
    model.eval()
    with torch.no_grad():
        together = model.sample(streams(9))
        apart = torch.cat([model.sample(streams(9)[torch.tensor([i])]) for i in (7, 0, 3)])
        assert torch.equal(apart, together[[7, 0, 3]])
        # a generated image is the quantised one that D sees
        assert torch.equal(
            ((model.generate(streams(9)) + 1) / 2 * 17).floor().to(torch.uint8), together
        )
        assert torch.equal(model.decode(streams(9).normal((5,))), together)
    assert together.dtype == torch.uint8
    assert together.shape == (9, 1, 8, 8)
    assert len(torch.unique(together, dim=0)) == 9


# --- p(x | y) ---------------------------------------------------------------------------------------------------------------


LABELLED = Spec((1, 8, 8), 17, y=Labels(3))


def test_both_players_are_told_the_label():
    """D of the real and of the generated image, and G, by Mirza and Osindero's equation 2."""
    D, y = Logits([0.0] * 4, [0.0] * 4, [0.0] * 4), torch.tensor([2, 0, 1, 0])
    model = gan(D, spec=LABELLED, conditional=True)
    told = []
    model.G.register_forward_pre_hook(lambda _, inputs: told.append(inputs[1]))
    model.discriminator_loss(images(4), y, streams(4))
    model.loss(images(4), y, streams(4))
    one_hot = torch.eye(3, dtype=torch.float64)[y]
    assert len(D.told) == 3 and len(told) == 2
    assert all(torch.equal(cond, one_hot) for cond in (*D.told, *told))


def test_conditional_samples_follow_their_labels_row_by_row():
    model, y = gan(spec=LABELLED, conditional=True), torch.tensor([2, 0, 1, 0])
    model.finalize([Batch(images(6), torch.arange(6) % 3, streams(6))], Rng(3, [0], torch.float64))
    model.eval()
    with torch.no_grad():
        x, other = model.sample(streams(4), y), model.sample(streams(4), (y + 1) % 3)
        alone = torch.cat([model.sample(streams(4)[i : i + 1], y[i : i + 1]) for i in range(4)])
    assert torch.equal(x, alone)
    assert bool((x != other).flatten(1).any(1).all())


def test_finalize_draws_labels_as_often_as_the_batches_have_them():
    model, told = gan(spec=LABELLED, conditional=True), []
    model.G.register_forward_pre_hook(lambda _, inputs: told.append(inputs))
    batches = [Batch(images(50), torch.tensor([0] * 45 + [2] * 5), streams(50)) for _ in range(3)]
    model.finalize(batches, Rng(3, [0], torch.float64))
    ((z, cond),) = told
    torch.testing.assert_close(
        cond.mean(0), torch.tensor([0.9, 0.0, 0.1]).double(), rtol=0, atol=0.02
    )
    # evaluation reproduces training on those latents and labels
    with torch.no_grad():
        torch.testing.assert_close(
            model.G.eval()(z, cond), model.G.train()(z, cond), rtol=1e-9, atol=1e-10
        )


def test_each_label_gets_its_own_images():
    """Two places of a 64 x 64 plane, one per class."""
    adam, net = partial(torch.optim.Adam, lr=3e-3, betas=(0.5, 0.9)), partial(MLP, width=16)
    model = GAN(
        Spec((1, 1, 2), 64, y=Labels(2)),
        net,
        net,
        adam,
        NonSaturating(),
        latent=2,
        conditional=True,
    ).double()
    for i, parameter in enumerate(model.parameters()):
        parameter.data = (
            0.3 * Rng(i, [0], torch.float64).split("weights").normal(parameter.shape)[0]
        )
    players, y = model.players(), torch.arange(64) % 2
    optimizers = {name: model.optimizer(player.parameters) for name, player in players.items()}
    truth = torch.tensor([[44.0, 16.0], [16.0, 44.0]], dtype=torch.float64)
    for step in range(250):
        for name, player in players.items():
            rng = Rng(step, range(64), torch.float64).split(name)
            x = (
                (truth[y, None, None] + 4 * rng.split("data").normal((1, 1, 2)))
                .round()
                .to(torch.uint8)
            )
            gradients = torch.autograd.grad(player.loss(x, y, rng)["loss"], player.parameters)
            for parameter, gradient in zip(player.parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizers[name].step()
    with torch.no_grad():
        x = (
            model.sample(Rng(5, range(500), torch.float64), torch.arange(500) % 2)
            .double()
            .flatten(1)
        )
    distance = (x[:, None] - truth).norm(dim=2)
    assert float((distance.argmin(1) == torch.arange(500) % 2).double().mean()) > 0.95


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("saturated", [-1e3, 1e3])
def test_a_saturated_generator_stays_in_range(levels, saturated):
    model = gan(spec=Spec((1, 8, 8), levels), norm="none")
    last = list(model.G.parameters())[-1]
    last.data.fill_(saturated)
    with torch.no_grad():
        assert torch.unique(model.sample(streams(3))).tolist() == [
            0 if saturated < 0 else levels - 1
        ]


def test_it_has_no_density():
    model = gan()
    assert model.likelihood is None
    with pytest.raises(TypeError, match="implicit density"):
        model.log_prob(images(2))


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"latent": 0}, "at least 1"),
        ({"critic_steps": 0}, "at least 1"),
        ({"game": Wasserstein()}, "gradient_penalty above 0"),
        ({"gradient_penalty": -1.0}, "at least 0"),
        (
            {"gradient_penalty": 1.0, "discriminator": partial(ConvEncoder, norm="batch")},
            "'group' or 'none'",
        ),
    ],
)
def test_wrong_arguments(wrong, line):
    with pytest.raises(ValueError, match=line):
        GAN(
            DIGITS,
            **{
                "generator": ConvDecoder,
                "discriminator": ConvEncoder,
                "optimizer": SGD,
                "game": NonSaturating(),
                **wrong,
            },
        )
