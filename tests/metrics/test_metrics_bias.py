"""FID at infinity and memorisation: known values, and neighbours that both kinds of metric stand on."""

from __future__ import annotations

import math

import pytest
import torch

from genbench.errors import InputError
from genbench.metrics.fid_infinity import fid_infinity, intercept
from genbench.metrics.frechet import fid
from genbench.metrics.memorisation import memorisation, tail_share
from genbench.metrics.neighbours import nearest_distance, nearest_others, pairs_within
from genbench.rng import Rng


def draw(purpose, rows, columns):
    return Rng(0, range(rows), torch.float64).split(purpose).normal((columns,))


# --- neighbours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1e4])
@pytest.mark.parametrize("block", [7, 1024])
def test_neighbours_are_those_of_all_distances(block, offset):
    x, z = draw("x", 60, 5) + offset, draw("z", 90, 5) + offset
    z[20:30] = z[0]
    x[4] = z[3]
    within, across = (
        torch.cdist(a, z, compute_mode="donot_use_mm_for_euclid_dist") for a in (z, x)
    )
    found = nearest_others(z, 12, block)
    wanted = within.fill_diagonal_(torch.inf).sort(1).values[:, :12]
    torch.testing.assert_close(found.distance, wanted, rtol=1e-12, atol=0)
    assert torch.equal(within.gather(1, found.others) == 0, found.distance == 0)
    assert not bool((found.others == torch.arange(90)[:, None]).any())
    torch.testing.assert_close(nearest_distance(x, z, block), across.amin(1), rtol=1e-12, atol=0)
    radii = draw("radii", 60, 1)[:, 0].abs()
    radii[4] = 0
    pairs = pairs_within(x, radii, z, block)
    assert set(zip(pairs.centre.tolist(), pairs.point.tolist())) == set(
        map(tuple, (across <= radii[:, None]).nonzero().tolist())
    )
    assert (4, 3) in zip(pairs.centre.tolist(), pairs.point.tolist())
    torch.testing.assert_close(
        pairs.distance, across[pairs.centre, pairs.point], rtol=1e-12, atol=0
    )


# --- FID at infinity ----------------------------------------------------------------------------------------------------


def test_intercept_is_that_of_least_squares():
    import scipy.stats

    u = 1 / torch.linspace(50, 100, 15, dtype=torch.float64)
    d = 3 + 20 * u + 0.01 * draw("noise", 15, 1)[:, 0]
    theirs = scipy.stats.linregress(u.numpy(), d.numpy())
    assert intercept(u, d) == (
        pytest.approx(theirs.intercept, rel=1e-10),
        pytest.approx(theirs.intercept_stderr, rel=1e-10),
    )
    assert intercept(u, 3 + 20 * u) == (pytest.approx(3, rel=1e-12), pytest.approx(0, abs=1e-12))


def test_fid_at_infinity_is_without_the_bias_of_fid():
    # against a reference so large that its own bias is small: N(c, 1) and N(0, 1) in 10 dimensions are 10 c^2 apart
    reference, true = draw("reference", 20_000, 10), 10 * 0.2**2
    runs = [0.2 + draw(f"x {i}", 200, 10) for i in range(40)]
    plain = torch.tensor([fid(x, reference) for x in runs])
    found = torch.tensor(
        [fid_infinity(x, reference, Rng(i, range(15)), 0.0)[0] for i, x in enumerate(runs)]
    )
    standard_error = float(found.std()) / math.sqrt(40)
    assert abs(float(found.mean()) - true) < 3 * standard_error
    assert float(plain.mean()) - true > 10 * standard_error


def test_fid_at_infinity_is_seeded_and_refuses_few_images():
    x, r = draw("x", 60, 3), draw("r", 80, 3) + 1
    assert fid_infinity(x, r, Rng(0, range(20))) == fid_infinity(x, r, Rng(0, range(20)))
    assert fid_infinity(x, r, Rng(0, range(20)))[0] != fid_infinity(x, r, Rng(1, range(20)))[0]
    value, error = fid_infinity(x, r, Rng(0, range(20)), 0.3)
    assert error > 0.3 and abs(value - fid(x, r)) < 2
    constant = torch.full((60, 3), 0.5)
    assert fid_infinity(constant, constant, Rng(0, range(20))) == (0, 0)
    for few in (x[:2], x[:29]):
        with pytest.raises(
            InputError, match=f"at least 30 generated images and 15 draws, not {len(few)} and 20"
        ):
            fid_infinity(few, r, Rng(0, range(20)))


