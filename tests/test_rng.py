"""Randomness: Philox bit by bit, streams that know nothing of their batch, and the two distributions."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from genbench.rng import Rng, _is_for_numpy, philox

# Random123's kat_vectors, philox4x32 of 10 rounds: counter, key, output
KNOWN = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]
DRAWS = {
    "bits": lambda rng, shape: rng.bits(shape),
    "uniform": lambda rng, shape: rng.uniform(shape),
    "normal": lambda rng, shape: rng.normal(shape),
    "integers": lambda rng, shape: rng.integers(10, shape),
}
draws = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "out"), KNOWN)
def test_philox_gives_the_known_answers(counter, key, out):
    result = philox(
        [torch.tensor(w) for w in words(counter)], [torch.tensor(w) for w in words(key)]
    )
    assert [int(w) for w in result] == words(out)


def test_philox_broadcasts_counters_against_keys():
    counter = [torch.stack([torch.tensor(words(known[0])[i]) for known in KNOWN]) for i in range(4)]
    key = [
        torch.stack([torch.tensor(words(known[1])[i]) for known in KNOWN])[:, None]
        for i in range(2)
    ]
    table = torch.stack(philox(counter, key), dim=-1)
    assert [table[i, i].tolist() for i in range(3)] == [words(known[2]) for known in KNOWN]


@pytest.mark.parametrize("numpy_is_faster", [True, False])
def test_numpy_and_torch_give_the_same_bits(numpy_is_faster, monkeypatch):
    """The known answers, by both, in tensors that either may take; and tensors that neither may change stay as they are."""
    monkeypatch.setattr("genbench.rng._is_for_numpy", lambda words: numpy_is_faster)
    for counter, key, out in KNOWN:
        given = [torch.tensor([[w, 0]]) for w in (*words(counter), *words(key))]
        result = philox(given[:4], given[4:])
        assert [int(w[0, 0]) for w in result] == words(out)
        assert all(w.dtype == torch.int64 and w.shape == (1, 2) for w in result)
        assert [int(w[0, 0]) for w in given] == words(f"{counter} {key}")


@pytest.mark.parametrize(
    ("threads", "entries", "numpy_is_faster"),
    [(1, 2**16, True), (2, 2**16, False), (2, 2**14, True)],
)
def test_many_entries_are_left_to_the_threads_of_torch(
    threads, entries, numpy_is_faster, monkeypatch
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert _is_for_numpy([torch.arange(entries // 16), torch.zeros(16, 1)]) == numpy_is_faster
    assert not _is_for_numpy([torch.zeros((), dtype=torch.int64), 0])
    assert not _is_for_numpy([torch.zeros(2, device="meta"), 0])


@draws
def test_a_stream_does_not_know_its_batch(draw):
    index = torch.tensor([5, 0, 17, 2**33 + 5, 3])
    together = draw(Rng(7, index), (2, 3))
    assert together.shape == (5, 2, 3)
    assert torch.equal(draw(Rng(7, index.flip(0)), (2, 3)).flip(0), together)
    for i in range(5):
        assert torch.equal(draw(Rng(7, [int(index[i])]), (2, 3)), together[i : i + 1])
    rows = torch.tensor([4, 1])
    assert torch.equal(draw(Rng(7, index)[rows], (2, 3)), together[rows])
    assert torch.equal(draw(Rng(7, index)[1:4], (2, 3)), together[1:4])
    assert torch.equal(
        draw(Rng(7, index).split("a", 3)[rows], (2, 3)),
        draw(Rng(7, index).split("a", 3), (2, 3))[rows],
    )


def test_rows_of_a_used_stream_go_on_where_it_stands():
    rng = Rng(1, range(6))
    rng.normal((5,))
    part = rng[torch.tensor([2, 4])]
    assert len(part) == 2
    assert torch.equal(part.normal((3,)), rng.normal((3,))[[2, 4]])


@draws
def test_no_two_draws_are_equal(draw):
    """Seeds, images, purposes, numbers of a purpose, nested purposes and successive draws: all different."""
    size = (64,)
    seen = [draw(Rng(seed, range(3)), size) for seed in (0, 1, 2**32, 2**32 + 1, 2**62, 2**63 - 1)]
    seen += [draw(Rng(0, [index]), size) for index in (3, 2**32, 2**32 + 1, 2**40, 2**62)]
    seen += [
        draw(Rng(0, range(3)).split(purpose, k), size)
        for purpose in ("a", "b", "")
        for k in (0, 1, 2)
    ]
    seen += [
        draw(Rng(0, range(3)).split("a").split("a"), size),
        draw(Rng(0, range(3)).split("a", 1).split("a"), size),
    ]
    rng = Rng(0, range(3)).split("c")
    seen += [draw(rng, size) for _ in range(3)]
    rows = torch.cat(seen).double()
    assert len(torch.unique(rows, dim=0)) == len(rows)
    # and not merely different: no pair of 64 numbers agrees beyond chance
    centred = rows - rows.mean(1, keepdim=True)
    correlation = torch.corrcoef(centred).fill_diagonal_(0).abs().max()
    assert correlation < 6 / math.sqrt(64)


def test_a_split_does_not_depend_on_what_was_drawn():
    fresh, used = Rng(3, range(4)), Rng(3, range(4))
    used.normal((9,))
    used.split("other").uniform((2,))
    assert torch.equal(used.split("x", 2).bits((5,)), fresh.split("x", 2).bits((5,)))
    # and a split leaves its parent where it was
    fresh.normal((9,))
    assert torch.equal(used.normal((3,)), fresh.normal((3,)))


@draws
def test_draws_of_whole_blocks_concatenate(draw):
    """Four words make a block: numbers drawn in multiples of four do not depend on the pieces."""
    whole = draw(Rng(5, range(3)), (24,))
    rng = Rng(5, range(3))
    assert torch.equal(
        torch.cat([draw(rng, (4,)), draw(rng, (12,)), draw(rng, (2, 4)).flatten(1)], dim=1), whole
    )
    assert torch.equal(draw(Rng(5, range(3)), (2, 3, 4)).flatten(1), whole)
    # elsewhere the rest of the block is thrown away, so the beginning still agrees and the next draw is fresh
    rng = Rng(5, range(3))
    assert torch.equal(draw(rng, (5,)), whole[:, :5])
    assert torch.equal(draw(rng, (4,)), whole[:, 8:12])


def test_shapes():
    assert Rng(0, range(3)).normal().shape == (3,)
    assert Rng(0, range(3)).uniform((0, 2)).shape == (3, 0, 2)
    assert Rng(0, []).normal((2,)).shape == (0, 2)
    assert len(Rng(0, range(3, 9))) == 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floating_type_rounds_and_nothing_else(dtype):
    rng = Rng(4, range(5), dtype)
    for draw in (DRAWS["normal"], DRAWS["uniform"]):
        value = draw(rng.split("t"), (7,))
        assert value.dtype == dtype
        assert torch.equal(value, draw(Rng(4, range(5), torch.float64).split("t"), (7,)).to(dtype))
        assert torch.equal(draw(rng.to(dtype=torch.float32), (3,)), draw(Rng(4, range(5))[:], (3,)))
    assert rng.bits((2,)).dtype == rng.integers(3, (2,)).dtype == torch.int64


def test_moving_keeps_the_place():
    rng = Rng(2, range(3))
    rng.bits((4,))
    moved = rng.to("cpu", dtype=torch.float64)
    assert moved.dtype == torch.float64
    assert torch.equal(moved.bits((4,)), rng.bits((4,)))


# two images of many numbers, and many images of two numbers: within a stream and across streams
LAYOUTS = pytest.mark.parametrize(("images", "numbers"), [(2, 50_000), (50_000, 2)])


@LAYOUTS
def test_uniform_is_uniform(images, numbers):
    u = Rng(11, range(images)).uniform((numbers,)).double()
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3
    counts = (u * 64).long().flatten().bincount(minlength=64)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    pairs = (u[:, :2] if numbers == 2 else u.T) * 16
    joint = (pairs[:, 0].long() * 16 + pairs[:, 1].long()).bincount(minlength=256)
    assert stats.chisquare(joint.numpy()).pvalue > 1e-3


@LAYOUTS
def test_normal_is_normal_and_independent(images, numbers):
    z = Rng(12, range(images), torch.float64).normal((numbers,))
    n = z.numel()
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 1e-3
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((z**power).mean()) - moment) < 5 * math.sqrt(variance / n)
    a, b = z.T if numbers == 2 else z
    for f in (torch.sign, lambda t: t, lambda t: t * t - 1):
        product = f(a) * f(b)
        assert abs(float(product.mean())) < 5 * float(product.std()) / math.sqrt(len(product))


def test_the_four_normals_of_a_block_are_independent():
    """Box and Muller's pairs share a radius: their squares, not only their products, must be uncorrelated."""
    z = Rng(13, range(60_000), torch.float64).normal((4,))
    for v in (z, z * z - 1, (z * z - 1) * z):
        correlation = torch.corrcoef(v.T).fill_diagonal_(0)
        assert float(correlation.abs().max()) < 5 / math.sqrt(len(z))


