"""Sample metrics against independent implementations, closed forms and their symmetries."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
import warm

from genbench.errors import InputError
from genbench.metrics.energy import energy_distance
from genbench.metrics.features import FeatureBank, Features, sample_metrics
from genbench.metrics.frechet import (
    GaussianStatistics,
    fid,
    frechet_distance,
    load_statistics,
    moments,
)
from genbench.metrics.inception_score import InceptionScore, inception_score
from genbench.metrics.kid import kernel_distance
from genbench.metrics.precision_recall import (
    Balls,
    class_recall,
    density_coverage,
    precision_recall,
)
from genbench.records.catalogue import image_metrics
from genbench.records.parts import LATER_METRICS
from genbench.rng import Rng


def draw(purpose, rows, columns):
    return Rng(0, range(rows), torch.float64).split(purpose).normal((columns,))


def feature_sets(n=300, m=240, width=12):
    """Two correlated, offset sets that overlap."""
    mix = draw("mix", width, width)
    return draw("x", n, width) @ mix * 1.2 + 5, draw("r", m, width) @ mix + 5.4


# --- Fréchet distance ---------------------------------------------------------------------------------------------------


def test_frechet_distance_equals_torch_fidelity():
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, r = feature_sets()
    theirs = fid_statistics_to_metric(
        fid_features_to_statistics(x), fid_features_to_statistics(r), False
    )
    assert fid(x, r) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(600, 700), (40, 90), (40, 700), (700, 2)])
def test_frechet_distance_equals_sqrtm_and_is_right_with_fewer_images_than_features(n, m):
    # centred rows A and B: the root's trace is the sum of the singular values of A B^T, whatever the rank
    x, r = draw("x", n, 128) + 0.3, draw("r", m, 128) @ draw("mix", 128, 128) / 10
    A, B = ((s - s.mean(0)) / math.sqrt(len(s) - 1) for s in (x, r))
    apart = float((x.mean(0) - r.mean(0)).square().sum() + A.square().sum() + B.square().sum())
    assert fid(x, r) == pytest.approx(
        apart - 2 * float(torch.linalg.svdvals(A @ B.T).sum()), rel=1e-11
    )
    if min(n, m) > 128:  # where it is defined
        root = scipy.linalg.sqrtm((A.T @ A @ B.T @ B).numpy())
        assert fid(x, r) == pytest.approx(apart - 2 * float(np.trace(root).real), rel=1e-9)


@pytest.mark.parametrize("power", [0, 1.5, 4, 8])
def test_frechet_distance_keeps_its_digits_whatever_the_spectrum(power):
    # commuting covariances: sum (sqrt a - sqrt b)^2; the steep ones need the singular values
    rotation = torch.linalg.qr(draw("rotation", 200, 200))[0]
    a = torch.arange(1, 201, dtype=torch.float64) ** -power
    b = a * (1 + 0.5 * draw("b", 200, 1)[:, 0].tanh())
    mean, (cov_a, cov_b) = (
        torch.zeros(200, dtype=torch.float64),
        ((rotation * s) @ rotation.T for s in (a, b)),
    )
    expected = float((a.sqrt() - b.sqrt()).square().sum())
    assert frechet_distance(mean, cov_a, mean, cov_b) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_commuting_covariances_is_the_closed_form():
    # diagonal: sum (a - b)^2 of the standard deviations, zeros (deficient rank, not in the same places) included
    a, b = torch.tensor([0.0, 1.0, 2.0, 0.0]), torch.tensor([3.0, 0.0, 0.5, 0.0])
    rotation = torch.linalg.qr(draw("rotation", 4, 4))[0]
    covs = [rotation @ s.double().square().diag() @ rotation.T for s in (a, b)]
    mean = draw("mean", 1, 4)[0]
    distance = frechet_distance(mean, covs[0], mean + 1, covs[1])
    # the root of an eigenvalue that should be 0: what rounding leaves of it, below 1e-7 of the distance, depends on the processor
    assert distance == pytest.approx(4 + float((a - b).square().sum()), rel=1e-7)


def test_frechet_distance_where_ranges_overlap_in_part():
    # the product has zeros among its singular values: roots of rounded squares would be 1e-8 each
    rotation = torch.linalg.qr(draw("rotation", 90, 90))[0]
    a, b = torch.zeros(2, 90, dtype=torch.float64)
    a[:60], b[30:] = draw("a", 60, 1)[:, 0].abs() + 0.5, draw("b", 60, 1)[:, 0].abs() + 0.5
    mean, (cov_a, cov_b) = (
        torch.zeros(90, dtype=torch.float64),
        ((rotation * s.square()) @ rotation.T for s in (a, b)),
    )
    expected = float((a - b).square().sum())
    assert frechet_distance(mean, cov_a, mean, cov_b) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "width"), [(2, 64), (20, 64), (64, 64), (500, 64)])
def test_frechet_distance_of_a_set_to_itself_is_zero_at_any_rank(n, width):
    x = draw("x", n, width) @ draw("mix", width, width)
    scale = float(x.var(0).sum())
    assert fid(x, x) <= 1e-10 * scale
    assert fid(x, x.flip(0)) <= 1e-10 * scale
    # a shift of both changes nothing, a shift of one by c adds ||c||^2
    assert fid(x + 1, x) == pytest.approx(width, rel=1e-8)


def test_frechet_distance_of_constant_images():
    x, r = feature_sets()
    constant = torch.full((50, x.shape[1]), 0.1, dtype=torch.float64)
    assert fid(constant, constant) <= 1e-12
    expected = float((moments(r)[0] - 0.1).square().sum() + moments(r)[1].trace())
    assert fid(constant, r) == pytest.approx(expected, rel=1e-9)
    assert fid(r, constant) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_two_points_is_that_of_their_lines():
    # covariances a a^T and b b^T: tr of the root is |a . b|
    x, r = draw("x", 2, 9), draw("r", 2, 9)
    a, b = ((s[0] - s[1]) / math.sqrt(2) for s in (x, r))
    expected = (x.mean(0) - r.mean(0)).square().sum() + a @ a + b @ b - 2 * (a @ b).abs()
    assert fid(x, r) == pytest.approx(float(expected), rel=1e-10)


def test_frechet_distance_of_a_line_to_a_full_set():
    # a a^T against C: tr of the root is sqrt(a^T C a); the eigenvalues of a a^T that are rounding must not be seen
    x, r = draw("x", 2, 64), draw("r", 500, 64) @ draw("mix", 64, 64)
    a, (mean, cov) = (x[0] - x[1]) / math.sqrt(2), moments(r)
    expected = float(
        (x.mean(0) - mean).square().sum() + a @ a + cov.trace() - 2 * (a @ cov @ a).sqrt()
    )
    assert fid(x, r) == pytest.approx(expected, rel=1e-12)
    assert fid(r, x) == pytest.approx(expected, rel=1e-12)


def test_covariance_needs_two_images():
    with pytest.raises(InputError, match="at least 2 images, not 1"):
        moments(torch.zeros(1, 3))


def test_statistics_of_different_widths_or_without_numbers_are_refused():
    x, r = feature_sets()
    with pytest.raises(InputError, match="12 features here and 5 there"):
        frechet_distance(*moments(x), *moments(r[:, :5]))
    with pytest.raises(InputError, match="mean or covariance is not finite"):
        frechet_distance(*moments(x), torch.full((12,), math.nan), moments(r)[1])


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_statistics_of_other_tools_give_the_same_distance(tmp_path, write):
    from torch_fidelity.metric_fid import fid_features_to_statistics

    x, r = feature_sets()
    write(tmp_path / "reference.npz", **fid_features_to_statistics(r))
    mean, cov = load_statistics(tmp_path / "reference.npz")
    assert mean.dtype == cov.dtype == torch.float64
    assert frechet_distance(*moments(x), mean, cov) == pytest.approx(fid(x, r), rel=1e-12)
    write(
        tmp_path / "single.npz",
        **{k: v.astype(np.float32) for k, v in fid_features_to_statistics(r).items()},
    )
    assert frechet_distance(
        *moments(x), *load_statistics(tmp_path / "single.npz")
    ) == pytest.approx(fid(x, r), rel=1e-4)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"mu": np.zeros(3)}, "not an .npz file with the arrays mu and sigma"),
        (
            {"mu": np.zeros(3), "sigma": np.array([print], dtype=object)},
            "not an .npz file with the arrays mu and sigma",
        ),
        (
            {"mu": np.zeros(3), "sigma": np.eye(4)},
            r"mu is \(F,\) and sigma \(F, F\), not \(3,\) and \(4, 4\)",
        ),
        ({"mu": np.zeros((3, 1)), "sigma": np.eye(3)}, r"not \(3, 1\) and \(3, 3\)"),
        ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, r"not \(0,\) and \(0, 0\)"),
        ({"mu": np.array([0, np.nan]), "sigma": np.eye(2)}, "finite real numbers"),
        ({"mu": np.zeros(2), "sigma": np.eye(2) * 1j}, "finite real numbers"),
        ({"mu": np.zeros(2), "sigma": np.array([["a", "b"], ["b", "a"]])}, "finite real numbers"),
        (
            {"mu": np.zeros(2), "sigma": np.array([[1, 0.5], [0.4, 1]])},
            "no covariance; right is a symmetric matrix",
        ),
        ({"mu": np.zeros(2), "sigma": -np.eye(2)}, "without negative variances"),
    ],
)
def test_other_statistics_files_are_refused_in_one_line(tmp_path, content, line):
    path = tmp_path / "statistics.npz"
    np.savez(path, **content)
    with pytest.raises(InputError, match=line) as error:
        load_statistics(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    with pytest.raises(InputError, match="no statistics file"):
        load_statistics(tmp_path / "absent.npz")
    good = tmp_path / "good.npz"
    np.savez_compressed(good, mu=np.zeros(2), sigma=np.eye(2))
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "cut.npz").write_bytes(good.read_bytes()[:-40])
    (tmp_path / "text.npz").write_text("mu")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("array.npy", "cut.npz", "text.npz", "empty.npz", "."):
        with pytest.raises(InputError, match=r"not an \.npz file"):
            load_statistics(tmp_path / name)


@pytest.mark.parametrize("batch", [1, 7, 300])
def test_streamed_moments_equal_numpy_whatever_the_batch(batch):
    x, _ = feature_sets()
    statistics = GaussianStatistics(x.shape[1])
    for rows in x.float().split(batch):
        statistics.update(rows)
    mean, cov = statistics.compute()
    torch.testing.assert_close(mean, moments(x.float())[0], rtol=1e-12, atol=0)
    np.testing.assert_allclose(
        cov.numpy(), np.cov(x.float().double().numpy(), rowvar=False), rtol=1e-10, atol=1e-10
    )


def test_streamed_moments_keep_float64_in_a_half_precision_module():
    statistics = GaussianStatistics(3).half().float()
    statistics.update(torch.full((2, 3), 1e5))
    assert statistics.compute()[1].dtype == torch.float64


# --- inception score ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "splits"), [(100, 10), (103, 10), (7, 7), (50, 1)])
def test_inception_score_equals_torch_fidelity_in_any_order(n, splits):
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = 3 * draw("logits", n, 10)
    theirs = isc_features_to_metric(logits, splits, shuffle=False)
    score = InceptionScore(n, 10, splits)
    for rows in torch.argsort(draw("order", n, 1)[:, 0]).split(8):
        score.update(rows, logits[rows])
    mean, std = score.compute()
    assert float(mean) == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert float(std) == pytest.approx(theirs["inception_score_std"], rel=1e-9, abs=1e-12)


def test_inception_score_equals_torch_fidelity_on_its_own_shuffle():
    from torch_fidelity.metric_isc import isc_features_to_metric

    logits = 3 * draw("logits", 103, 10)
    theirs = isc_features_to_metric(logits, 10, shuffle=True, rng_seed=2020)
    value, error = inception_score(logits[np.random.RandomState(2020).permutation(103)])
    assert value == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    # of the mean of ten, from their standard deviation with divisor ten
    assert error == pytest.approx(theirs["inception_score_std"] / 3, rel=1e-9)


def test_inception_score_runs_from_one_to_the_number_of_classes():
    certain = torch.eye(10).repeat(10, 1) * 1e4
    for logits, expected in (
        (certain, 10.0),
        (torch.zeros(100, 10), 1.0),
        (certain[:1].repeat(100, 1), 1.0),
    ):
        score = InceptionScore(100, 10, splits=5)
        score.update(torch.arange(100), logits)
        assert float(score.compute()[0]) == pytest.approx(expected, rel=1e-12)


def test_inception_score_of_two_images_of_one_class_and_of_a_single_split():
    assert inception_score(torch.tensor([[0.0, 50.0], [50.0, 0.0]]), splits=1) == (
        pytest.approx(2),
        None,
    )
    assert inception_score(torch.tensor([[0.0, 50.0], [50.0, 0.0]]), splits=2) == (
        pytest.approx(1),
        pytest.approx(0, abs=1e-12),
    )
    # a classifier that knows one class only
    assert inception_score(draw("logits", 40, 1)) == (1, 0)


def test_inception_score_refuses_missing_images_and_empty_splits():
    score = InceptionScore(20, 10, splits=2)
    score.update(torch.arange(19), torch.zeros(19, 10))
    with pytest.raises(ValueError, match="19 images came, not 20"):
        score.compute()
    with pytest.raises(InputError, match="splits is 1 to the number of images, 5, not 10"):
        InceptionScore(5, 10)


# --- kernel distance ----------------------------------------------------------------------------------------------------


def test_kernel_distance_equals_torch_fidelity_on_one_subset_of_everything():
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, r = feature_sets(n=200, m=200)
    theirs = kid_features_to_metric(x, r, kid_subsets=1, kid_subset_size=200, verbose=False)
    assert kernel_distance(x, r)[0] == pytest.approx(
        theirs["kernel_inception_distance_mean"], rel=1e-9
    )


def test_kernel_distance_equals_torch_fidelity_on_its_random_subsets():
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, r = feature_sets()
    theirs = kid_features_to_metric(
        x, r, kid_subsets=7, kid_subset_size=60, rng_seed=2020, verbose=False
    )
    # its subsets: of x and of r in turns, without replacement
    choice = np.random.RandomState(2020).choice
    subsets = [
        (x[choice(len(x), 60, replace=False)], r[choice(len(r), 60, replace=False)])
        for _ in range(7)
    ]
    ours = [kernel_distance(*subset)[0] for subset in subsets]
    assert np.mean(ours) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert np.std(ours) == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-9)


def test_kernel_distance_of_copies_of_constants_and_of_two_images():
    x, _ = feature_sets(n=50)
    k = (x @ x.T / x.shape[1] + 1) ** 3
    # unbiased for different images: of a set and its copy it is 2/n (mean off the diagonal - mean on it)
    apart = (k.sum() - k.trace()) / (50 * 49) - k.trace() / 50
    assert kernel_distance(x, x)[0] == pytest.approx(float(2 * apart / 50), rel=1e-9)
    constant = torch.full((20, 4), 0.5)
    assert kernel_distance(constant, constant[:9]) == (
        pytest.approx(0, abs=1e-12),
        pytest.approx(0, abs=1e-12),
    )
    assert kernel_distance(constant, 3 * constant)[0] == pytest.approx(
        1.25**3 + 3.25**3 - 2 * 1.75**3, rel=1e-12
    )
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])
    assert kernel_distance(a, b) == (pytest.approx(27 + 1 - 2 * (1 + 1 + 64 + 343) / 4), None)
    with pytest.raises(InputError, match="at least 2 images in each set, not 1 and 2"):
        kernel_distance(a[:1], b)


def test_kernel_distance_does_not_depend_on_order_or_blocks_and_is_symmetric():
    x, r = feature_sets()
    value, error = kernel_distance(x, r)
    for other in (
        kernel_distance(x.flip(0), r.roll(5, 0)),
        kernel_distance(x, r, block=17),
        kernel_distance(r, x),
    ):
        assert other == (pytest.approx(value, rel=1e-9), pytest.approx(error, rel=1e-9))


def test_kernel_distance_error_is_the_jackknife_done_one_by_one():
    x, r = feature_sets(n=9, m=7)
    variance = 0.0
    for first, second in ((x, r), (r, x)):
        rows = range(len(first))
        left = torch.tensor(
            [kernel_distance(first[[j for j in rows if j != i]], second)[0] for i in rows],
            dtype=torch.float64,
        )
        variance += float((len(first) - 1) * left.var(correction=0))
    assert kernel_distance(x, r)[1] == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_kernel_distance_is_unbiased_and_its_error_is_honest():
    # 60 pairs of sets from one distribution: the mean is zero within its error, the errors are of the size of the spread
    sets = [draw(f"set {i}", 40, 6) for i in range(120)]
    pairs = torch.tensor(
        [kernel_distance(sets[i], sets[i + 60]) for i in range(60)], dtype=torch.float64
    )
    spread = float(pairs[:, 0].std())
    assert abs(float(pairs[:, 0].mean())) < 3 * spread / math.sqrt(60)
    assert 0.7 < float(pairs[:, 1].square().mean().sqrt()) / spread < 2


# --- precision, recall, density, coverage -------------------------------------------------------------------------------


def test_precision_recall_equals_torch_fidelity():
    from torch_fidelity.metric_prc import prc_features_to_metric

    x, r = feature_sets()
    theirs = prc_features_to_metric(
        x, r, prc_neighborhood=3, prc_batch_size=100, save_cpu_ram=False, verbose=False
    )
    precision, recall = precision_recall(x, r)
    assert 0.05 < precision < 0.98 and 0.05 < recall < 0.98
    # theirs are means in float32
    assert (precision, recall) == pytest.approx((theirs["precision"], theirs["recall"]), rel=1e-6)


def test_density_coverage_equals_prdc(capsys):
    import prdc

    x, r = feature_sets()
    theirs = prdc.compute_prdc(r.numpy(), x.numpy(), nearest_k=5)
    density, coverage = density_coverage(x, r)
    assert 0.05 < coverage < 0.95
    assert (density, coverage) == pytest.approx((theirs["density"], theirs["coverage"]), rel=1e-12)


def test_copies_are_perfect_and_a_collapsed_generator_is_not_diverse():
    _, r = feature_sets()
    assert precision_recall(r, r) == (1, 1)
    # an open ball to the fifth nearest other holds five: its centre's copy and four
    assert density_coverage(r, r) == (1, 1)
    # a sample among its own copies: balls of radius zero hold their centre
    precision, recall = precision_recall(r[:1].repeat(20, 1), r)
    assert (precision, recall) == (1, pytest.approx(1 / len(r)))
    assert precision_recall(r, r[:1].repeat(20, 1)) == (pytest.approx(1 / len(r)), 1)
    density, coverage = density_coverage(r[:1].repeat(20, 1), r)
    assert coverage < 0.2 < density


def test_far_away_samples_have_nothing():
    x, r = feature_sets()
    assert precision_recall(x + 1e3, r) == (0, 0)
    assert density_coverage(x + 1e3, r) == (0, 0)


def test_precision_and_recall_are_each_other_with_the_sets_exchanged():
    x, r = feature_sets()
    assert precision_recall(x, r) == precision_recall(r, x)[::-1]


def test_neighbours_must_exist():
    with pytest.raises(InputError, match="k is 1 to the number of images less one, 2, not 3"):
        precision_recall(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(InputError, match="at least 2 images in each set, not 1"):
        precision_recall(torch.zeros(1, 2), torch.zeros(3, 2))


def test_precision_and_recall_of_two_images_and_of_constants():
    # balls of radius 2 around 0 and 2, of radius 1 around 3 and 4
    x, r = torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [4.0]])
    assert precision_recall(x, r, k=1) == (0.5, 1)
    assert density_coverage(x, r, k=1) == (0, 0)
    constant = torch.full((10, 3), 0.1)
    assert precision_recall(constant, constant) == (1, 1)
    # an open ball of radius zero is empty
    assert density_coverage(constant, constant) == (0, 0)
    assert precision_recall(constant, constant + 1) == (0, 0)


def test_recall_by_class_is_a_mean_of_recall_and_shows_a_dropped_class():
    x, r = feature_sets()
    labels = torch.arange(len(r)) % 3 + (torch.arange(len(r)) > 100)
    balls = Balls(x, r)
    recalls = class_recall(balls, 3, *balls.everything(), labels)
    shares = torch.bincount(labels) / len(labels)
    assert len(recalls) == 4 and 0 < float(recalls.min()) < float(recalls.max()) < 1
    assert float(recalls @ shares.double()) == pytest.approx(precision_recall(x, r)[1], rel=1e-6)
    # three far classes of which the generator lacks the last; class 2 has no reference image
    labels = torch.tensor([0, 1, 3]).repeat_interleave(60)
    real, made = (draw(name, 180, 5) + 30 * labels[:, None] for name in ("real", "made"))
    balls = Balls(made[:120], real)
    recalls = class_recall(balls, 3, *balls.everything(), labels)
    assert float(recalls[:2].min()) > 0.8 and float(recalls[3]) == 0 and bool(recalls[2].isnan())
    found = sample_metrics(
        Features(made[:120], made),
        Features(real, real),
        ["recall", "class_recall"],
        Rng(0, range(20)),
        labels=labels,
    )
    assert found["class_recall"][0] == 0 and found["recall"][0] > 0.55


# --- energy distance ----------------------------------------------------------------------------------------------------


def test_energy_distance_is_the_formula_over_pairs():
    x, y = draw("x", 11, 2).tolist(), (draw("y", 8, 2) + 1).tolist()
    across = [math.dist(a, b) for a in x for b in y]
    within = [
        [math.dist(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]
        for s in (x, y)
    ]
    expected = 2 * np.mean(across) - np.mean(within[0]) - np.mean(within[1])
    for block in (3, 2048):
        assert energy_distance(torch.tensor(x).double(), torch.tensor(y).double(), block)[
            0
        ] == pytest.approx(expected, rel=1e-6)


def test_energy_distance_of_integers_and_of_two_places():
    # all of x at 0, all of y at (3, 4): 2 * 5 - 0 - 0
    x, y = (
        torch.zeros(6, 2, dtype=torch.uint8),
        torch.tensor([[3, 4]], dtype=torch.uint8).repeat(9, 1),
    )
    assert energy_distance(x, y) == (10, 0)


def test_energy_distance_of_two_points_and_of_constants():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [4.0]])
    assert energy_distance(a, b) == (2 * (0 + 4 + 1 + 3) / 4 - 1 - 4, None)
    assert energy_distance(torch.ones(5, 2), torch.ones(7, 2)) == (0, 0)
    with pytest.raises(InputError, match="at least 2 images in each set, not 1 and 2"):
        energy_distance(a[:1], b)


def test_energy_distance_is_unbiased():
    values = torch.tensor(
        [energy_distance(draw(f"x {i}", 20, 2), draw(f"y {i}", 30, 2))[0] for i in range(200)]
    )
    assert abs(float(values.mean())) < 3 * float(values.std()) / math.sqrt(200)
    # while the V-statistic's bias is many times that
    assert float(values.std()) / math.sqrt(200) < 0.02


# --- the bank -----------------------------------------------------------------------------------------------------------


def test_bank_returns_rows_in_index_order_whatever_the_batches():
    features, logits = draw("features", 50, 6).float(), draw("logits", 50, 10).float()
    bank = FeatureBank(6, 10)
    for rows in torch.argsort(draw("order", 50, 1)[:, 0]).split(7):
        bank.update(rows, features[rows], logits[rows])
    assert torch.equal(bank.compute().features, features)
    assert torch.equal(bank.compute().logits, logits)
    bank.reset()
    bank.update(torch.arange(3), features[:3], logits[:3])
    assert bank.compute().features.shape == (3, 6)


def test_bank_refuses_an_image_twice_and_wrong_shapes():
    bank = FeatureBank(2, 3)
    bank.update(torch.tensor([4, 1]), torch.zeros(2, 2), torch.zeros(2, 3))
    bank.update(torch.tensor([4]), torch.zeros(1, 2), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="same image index came twice"):
        bank.compute()
    with pytest.raises(ValueError, match="have shapes"):
        bank.update(torch.tensor([5]), torch.zeros(1, 3), torch.zeros(1, 3))


PLAIN = ["fid", "is", "kid", "precision", "recall", "density", "coverage"]


def test_one_pass_gives_every_metric():
    x, r = (v.float() for v in feature_sets())
    logits = 3 * draw("logits", len(x), 10).float()
    labels, training = torch.arange(len(r)) % 2, draw("train", 400, x.shape[1]).float()
    found = sample_metrics(
        Features(x, logits),
        Features(r, r[:, :10]),
        image_metrics(),
        Rng(0, range(20)),
        labels=labels,
        training=training,
    )
    assert tuple(found) == image_metrics()
    assert all(
        type(number) is float and math.isfinite(number)
        for estimate in found.values()
        for number in estimate
    )
    assert found["fid"][0] == fid(x, r)
    assert found["is"] == inception_score(logits)
    assert found["kid"] == kernel_distance(x, r)
    assert (found["precision"][0], found["recall"][0]) == precision_recall(x, r, k=3)
    assert (found["density"][0], found["coverage"][0]) == density_coverage(x, r, k=5)
    # what is asked, in the order asked, and the same whatever else is asked
    some = sample_metrics(
        Features(x, logits), Features(r, r[:, :10]), ["recall", "fid"], Rng(0, range(20))
    )
    assert list(some.items()) == [(name, found[name]) for name in ("recall", "fid")]
    # records without a metric that came later hold for this reason
    earlier = [name for name in image_metrics() if name not in LATER_METRICS]
    assert len(earlier) < len(image_metrics())
    before = sample_metrics(
        Features(x, logits),
        Features(r, r[:, :10]),
        earlier,
        Rng(0, range(20)),
        labels=labels,
        training=training,
    )
    assert before == {name: found[name] for name in earlier}


def test_metrics_that_lack_something_say_so():
    x, r = (Features(v, v) for v in feature_sets())
    for name, line in (
        ("class_recall", "needs the labels of the reference"),
        ("memorisation", "needs the features of the training images"),
        ("recal", "no sample metric 'recal'; did you mean 'recall'"),
    ):
        with pytest.raises(InputError, match=line):
            sample_metrics(x, r, [name], Rng(0, range(20)))


def test_features_that_are_not_finite_name_their_image():
    x, r = feature_sets()
    broken = x.clone()
    broken[17, 3], broken[40, 0] = math.nan, math.inf
    for given, image in (((broken, r), "generated image 17"), ((r, broken), "reference image 17")):
        for name in PLAIN:
            with pytest.raises(InputError, match=f"features of {image} are not finite"):
                sample_metrics(*(Features(v, v) for v in given), [name], Rng(0, range(20)))
    for metric in (fid, kernel_distance, precision_recall, density_coverage):
        for given in ((broken, r), (r, broken)):
            with pytest.raises(InputError, match="features of image 17 are not finite"):
                metric(*given)
    with pytest.raises(InputError, match="class scores of image 17 are not finite"):
        inception_score(broken)
    with pytest.raises(InputError, match="coordinates of image 17 are not finite"):
        energy_distance(broken, r)


def test_few_images_have_no_error():
    x, r = (Features(v, v) for v in feature_sets(n=10, m=10))
    found = sample_metrics(x, r, PLAIN, Rng(0, range(20)))
    assert [name for name, (_, error) in found.items() if error is None] == ["density", "coverage"]
    x, r = (Features(v.features[:2], v.logits[:2]) for v in (x, r))
    assert sample_metrics(x, r, ["fid", "kid"], Rng(0, range(20))) == {
        "fid": (fid(x.features, r.features), None), "kid": (kernel_distance(x.features, r.features)[0], None)
    }  # fmt: skip


RANK = """
import sys, torch
from datetime import timedelta
from torch import distributed
from genbench.metrics.features import FeatureBank, Features, sample_metrics
from genbench.metrics.frechet import GaussianStatistics
from genbench.metrics.inception_score import InceptionScore
from genbench.rng import Rng

