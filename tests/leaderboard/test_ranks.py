"""Orders of models under two measurements: Kendall's tau, and how often its interval holds the truth."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats
from test_leaderboard import POINTS, PROTOCOL, make

from genbench.leaderboard import ranks
from genbench.leaderboard.board import boards
from genbench.leaderboard.claims.claim_settings import load_settings
from genbench.leaderboard.orders import orders_text, verdict
from genbench.leaderboard.ranks import Seeds, comparisons, interval_of_tau, kendall_tau
from genbench.suites.suite import load_suite

MNIST = dataclasses.replace(
    PROTOCOL, name="mnist", dataset="mnist", shape=(1, 28, 28), data_hash="b" * 64
)


def test_tau_equals_scipy_with_and_without_ties():
    generator = np.random.default_rng(0)
    a = np.concatenate((generator.normal(size=(20, 9)), generator.integers(4, size=(20, 9))))
    b = np.concatenate((generator.normal(size=(20, 9)), generator.integers(4, size=(20, 9))))
    expected = [scipy.stats.kendalltau(x, y).statistic for x, y in zip(a, b)]
    assert kendall_tau(a, b) == pytest.approx(expected, abs=1e-14)
    assert math.isnan(kendall_tau(np.zeros(4), np.arange(4.0)))


def test_drawn_means_are_of_the_spread_of_a_mean_with_the_tails_of_student(monkeypatch):
    monkeypatch.setattr(ranks, "DRAWS", 40_000)
    generator = np.random.default_rng(0)
    values = tuple(generator.normal(size=12))
    drawn = ranks.drawn_means([Seeds("a", values)])[:, 0]
    error = np.std(values, ddof=1) / math.sqrt(12)
    t = scipy.stats.t(11)
    assert drawn.mean() == pytest.approx(np.mean(values), abs=0.02 * error)
    # a standard deviation of t with 11 degrees is sqrt(11 / 9)
    assert drawn.std() == pytest.approx(error * t.std(), rel=0.02)
    ends = (np.quantile(drawn, [0.025, 0.975]) - np.mean(values)) / error
    assert ends == pytest.approx(t.ppf([0.025, 0.975]), rel=0.1)


def test_metrics_of_one_training_are_drawn_together():
    values = (1.0, 2.0, 6.0)
    same = ranks.drawn_means([Seeds("a", values), Seeds("a", tuple(2 * v for v in values))])
    assert np.allclose(same[:, 1], 2 * same[:, 0])
    apart = ranks.drawn_means([Seeds("a", values), Seeds("b", values)])
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.1


def test_models_far_apart_have_an_interval_of_no_width():
    first = [Seeds(str(i), (1e4 * i, 1e4 * i + 1, 1e4 * i + 2)) for i in range(5)]
    second = [dataclasses.replace(model, training=model.training + "b") for model in first]
    assert interval_of_tau(first, second) == (1, 1)
    assert interval_of_tau(first, second[::-1]) == (-1, -1)
    assert interval_of_tau([*first[:4], Seeds("4", (40.0,))], second) is None


def share_covered(truth, spread, together, replications=150, models=7, seeds=3):
    """How often the interval holds the tau of the true means, which spread by `spread` standard deviations over seeds."""
    generator = np.random.default_rng(int(100 * truth + 10 * spread + together))
    covered = 0
    for replication in range(replications):
        mean = spread * generator.normal(size=models)
        other = spread * generator.normal(size=models)
        second_mean = truth * mean + math.sqrt(1 - truth**2) * other
        noise, second_noise = generator.normal(size=(2, models, seeds))
        if together:
            second_noise = 0.8 * noise + 0.6 * second_noise
        names = [f"{replication} {i}" for i in range(models)]
        second_names = names if together else [f"{name}b" for name in names]
        first = [Seeds(n, tuple(m + e)) for n, m, e in zip(names, mean, noise)]
        second = [
            Seeds(n, tuple(m + e)) for n, m, e in zip(second_names, second_mean, second_noise)
        ]
        low, high = interval_of_tau(first, second)
        covered += low - 1e-9 <= kendall_tau(mean, second_mean) <= high + 1e-9
    return covered / replications


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("truth", "spread"), [(0, 2), (1, 2), (0.8, 5)])
def test_the_interval_covers_the_truth(monkeypatch, truth, spread, together):
    monkeypatch.setattr(ranks, "DRAWS", 200)
    # a true share of 0.95 is below 0.90 in one of 150 such counts
    assert share_covered(truth, spread, together) >= 0.90


def test_where_noise_decides_the_order_the_interval_covers_less(monkeypatch):
    monkeypatch.setattr(ranks, "DRAWS", 200)
    # the limit that the module states: models closer than a standard deviation over seeds
    assert share_covered(0, 0.3, together=True, replications=60) < 0.9


REPRESENTATIVES = load_settings().representatives


def test_every_recipe_of_the_suite_of_one_recipe_a_family_is_a_representative():
    recipes = [entry.config.removeprefix("mnist/") for entry in load_suite("mnist-small").entries]
    models = [label.partition("@")[0] for label in REPRESENTATIVES["mnist"].values()]
    assert sorted(recipes) == sorted(models)


def family_records(protocol, values):
    """Three seeds for the representative of each family of MNIST, about the values."""
    found = []
    for family, value in zip(REPRESENTATIVES["mnist"], values):
        three = (value - 1e-4, value, value + 1e-4)
        model, _, variant = REPRESENTATIVES[protocol.dataset][family].partition("@")
        found += make(
            model,
            three,
            family,
            variant=variant,
            sampler={"steps": 3} if variant else {},
            protocol=protocol,
            recall=value / 10,
            config=model[:8].ljust(8),
        )
    return found


def test_boards_of_two_data_sets_are_compared_by_the_representatives():
    values = (3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 7.0)
    small = family_records(MNIST, values)
    digits = family_records(PROTOCOL, sorted(values))
    # no representative, a second evaluation, and one that is told labels
    digits += make("lsgan", (0.1, 0.2, 0.3), "gan", config="other123")
    digits += make("vae", (50.0, 51.0, 52.0), "vae", variant="mean", config="vae     ")
    every = comparisons(boards([*digits, *small]))
    (found,) = [
        one for one in every if (one.first, one.second) == ("FID on digits", "FID on mnist")
    ]
    assert (found.first, found.second) == ("FID on digits", "FID on mnist")
    families = tuple(REPRESENTATIVES["mnist"])
    assert found.models == tuple(REPRESENTATIVES["digits"][family] for family in families)
    # values has three pairs out of order: 3-1, 3-2, 5-4
    assert (found.same, found.pairs) == (18, 21)
    assert found.tau == pytest.approx(15 / 21)
    assert found.interval == (found.tau, found.tau)
    assert verdict(found) == "carries over"


def test_metrics_of_a_board_are_compared_over_its_rows_with_their_directions(monkeypatch):
    monkeypatch.setattr(ranks, "QUALITY", ("fid", "recall"))
    # recall is the value itself, and higher is better: the orders are opposite
    (one,) = comparisons(boards(family_records(PROTOCOL, range(1, 8))))
    assert (one.first, one.second) == ("FID on digits", "Recall on digits")
    assert (one.tau, one.same, one.pairs) == (-1, 0, 21)
    assert verdict(dataclasses.replace(one, interval=(-1, -0.2))) == "is reversed"
    assert verdict(dataclasses.replace(one, interval=(-0.2, 0.2))) == "not resolved"


def test_few_models_are_not_compared_and_one_seed_has_no_interval():
    few = make("gmm", (1.0, 2.0), "classical") + make("gan", (3.0, 4.0), "gan")
    assert comparisons(boards(few)) == []
    assert orders_text(boards(few)) == ""
    ones = [record for record in family_records(PROTOCOL, range(1, 8)) if record.seed == 0]
    (one,) = comparisons(boards(ones))
    assert (one.tau, one.interval) == (1, None)
    assert verdict(one) == "no interval"


def test_a_former_board_has_no_interval_and_gives_way_to_a_current_one():
    former = dataclasses.replace(MNIST, evaluated_by="one seed")
    digits = family_records(PROTOCOL, range(1, 8))
    points = family_records(POINTS, range(1, 8))
    old = family_records(former, range(1, 8))
    across = [one for one in comparisons(boards([*digits, *old])) if "mnist" in one.second]
    assert [one.interval for one in across if "digits" in one.first] == [None]
    new = family_records(MNIST, range(1, 8))
    found = comparisons(boards([*digits, *points, *old, *new]))
    names = [(one.first, one.second) for one in found if one.first == "FID on digits"]
    assert names.count(("FID on digits", "FID on mnist")) == 1
    assert ("FID on digits", "Energy distance on points2d") in names


def test_the_text_is_a_table_of_the_comparisons():
    values = (3.0, 1.0, 2.0, 5.0, 4.0, 6.0, 7.0)
    records = family_records(PROTOCOL, sorted(values)) + family_records(MNIST, values)
    lines = orders_text(boards(records)).splitlines()
    assert lines[2] == "# Does the order carry over?"
    (line,) = [line for line in lines if line.startswith("| FID on digits | FID on mnist |")]
    assert "| 18 of 21 | 0.71 | 0.71 to 0.71 | carries over |" in line
    assert "gan, vae, realnvp, pixelcnn, ddpm@ddim50, flow\\_matching@heun10, gmm" in line
