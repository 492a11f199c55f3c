"""Data: batches as a function of (seed, image count), decoded copies that are whole, clouds known to the last digit."""

from __future__ import annotations

import errno
import json
import math
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats

from genbench.cli.main import main
from genbench.data import decoded, points2d, stored
from genbench.data.cifar10 import CIFAR10
from genbench.data.digits import Digits
from genbench.data.images import ImageData
from genbench.data.mnist import MNIST
from genbench.data.points2d import Cloud, Points2d, components
from genbench.errors import InputError, Stopped
from genbench.metrics.points import kl_divergence
from genbench.rng import Rng
from genbench.spec import Image, Labels, Spec

CPU, SPLITS = torch.device("cpu"), ("train", "val", "test")
CLOUDS = get_args(Cloud)
clouds = pytest.mark.parametrize("cloud", CLOUDS)
N = 50


class Numbered(ImageData):
    """50 images that show their number, with a number that labels it."""

    name = "numbered"
    spec = Spec((1, 1, 2), levels=64, y=Labels(N))

    def decode(self):
        number = np.arange(N)
        x = np.stack((number, 63 - number), axis=1).astype(np.uint8)[:, None, None]
        splits = {"train": slice(None), "val": slice(5), "test": slice(5, 15)}
        return {split: (x[rows].copy(), number[rows].copy()) for split, rows in splits.items()}


class Unlabelled(Numbered):
    name = "unlabelled"
    spec = Spec((1, 1, 2), levels=64)

    def decode(self):
        return {split: (x, None) for split, (x, _) in super().decode().items()}


@pytest.fixture
def numbered(tmp_path):
    def make(batch_size=4, seed=0, kind=Numbered):
        data = kind(str(tmp_path), batch_size)
        data.seed = seed
        return data

    return make


def deal(data, start, stop, rank=0, world_size=1):
    """What a rank gets: numbers of images, labels and noise, one row per batch."""
    batches = list(data.batches(start, stop, rank, world_size, CPU, torch.float32))
    numbers = torch.stack([b.x[:, 0, 0, 0] for b in batches]).long()
    return (
        numbers,
        torch.stack([b.y for b in batches]),
        torch.stack([b.rng.normal((3,)) for b in batches]),
    )


# --- batches ----------------------------------------------------------------------------------------------------------