# --- memorisation -------------------------------------------------------------------------------------------------------


def test_share_of_the_near_tail_on_numbers_made_by_hand():
    held_out = torch.arange(
        1.0, 100, dtype=torch.float64
    )  # of 99 the fifth is at rank 0.05 (99 + 1)
    share = lambda *d: tail_share(torch.tensor(d, dtype=torch.float64), held_out)  # noqa: E731
    assert share(0, 1, 4.9, 5.1) == pytest.approx(0.75)
    assert share(0, 0) == pytest.approx(1) and share(6, 200) == pytest.approx(0)
    # of 29 it is one and a half: half of what is before the first, and half of what is before the second
    held_out = torch.arange(1.0, 30, dtype=torch.float64)
    assert share(1.5, 1.5, 9, 9) == pytest.approx(0.25)
    assert share(0.5, 0.5, 9, 9) == pytest.approx(0.5)
    # as near as the first is before it half of the time
    assert share(1, 1, 9, 9) == pytest.approx(0.375)


@pytest.mark.parametrize("m", [20, 21, 39, 40, 50, 99, 100, 719])
def test_a_fresh_distance_is_neutral_for_every_number_of_held_out_ones(m):
    """Its rank among m others is uniform: the mean over the m + 1 equally likely gaps is 0.05, not the next whole number of m."""
    held_out = torch.arange(1.0, m + 1, dtype=torch.float64)
    gaps = [
        tail_share(torch.tensor([rank + 0.5], dtype=torch.float64), held_out)
        for rank in range(m + 1)
    ]
    assert sum(gaps) / (m + 1) == pytest.approx(0.05, rel=1e-12)


@pytest.mark.parametrize("m", [20, 50])
def test_ties_keep_the_neutral_value(m):
    """Discrete data: whichever of m + 1 exchangeable distances is the sample's, the mean over all choices is 0.05."""
    for values in ([0.0, 0, 1, 3], [0.0], [0.0, 1, 1, 2, 2, 2, 5]):
        every = torch.tensor(values, dtype=torch.float64).repeat(m + 1)[: m + 1]
        shares = [
            tail_share(every[i : i + 1], torch.cat((every[:i], every[i + 1 :])))
            for i in range(m + 1)
        ]
        assert sum(shares) / (m + 1) == pytest.approx(0.05, rel=1e-12)


def test_fresh_data_are_neutral_and_copies_are_found():
    train, held_out = draw("train", 800, 6), draw("held out", 400, 6)
    found = [
        memorisation(
            draw(f"fresh {i}", 300, 6), draw(f"held out {i}", 300, 6), train, Rng(i, range(16))
        )
        for i in range(100)
    ]
    values, errors = torch.tensor(found, dtype=torch.float64).T
    assert float(values.mean()) == pytest.approx(0.05, abs=3 * float(values.std()) / math.sqrt(100))
    assert 0.75 < float(errors.mean() / values.std()) < 1.25
    assert memorisation(train[:100], held_out, train, Rng(0, range(16))) == (1, 0)
    # one in five a copy; poor samples do not hide them
    for rest in (draw("fresh", 160, 6), draw("poor", 160, 6) * 9):
        value, error = memorisation(
            torch.cat((train[:40], rest)), held_out, train, Rng(0, range(16))
        )
        assert 0.2 <= value < 0.3 and value - 0.05 > 3 * error
    # with a little noise too
    assert (
        memorisation(
            train[:100] + 0.05 * draw("noise", 100, 6), held_out, train, Rng(0, range(16))
        )[0]
        > 0.95
    )


def test_memorisation_of_two_samples_of_constants_and_of_too_few_held_out():
    train, held_out = draw("train", 50, 3), draw("held out", 30, 3)
    assert memorisation(train[:2], held_out, train, Rng(0, range(16))) == (1, None)
    constant = torch.ones(40, 3)
    assert memorisation(constant, constant, constant, Rng(0, range(16))) == (
        pytest.approx(0.05),
        pytest.approx(0, abs=1e-12),
    )
    with pytest.raises(InputError, match="at least 20 held-out ones, not 19"):
        memorisation(train, held_out[:19], train, Rng(0, range(16)))
    train[7, 1] = math.nan
    with pytest.raises(InputError, match="features of training image 7 are not finite"):
        memorisation(held_out, held_out, train, Rng(0, range(16)))
