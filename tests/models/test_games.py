"""Games of two players on tables: with the best discriminator, the value of each is a divergence of the two distributions."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import parts_of, parts_of_recipes
from torch import Tensor

from genbench.batch import Batch
from genbench.errors import InputError
from genbench.models.autoregressive.autoregressive import Autoregressive
from genbench.models.gan.adversaries import discriminator_losses, generator_loss
from genbench.models.gan.games import (
    KL,
    FDivergence,
    Game,
    JensenShannon,
    LeastSquares,
    Minimax,
    NonSaturating,
    PearsonChi2,
    ReverseKL,
    SquaredHellinger,
    Wasserstein,
)
from genbench.rng import Rng
from genbench.steps import Player, losses_of
from genbench.system.discover import leaf_classes
from genbench.training.train import train

# two tables of four cells, as counts of sixteen images
REAL = torch.tensor([1, 2, 5, 8])
FAKE = torch.tensor([6, 4, 4, 2])
P = REAL.double() / 16
Q = FAKE.double() / 16
M = (P + Q) / 2

F_DIVERGENCES: dict[type[FDivergence], float] = {
    KL: float((P * (P / Q).log()).sum()),
    ReverseKL: float((Q * (Q / P).log()).sum()),
    PearsonChi2: float(((P - Q) ** 2 / Q).sum()),
    SquaredHellinger: float(((P.sqrt() - Q.sqrt()) ** 2).sum()),
    JensenShannon: float((P * (P / M).log() + Q * (Q / M).log()).sum()),
}
# f, and its derivative at u = p / q
GENERATORS = {
    KL: (lambda u: u * u.log(), lambda u: 1 + u.log()),
    ReverseKL: (lambda u: -u.log(), lambda u: -1 / u),
    PearsonChi2: (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1)),
    SquaredHellinger: (lambda u: (u.sqrt() - 1) ** 2, lambda u: 1 - 1 / u.sqrt()),
    JensenShannon: (
        lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
        lambda u: (2 * u / (u + 1)).log(),
    ),
}
LOG_LOSSES = (Minimax(), NonSaturating())


def value(game: Game, d: Tensor) -> Tensor:
    """V of a discriminator that answers with one logit d (4,) per cell."""
    real = d.repeat_interleave(REAL)[:, None]
    fake = d.repeat_interleave(FAKE)[:, None]
    return -game.discriminator(real, fake)["loss"]


def best(game: Game) -> Tensor:
    """The logits (4,) of the largest value, by Newton's method."""
    d = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [d],
        max_iter=200,
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -value(game, d)
        loss.backward()
        return loss

    optimizer.step(closure)
    return d.detach()