def test_batches_are_a_function_of_the_image_count(numbered):
    """Begin anywhere: the rest is the rest. More than one block of 64 batches, and many epochs."""
    data = numbered(batch_size=4)
    whole = deal(data, 0, 400)
    assert whole[0].shape == (100, 4)
    for start in (0, 4, 48, 252, 256, 260, 396):
        for full, part in zip(whole, deal(data, start, 400), strict=True):
            assert torch.equal(full[start // 4 :], part)
    # a longer budget only appends, and a budget inside a batch still takes the whole batch
    assert torch.equal(deal(data, 0, 202)[0], whole[0][:51])
    assert list(data.batches(400, 400, 0, 1, CPU, torch.float32)) == []


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_partition_every_batch_in_order(numbered, world_size):
    data = numbered(batch_size=8)
    whole = deal(data, 16, 640)
    ranks = [deal(data, 16, 640, rank, world_size) for rank in range(world_size)]
    for i, full in enumerate(whole):
        assert torch.equal(torch.cat([rank[i] for rank in ranks], dim=1), full)


def test_batch_size_does_not_change_the_sequence(numbered):
    small, large = deal(numbered(batch_size=4), 0, 200), deal(numbered(batch_size=10), 0, 200)
    for a, b in zip(small, large, strict=True):
        assert torch.equal(a.flatten(0, 1), b.flatten(0, 1))


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own(numbered):
    numbers, labels, noise = deal(numbered(batch_size=10), 0, 20 * N)
    epochs = numbers.view(20, N)
    assert torch.equal(epochs.sort(1).values, torch.arange(N).expand(20, N))
    assert torch.equal(labels, numbers)
    assert len(torch.unique(epochs, dim=0)) == 20
    # positions are uniform over the epochs: no image keeps its place
    assert float((epochs == torch.arange(N)).double().mean()) < 0.06
    assert len(torch.unique(noise.flatten())) == noise.numel()


def test_seeds_differ_and_repeat(numbered):
    runs = {seed: deal(numbered(seed=seed), 0, N) for seed in (0, 1, 2**40)}
    assert not torch.equal(runs[0][0], runs[1][0])
    assert not torch.equal(runs[0][0], runs[2**40][0])
    assert not bool((runs[0][2] == runs[1][2]).any())
    assert all(torch.equal(a, b) for a, b in zip(runs[1], deal(numbered(seed=1), 0, N)))


def test_the_noise_is_that_of_the_image_count(numbered):
    data = numbered(batch_size=5, seed=3)
    batch = list(data.batches(0, 35, 0, 1, CPU, torch.float64))[6]
    assert batch.rng.dtype == torch.float64
    assert torch.equal(batch.rng.bits((8,)), Rng(3, range(30, 35)).split("train").bits((8,)))


def test_data_without_labels(numbered):
    data = numbered(kind=Unlabelled)
    assert next(iter(data.batches(0, 8, 0, 1, CPU, torch.float32))).y is None
    assert data.arrays("test")[1] is None
    assert data.content_hash != numbered().content_hash


class Skewed(Numbered):
    """Classes 0, 1, 2, 3 in shares 0.6, 0.3, 0.1, 0 of the training split; the other way round in the others."""

    name = "skewed"
    spec = Spec((1, 1, 2), levels=64, y=Labels(4))

    def decode(self):
        x, _ = super().decode()["train"]
        y = np.repeat([0, 1, 2], [30, 15, 5])
        return {"train": (x, y), "val": (x.copy(), 3 - y), "test": (x.copy(), 3 - y)}


def test_classes_of_samples_have_the_frequencies_of_the_training_split(numbered):
    data, n = numbered(kind=Skewed), 4_000
    rng = Rng(5, range(n)).split("sample")
    drawn = data.y_of_samples(rng)
    assert (drawn.dtype, drawn.shape) == (torch.int64, (n,))
    counts = np.bincount(drawn.numpy(), minlength=4)
    assert counts[3] == 0
    assert stats.chisquare(counts[:3], n * np.array([0.6, 0.3, 0.1])).pvalue > 1e-3
    # the class of sample i is a function of its stream alone
    assert torch.equal(data.draw_labels(rng[1_000:1_003]), drawn[1_000:1_003])


def test_drawing_labels_leaves_the_stream_of_the_image_alone(numbered):
    """The noise of an image is the same whether it is given a label or not, and its label is no function of that noise."""
    data, n = numbered(kind=Skewed), 200
    rng = Rng(5, range(n)).split("sample")
    drawn = data.draw_labels(rng)
    assert torch.equal(rng.normal((3,)), Rng(5, range(n)).split("sample").normal((3,)))
    assert torch.equal(data.draw_labels(rng), drawn)


class Paired(Numbered):
    """y is an image that shows the number of x upside down."""

    name = "paired"
    spec = Spec((1, 1, 2), levels=64, y=Image((1, 2, 1), 64))

    def decode(self):
        arrays = super().decode()
        return {
            split: (x, x[:, :, :, ::-1].transpose(0, 1, 3, 2)) for split, (x, _) in arrays.items()
        }


def test_an_image_y_stays_with_its_image(numbered):
    data = numbered(kind=Paired)
    for batch in data.batches(0, 2 * N, 0, 1, CPU, torch.float32):
        assert batch.y.shape == (4, 1, 2, 1)
        assert torch.equal(batch.y[:, 0, 1, 0], batch.x[:, 0, 0, 0])
    assert data.content_hash != numbered().content_hash


def test_sample_i_is_given_the_image_y_of_image_i_of_a_split_and_round_again(numbered):
    data = numbered(kind=Paired)
    x, _ = data.tensors("test")
    y = data.y_of_samples(Rng(5, range(8, 12)), "test")
    assert torch.equal(y[:, 0, 1, 0], x[[8, 9, 0, 1], 0, 0, 0])
    of_val = data.y_of_samples(Rng(5, [3]), "val")
    assert torch.equal(of_val[:, 0, 1, 0], data.tensors("val")[0][3:4, 0, 0, 0])
    assert numbered(kind=Unlabelled).y_of_samples(Rng(5, [3])) is None


def test_a_batch_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size is at least 1"):
        Digits(str(tmp_path), batch_size=0)


# --- the decoded copy -------------------------------------------------------------------------------------------------


def test_decoding_twice_gives_one_hash_and_a_pixel_another(tmp_path):
    first, second = Numbered(str(tmp_path / "a")), Numbered(str(tmp_path / "b"))
    assert first.content_hash == second.content_hash
    assert first.folder.name == second.folder.name

    class Touched(Numbered):
        def decode(self):
            arrays = super().decode()
            arrays["val"][0][2, 0, 0, 1] += 1
            return arrays

    class Relabelled(Numbered):
        def decode(self):
            arrays = super().decode()
            arrays["test"][1][0] += 1
            return arrays

    class Levelled(Numbered):
        spec = Spec((1, 1, 2), levels=65, y=Labels(N))

    hashes = [
        kind(str(tmp_path / kind.__name__)).content_hash for kind in (Touched, Relabelled, Levelled)
    ]
    assert len({first.content_hash, *hashes}) == 4


def test_data_sets_that_differ_in_y_alone_have_copies_of_their_own(tmp_path):
    class Bare(Unlabelled):
        name = "numbered"

    assert Numbered(str(tmp_path)).arrays("train")[1] is not None
    assert Bare(str(tmp_path)).arrays("train")[1] is None
    assert Numbered(str(tmp_path)).folder != Bare(str(tmp_path)).folder


def test_the_copy_is_read_and_not_decoded_again(numbered, monkeypatch):
    expected = numbered().arrays("train")[0].copy()
    monkeypatch.setattr(Numbered, "decode", lambda self: pytest.fail("decoded again"))
    data = numbered()
    assert np.array_equal(data.arrays("train")[0], expected)
    assert data.arrays("train")[0].dtype == np.uint8
    x, y = data.tensors("val")
    assert (x.dtype, y.dtype, len(x)) == (torch.uint8, torch.int64, 5)


DAMAGE = {
    "a bit of an image": lambda folder: flip(folder / "val-images.npy", -1),
    "a bit of a label": lambda folder: flip(folder / "test-labels.npy", -8),
    "a bit of a header": lambda folder: flip(folder / "train-images.npy", 20),
    "half a file": lambda folder: (folder / "train-images.npy").write_bytes(
        (folder / "train-images.npy").read_bytes()[:150]
    ),
    "an empty file": lambda folder: (folder / "train-images.npy").write_bytes(b""),
    "no file": lambda folder: (folder / "test-labels.npy").unlink(),
    "an empty card": lambda folder: (folder / "card.json").write_text(""),
    "another card": lambda folder: (folder / "card.json").write_text("[]"),
    "another hash": lambda folder: (folder / "card.json").write_text(
        json.dumps({"hash": "0" * 64})
    ),
    "no card": lambda folder: (folder / "card.json").unlink(),
    "the card of other data": lambda folder: edit_card(
        folder, lambda card: card["source"].update(name="others")
    ),
    "a changed card": lambda folder: edit_card(folder, lambda card: card.update(digest="0" * 64)),
}


def edit_card(folder, edit):
    card = json.loads((folder / "card.json").read_text())
    edit(card)
    (folder / "card.json").write_text(json.dumps(card))


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_copy_is_named_in_one_line(numbered, damage):
    folder = numbered().folder
    damage(folder)
    with pytest.raises(InputError, match="damaged data in") as error:
        numbered().arrays("train")
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    shutil.rmtree(folder)
    assert len(numbered().arrays("train")[0]) == N


@pytest.mark.parametrize("others", [1, 2])
def test_decoding_at_once_leaves_one_whole_copy(tmp_path, others):
    """Another process finds no copy either, and has stored its own when this one comes to do so."""
    hashes = []

    class Overtaken(Numbered):
        def decode(self):
            arrays = super().decode()
            if len(hashes) < others:
                place = len(hashes)
                hashes.append("")
                hashes[place] = Overtaken(str(tmp_path)).content_hash
            return arrays

    data = Overtaken(str(tmp_path))
    hashes.append(data.content_hash)
    assert hashes == [Numbered(str(tmp_path / "alone")).content_hash] * (others + 1)
    assert [path.name for path in tmp_path.iterdir() if path.name != "alone"] == [data.folder.name]


def test_two_copies_that_were_exchanged_are_refused(tmp_path, numbered):
    """They have the same shape, and each its own whole card."""

    class Others(Numbered):
        name = "others"

        def decode(self):
            arrays = super().decode()
            arrays["test"][0][3] += 1
            return arrays

    first = numbered().folder
    second = numbered(kind=Others).folder
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    with pytest.raises(InputError, match=r"damaged data in .*its card is that of others"):
        numbered().arrays("train")


def test_a_copy_of_an_older_version_is_read(numbered):
    folder = numbered().folder
    edit_card(folder, lambda card: card.pop("digest"))
    assert len(numbered().arrays("train")[0]) == N


DECODING = """
import sys, time
from pathlib import Path
from genbench.system.temporary import folder_beside
with folder_beside(Path(sys.argv[1])) as copy:
    (copy / "train-images.npy").write_text("half of it")
    print("begun", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_decoding_has_left_is_removed_and_nothing_of_one_that_lives(
    tmp_path, numbered
):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DECODING, str(tmp_path / name)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("killed", "alive")
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "begun\n"
        killed, alive = (next(tmp_path.glob(f".{name}.*.tmp")) for name in ("killed", "alive"))
        processes[0].kill()
        processes[0].wait()
        stale, fresh = tmp_path / ".images.zip.0123abcd.tmp", tmp_path / ".images.zip.4567abcd.tmp"
        own = tmp_path / ".notes.tmp"
        for path in (stale, fresh, own):
            path.write_text("")
            os.utime(path, (0, 0))
        os.utime(fresh)
        assert len(numbered().arrays("train")[0]) == N
        assert not killed.exists()
        assert not stale.exists()
        assert (alive / "content" / "train-images.npy").read_text() == "half of it"
        assert fresh.exists()
        assert own.exists()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_failed_decoding_leaves_nothing(tmp_path):
    class Broken(Numbered):
        def decode(self):
            raise InputError("the source is not there")

    with pytest.raises(InputError):
        Broken(str(tmp_path)).arrays("train")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("split", SPLITS)
def test_an_empty_split_is_neither_stored_nor_read(tmp_path, monkeypatch, split):
    class Hollow(Numbered):
        def decode(self):
            x, y = super().decode()[split]
            return super().decode() | {split: (x[:0], y[:0])}

    with pytest.raises(InputError, match=f"Hollow: images for {split} are none; one") as error:
        Hollow(str(tmp_path)).arrays("train")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    # a copy as it was once stored
    monkeypatch.setattr(stored, "check_arrays", lambda owner, spec, arrays: None)
    monkeypatch.setattr(stored, "check_held_out", lambda owner, arrays: None)
    monkeypatch.setattr(decoded, "empty_splits", lambda arrays: [])
    folder = Hollow(str(tmp_path)).folder
    monkeypatch.undo()
    with pytest.raises(InputError, match=f"damaged data in {folder}"):
        Hollow(str(tmp_path)).arrays("train")


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_root_that_is_a_file_is_named(tmp_path, below):
    root = tmp_path / "file" / below
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"data.root {root} cannot be written: Not a directory"):
        Numbered(str(root)).arrays("train")


def test_a_full_disk_stops_and_leaves_nothing(tmp_path, monkeypatch):
    save = np.save

    def full(path, array, allow_pickle):
        if "test" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(path, array, allow_pickle=allow_pickle)

    with monkeypatch.context() as patched, pytest.raises(Stopped, match="disk full"):
        patched.setattr(np, "save", full)
        Numbered(str(tmp_path)).arrays("train")
    assert list(tmp_path.iterdir()) == []
    assert len(Numbered(str(tmp_path)).arrays("train")[0]) == N


def test_root_by_argument_or_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "env"))
    assert Numbered().root == tmp_path / "env"
    assert Numbered(str(tmp_path / "given")).root == tmp_path / "given"
    monkeypatch.delenv("GENBENCH_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Numbered().root == tmp_path / ".cache" / "genbench"


@pytest.fixture
def homeless(monkeypatch):
    """A user without a home folder, and without an entry in passwd."""

    def no_entry(uid: int) -> None:
        raise KeyError(f"uid not found: {uid}")

    for name in ("GENBENCH_DATA", "GENBENCH_WEIGHTS", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)


def test_only_data_that_need_a_folder_ask_for_one_where_there_is_no_home(
    homeless, tmp_path, monkeypatch
):
    for kind in (Digits, Points2d):
        data = kind()
        assert data.content_hash == kind(str(tmp_path)).content_hash
        assert data.folder.parents[1] == Path(tempfile.gettempdir())
    for kind in (MNIST, CIFAR10, Numbered):
        with pytest.raises(
            InputError, match=r"there is no home folder for data: set GENBENCH_DATA"
        ):
            kind()
    # a home folder that is named, and is not known, is not passed over
    monkeypatch.setenv("GENBENCH_DATA", "~nobody-of-this-name/data")
    with pytest.raises(InputError, match="write the whole path"):
        Digits()


def test_data_are_listed_shown_and_imported_without_a_home(homeless, tmp_path, capsys):
    assert main(["data", "list"]) == 0
    *table, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == [
        "digits",
        "digits-binary",
        "grammar",
        "digits-halves",
        "digits-edges",
        *(cloud.name for cloud in Points2d.offered()),
        "stacked-digits",
    ]
    assert (
        last
        == "Data that are downloaded or imported are not listed: there is no home folder; set GENBENCH_DATA, or --root"
    )
    assert main(["data", "show", "points2d", "-o", str(tmp_path / "points.png")]) == 0
    assert main(["data", "show", "mnist", "-o", str(tmp_path / "mnist.png")]) == 2
    assert "there is no home folder for data: set GENBENCH_DATA" in capsys.readouterr().err
    np.save(tmp_path / "own.npy", np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8))
    own = [
        "data",
        "import",
        str(tmp_path / "own.npy"),
        "--size",
        "8",
        "--root",
        str(tmp_path / "data"),
    ]
    assert main([*own, "--name", "mnist"]) == 2
    assert "mnist is the name of another data set" in capsys.readouterr().err
    assert main([*own, "--name", "own"]) == 0
    capsys.readouterr()
    assert main(["data", "list", "--root", str(tmp_path / "data")]) == 0
    listed = capsys.readouterr().out
    assert "own" in listed
    assert "mnist" in listed
    assert "not listed" not in listed


HOMELESS = """
import pwd, sys
def no_entry(uid): raise KeyError(uid)
pwd.getpwuid = no_entry
from genbench.cli.main import main
train = ["train", "-c", "digits/vae", "--smoke", "--wandb.mode=disabled", "--budget.images=160", "--run_dir=run"]
sys.exit(main(train) or main(["evaluate", "run", "--out", "out", "--variant", "mean"]))
"""


def test_digits_are_trained_and_evaluated_without_a_home_and_nothing_is_left(tmp_path):
    there = {
        key: value
        for key, value in os.environ.items()
        if key not in ("HOME", "GENBENCH_DATA", "MPLCONFIGDIR")
    }
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    there |= {"TMPDIR": str(temporary), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS],
        cwd=tmp_path,
        env=there,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "records" / "digits").glob("*.json"))) == 1
    assert list(temporary.glob("genbench-*")) == []


# --- digits -----------------------------------------------------------------------------------------------------------


def test_digits_are_split_once_and_evenly(tmp_path):
    from sklearn.datasets import load_digits

    data = Digits(str(tmp_path))
    parts = [data.arrays(split) for split in SPLITS]
    assert [len(x) for x, _ in parts] == [898, 180, 719]
    for x, y in parts:
        assert (x.dtype, x.shape[1:], int(x.max())) == (np.uint8, (1, 8, 8), 16)
        shares = np.bincount(y, minlength=10) / len(y)
        assert np.abs(shares - np.bincount(load_digits().target) / 1797).max() < 0.5 / len(y) + 1e-3
    # disjoint: together they are the source, each image once
    rows = np.concatenate([np.column_stack((x.reshape(len(x), -1), y)) for x, y in parts])
    source = np.column_stack((load_digits().data.astype(np.int64), load_digits().target))
    assert np.array_equal(rows[np.lexsort(rows.T)], source[np.lexsort(source.T)])
    seen = [{image.tobytes() for image in x} for x, _ in parts]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


# --- clouds -----------------------------------------------------------------------------------------------------------


@clouds
@pytest.mark.parametrize("levels", [16, 60, 256])
def test_tables_are_distributions_of_equal_components(cloud, levels):
    parts = components(cloud, levels)
    assert parts.shape[1:] == (levels, levels)
    assert (parts >= 0).all()
    assert math.isclose(parts.sum(), 1, abs_tol=1e-12)
    np.testing.assert_allclose(parts.sum((1, 2)), 1 / len(parts), rtol=1e-12)


def coordinates(levels):
    """Centres of the cells of [-4, 4]^2."""
    return np.meshgrid(*[8 * (np.arange(levels) + 0.5) / levels - 4] * 2, indexing="ij")


@clouds
def test_entropy_is_the_sum_and_below_its_bounds(cloud, tmp_path):
    data = Points2d(str(tmp_path), cloud=cloud)
    p = data.table.ravel()
    direct = -math.fsum(float(q) * math.log(q) for q in p if q > 0)
    assert math.isclose(data.entropy, direct, rel_tol=1e-12)
    # H(x) <= H(k) + H(x | k), with equality where the components do not meet
    parts = data.known_components
    K = len(parts)
    within = -sum((q[q > 0] * np.log(q[q > 0])).sum() for q in parts * K) / K
    assert data.entropy <= math.log(K) + within + 1e-12
    # a density of the whole cell's entropy log(area) + H is at most that of a Gaussian of its covariance
    a, b = coordinates(256)
    cell = 8 / 256
    covariance = (
        np.cov(np.stack((a.ravel(), b.ravel())), aweights=p, ddof=0) + np.eye(2) * cell**2 / 12
    )
    assert data.entropy + math.log(cell**2) <= 0.5 * math.log(
        (2 * math.pi * math.e) ** 2 * np.linalg.det(covariance)
    )
    assert data.entropy < math.log(256**2)


def test_entropies_that_are_known(tmp_path):
    board = Points2d(str(tmp_path), cloud="checkerboard", levels=64)
    assert math.isclose(board.entropy, math.log(64**2 / 2), rel_tol=1e-12)
    # eight Gaussians that hardly meet: log 8 + log(2 pi e sd^2 / cell area)
    gaussians = Points2d(str(tmp_path))
    expected = math.log(8) + math.log(2 * math.pi * math.e * 0.2**2 / (8 / 256) ** 2)
    assert gaussians.entropy == pytest.approx(expected, abs=1e-3)
    assert gaussians.entropy < expected
    grid = Points2d(str(tmp_path), cloud="twenty_five_gaussians")
    expected = math.log(25) + math.log(2 * math.pi * math.e * 0.05**2 / (8 / 256) ** 2)
    assert grid.entropy == pytest.approx(expected, abs=1e-6)


def test_tables_are_as_symmetric_as_their_shapes():
    tables = {cloud: components(cloud, 128).sum(0) for cloud in CLOUDS}
    gaussians = ("eight_gaussians", "twenty_five_gaussians")
    for cloud in (*gaussians, "checkerboard"):
        np.testing.assert_allclose(tables[cloud], tables[cloud].T, atol=1e-15)
    for cloud in (*gaussians, "checkerboard", "two_moons"):
        np.testing.assert_allclose(tables[cloud], tables[cloud][::-1, ::-1], atol=1e-15)
    for cloud in gaussians:
        np.testing.assert_allclose(tables[cloud], tables[cloud][::-1], atol=1e-15)
    np.testing.assert_allclose(tables["checkerboard"].sum(0), 1 / 128, rtol=1e-12)
    # five arms in rotation: no mean, no preferred direction
    a, b = coordinates(128)
    p = tables["pinwheel"]
    assert (
        max(
            abs((p * a).sum()),
            abs((p * b).sum()),
            abs((p * a * b).sum()),
            abs((p * (a * a - b * b)).sum()),
        )
        < 5e-3
    )
    # and not in reflection
    assert np.abs(p - p[:, ::-1]).sum() > 0.5


def test_shapes_are_those_of_the_docstring():
    a, b = coordinates(256)
    # r ~ N(2, 0.6^2), so the first moments of the radius are those of the normal but for the corners of the square
    pinwheel = components("pinwheel", 256).sum(0)
    r = np.hypot(a, b)
    assert (pinwheel * r).sum() == pytest.approx(2, abs=0.01)
    assert (pinwheel * (r - 2) ** 2).sum() == pytest.approx(0.36, abs=0.01)
    # a Gaussian has its standard deviation and its place
    for k, part in enumerate(components("eight_gaussians", 256) * 8):
        place = 2 * np.array([math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)])
        assert np.allclose([(part * a).sum(), (part * b).sum()], place, atol=1e-6)
        assert (part * (a - place[0]) ** 2).sum() == pytest.approx(0.04, abs=1e-5)
    for k, part in enumerate(components("twenty_five_gaussians", 256) * 25):
        place = 1.5 * np.array([k // 5 - 2, k % 5 - 2])
        assert np.allclose([(part * a).sum(), (part * b).sum()], place, atol=1e-9)
        assert (part * (b - place[1]) ** 2).sum() == pytest.approx(0.0025, abs=1e-9)
    # a moon lies on its half circle: mean squared distance of a point to it is near one standard deviation's square
    upper = components("two_moons", 256)[0] * 2
    distance = np.where(
        b + 0.4 >= 0,
        np.hypot(a + 0.75, b + 0.4) - 1.5,
        np.minimum(np.hypot(a - 0.75, b + 0.4), np.hypot(a + 2.25, b + 0.4)),
    )
    assert math.sqrt((upper * distance**2).sum()) == pytest.approx(0.15, abs=0.01)


def chi_square(counts, expected):
    """p-value, with rare cells pooled."""
    rare = expected < 5
    counts, expected = (np.append(v[~rare], v[rare].sum()) for v in (counts, expected))
    if expected[-1] == 0:
        assert counts[-1] == 0
        counts, expected = counts[:-1], expected[:-1]
    return stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1)


@clouds
def test_draws_follow_their_table(cloud, tmp_path):
    """Chi-square of coarse cells, of fine cells and of the labels; the data seed is fixed, so this passes once and for all."""
    data = Points2d(str(tmp_path), cloud=cloud, levels=64)
    sizes, coarse = (
        {"train": 20_000, "val": 2_000, "test": 10_000},
        data.table.reshape(16, 4, 16, 4).sum((1, 3)).ravel(),
    )
    for split in SPLITS:
        x, y = data.arrays(split)
        n = sizes[split]
        assert x.shape == (n, 1, 1, 2)
        cells = x[:, 0, 0, 0] // 4 * 16 + x[:, 0, 0, 1] // 4
        counts, expected = np.bincount(cells, minlength=256), n * coarse
        assert chi_square(counts, expected) > 1e-3
        if split == "train":
            fine = np.bincount(x[:, 0, 0, 0].astype(int) * 64 + x[:, 0, 0, 1], minlength=64**2)
            assert chi_square(fine, n * data.table.ravel()) > 1e-3
        assert stats.chisquare(np.bincount(y, minlength=data.spec.classes)).pvalue > 1e-3
        # the label is a component that has mass where the point is
        assert (data.known_components[y, x[:, 0, 0, 0], x[:, 0, 0, 1]] > 0).all()
    assert not np.array_equal(data.arrays("train")[0][:2000], data.arrays("val")[0])


@clouds
def test_divergence_of_the_truth_is_zero_and_of_the_uniform_known(cloud, tmp_path):
    data = Points2d(str(tmp_path), cloud=cloud, levels=64)
    with np.errstate(divide="ignore"):
        assert kl_divergence(data.table, np.log(data.table)) == 0
    uniform = np.full((64, 64), -math.log(64**2))
    assert kl_divergence(data.table, uniform) == pytest.approx(
        math.log(64**2) - data.entropy, abs=1e-12
    )


@clouds
def test_each_cloud_is_a_data_set_of_its_own(cloud, tmp_path):
    data = Points2d(str(tmp_path), cloud=cloud, levels=16)
    assert data.name == ("points2d" if cloud == "eight_gaussians" else f"points2d-{cloud}")
    assert data.protocol == "points2d"
    assert data.spec.classes == len(data.known_components)
    assert data.source["name"] == data.name


def test_points_of_another_distribution_are_drawn_anew(tmp_path, monkeypatch):
    """Whoever edits a cloud does not train on the points of the one before, under the name of the new table."""
    before = Points2d(str(tmp_path))
    x = before.arrays("train")[0].copy()
    monkeypatch.setattr(points2d, "_HALF_WIDTH", 5.0)
    after = Points2d(str(tmp_path))
    assert after.folder != before.folder
    assert not np.array_equal(after.arrays("train")[0], x)
    monkeypatch.undo()
    assert Points2d(str(tmp_path)).folder == before.folder


@pytest.mark.parametrize("levels", [12, 257, 30])
def test_grids_that_do_not_fit_are_refused(levels):
    with pytest.raises(ValueError, match="multiple of 4 from 16 to 256"):
        Points2d(levels=levels)