PLAIN = ["fid", "is", "kid", "precision", "recall", "density", "coverage"]
torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(seconds=60)
)
x, logits, r = torch.load(f"{folder}/features.pt", weights_only=True)
# unequal shards in unequal numbers of batches; then one process without a single image
for cut in (37, 100):
    bank, statistics, score = FeatureBank(x.shape[1], 10), GaussianStatistics(x.shape[1]), InceptionScore(len(x), 10)
    for rows in torch.arange(len(x))[slice(cut) if rank == 0 else slice(cut, None)].flip(0).split(8):
        bank.update(rows, x[rows], logits[rows])
        statistics.update(x[rows])
        score.update(rows, logits[rows])
    metrics = sample_metrics(bank.compute(), Features(r, r[:, :10]), PLAIN, Rng(0, range(20)))
    torch.save((metrics, *statistics.compute(), *score.compute()), f"{folder}/{cut}-{rank}.pt")
distributed.destroy_process_group()
"""


def test_two_processes_of_unequal_shards_measure_what_one_does(tmp_path):
    x, r = (v.float() for v in feature_sets(n=100, m=80))
    logits = draw("logits", 100, 10).float()
    torch.save((x, logits, r), tmp_path / "features.pt")
    ranks = [
        warm.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path)]) for rank in range(2)
    ]
    try:
        assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    expected = sample_metrics(Features(x, logits), Features(r, r[:, :10]), PLAIN, Rng(0, range(20)))
    for cut in (37, 100):
        for rank in range(2):
            metrics, mean, cov, score, std = torch.load(
                tmp_path / f"{cut}-{rank}.pt", weights_only=True
            )
            for name in PLAIN:
                assert metrics[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12)
            assert (float(score), float(std) / 3) == pytest.approx(expected["is"], rel=1e-9)
            assert frechet_distance(mean, cov, *moments(r)) == pytest.approx(
                expected["fid"][0], rel=1e-9
            )