@pytest.mark.parametrize("bits", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neither_zero_nor_one_is_ever_drawn(bits, dtype, monkeypatch):
    """The extreme words, which no test would meet by chance."""
    monkeypatch.setattr(
        "genbench.rng.philox",
        lambda counter, key: tuple(torch.full((2, len(counter[0])), bits) for _ in range(4)),
    )
    rng = Rng.__new__(Rng)
    rng._key, rng._drawn, rng.dtype = torch.zeros(2, 2, dtype=torch.int64), 0, dtype
    u = rng.uniform((5,))
    assert bool(((u > 0) & (u < 1)).all())
    assert torch.isfinite(rng.normal((5,))).all()


@pytest.mark.parametrize("high", [1, 2, 3, 10, 256])
def test_integers_cover_their_range_evenly(high):
    n = Rng(14, range(100)).integers(high, (400,)).flatten()
    assert (int(n.min()), int(n.max())) == (0, high - 1)
    assert stats.chisquare(n.bincount(minlength=high).numpy()).pvalue > 1e-3 or high == 1


def test_the_stream_is_pinned():
    """The numbers behind every record: a change here changes every run."""
    assert Rng(0, [0]).bits((4,)).tolist() == [[3313459148, 1917155441, 4038914165, 1981005913]]
    late = Rng(2**62 + 1, [2**40 + 1]).split("train", 3)
    assert late.bits((4,)).tolist() == [[3503592615, 3902963102, 2370396873, 1683113023]]
