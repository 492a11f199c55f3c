"""Games of two players on tables: with the best discriminator, the value of each is a divergence of the two distributions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

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