def random_logits(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(n, 4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("game", LOG_LOSSES, ids=lambda game: type(game).__name__)
def test_the_best_discriminator_is_p_over_p_plus_q(game):
    """And its value is 2 JSD - log 4 (Goodfellow et al., proposition 1 and theorem 1)."""
    d = best(game)
    torch.testing.assert_close(d.sigmoid(), P / (P + Q), rtol=1e-6, atol=1e-6)
    divergence = F_DIVERGENCES[JensenShannon] - math.log(4)
    assert math.isclose(float(value(game, d)), divergence, abs_tol=1e-10)
    assert all(value(game, other) < divergence for other in random_logits(100))


@pytest.mark.parametrize("divergence", F_DIVERGENCES, ids=lambda kind: kind.__name__)
def test_an_f_game_bounds_its_divergence_and_reaches_it(divergence):
    """V(d) <= D_f(p || q), with equality at g(d) = f'(p / q) (Nowozin et al., equations 4 and 5)."""
    game = divergence()
    d = best(game)
    assert math.isclose(float(value(game, d)), F_DIVERGENCES[divergence], abs_tol=1e-9)
    _, derivative = GENERATORS[divergence]
    torch.testing.assert_close(game.activation(d), derivative(P / Q), rtol=1e-5, atol=1e-5)
    assert all(value(game, other) < F_DIVERGENCES[divergence] for other in random_logits(100))


@pytest.mark.parametrize("divergence", F_DIVERGENCES, ids=lambda kind: kind.__name__)
def test_conjugates_are_the_largest_distance_of_a_line_from_f(divergence):
    """f*(t) = sup_u {u t - f(u)} at t = g(d): for d = g^-1(f'(u)) the best u is known, and no other is better."""
    game = divergence()
    f, derivative = GENERATORS[divergence]
    u = torch.linspace(0.05, 4, 800, dtype=torch.float64)
    t = derivative(u)
    inverse = {
        KL: lambda t: t,
        ReverseKL: lambda t: -(-t).log(),
        PearsonChi2: lambda t: t,
        SquaredHellinger: lambda t: -(1 - t).log(),
        JensenShannon: lambda t: -(math.log(2) - t).expm1().log(),
    }
    d = inverse[divergence](t)
    torch.testing.assert_close(game.activation(d), t)
    conjugate = game.conjugate(d)
    torch.testing.assert_close(conjugate, u * t - f(u))
    # lines of slope t, one a row, over all u of the grid
    assert float((t[:, None] * u - f(u) - conjugate[:, None]).max()) < 1e-12


@pytest.mark.parametrize("divergence", F_DIVERGENCES, ids=lambda kind: kind.__name__)
def test_f_games_are_finite_and_their_gradients_too_where_the_logit_is_large(divergence):
    d = torch.tensor([-30.0, 0.0, 30.0], requires_grad=True)
    game = divergence()
    total = game.activation(d).sum() + game.conjugate(d).sum()
    total.backward()
    assert bool(torch.isfinite(total))
    assert bool(torch.isfinite(d.grad).all())


@pytest.mark.parametrize(
    "game",
    [Minimax(), Wasserstein(), *(kind() for kind in F_DIVERGENCES)],
    ids=lambda game: type(game).__name__,
)
def test_the_players_of_a_zero_sum_game_divide_one_value(game):
    """V less what the generator minimises is a function of the real images alone."""
    real, fake, other_fake = random_logits(3)
    rest, other_rest = (
        -game.discriminator(real, d)["loss"] - game.generator(d) for d in (fake, other_fake)
    )
    torch.testing.assert_close(rest, other_rest)
    assert float(game.generator(fake)) != float(game.generator(other_fake))


@pytest.mark.parametrize(
    "game",
    [NonSaturating(), *(kind(saturating=False) for kind in (KL, SquaredHellinger, JensenShannon))],
    ids=lambda game: type(game).__name__,
)
def test_a_generator_that_does_not_saturate_is_moved_by_a_sure_discriminator(game):
    d = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(game.generator(d), d)
    assert float(gradient) < -0.9


@pytest.mark.parametrize("divergence", [KL, SquaredHellinger, JensenShannon])
def test_a_generator_that_saturates_is_not(divergence):
    d = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(divergence().generator(d), d)
    assert abs(float(gradient)) < 1e-8


@pytest.mark.parametrize("targets", [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0), (2.0, 5.0, 4.0)])
def test_least_squares_regress_logits_on_targets(targets):
    """d = (b p + a q) / (p + q) (Mao et al., equation 5), and the loss there is (b - a)^2 / 2 sum pq / (p + q)."""
    a, b, _ = targets
    game = LeastSquares(*targets)
    d = best(game)
    torch.testing.assert_close(d, (b * P + a * Q) / (P + Q), rtol=1e-6, atol=1e-6)
    loss = (b - a) ** 2 / 2 * float((P * Q / (P + Q)).sum())
    assert math.isclose(float(value(game, d)), -loss, abs_tol=1e-10)


def test_the_generator_of_least_squares_minimises_a_chi2():
    """With a, b, c = -1, 1, 0: twice the loss of c on both sides is chi^2 of p + q from 2 q (Mao et al., equation 8)."""
    game = LeastSquares(-1.0, 1.0, 0.0)
    d = (P - Q) / (P + Q)
    on_both = game.generator(d.repeat_interleave(REAL)) + game.generator(d.repeat_interleave(FAKE))
    chi2 = float(((2 * Q - (P + Q)) ** 2 / (P + Q)).sum())
    assert math.isclose(2 * float(on_both), chi2, abs_tol=1e-10)


def test_the_wasserstein_game_is_a_distance_for_a_lipschitz_discriminator():
    """On cells at 0, 1, 2, 3 of a line W_1 = sum |F_p - F_q|; a slope of -sign(F_p - F_q) reaches it, and none is better."""
    game = Wasserstein()
    assert game.lipschitz
    difference = (P - Q).cumsum(0)[:-1]
    distance = float(difference.abs().sum())

    def potential(slopes: Tensor) -> Tensor:
        return torch.cat([torch.zeros(1, dtype=torch.float64), slopes.cumsum(0)])

    assert math.isclose(float(value(game, potential(-difference.sign()))), distance, abs_tol=1e-12)
    for slopes in random_logits(100)[:, :3].clamp(-1, 1):
        assert float(value(game, potential(slopes))) < distance + 1e-12


@pytest.mark.parametrize(
    ("game", "threshold"),
    [(Minimax(), 0.0), (NonSaturating(), 0.0), (LeastSquares(), 0.5), (LeastSquares(2, 4, 3), 3.0)],
)
def test_accuracy_counts_logits_on_their_side(game, threshold):
    real = torch.tensor([[0.1], [-0.1], [2.0], [3.0]]) + threshold
    fake = torch.tensor([[-0.1], [0.1], [0.2], [-5.0]]) + threshold
    assert float(game.discriminator(real, fake)["accuracy"]) == 0.5 * (3 / 4 + 2 / 4)


@pytest.mark.parametrize(
    ("targets", "line"),
    [
        ((1.0, 1.0, 2.0), "real_target is above"),
        ((0.0, 1.0, 0.0), "generator_target is above"),
        ((0.0, math.inf, 1.0), "finite"),
    ],
)
def test_targets_that_make_no_game_are_refused(targets, line):
    with pytest.raises(ValueError, match=line):
        LeastSquares(*targets)


# --- every game -----------------------------------------------------------------------------------

# those of the package, and those that recipes name with arguments of their own
LEAVES = [{"class_path": path} for path in leaf_classes("models", "Game")]
GAMES: dict[str, Game] = {
    **{name: game for node in LEAVES for name, game in parts_of(node, Game).items()},
    **parts_of_recipes(Game),
}
PATCHES = (4, 1, 3, 2)


def losses_are_finite_scalars(game: Game) -> None:
    """For one logit per image and for one per patch; a game means over the patches."""
    name = f"the game {type(game).__name__}"
    logits = random_logits(8).flatten()[:8].view(2, 4, 1)
    d_losses = discriminator_losses(game, *logits)
    g_loss = generator_loss(game, logits[1])
    for key, value in (*d_losses.items(), ("loss of the generator", g_loss)):
        assert bool(value.isfinite()), f"{name}: {key} is finite, not {value}"
    patches = logits.view(2, 4, 1, 1, 1).expand(2, *PATCHES)
    for value, of_patches in (
        (d_losses["loss"], discriminator_losses(game, *patches)["loss"]),
        (g_loss, generator_loss(game, patches[1])),
    ):
        assert torch.isclose(value, of_patches), (
            f"{name}: the loss of patches that are all alike is that of one, {value}, "
            f"not {of_patches}"
        )


def slopes(game: Game, at: float, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the loss of D in the logits of real and of generated images, and of the loss of G in the latter: one number each."""
    real, fake = torch.full((2, *shape), at, dtype=torch.float64).requires_grad_()
    d_real, d_fake = torch.autograd.grad(
        discriminator_losses(game, real, fake)["loss"], (real, fake)
    )
    (g_fake,) = torch.autograd.grad(generator_loss(game, fake), fake)
    return d_real, d_fake, g_fake


def players_pull_apart(game: Game) -> None:
    """Steps down the losses from logits 0: D raises those of real images and lowers the others, which G raises.

    At 0 itself least squares have what they want of generated images: there they are not raised, and
    from 1/4 they are lowered.
    """
    name = f"the game {type(game).__name__}"
    for shape in ((4, 1), PATCHES):
        d_real, d_fake, g_fake = slopes(game, 0.0, shape)
        assert bool((d_real < 0).all()), f"{name}: D raises the logits of real images"
        assert bool((d_fake >= 0).all()), f"{name}: D does not raise logits of generated images"
        assert bool((g_fake < 0).all()), f"{name}: G raises the logits of generated images"
        _, d_fake, _ = slopes(game, 0.25, shape)
        assert bool((d_fake > 0).all()), f"{name}: D lowers the logits of generated images"


@pytest.mark.parametrize("name", GAMES)
def test_losses_of_every_game_are_finite_scalars(name):
    losses_are_finite_scalars(GAMES[name])


@pytest.mark.parametrize("name", GAMES)
def test_the_players_of_every_game_pull_logits_apart(name):
    players_pull_apart(GAMES[name])


def test_games_of_recipes_and_of_the_package_are_found():
    kinds = {type(game) for game in GAMES.values()}
    assert {*F_DIVERGENCES, LeastSquares, Minimax, NonSaturating, Wasserstein} <= kinds


class Interchanged(NonSaturating):
    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return super().discriminator(fake, real)


class BothUp(Wasserstein):
    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"loss": -real.mean() - fake.mean()}


class RealAlone(Wasserstein):
    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"loss": -real.mean() + 0 * fake.mean()}


class Flipped(Minimax):
    def generator(self, fake: Tensor) -> Tensor:
        return -super().generator(fake)


class FlippedLeastSquares(LeastSquares):
    def generator(self, fake: Tensor) -> Tensor:
        return -super().generator(fake)


class Vector(Wasserstein):
    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean(0)


class SumOfPatches(Wasserstein):
    def generator(self, fake: Tensor) -> Tensor:
        return -fake.flatten(1).sum(1).mean()


class NoLoss(Wasserstein):
    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"distance": real.mean() - fake.mean()}


class Infinite(Wasserstein):
    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        return {"loss": (fake / 0).abs().mean()}


@pytest.mark.parametrize(
    ("game", "check"),
    [
        (Interchanged(), players_pull_apart),
        (BothUp(), players_pull_apart),
        (RealAlone(), players_pull_apart),
        (Flipped(), players_pull_apart),
        (FlippedLeastSquares(), players_pull_apart),
        (Vector(), losses_are_finite_scalars),
        (SumOfPatches(), losses_are_finite_scalars),
        (NoLoss(), losses_are_finite_scalars),
        (Infinite(), losses_are_finite_scalars),
    ],
)
def test_a_broken_game_fails_and_is_named(game, check):
    with pytest.raises((AssertionError, InputError), match=type(game).__name__):
        check(game)


# --- losses that no step can be taken with --------------------------------------------------------


def dictionary(self: Game, fake: Tensor) -> dict[str, Tensor]:
    """What a discriminator returns."""
    return {"loss": fake.mean()}


def loss_of_each(self: Autoregressive, x: Tensor, y: Tensor | None, rng: Rng) -> dict[str, Tensor]:
    """One for each image."""
    return {"loss": -self.log_prob(x, y)}


@pytest.mark.parametrize(
    ("recipe", "kind", "player", "losses", "line"),
    [
        (
            "points2d/gan",
            NonSaturating,
            "discriminator",
            NoLoss.discriminator,
            'NonSaturating.discriminator returns distance, and no "loss"; right is a dictionary',
        ),
        (
            "points2d/wgan-gp",
            Wasserstein,
            "discriminator",
            NoLoss.discriminator,
            'Wasserstein.discriminator returns distance, and no "loss"; right is a dictionary',
        ),
        (
            "points2d/gan",
            NonSaturating,
            "generator",
            Vector.generator,
            r"the loss of NonSaturating.generator has the shape \(1,\); right is a scalar",
        ),
        (
            "digits-halves/pix2pix",
            NonSaturating,
            "generator",
            dictionary,
            "the loss of NonSaturating.generator is of type dict; right is a tensor, a scalar",
        ),
        (
            "points2d/made",
            Autoregressive,
            "loss",
            loss_of_each,
            r'entry "loss" of loss_of_each has the shape \(\d+,\); right is a scalar',
        ),
    ],
    ids=["no loss", "no loss and a penalty", "a vector", "a dictionary", "a loss for each image"],
)
def test_losses_without_a_scalar_end_training_in_one_line(
    recipe, kind, player, losses, line, tiny, monkeypatch
):
    config = tiny(recipe)
    monkeypatch.setattr(kind, player, losses)
    with pytest.raises(InputError, match=f"^{line}[^\n]*$"):
        train(config)


@pytest.mark.parametrize(
    ("losses", "line"),
    [
        ({}, 'returns nothing, and no "loss"; right is a dictionary of scalars'),
        (torch.zeros(()), "returns a value of type Tensor; right is a dictionary of scalars"),
        ({"loss": 0.5}, "is of type float; right is a tensor, a scalar"),
        ({"loss": torch.zeros(()), "kl": torch.zeros(2)}, 'entry "kl" of .* has the shape'),
    ],
)
def test_losses_of_a_player_are_scalars_by_name(losses, line):
    player = Player([], lambda x, y, rng: losses)
    batch = Batch(torch.zeros(2, 1, 1, 1), None, Rng(0, range(2)))
    with pytest.raises(InputError, match=line):
        losses_of(player, batch)
