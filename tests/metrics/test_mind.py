"""MIND against exact optimal transport, closed forms and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch

from genbench.config.protocol import Protocol
from genbench.errors import InputError
from genbench.metrics.features import Features, sample_metrics
from genbench.metrics.frechet import fid
from genbench.metrics.mind import mind, mind_error, unit_vectors, wasserstein_squared
from genbench.metrics.resampling import half_sample_error
from genbench.rng import Rng


def draw(purpose, rows, columns):
    return Rng(0, range(rows), torch.float64).split(purpose).normal((columns,))


def transport_cost(p, q):
    """The least mean squared distance over all plans between points on a line, by linear programming."""
    n, m = len(p), len(q)
    cost = (p[:, None] - q[None, :]) ** 2
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    masses = np.concatenate((np.full(n, 1 / n), np.full(m, 1 / m)))
    plan = scipy.optimize.linprog(cost.ravel(), A_eq=np.vstack((rows, columns)), b_eq=masses)
    return plan.fun


@pytest.mark.parametrize(("n", "m"), [(9, 9), (6, 9), (7, 5), (1, 4)])
def test_distance_is_that_of_the_best_plan_along_every_direction(n, m):
    x, r = draw("x", n, 3), draw("r", m, 3) * 2 + 0.5
    u = unit_vectors(3, 8)
    costs = [transport_cost((x @ v).numpy(), (r @ v).numpy()) for v in u]
    assert mind(x, r, u) == pytest.approx(3 * 3 * np.mean(costs), rel=1e-9)


def test_equal_sizes_give_the_mean_over_ranks():
    # the listing of the paper, word for word in mathematics: topk sorts in descending order
    x, r = draw("x", 50, 4), draw("r", 50, 4) + 0.2
    u = unit_vectors(4)
    p, q = (torch.topk(u @ s.T, 50, dim=-1).values for s in (x, r))
    assert mind(x, r) == pytest.approx(3 * 4 * float(((p - q) ** 2).mean()), rel=1e-12)


def test_every_direction_is_a_unit_vector_and_all_are_as_likely():
    u = unit_vectors(5, 20_000)
    assert torch.allclose(u.norm(dim=1), torch.ones(20_000, dtype=torch.float64), atol=1e-14)
    # E u u^T = I / F; an entry of the mean of u u^T has a standard error below 0.0021
    assert float((u.T @ u / 20_000 - torch.eye(5) / 5).abs().max()) < 0.01
    assert float(u.mean(0).abs().max()) < 0.015
    assert torch.equal(unit_vectors(5, 20), u[:20])


def test_a_shift_costs_three_times_its_square():
    x, shift = draw("x", 40, 6), draw("shift", 1, 6)
    length = float(shift.square().sum())
    along = float((unit_vectors(6) @ shift.T).square().mean())
    assert mind(x, x + shift) == pytest.approx(3 * 6 * along, rel=1e-12)
    # over directions (u . d)^2 has the standard deviation 1.2 |d|^2 / F: 4 % over 1,000 of them
    assert mind(x, x + shift) == pytest.approx(3 * length, rel=0.12)
    assert fid(x, x + shift) == pytest.approx(length, rel=1e-9)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_scale_costs_three_times_the_squares_of_the_differences(factor):
    # along every direction the points are scaled: W_2^2 = (factor - 1)^2 mean (u . x)^2
    x = draw("x", 400, 5)
    spread = float((unit_vectors(5) @ x.T).square().mean())
    assert mind(x, factor * x) == pytest.approx(3 * 5 * (factor - 1) ** 2 * spread, rel=1e-12)


def test_symmetries():
    x, r = draw("x", 60, 4), draw("r", 45, 4) * 1.5
    value = mind(x, r)
    assert value > 0
    assert mind(r, x) == pytest.approx(value, rel=1e-12)
    assert mind(x.flip(0), r[torch.randperm(45)]) == pytest.approx(value, rel=1e-12)
    assert mind(x + 7, r + 7) == pytest.approx(value, rel=1e-9)
    assert mind(3 * x, 3 * r) == pytest.approx(9 * value, rel=1e-12)
    # every image twice is the same distribution
    assert mind(torch.cat((x, x)), r) == pytest.approx(value, rel=1e-12)
    assert mind(x, torch.cat((x, x))) == pytest.approx(0, abs=1e-12)


def test_directions_in_parts_give_the_same():
    x, r = draw("x", 30, 4), draw("r", 20, 4)
    u = unit_vectors(4)
    parts = [mind(x, r, part) * len(part) for part in u.split(300)]
    assert sum(parts) / len(u) == pytest.approx(mind(x, r), rel=1e-12)


def test_error_is_that_of_halves_measured_alone():
    x, r = draw("x", 40, 3), draw("r", 30, 3) + 1
    rng = Rng(5, range(6))
    u = unit_vectors(3, 100)
    expected = half_sample_error(lambda a, b: mind(x[a], r[b], u), (40, 30), rng)
    value, error = sample_metrics(Features(x, x), Features(r, r), ["mind"], rng)["mind"]
    assert value == mind(x, r)
    assert error == pytest.approx(expected, rel=1e-12)
    assert mind_error(x[:3], r, rng) is None


def test_a_protocol_may_ask_for_it_and_needs_reference_images():
    assert Protocol("p", ("fid", "mind"), 100, "digits").metrics == ("fid", "mind")
    with pytest.raises(ValueError, match="mind need reference images"):
        Protocol("p", ("mind",), 100, "digits", statistics="x.npz")


def test_features_that_are_not_finite_name_their_image():
    x, broken = draw("x", 9, 3), draw("x", 9, 3)
    broken[4, 1] = float("nan")
    for pair in ((x, broken), (broken, x)):
        with pytest.raises(InputError, match="features of image 4 are not finite"):
            mind(*pair)


def test_wasserstein_of_two_points_and_one():
    p = torch.tensor([[0.0, 4.0]], dtype=torch.float64)
    q = torch.tensor([[1.0]], dtype=torch.float64)
    assert wasserstein_squared(p, q).tolist() == [(1 + 9) / 2]


def test_references_that_were_projected_before_are_not_mixed_up():
    x, first, second = (
        torch.randn(40, 5, generator=torch.Generator().manual_seed(k)) for k in range(3)
    )
    u = unit_vectors(5)
    for r in (first, second, first[:30], first):
        assert mind(x, r) == mind(x, r, u)
