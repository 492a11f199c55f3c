"""Sources: one order whatever the container, one rule of resizing, draws by stream, downloads by hash, bad input in one line."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import threading
import warnings
import zipfile
import zlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image

from genbench.cli.main import main
from genbench.data import cifar10
from genbench.data.canonical import canonical, canonical_order, three_splits
from genbench.data.cifar10 import CIFAR10, read_batch
from genbench.data.commands import every
from genbench.data.containers import PIXELS, Reading, open_container
from genbench.data.draws import binarise, flip
from genbench.data.fetch import download
from genbench.data.images import ImageData
from genbench.data.imported import Imported
from genbench.data.importing import Import, import_images
from genbench.data.labels import label_of, label_text
from genbench.data.mnist import MNIST, FashionMNIST, read_idx
from genbench.data.prepare import decode, square
from genbench.errors import InputError
from genbench.evaluation.foreign import read_samples
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.system.yaml12 import parse_yaml, written_text

CPU, SPLITS = torch.device("cpu"), ("train", "val", "test")
DRAW = np.random.default_rng(0)
# 60 images for training (10 of them held out) and 20 for testing, some of which repeat; the last ones have every label
X = DRAW.integers(256, size=(80, 3, 32, 32), dtype=np.uint8)
X[7] = X[3]
Y = np.arange(80) % 10


def small(kind, root, **arguments):
    data = kind(str(root), **arguments)
    data.sizes = (len(X) - 30, 10, 20)
    return data


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# --- containers of CIFAR-10 -------------------------------------------------------------------------------------------


def write_batches(root, order, monkeypatch, tar=False):
    """Five training batches and a test batch as the published ones are pickled, in any order of the images."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rows = [*np.array_split(order, 5), np.arange(60, 80)]
    for name, row in zip(cifar10._BATCHES, rows, strict=True):
        batch = {
            b"data": X[row].reshape(len(row), -1),
            b"labels": Y[row].tolist(),
            b"batch_label": name.encode(),
        }
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    md5s = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    monkeypatch.setattr(cifar10, "_md5s", lambda: md5s)
    if tar:
        with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.add(folder, "cifar-10-batches-py")
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def png(image):
    buffer = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0) if len(image) == 3 else image[0]).save(buffer, "png")
    return buffer.getvalue()


def write_zip(path, rows, labels=True):
    with zipfile.ZipFile(path, "w") as archive:
        names = [f"{i // 10:05d}/img{i:08d}.png" for i in range(len(rows))]
        for name, row in zip(names, rows, strict=True):
            archive.writestr(name, png(X[row]))
        card = (
            [[name, int(Y[row])] for name, row in zip(names, rows, strict=True)] if labels else None
        )
        archive.writestr("dataset.json", json.dumps({"labels": card}))


def test_one_set_of_images_has_one_hash_and_one_order_in_every_container(tmp_path, monkeypatch):
    shuffled = np.random.default_rng(1).permutation(60)
    write_batches(tmp_path / "batches", np.arange(60), monkeypatch)
    batches = small(CIFAR10, tmp_path / "batches")
    expected = {split: tuple(array.copy() for array in batches.arrays(split)) for split in SPLITS}
    write_batches(tmp_path / "tar", shuffled, monkeypatch, tar=True)
    (tmp_path / "zip").mkdir()
    write_zip(tmp_path / "zip" / "cifar10-32x32-train.zip", shuffled)
    write_zip(tmp_path / "zip" / "cifar10-32x32-test.zip", np.arange(79, 59, -1))
    (tmp_path / "folder").mkdir()
    for i in range(80):
        part = "train" if i < 60 else "test"
        path = tmp_path / "folder" / part / f"class{Y[i]}" / f"{(i * 37) % 101}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(X[i]))
    list(import_images(Import(tmp_path / "folder", "own", 32, tmp_path, val=10)))
    for other in (
        small(CIFAR10, tmp_path / "tar"),
        small(CIFAR10, tmp_path / "zip"),
        Imported("own", str(tmp_path)),
    ):
        assert other.content_hash == batches.content_hash
        for split in SPLITS:
            assert all(
                np.array_equal(a, b)
                for a, b in zip(other.arrays(split), expected[split], strict=True)
            )
    # and the splits are those of the source files: nothing lost, nothing twice
    keys = [canonical_key(x, y) for split in SPLITS for x, y in zip(*expected[split], strict=True)]
    assert sorted(keys[:60]) == sorted(
        canonical_key(x, y) for x, y in zip(X[:60], Y[:60], strict=True)
    )
    assert sorted(keys[60:]) == sorted(
        canonical_key(x, y) for x, y in zip(X[60:], Y[60:], strict=True)
    )


def canonical_key(x, y):
    return hashlib.sha256(x.tobytes() + struct.pack("<q", y)).digest()


def test_canonical_order_forgets_the_order_of_the_files():
    order = np.random.default_rng(2).permutation(80)
    (x, y), (x2, y2) = canonical(X, Y), canonical(X[order], Y[order])
    assert np.array_equal(x, x2)
    assert np.array_equal(y, y2)
    keys = [canonical_key(*pair) for pair in zip(x, y, strict=True)]
    assert keys == sorted(keys)
    # labels decide between equal images, and are not needed
    assert not np.array_equal(canonical_order(X, Y), canonical_order(X, None))


def test_the_last_images_of_the_canonical_order_are_held_out(tmp_path):
    parts = three_splits((X[:60], Y[:60]), (X[60:], Y[60:]), 15, tmp_path)
    x, y = canonical(X[:60], Y[:60])
    for split, rows in {"train": slice(0, 45), "val": slice(45, 60)}.items():
        assert np.array_equal(parts[split][0], x[rows])
        assert np.array_equal(parts[split][1], y[rows])
    assert np.array_equal(parts["test"][0], canonical(X[60:], Y[60:])[0])


def test_npz_and_zip_import_alike(tmp_path):
    np.savez(tmp_path / "last.npz", images=X.transpose(0, 2, 3, 1), labels=Y)
    np.savez(tmp_path / "first.npz", images=X[::-1], labels=Y[::-1])
    write_zip(tmp_path / "all.zip", np.random.default_rng(3).permutation(80))
    hashes = set()
    for name in ("last.npz", "first.npz", "all.zip"):
        list(
            import_images(
                Import(
                    tmp_path / name, "data", 32, tmp_path / name.partition(".")[0], test=20, val=10
                )
            )
        )
        hashes.add(Imported("data", str(tmp_path / name.partition(".")[0])).content_hash)
    assert len(hashes) == 1


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile",)


def test_a_hostile_pickle_is_refused_before_it_acts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError,
        match=r"it names (posix|nt)\.mkdir, which is neither an array nor a plain container",
    ) as error:
        read_batch(
            tmp_path / "data_batch_1",
            pickle.dumps({b"data": Hostile(), b"labels": [1]}, protocol=2),
        )
    one_line(error)
    assert not (tmp_path / "hostile").exists()


def test_batches_pickled_by_other_versions_of_numpy_are_read(tmp_path):
    content = pickle.dumps({b"data": X[:4].reshape(4, -1), b"labels": [1, 2, 3, 4]}, protocol=2)
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    for name in (new, old):
        x, y = read_batch(tmp_path / "x", content.replace(new, name).replace(old, name))
        assert np.array_equal(x, X[:4])
        assert y.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "batch",
    [
        {},
        {b"data": X[:2].reshape(2, -1), b"labels": [0]},
        {b"data": X[:1].reshape(1, -1), b"labels": [10]},
        [],
    ],
)
def test_a_batch_of_something_else_is_named(tmp_path, batch):
    with pytest.raises(InputError, match=r"damaged .*data_batch_1: ") as error:
        read_batch(tmp_path / "data_batch_1", pickle.dumps(batch))
    one_line(error)


def test_batches_with_another_hash_are_not_unpickled(tmp_path, monkeypatch):
    write_batches(tmp_path, np.arange(60), monkeypatch)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes() + b" ")
    monkeypatch.setattr(cifar10, "read_batch", lambda *_: pytest.fail("unpickled"))
    with pytest.raises(
        InputError, match="data_batch_3: its MD5 is not that of the published file"
    ) as error:
        small(CIFAR10, tmp_path).arrays("train")
    one_line(error)


def test_published_hashes_of_batches_are_those_of_torchvision():
    assert set(cifar10._md5s()) == set(cifar10._BATCHES)
    assert cifar10._md5s()["test_batch"] == "40351d587109b95175f43aff81a1287e"


# --- MNIST ------------------------------------------------------------------------------------------------------------

GREY = np.concatenate(
    [np.zeros((1, 28, 28), np.uint8), np.full((1, 28, 28), 255, np.uint8), X[:, 0, :28, :28][:78]]
)


def write_mnist(root, name="MNIST", pack=False):
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, rows in (("train", slice(0, 60)), ("t10k", slice(60, 80))):
        for kind, array in (("images-idx3", GREY[rows]), ("labels-idx1", Y[rows].astype(np.uint8))):
            content = (
                bytes((0, 0, 8, array.ndim))
                + np.array(array.shape, ">u4").tobytes()
                + array.tobytes()
            )
            if pack:
                (raw / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
            else:
                (raw / f"{part}-{kind}-ubyte").write_bytes(content)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_idx_files_plain_and_packed(tmp_path, kind):
    write_mnist(tmp_path / "plain", kind.__name__)
    write_mnist(tmp_path / "packed", kind.__name__, pack=True)
    plain, packed = small(kind, tmp_path / "plain"), small(kind, tmp_path / "packed")
    assert plain.content_hash == packed.content_hash
    assert [len(plain.arrays(split)[0]) for split in SPLITS] == [50, 10, 20]
    x, y = (
        np.concatenate(arrays)
        for arrays in zip(*(plain.arrays(split) for split in ("train", "val")), strict=True)
    )
    order = canonical_order(GREY[:60, None], Y[:60])
    assert np.array_equal(x[:, 0], GREY[:60][order])
    assert np.array_equal(y, Y[:60][order])


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10])
@pytest.mark.parametrize("held_out", [60, 5_000])
def test_too_few_images_to_hold_some_out_are_refused_and_not_stored(
    tmp_path, monkeypatch, kind, held_out
):
    if kind is CIFAR10:
        write_batches(tmp_path, np.arange(60), monkeypatch)
    else:
        write_mnist(tmp_path, kind.__name__)
    before = set(tmp_path.iterdir())
    data = kind(str(tmp_path))
    data.sizes = (1, held_out, 20)
    with pytest.raises(
        InputError, match=f"has 60 images; {held_out:,} are held out for validation"
    ) as error:
        data.arrays("train")
    assert str(data.source_files[0]) in one_line(error)
    assert set(tmp_path.iterdir()) == before


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    init = MNIST.__init__

    def of_size(self, *arguments, **settings):
        init(self, *arguments, **settings)
        self.sizes = (50, 10, 20)

    monkeypatch.setattr(MNIST, "__init__", of_size)
    return partial(MNIST, str(tmp_path), batch_size=10)


def test_the_fixed_draw_is_one_of_bernoulli_variables_with_the_greys_as_means(mnist):
    grey, static = mnist(), mnist(binarisation="static")
    assert (static.name, static.spec.levels, static.protocol) == ("mnist-static", 2, "likelihood")
    for split in SPLITS:
        (x, y), (b, labels) = grey.arrays(split), static.arrays(split)
        assert np.array_equal(y, labels)
        assert set(np.unique(b)) <= {0, 1}
        assert (b[x == 0] == 0).all()
        assert (b[x == 255] == 1).all()
        # sum of independent Bernoulli variables within 5 standard deviations
        p = x / 255
        assert abs(b.sum() - p.sum()) < 5 * np.sqrt((p * (1 - p)).sum())
    assert not np.array_equal(static.arrays("train")[0][:10], static.arrays("val")[0])


def test_the_mean_of_dynamic_draws_is_the_grey(mnist):
    data = mnist(binarisation="dynamic")
    x = mnist().arrays("train")[0]
    total, counts = np.zeros(x.shape), np.zeros(len(x))
    where = {
        canonical_key(*pair): i for i, pair in enumerate(zip(*mnist().arrays("train"), strict=True))
    }
    grey = mnist()
    for batch, source in zip(
        *(d.batches(0, 5_000, 0, 1, CPU, torch.float32) for d in (data, grey)), strict=True
    ):
        rows = [
            where[canonical_key(*pair)]
            for pair in zip(source.x.numpy(), source.y.numpy(), strict=True)
        ]
        np.add.at(total, rows, batch.x.numpy())
        np.add.at(counts, rows, 1)
        assert torch.equal(batch.y, source.y)
    assert (counts == 100).all()
    p, mean = x / 255, total / 100
    assert np.array_equal(mean[p == 0], p[p == 0])
    assert np.array_equal(mean[p == 1], p[p == 1])
    z = ((mean - p) / np.sqrt(p * (1 - p) / 100 + 1e-12))[(p > 0.1) & (p < 0.9)]
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert abs((z**2).mean() - 1) < 5 * np.sqrt(2.1 / z.size)
    # what is measured is the fixed draw
    for split in SPLITS:
        assert np.array_equal(data.arrays(split)[0], mnist(binarisation="static").arrays(split)[0])


def same_draws(make):
    """Batches do not depend on where a run began, nor on the number of processes; a second pass draws anew."""

    def images(start, rank, world):
        batches = make().batches(start, 100, rank, world, CPU, torch.float32)
        return [batch.x for batch in batches]

    whole = images(0, 0, 1)
    assert all(torch.equal(a, b) for a, b in zip(images(40, 0, 1), whole[4:], strict=True))
    ranks = [images(0, rank, 2) for rank in (0, 1)]
    assert all(torch.equal(torch.cat(parts), x) for *parts, x in zip(*ranks, whole, strict=True))
    other = make()
    other.seed = 1
    assert not torch.equal(next(other.batches(0, 10, 0, 1, CPU, torch.float32)).x, whole[0])
    return torch.cat(whole)


def test_dynamic_draws_are_functions_of_the_image_count(mnist):
    same_draws(lambda: mnist(binarisation="dynamic"))


def test_flips_are_functions_of_the_image_count(tmp_path, monkeypatch):
    write_batches(tmp_path, np.arange(60), monkeypatch)
    make = lambda flip: small(CIFAR10, tmp_path, batch_size=10, flip=flip)  # noqa: E731
    flipped, plain = same_draws(lambda: make(True)), same_draws(lambda: make(False))
    turned = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(flipped, plain, strict=True)])
    kept = torch.tensor([torch.equal(a, b) for a, b in zip(flipped, plain, strict=True)])
    assert (turned ^ kept).all()
    assert 30 <= int(turned.sum()) <= 70
    assert make(True).content_hash == make(False).content_hash


def test_a_draw_is_of_its_stream_alone():
    x, rng = torch.from_numpy(X), Rng(0, range(80))
    many = x.repeat(4, 1, 1, 1)  # more than are drawn at once
    for draw in (flip, binarise):
        whole = draw(many, Rng(0, range(320)))
        assert torch.equal(whole[120:150], draw(many[120:150], Rng(0, range(120, 150))))
        assert draw(x[:0], rng[:0]).shape == (0, *x.shape[1:])
    assert int((flip(x, rng) == x).all(dim=(1, 2, 3)).sum()) not in (0, 80)


def test_the_published_binary_files_are_a_data_set_of_their_own(tmp_path):
    bits = DRAW.integers(2, size=(6, 784))
    folder = tmp_path / "binarized_mnist"
    folder.mkdir()
    for i, part in enumerate(("train", "valid", "test")):
        np.savetxt(folder / f"binarized_mnist_{part}.amat", bits[2 * i : 2 * i + 2], fmt="%d")
    data = MNIST(str(tmp_path), binarisation="larochelle")
    data.sizes = (2, 2, 2)
    assert (data.name, data.spec.y, data.spec.levels) == ("mnist-larochelle", None, 2)
    for i, split in enumerate(SPLITS):
        x, y = data.arrays(split)
        assert y is None
        assert np.array_equal(x.reshape(2, 784), bits[2 * i : 2 * i + 2])
    (folder / "binarized_mnist_test.amat").write_text("0 1 2\n")
    with pytest.raises(InputError, match=r"test\.amat: it is not lines of 784 digits 0 or 1"):
        MNIST(str(tmp_path), binarisation="larochelle").decode()


IDX = bytes((0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3))


@pytest.mark.parametrize(
    "content",
    [b"", IDX[:6], IDX[:-1], IDX + b"x", b"\0\0\x0d\x01" + IDX[4:], b"<html>not found</html>"],
)
@pytest.mark.parametrize("pack", [False, True])
def test_damaged_idx_files_are_named(tmp_path, content, pack):
    path = tmp_path / ("x.gz" if pack else "x")
    path.write_bytes(gzip.compress(IDX) if pack else IDX)
    assert read_idx(path).tolist() == [1, 2, 3]
    path.write_bytes(gzip.compress(content)[:-3] if pack else content)
    with pytest.raises(InputError, match=r"damaged .*delete it and fetch it again") as error:
        read_idx(path)
    one_line(error)


@pytest.mark.parametrize(
    ("kind", "name"), [(MNIST, "mnist"), (FashionMNIST, "fashion_mnist"), (CIFAR10, "cifar10")]
)
def test_a_missing_source_says_how_to_get_it(tmp_path, kind, name):
    with pytest.raises(
        InputError, match=f"no {tmp_path}.*; genbench data fetch {name}, or data.root"
    ) as error:
        kind(str(tmp_path)).arrays("train")
    one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_root_is_read_and_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "cache"))
    write_mnist(tmp_path / "source")
    (tmp_path / "source").chmod(0o555)
    try:
        data = small(MNIST, tmp_path / "source")
        assert len(data.arrays("train")[0]) == 50
        assert data.folder.parent == tmp_path / "cache"
        assert [path.name for path in (tmp_path / "source").iterdir()] == ["MNIST"]
    finally:
        (tmp_path / "source").chmod(0o755)


def test_other_images_of_a_published_name_are_said_to_be_others(mnist, caplog):
    assert mnist().content_hash != MNIST.offered()[0].published
    assert "not the published images of mnist" in caplog.text


# --- the rule of resizing ---------------------------------------------------------------------------------------------


def encoded(image, form="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_squares_of_the_size_keep_every_bit():
    colour, grey = X[0].transpose(1, 2, 0), X[0, 0]
    assert np.array_equal(square(decode(encoded(Image.fromarray(colour))).pixels, 32), colour)
    assert np.array_equal(square(decode(encoded(Image.fromarray(grey))).pixels, 32), grey)


def test_the_central_square_is_cut_and_reduced_without_aliasing():
    wide = np.zeros((40, 101, 3), np.uint8)
    wide[:, 30:70] = np.kron(
        DRAW.integers(256, size=(40, 40, 3), dtype=np.uint8), np.ones((1, 1, 1), np.uint8)
    )
    assert np.array_equal(square(decode(encoded(Image.fromarray(wide))).pixels, 40), wide[:, 30:70])
    assert np.array_equal(
        square(decode(encoded(Image.fromarray(wide.transpose(1, 0, 2)))).pixels, 40),
        wide[:, 30:70].transpose(1, 0, 2),
    )
    # stripes finer than a pixel become their mean, not one of the stripes
    stripes = np.tile(np.array([0, 200], np.uint8), (64, 32))
    assert (
        np.abs(
            square(decode(encoded(Image.fromarray(stripes))).pixels, 8).astype(int)[1:-1, 1:-1]
            - 100
        ).max()
        <= 3
    )


def lanczos(length, size):
    """Weights (size, length) that reduce a row: Lanczos' kernel with three lobes, widened by the factor, by the formula."""
    scale = length / size
    centres = (np.arange(size) + 0.5) * scale
    distance = (np.arange(length) + 0.5 - centres[:, None]) / scale
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(("side", "size"), [(64, 8), (50, 32), (97, 28)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_reduced_by_lanczos_and_no_other_filter(side, size, channels):
    blocks = 255 * np.random.default_rng(side).integers(2, size=(side, side, 3), dtype=np.uint8)
    picture = blocks.repeat(3, axis=0).repeat(3, axis=1)[:side, :side]
    picture = picture[..., 0] if channels == 1 else picture
    weights = lanczos(side, size)
    rows = np.einsum("ij,kj...->ki...", weights, picture).clip(0, 255)
    expected = np.einsum("ij,jk...->ik...", weights, rows).clip(0, 255)
    # either pass rounds to a grey level; the second one weighs what the first one rounded
    rounding = 0.5 * np.abs(weights).sum(1).max() + 0.5 + 0.01
    assert np.abs(square(picture, size) - expected).max() <= rounding
    for other in set(Image.Resampling) - {Image.Resampling.LANCZOS}:
        reduced = np.asarray(Image.fromarray(picture).resize((size, size), other))
        assert np.abs(reduced - expected).max() > 3 * rounding


def test_modes_become_8_bits():
    grey = X[1, 0]
    rgb = Image.fromarray(X[1].transpose(1, 2, 0))
    deep = np.minimum(grey * np.uint32(257) + 100, 65_535).astype(np.uint16)
    assert np.array_equal(square(decode(encoded(Image.fromarray(deep))).pixels, 32), grey)
    assert np.array_equal(
        square(decode(encoded(Image.fromarray(grey > 100))).pixels, 32),
        (grey > 100) * np.uint8(255),
    )
    alpha = rgb.copy()
    alpha.putalpha(Image.fromarray((grey > 100) * np.uint8(255)))
    expected = np.where((grey > 100)[..., None], np.asarray(rgb), 255)
    assert np.array_equal(square(decode(encoded(alpha)).pixels, 32), expected)
    veiled = Image.merge("LA", (Image.fromarray(grey), Image.new("L", (32, 32), 0)))
    assert np.array_equal(square(decode(encoded(veiled)).pixels, 32), np.full((32, 32), 255))
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    assert np.array_equal(
        square(decode(encoded(palette, "gif")).pixels, 32), np.asarray(palette.convert("RGB"))
    )
    assert (
        np.abs(
            square(
                decode(encoded(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "tiff")).pixels, 32
            ).astype(int)
            - (255, 0, 0)
        ).max()
        <= 2
    )
    with pytest.raises(ValueError, match="floating-point"):
        decode(encoded(Image.fromarray(grey.astype(np.float32)), "tiff"))


def test_pictures_are_turned_as_their_camera_was():
    exif = Image.Exif()
    exif[0x112] = 6  # the camera was turned by 90 degrees
    image = Image.fromarray(X[2].transpose(1, 2, 0))
    assert np.array_equal(
        square(decode(encoded(image, exif=exif)).pixels, 32), np.rot90(X[2].transpose(1, 2, 0), -1)
    )


def test_what_is_done_to_a_picture_is_said():
    turned, rgb = Image.Exif(), Image.fromarray(X[2].transpose(1, 2, 0))
    turned[0x112] = 6
    veiled, opaque = rgb.copy(), rgb.copy()
    veiled.putalpha(254)
    opaque.putalpha(255)
    deep, frames = (
        Image.fromarray(X[1, 0].astype(np.uint16) * 257),
        {"save_all": True, "append_images": [Image.new("P", (32, 32))]},
    )
    said = {
        "turned as the camera was (EXIF)": encoded(rgb, exif=turned),
        "laid over white where transparent": encoded(veiled),
        "16 bits to 8": encoded(deep),
        "first of several images in a file": encoded(rgb.convert("P"), "gif", **frames),
        "CMYK to RGB": encoded(rgb.convert("CMYK"), "jpeg"),
    }
    for words, content in said.items():
        assert decode(content).changes == (words,)
    assert decode(encoded(Image.fromarray(X[1, 0].astype(np.int32)), "tiff"), 255).changes == (
        "32 bits to 8",
    )
    assert decode(encoded(Image.fromarray(X[1, 0].astype(np.uint16)), "tiff"), 255).changes == (
        "16 bits to 8",
    )
    assert decode(b"P5 2 1 65535\n" + bytes((0, 1, 255, 255))).changes == ("16 bits to 8",)
    for plain in (
        encoded(rgb),
        encoded(opaque),
        encoded(rgb.convert("L")),
        encoded(rgb.convert("P")),
        encoded(rgb, "jpeg"),
    ):
        assert decode(plain).changes == ()
    with pytest.raises(ValueError, match="it is empty"):
        decode(b"")


def test_small_pictures_are_not_enlarged():
    with pytest.raises(ValueError, match="it is 40x31, smaller than 32x32"):
        square(decode(encoded(Image.new("RGB", (40, 31)))).pixels, 32)


# --- import -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures in two class folders."""
    for i in range(12):
        path = tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(X[i]))
    return tmp_path / "photos"


def run(*arguments):
    return main(["data", *map(str, arguments)])


def test_import_and_use(photos, tmp_path, capsys):
    assert (
        run(
            "import",
            photos,
            "--name",
            "pets",
            "--size",
            16,
            "--root",
            tmp_path / "root",
            "--val",
            2,
            "--test",
            "0.25",
        )
        == 0
    )
    out = capsys.readouterr().out
    data = Imported("pets", str(tmp_path / "root"))
    assert (data.spec.shape, data.spec.levels, data.spec.classes, data.sizes) == (
        (3, 16, 16),
        256,
        2,
        (7, 2, 3),
    )
    assert data.class_names == ["cat", "dog"]
    assert f"content hash {data.content_hash}" in out
    assert "classes: 0 = cat: 6, 1 = dog: 6" in out
    assert "  12 reduced to 16x16\n" in out
    assert "1 repeat another" in out
    assert f"name: pets, root: {tmp_path / 'root'}}}" in out
    assert data.protocol == "images"
    # labels are those of the folders
    source = {
        square(decode(path.read_bytes()).pixels, 16).tobytes(): path.parent.name
        for path in photos.rglob("*.png")
    }
    for split in SPLITS:
        for x, y in zip(*data.arrays(split), strict=True):
            assert source[x.transpose(1, 2, 0).tobytes()] == data.class_names[
                y
            ] or x.tobytes() == square_of(X[3])
    assert (
        run(
            "import",
            photos,
            "--name",
            "pets",
            "--size",
            16,
            "--root",
            tmp_path / "root",
            "--val",
            2,
            "--test",
            3,
        )
        == 0
    )
    assert "was there already, the same" in capsys.readouterr().out
    assert run("import", photos, "--name", "pets", "--size", 8, "--root", tmp_path / "root") == 2
    assert "choose another --name, or --replace it" in capsys.readouterr().err
    assert Imported("pets", str(tmp_path / "root")).content_hash == data.content_hash
    assert (
        run(
            "import",
            photos,
            "--name",
            "pets",
            "--size",
            8,
            "--root",
            tmp_path / "root",
            "--replace",
        )
        == 0
    )
    assert Imported("pets", str(tmp_path / "root")).spec.shape == (3, 8, 8)
    assert [path.name for path in (tmp_path / "root" / "imported").iterdir()] == ["pets"]
    assert run("show", "pets", "--root", tmp_path / "root", "-o", tmp_path / "grid.png") == 0
    assert "by class: 0 = cat: " in capsys.readouterr().out
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size[0] > 50


def square_of(image):
    return square(image.transpose(1, 2, 0), 16).transpose(2, 0, 1).tobytes()


def test_bad_pictures_are_named_each_and_refused_unless_skipped(photos, tmp_path, capsys):
    (photos / "cat" / "half.png").write_bytes(png(X[20])[:500])
    (photos / "cat" / "text.jpg").write_text("no picture")
    (photos / "dog" / "thumb.png").write_bytes(png(X[21][:, :8, :8]))
    (photos / "notes.txt").write_text("not a picture, nor called one")
    (photos / ".hidden.png").write_bytes(b"")
    assert run("import", photos, "--name", "pets", "--size", 16, "--root", tmp_path) == 2
    out, err = capsys.readouterr()
    assert err == "genbench: 3 of 15 pictures are bad: mend them, or --skip-bad leaves them out\n"
    assert all(
        f"bad: {name}: " in out for name in ("cat/half.png", "cat/text.jpg", "dog/thumb.png")
    )
    assert "files that are no pictures: 1; hidden pictures, left out: 1" in out
    assert not (tmp_path / "imported").exists()
    assert (
        run("import", photos, "--name", "pets", "--size", 16, "--root", tmp_path, "--skip-bad") == 0
    )
    assert "3 bad, left out;" in capsys.readouterr().out
    assert sum(Imported("pets", str(tmp_path)).sizes) == 12


def test_names_of_classes_and_pictures_cannot_act_on_a_terminal(photos, tmp_path, capsys):
    (photos / "cat").rename(photos / "cat\n\x1b[2Jgone")
    (photos / "dog").rename(photos / "\u202egod")
    assert run("import", photos, "--name", "pets", "--size", 16, "--root", tmp_path) == 0
    assert run("show", "pets", "--root", tmp_path, "-o", tmp_path / "grid.png") == 0
    assert (
        run("import", photos / "\u202egod", "--name", "large", "--size", 64, "--root", tmp_path)
        == 2
    )
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).split("\n"))
    assert out.count(r"0 = 'cat\n\x1b[2Jgone': 6") == 1
    assert r"1 = '\u202egod': " in out.split("grid: ")[0].rpartition("by class")[2]
    assert Imported("pets", str(tmp_path)).class_names == ["cat\n\x1b[2Jgone", "\u202egod"]


def test_a_bomb_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as archive:
        archive.writestr("small.png", encoded(Image.new("L", (30, 30))))
        archive.writestr("large.png", encoded(Image.new("L", (40, 40))))
    assert (
        run("import", tmp_path / "bomb.zip", "--name", "bomb", "--size", 16, "--root", tmp_path)
        == 2
    )
    assert "bad: large.png: Image size (1600 pixels) exceeds limit" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["../up.png", "a/../../up.png", "/etc/up.png", "..\\up.png", "C:/up.png"]
)
def test_names_that_point_out_of_a_zip_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("fine.png", png(X[0]))
        archive.writestr(name, png(X[1]))
    with pytest.raises(InputError, match="points out of the zip") as error:
        open_container(tmp_path / "z.zip")
    one_line(error)


def test_grey_and_colour(tmp_path):
    np.savez(tmp_path / "grey.npz", images=X[:, 0])
    np.savez(tmp_path / "colour.npz", images=X)
    for name, channels, expected in (
        ("grey", "auto", 1),
        ("grey", "rgb", 3),
        ("colour", "auto", 3),
        ("colour", "grey", 1),
    ):
        target = f"{name}-{channels}"
        list(import_images(Import(tmp_path / f"{name}.npz", target, 32, tmp_path, channels)))
        assert Imported(target, str(tmp_path)).spec.shape == (expected, 32, 32)
    x = np.concatenate([Imported("grey-rgb", str(tmp_path)).arrays(split)[0] for split in SPLITS])
    assert (x[:, :1] == x).all()
    assert {image[0].tobytes() for image in x} == {image.tobytes() for image in X[:, 0]}


def test_fewer_levels_stay_fewer(tmp_path):
    np.savez(tmp_path / "few.npz", images=X[:, 0] // 16, levels=16)
    list(import_images(Import(tmp_path / "few.npz", "few", 32, tmp_path)))
    assert Imported("few", str(tmp_path)).spec.levels == 16
    with pytest.raises(InputError, match="not resized"):
        list(import_images(Import(tmp_path / "few.npz", "less", 16, tmp_path)))


BAD_NPZ = {
    "floats": {"images": X / 255.0},
    "no images": {"x": X},
    "unclear": {"images": X[:, :, :, :3]},
    "labels": {"images": X, "labels": Y[:5]},
    "real labels": {"images": X, "labels": Y + 0.5},
    "negative": {"images": X, "labels": Y - 1},
    "levels": {"images": X, "levels": 17},
    "real levels": {"images": X // 64, "levels": 4.7},
    "many levels": {"images": X // 64, "levels": [4, 4]},
    "large labels": {"images": X[:2], "labels": [0, 65_536]},
    "objects": {"images": np.array([Hostile()], dtype=object)},
    "nothing": {"images": X[:0]},
}


@pytest.mark.parametrize("arrays", BAD_NPZ.values(), ids=BAD_NPZ)
def test_bad_npz_files_are_refused_in_one_line(tmp_path, arrays, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=r"bad\.npz") as error:
        list(import_images(Import(tmp_path / "bad.npz", "bad", 32, tmp_path)))
    one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


DAMAGED = {
    "npz called npy": (
        "x.npy",
        lambda npz, npy, archive: npz,
        "by its content it is an npz file; give it a name that ends in .npz",
    ),
    "npy called npz": (
        "x.npz",
        lambda npz, npy, archive: npy,
        "by its content it is an npy file; give it a name that ends in .npy",
    ),
    "cut npy": ("x.npy", lambda npz, npy, archive: halved(npy), "it is cut: "),
    "cut npz": (
        "x.npz",
        lambda npz, npy, archive: halved(npz),
        "damaged (File is not a zip file); right is what numpy writes as .npz",
    ),
    "text": ("x.npy", lambda *_: b"pixels", "; right is what numpy writes as .npy"),
    "empty npy": ("x.npy", lambda *_: b"", " is empty; right is what numpy writes as .npy"),
    "empty npz": ("x.npz", lambda *_: b"", " is empty; right is what numpy writes as .npz"),
    "cut zip": (
        "x.zip",
        lambda npz, npy, archive: halved(archive),
        "it has no end as a zip has; a whole one is right",
    ),
    "cut zip of another name": (
        "x",
        lambda npz, npy, archive: halved(archive),
        "it has no end as a zip has; a whole one is right",
    ),
    "empty zip": ("x.zip", lambda *_: b"", " is empty; a folder of pictures, a zip of them, "),
}


@pytest.mark.parametrize(("name", "content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_of_pictures_is_refused_with_what_is_right(name, content, message, tmp_path):
    np.savez(tmp_path / "good.npz", images=X)
    np.save(tmp_path / "good.npy", X)
    write_zip(tmp_path / "good.zip", range(3))
    good = [(tmp_path / f"good.{kind}").read_bytes() for kind in ("npz", "npy", "zip")]
    (tmp_path / name).write_bytes(content(*good))
    with pytest.raises(InputError) as error:
        open_container(tmp_path / name)
    assert message in one_line(error)
    assert str(tmp_path / name) in str(error.value)


@pytest.mark.parametrize("name", ["x.npz", "x.npy"])
def test_images_of_no_number_or_of_objects_are_refused(name, tmp_path):
    def save(images):
        if name == "x.npz":
            np.savez(tmp_path / name, images=images)
        else:
            np.save(tmp_path / name, images)

    save(X[:0])
    with pytest.raises(InputError, match="its array of images has 0 images; at least one is right"):
        open_container(tmp_path / name)
    save(np.array([None, "a"], dtype=object))
    with pytest.raises(InputError, match="Python objects, which are never unpickled; right are"):
        open_container(tmp_path / name)


def bad_card(tmp_path, card):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.png", png(X[0]))
        archive.writestr("dataset.json", card)
    return tmp_path / "z.zip"


@pytest.mark.parametrize(
    "card",
    [
        "",
        "[]",
        "{}",
        '{"labels": [["b.png", 1]]}',
        '{"labels": [["a.png", "cat"]]}',
        '{"labels": 3}',
    ],
)
def test_a_card_that_labels_otherwise_is_refused(tmp_path, card):
    with pytest.raises(
        InputError, match=r"dataset\.json: .* leave it out: --leave-out dataset\.json$"
    ) as error:
        open_container(bad_card(tmp_path, card))
    one_line(error)


def test_folders_of_no_class(tmp_path, photos):
    assert open_container(photos).classes == ("cat", "dog")
    assert open_container(photos.parent).classes == ("cat", "dog")  # a folder around everything
    assert open_container(photos / "cat").classes == ()
    assert open_container(bad_card(tmp_path, '{"labels": null}')).classes == ()
    assert open_container(photos, Reading(labels=False)).classes == ()
    (photos / "loose.png").write_bytes(png(X[0]))
    assert open_container(photos, Reading(labels=False)).classes == ()
    assert len(open_container(photos, PIXELS).pictures) == 13


def write_tree(folder, names):
    """A picture at each path, every one with other pixels."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(X[i]))
    return folder


def below(folder, *names, n=2):
    return [
        f"{folder}/{name}/{i}.png" if name else f"{folder}/{i}.png"
        for name in names
        for i in range(n)
    ]


UNCLEAR = {
    "a fourth folder": (
        [
            *below("train", "a", "b"),
            *below("valid", "a", "b"),
            *below("test", "a", "b"),
            *below("extra", ""),
        ],
        r"beside test, train, valid, called as splits are, lies extra \(2 pictures in all\)",
        "extra",
    ),
    "a picture beside splits": (
        [*below("train", "a", "b"), *below("test", "a", "b"), "logo.png"],
        r"beside test, train, called as splits are, lies logo\.png: move it away",
        "logo.png",
    ),
    "a picture beside classes": (
        [*below("a", ""), *below("b", ""), "logo.png"],
        r"logo\.png is in no class folder, beside a, b",
        "logo.png",
    ),
    "a picture beside a folder of classes": (
        [*below("all", "a", "b"), "logo.png"],
        r"logo\.png is in no class folder, beside a, b",
        "logo.png",
    ),
    "a picture beside a folder of splits": (
        [*below("all/train", "a", "b"), *below("all/test", "a", "b"), "logo.png"],
        r"splits \(test, train\) lie below all, beside logo\.png",
        "logo.png",
    ),
    "a flat test": (
        [*below("train", "a", "b"), *below("test", "")],
        r"2 pictures, such as test/0\.png, are in no class folder, beside a, b",
        "test",
    ),
    "a class for testing alone": (
        [*below("train", "a", "b"), *below("test", "unknown")],
        r"test/unknown is a class without pictures for training",
        "test/unknown",
    ),
    "a split among classes": (
        [*below("a", ""), *below("b", ""), *below("test", "")],
        r"beside test, called as splits are, lies a \(2 pictures in all\)",
        "test",
    ),
}


@pytest.mark.parametrize(("names", "message", "leave_out"), UNCLEAR.values(), ids=UNCLEAR)
def test_folders_that_can_be_read_in_two_ways_are_refused_with_the_way_out(
    tmp_path, names, message, leave_out
):
    folder = write_tree(tmp_path / "photos", names)
    with pytest.raises(InputError, match=message) as error:
        open_container(folder)
    assert f"--leave-out {leave_out}" in one_line(error) or leave_out in ("logo.png", "test")
    container = open_container(folder, Reading(leave_out=(leave_out,)))
    assert container.classes == ("a", "b")
    gone = [name for name in names if name == leave_out or name.startswith(f"{leave_out}/")]
    assert [picture.name for picture in container.pictures] == sorted(set(names).difference(gone))
    assert container.left_out == len(gone)
    # images of another tool have neither splits nor classes
    assert len(open_container(folder, PIXELS).pictures) == len(names)


@pytest.mark.parametrize(
    "tops",
    [
        ("train_data", "test_data"),
        ("Train-images", "val-images", "test-images"),
        ("train2017", "val2017"),
        ("my_train", "my_test"),
        ("train.1", "validation.1"),
    ],
)
@pytest.mark.parametrize("inside", [("",), ("a", "b")])
@pytest.mark.parametrize("wrapper", ["", "all/"])
def test_folders_that_are_called_much_as_splits_are_no_classes(tmp_path, tops, inside, wrapper):
    names = [name for top in tops for name in below(f"{wrapper}{top}", *inside)]
    folder = write_tree(tmp_path / "photos", names)
    with pytest.raises(InputError, match="name splits train, val and test") as error:
        open_container(folder)
    one_line(error)
    assert len(open_container(folder, PIXELS).pictures) == len(names)


@pytest.mark.parametrize(
    "tops",
    [
        ("train_station", "airport"),
        ("trainers", "tester"),
        ("test_tube", "valve"),
        ("train_data", "train_old"),
        ("train_station", "test_tube", "airport"),
    ],
)
def test_classes_that_sound_like_splits_are_classes(tmp_path, tops):
    names = [name for top in tops for name in below(top, "")]
    assert open_container(write_tree(tmp_path / "photos", names)).classes == tuple(sorted(tops))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_folder_without_a_picture_is_said(tmp_path, capsys, kind):
    folder = write_tree(tmp_path / "photos", [*below("a", "", n=4), *below("b", "", n=4)])
    for name in ("bird/young/grey", "fish", ".git/hooks", "notes"):
        (folder / name).mkdir(parents=True)
    (folder / "notes" / "a.txt").touch()
    path = folder
    if kind == "zip":
        path = tmp_path / "photos.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for inner in sorted(folder.rglob("*")):
                archive.write(inner, inner.relative_to(folder))
    assert run("import", path, "--name", "x", "--size", 8, "--root", tmp_path / kind) == 0
    report = capsys.readouterr().out
    assert (
        "; files that are no pictures: 1; folders without a picture: 3 (bird, fish, notes)\n"
        in report
    )


def test_a_path_with_blanks_is_one_word_of_the_way_out(tmp_path):
    folder = write_tree(tmp_path / "photos", [*below("a", ""), *below("b", ""), "my logo.png"])
    with pytest.raises(InputError, match=r"--leave-out 'my logo\.png'"):
        open_container(folder)
    split = [*below("train", "a", "b"), *below("test", "a", "b"), *below("my extra", "")]
    with pytest.raises(InputError, match="--leave-out 'my extra'"):
        open_container(write_tree(tmp_path / "split", split))


@pytest.mark.parametrize("name", ["pets", "null", "1e3"])
def test_what_a_configuration_says_can_be_pasted(name, tmp_path):
    np.savez(tmp_path / "x.npz", images=X[:10, 0])
    root = tmp_path / "data, #2: {mine}"
    report = list(import_images(Import(tmp_path / "x.npz", name, 8, root)))
    line = next(line for line in report if line.startswith("data: "))
    node = {"class_path": "genbench.data.imported.Imported", "name": name, "root": str(root)}
    tree = parse_yaml(line, "report")["data"]
    assert {key: written_text(value) for key, value in tree.items()} == node


def test_splits_that_lie_below_classes_or_lack_training_are_refused(tmp_path):
    write_tree(
        tmp_path / "inside out",
        [f"{name}/{part}/1.png" for name in ("a", "b") for part in ("train", "test")],
    )
    with pytest.raises(
        InputError, match=r"splits \(test, train\) lie below a; right is train/ at the top"
    ):
        open_container(tmp_path / "inside out")
    write_tree(tmp_path / "tests", ["val/a/1.png", "test/a/1.png"])
    with pytest.raises(InputError, match="test, val: splits, and none for training"):
        open_container(tmp_path / "tests")


def test_what_is_to_be_left_out_is_there(photos):
    with pytest.raises(
        InputError, match=r"--leave-out dgo: nothing of that path in .*; did you mean 'dog'\?"
    ):
        open_container(photos, Reading(leave_out=("dgo",)))


def test_the_command_leaves_out_and_reads_without_classes(photos, tmp_path, capsys):
    (photos / "loose.png").write_bytes(png(X[30]))
    at = ("--size", 16, "--root", tmp_path)
    assert run("import", photos, "--name", "pets", *at) == 2
    assert "--leave-out loose.png" in capsys.readouterr().err
    assert run("import", photos, "--name", "pets", "--leave-out", "loose.png", *at) == 0
    assert "; left out as asked: 1\n" in capsys.readouterr().out
    assert Imported("pets", str(tmp_path)).class_names == ["cat", "dog"]
    assert run("import", photos, "--name", "all", "--no-classes", *at) == 0
    assert (
        sum(Imported("all", str(tmp_path)).sizes),
        Imported("all", str(tmp_path)).spec.y,
    ) == (13, None)


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_backslashes_part_folders(tmp_path, kind):
    """Programs of Windows write them into zips; unpacked elsewhere, they are part of names."""
    names = [
        f"data/{part}/{name}/{i}.png"
        for part in ("train", "test")
        for name in ("a", "b")
        for i in range(3)
    ]
    entries = [(name.replace("/", "\\"), png(X[i])) for i, name in enumerate(names)]
    if kind == "zip":
        path = zip_with(tmp_path / "windows.zip", [("data\\train\\", b""), *entries])
    else:
        path = tmp_path / "unpacked"
        path.mkdir()
        for name, content in entries:
            (path / name).write_bytes(content)
    container = open_container(path)
    plain = open_container(write_tree(tmp_path / "plain", names))
    assert container.classes == ("a", "b")
    assert [(p.name, p.label, p.split) for p in container.pictures] == [
        (p.name, p.label, p.split) for p in plain.pictures
    ]
    assert container.others == 0


def test_a_card_with_backslashes_and_a_name_that_stands_twice(tmp_path):
    card = json.dumps({"labels": [["a\\0.png", 3], ["b\\0.png", 5]]})
    path = zip_with(
        tmp_path / "card.zip",
        [("a\\0.png", png(X[0])), ("b/0.png", png(X[1])), ("dataset.json", card)],
    )
    assert [picture.label for picture in open_container(path).pictures] == [0, 1]
    with pytest.raises(InputError, match=r"'a/0\.png' stands for several files"):
        open_container(zip_with(tmp_path / "twice.zip", [("a/0.png", b"x"), ("a\\0.png", b"y")]))


def test_cards_of_several_folders_are_one(tmp_path):
    entries = []
    for part, label in (("train", 1), ("test", 2)):
        entries += [(f"{part}/{i}.png", png(X[i])) for i in range(3)]
        labels = [[f"{i}.png", label + i % 2] for i in range(3)]
        entries.append((f"{part}/dataset.json", json.dumps({"labels": labels})))
    container = open_container(zip_with(tmp_path / "cards.zip", entries))
    assert container.classes == ("1", "2", "3")
    assert [(p.split, p.label) for p in container.pictures] == [
        *[("test", k) for k in (1, 2, 1)],
        *[("train", k) for k in (0, 1, 0)],
    ]


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ('{"name": "birds", "files": 3}', "it has no 'labels'"),
        ('["labels"]', "it has no 'labels'"),
        ("name: birds", "it is not JSON"),
        ('{"labels": 3}', "labels is 3, not a list of values"),
        ('{"labels": {"0.png": 1}}', "labels is {'0.png': 1}, not a list of values"),
        ('{"labels": [["0.png", 1], ["0.png", 2]]}', "deep/er/0.png has two classes"),
        ('{"labels": [[1, 2]]}', "labels[0][0] is 1, not a text"),
        ('{"labels": ["ab"]}', "labels[0] is 'ab', not a list of 2 values"),
        ('{"labels": [["0.png", 1, 2]]}', "labels[0] is ['0.png', 1, 2], not a list of 2 values"),
        ('{"labels": [["0.png", "1"]]}', "labels[0][1] is '1', not an integer"),
        (
            '{"labels": [["0.png", 1]], "labels": [["0.png", 2]]}',
            "the key 'labels' stands twice in one group",
        ),
    ],
)
def test_a_foreign_card_is_named_with_its_path(tmp_path, card, reason):
    path = zip_with(
        tmp_path / "z.zip", [("deep/er/dataset.json", card), ("deep/er/0.png", png(X[0]))]
    )
    with pytest.raises(InputError) as error:
        open_container(path)
    one_line(error)
    assert str(error.value).startswith(
        f"{path}: deep/er/dataset.json: {reason}; it should say the class of each picture"
    )
    assert str(error.value).endswith("leave it out: --leave-out deep/er/dataset.json")
    assert len(open_container(path, Reading(leave_out=("deep/er/dataset.json",))).pictures) == 1


def test_what_cannot_be_read_is_bad_and_not_passed_over(photos, tmp_path, monkeypatch, capsys):
    (photos / "cat" / "gone.png").symlink_to(tmp_path / "nothing.png")
    (photos / "bird").symlink_to(tmp_path / "no folder")
    (photos / "round.png").symlink_to("round.png")
    (photos / ".trash").symlink_to(tmp_path / "nothing")
    os.mkfifo(photos / "dog" / "pipe.png")
    (photos / "locked").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert run("import", photos, "--name", "pets", "--size", 16, "--root", tmp_path) == 2
    out, err = capsys.readouterr()
    assert "17 pictures: 12 in colour, 0 grey, 5 bad\n" in out
    assert "5 of 17 pictures are bad" in err
    for line in (
        "bad: bird: a link to nothing",
        "bad: cat/gone.png: a link to nothing",
        "bad: dog/pipe.png: neither a file nor a folder",
        "bad: locked: a folder that cannot be read: Permission denied",
        "bad: round.png: ",
    ):
        assert f"  {line}" in out
    assert (
        run("import", photos, "--name", "pets", "--size", 16, "--root", tmp_path, "--skip-bad") == 0
    )
    assert sum(Imported("pets", str(tmp_path)).sizes) == 12
    only = tmp_path / "only"
    (only / "locked").mkdir(parents=True)
    with pytest.raises(
        InputError, match="only: locked: a folder that cannot be read: Permission denied"
    ):
        open_container(only)


def test_a_folder_that_is_linked_twice_is_read_once_and_that_is_said(photos, tmp_path, capsys):
    (photos / "more").symlink_to(photos / "cat")
    assert run("import", photos, "--name", "pets", "--size", 16, "--root", tmp_path) == 0
    assert "links to folders that were read already, left out: 1" in capsys.readouterr().out


def test_classes_are_in_natural_order(tmp_path):
    names = [*map(str, range(1, 13)), "img12b", "img2", "1" * 5_000]
    entries = [(f"{name}/0.png", png(X[i])) for i, name in enumerate(names)]
    container = open_container(zip_with(tmp_path / "z.zip", entries))
    assert container.classes == (*map(str, range(1, 13)), "1" * 5_000, "img2", "img12b")
    where = {picture.name.split("/")[0]: picture.label for picture in container.pictures}
    assert [container.classes[where[name]] for name in names] == names


def test_a_class_is_given_by_its_name_and_else_by_its_number(tmp_path, capsys):
    write_tree(tmp_path / "numbers", [f"{k}/{i}.png" for k in range(1, 13) for i in range(3)])
    write_tree(
        tmp_path / "words",
        [
            f"{name}/{i}.png"
            for name in ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "dog")
            for i in range(6)
        ],
    )
    for name in ("numbers", "words"):
        assert run("import", tmp_path / name, "--name", name, "--size", 16, "--root", tmp_path) == 0
    assert "classes: 0 = 1: 3, 1 = 2: 3, " in capsys.readouterr().out
    numbers, words = (Imported(name, str(tmp_path)) for name in ("numbers", "words"))
    assert [label_of(numbers, text) for text in ("10", "1", "12", "0")] == [9, 0, 11, 0]
    assert [label_of(words, text) for text in ("dog", "1", "cafe\N{COMBINING ACUTE ACCENT}")] == [
        1,
        1,
        0,
    ]
    for data in (numbers, words):
        for label in range(data.spec.classes):
            assert label_of(data, label_text(data, label)) == label_of(data, label) == label
    assert (label_text(numbers, 9), label_text(words, 1)) == ("10", "1")
    for text, right in (
        ("dgo", "did you mean 'dog'"),
        ("2", "labels are from 0 to 1, or names"),
        ("\N{SUPERSCRIPT TWO}", "labels are"),
    ):
        with pytest.raises(InputError, match=right):
            label_of(words, text)


def test_a_class_is_one_in_every_form_of_unicode(tmp_path):
    composed, apart = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"
    names = [f"train/{composed}/0.png", "train/dog/1.png", f"test/{apart}/2.png", "test/dog/3.png"]
    container = open_container(
        zip_with(tmp_path / "z.zip", [(name, png(X[i])) for i, name in enumerate(names)])
    )
    assert container.classes == (composed, "dog")
    assert [picture.label for picture in container.pictures] == [0, 1, 0, 1]
    card = json.dumps({"labels": [[f"{composed}.png", 4], ["b.png", 7]]})
    entries = [(f"{apart}.png", png(X[0])), ("b.png", png(X[1])), ("dataset.json", card)]
    assert [
        picture.label
        for picture in open_container(zip_with(tmp_path / "card.zip", entries)).pictures
    ] == [1, 0]


@pytest.mark.parametrize("kind", ["npz", "card"])
def test_labels_are_those_that_occur(tmp_path, capsys, kind):
    """From 1 on, or with gaps, they leave no class without images; the names of classes are the numbers as they were given."""
    labels = np.array([1, 2, 5, 12])[np.arange(40) % 4]
    if kind == "npz":
        path = tmp_path / "x.npz"
        np.savez(path, images=X[:40], labels=labels)
    else:
        names = [f"{i}.png" for i in range(40)]
        card = json.dumps(
            {"labels": [[name, int(label)] for name, label in zip(names, labels, strict=True)]}
        )
        path = zip_with(
            tmp_path / "x.zip",
            [*((name, png(X[i])) for i, name in enumerate(names)), ("dataset.json", card)],
        )
    assert run("import", path, "--name", "four", "--size", 32, "--root", tmp_path) == 0
    assert (
        "classes are the 4 numbers from 1 to 12 that occur; labels count from 0"
        in capsys.readouterr().out
    )
    data = Imported("four", str(tmp_path))
    assert (data.spec.classes, data.class_names) == (4, ["1", "2", "5", "12"])
    known = {image.tobytes(): str(label) for image, label in zip(X[:40], labels, strict=True)}
    known[X[3].tobytes()] = ""  # it comes twice, with two labels
    for x, y in zip(*data.arrays("train"), strict=True):
        assert known[x.tobytes()] in (data.class_names[y], "")


def test_a_class_of_bad_pictures_alone_is_none(tmp_path):
    write_tree(
        tmp_path / "photos", [f"{name}/{i}.png" for name in ("a", "b", "c") for i in range(4)]
    )
    for path in (tmp_path / "photos" / "a").iterdir():
        path.write_text("no picture")
    list(import_images(Import(tmp_path / "photos", "two", 16, tmp_path, skip_bad=True)))
    data = Imported("two", str(tmp_path))
    assert (data.class_names, data.spec.classes) == (["b", "c"], 2)
    assert set(np.concatenate([data.arrays(split)[1] for split in SPLITS]).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("a/x/0", "a/y/1", "b/x/2"), "folders below a class are merged into it: a/x, a/y"),
        (("a/0", "a/x/1", "b/y/2"), "folders below a class are merged into it: a/x"),
        (("train/a/x/0", "train/a/y/1", "train/b/x/2"), "are merged into it: a/x, a/y"),
        (("a/images/0", "a/images/1", "b/images/2"), ""),
    ],
)
def test_folders_below_a_class_are_named_where_they_are_merged(tmp_path, names, line):
    write_tree(tmp_path / "photos", [f"{name}.png" for name in names])
    container = open_container(tmp_path / "photos")
    assert container.classes == ("a", "b")
    assert container.note.endswith(line)
    assert bool(container.note) == bool(line)


# --- more than 8 bits -------------------------------------------------------------------------------------------------


def png_16_bits(image):
    """A colour PNG of 16 bits, (H, W, 3), which Pillow reads and does not write."""
    height, width, _ = image.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


GREY_12 = X[:, 0].astype(np.uint16) * 16 + 7  # 7 to 4,087


@pytest.mark.parametrize(
    ("write", "highest", "white"),
    [
        (lambda i: ("png", encoded(Image.fromarray(GREY_12[i]))), "4,087", 4095),
        (lambda i: ("tiff", encoded(Image.fromarray(GREY_12[i]), "tiff")), "4,087", 4095),
        (lambda i: ("png", encoded(Image.fromarray(X[i, 0].astype(np.uint16)))), "255", 255),
        (
            lambda i: ("tiff", encoded(Image.fromarray(X[i, 0].astype(np.int32)), "tiff")),
            "255",
            255,
        ),
    ],
    ids=["12 bits", "12 bits in a TIFF", "8 bits", "8 bits in 32"],
)
def test_deep_pictures_that_would_come_out_black_are_refused(
    tmp_path, capsys, write, highest, white
):
    (tmp_path / "deep").mkdir()
    for i in range(20):
        suffix, content = write(i)
        (tmp_path / "deep" / f"{i:02d}.{suffix}").write_bytes(content)
    command = ("import", tmp_path / "deep", "--name", "deep", "--size", 32, "--root", tmp_path)
    assert run(*command) == 2
    out, err = capsys.readouterr()
    assert f"to {highest}; white is 65,535" in out
    assert err.count("\n") == 1
    assert (
        f"to {highest}, where white is 65,535: they would come out black; say which value is white"
        in err
    )
    assert f"--white {white}" in err
    assert not (tmp_path / "imported").exists()
    assert run(*command, "--white", white) == 0
    x = np.concatenate([Imported("deep", str(tmp_path)).arrays(split)[0] for split in SPLITS])
    values = GREY_12[:20] if white == 4095 else X[:20, 0]
    expected = np.round(values.astype(float) * 255 / white).astype(np.uint8)
    assert {image.tobytes() for image in x} == {image.tobytes() for image in expected}
    assert run(*command, "--white", 100, "--replace") == 2
    assert "above white, which is 100" in capsys.readouterr().err
    # images of another tool are measured as they are, or not at all
    with pytest.raises(InputError, match="they would come out black; make files of 8 bits of them"):
        read_samples(tmp_path / "deep", Spec((1, 32, 32), 256))


def test_the_range_is_that_of_all_pictures_and_a_white_is_taken_at_its_word(tmp_path, capsys):
    (tmp_path / "deep").mkdir()
    for i in range(20):
        (tmp_path / "deep" / f"{i:02d}.png").write_bytes(encoded(Image.fromarray(GREY_12[i])))
    command = ("import", tmp_path / "deep", "--name", "deep", "--size", 32, "--root", tmp_path)
    assert run(*command, "--white", 65_535) == 0  # dark, and so they are
    bright = np.full((32, 32), 16_384, np.uint16)
    (tmp_path / "deep" / "bright.png").write_bytes(encoded(Image.fromarray(bright)))
    assert run(*command, "--replace") == 0
    assert (
        "grey pictures of more than 8 bits: 7 to 16,384; white is 65,535" in capsys.readouterr().out
    )
    assert (
        run(
            "import",
            tmp_path / "deep",
            "--name",
            "x",
            "--size",
            32,
            "--root",
            tmp_path,
            "--white",
            2**31,
        )
        == 2
    )
    write_tree(tmp_path / "plain", [f"{i}.png" for i in range(4)])
    assert (
        run(
            "import",
            tmp_path / "plain",
            "--name",
            "x",
            "--size",
            32,
            "--root",
            tmp_path,
            "--white",
            255,
        )
        == 2
    )
    assert "--white 255 is about grey pictures of more than 8 bits; " in capsys.readouterr().err


def test_deep_colour_that_would_come_out_black_is_refused(tmp_path, capsys):
    (tmp_path / "deep").mkdir()
    for i in range(8):
        (tmp_path / "deep" / f"{i}.png").write_bytes(
            png_16_bits(X[i].transpose(1, 2, 0).astype(np.uint16) * 16)
        )
    command = ("import", tmp_path / "deep", "--name", "deep", "--size", 32, "--root", tmp_path)
    assert run(*command) == 2
    assert (
        "hold 0 to 15, where white is 255: they would come out black; make files of 8 bits"
        in capsys.readouterr().err
    )
    for i in range(8):
        (tmp_path / "deep" / f"{i}.png").write_bytes(
            png_16_bits(X[i].transpose(1, 2, 0).astype(np.uint16) * 257)
        )
    assert run(*command) == 0
    assert "8 16 bits to 8" in capsys.readouterr().out
    x = np.concatenate([Imported("deep", str(tmp_path)).arrays(split)[0] for split in SPLITS])
    assert {image.tobytes() for image in x} == {image.tobytes() for image in X[:8]}


# --- arrays of other tools --------------------------------------------------------------------------------------------


def test_arrays_of_guided_diffusion_and_npy_files_are_read(tmp_path):
    labels = 10 * (np.arange(80) % 3)
    np.savez(tmp_path / "samples.npz", X.transpose(0, 2, 3, 1), labels)
    np.save(tmp_path / "up.npy", X)
    (tmp_path / "up.npy").rename(tmp_path / "UP.NPY")
    np.savez(tmp_path / "named.npz", images=X, labels=labels)
    (tmp_path / "named.npz").rename(tmp_path / "UP.NPZ")
    theirs, ours = open_container(tmp_path / "samples.npz"), open_container(tmp_path / "UP.NPZ")
    assert theirs.classes == ours.classes == ("0", "10", "20")
    assert (
        [picture.label for picture in theirs.pictures]
        == [picture.label for picture in ours.pictures]
        == (labels // 10).tolist()
    )
    for name in ("samples.npz", "UP.NPY", "UP.NPZ"):
        assert torch.equal(
            read_samples(tmp_path / name, Spec((3, 32, 32), 256)), torch.from_numpy(X)
        )
    list(import_images(Import(tmp_path / "UP.NPY", "all", 32, tmp_path)))
    assert sum(Imported("all", str(tmp_path)).sizes) == 80
    np.savez(tmp_path / "bad.npz", X, labels[:5])
    with pytest.raises(InputError, match=r"bad\.npz: labels are integers \(80,\)"):
        open_container(tmp_path / "bad.npz")
    np.save(tmp_path / "objects.npy", np.array([Hostile()], dtype=object))
    with pytest.raises(InputError, match=r"objects\.npy: "):
        open_container(tmp_path / "objects.npy")


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"label": Y}, "has 'label', which would be lost; right are images, labels, levels"),
        ({"arr_0": X[:40]}, "has 'arr_0', which would be lost; right are images, labels, levels"),
        ({"x": X, "labels": Y, "levels": 256}, "has 'x', which would be lost"),
    ],
)
def test_an_array_that_would_be_dropped_is_named(tmp_path, capsys, others, message):
    np.savez(tmp_path / "x.npz", images=X, **others)
    assert run("import", tmp_path / "x.npz", "--name", "x", "--size", 8, "--root", tmp_path) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "imported").exists()
    with pytest.raises(InputError, match="which would be lost"):
        read_samples(tmp_path / "x.npz", Spec((3, 32, 32), 256))


def test_labels_beside_unnamed_images_are_not_dropped(tmp_path):
    np.savez(tmp_path / "x.npz", X, labels=Y)
    with pytest.raises(
        InputError, match="'labels', which would be lost; right are arr_0, arr_1, levels"
    ):
        open_container(tmp_path / "x.npz")


@pytest.mark.parametrize("channels_last", [True, False])
def test_transparency_of_arrays_is_laid_over_white(tmp_path, channels_last):
    veiled = np.concatenate([X[:20], (X[20:40, :1] > 100) * np.uint8(255)], axis=1)
    np.savez(tmp_path / "x.npz", images=veiled.transpose(0, 2, 3, 1) if channels_last else veiled)
    expected = np.where(veiled[:, 3:] > 0, veiled[:, :3], 255)
    report = "\n".join(import_images(Import(tmp_path / "x.npz", "veiled", 32, tmp_path)))
    assert "20 laid over white where transparent" in report
    assert torch.equal(
        read_samples(tmp_path / "x.npz", Spec((3, 32, 32), 256)), torch.from_numpy(expected)
    )
    np.savez(tmp_path / "x.npz", images=veiled // 16, levels=16)
    with pytest.raises(InputError, match="transparency, which goes with 256 levels, not with 16"):
        open_container(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Training", "Validation", "Testing"),
        ("TRAIN", "valid", "test"),
        ("training", "testing"),
    ],
)
def test_folders_that_are_called_splits_are_splits(tmp_path, names):
    splits = [{"tr": "train", "va": "val", "te": "test"}[name[:2].lower()] for name in names]
    for i in range(20 * len(names)):
        path = (
            tmp_path
            / "kaggle"
            / names[i % len(names)]
            / ("cat", "dog")[i // len(names) % 2]
            / f"{i}.png"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(X[i]))
    container = open_container(tmp_path / "kaggle")
    assert container.classes == ("cat", "dog")
    for picture in container.pictures:
        assert picture.split == splits[names.index(picture.name.split("/")[0])]
    list(import_images(Import(tmp_path / "kaggle", "kaggle", 32, tmp_path)))
    sizes = Imported("kaggle", str(tmp_path)).sizes
    assert sizes == ((20, 20, 20) if len(names) == 3 else (16, 4, 20))


def test_linked_class_folders_count_and_a_link_upwards_ends(tmp_path, photos):
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(photos / name)
    (photos / "cat" / "up").symlink_to(photos)
    (photos / "dog" / "round").symlink_to(linked)
    container = open_container(linked)
    assert container.classes == ("cat", "dog")
    assert len(container.pictures) == len(list(photos.glob("*/*.*")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("import", "absent", "--name", "x", "--size", "8"),
            "no absent: a folder of pictures, a zip of them",
        ),
        (("import", "text", "--name", "x", "--size", "8"), "text is neither a folder of pictures"),
        (("import", "empty", "--name", "x", "--size", "8"), "empty holds no pictures"),
        (("import", "one.npz", "--name", "x", "--size", "8"), "1 pictures are too few"),
        (("import", "one.npz", "--name", "../x", "--size", "8"), "letters, digits, and . _ + -"),
        (("import", "one.npz", "--name", "x", "--size", "0"), "not a positive number"),
        (
            ("import", "one.npz", "--name", "x", "--size", "8", "--val", "1.5"),
            "neither a number of pictures nor a share",
        ),
        (
            ("import", "one.npz", "--name", "x", "--size", "8", "--val", "1.0"),
            "a number has no point",
        ),
        (
            ("import", "one.npz", "--name", "x", "--size", "8", "--test", "2."),
            "a number has no point",
        ),
        (("import", "one.npz", "--name", "x", "--size", "80"), "none of 1 pictures can be used"),
        (
            ("import", "one.npz", "--name", "digits", "--size", "8"),
            "digits is the name of another data set",
        ),
        (("show", "mnits"), "no data 'mnits'; did you mean 'mnist'?"),
        (("fetch", "digits"), "digits needs no download"),
        (("fetch", "mnist-larochelle"), "mnist-larochelle has no published hash"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("text")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "one.npz", images=X[:1])
    assert run(*arguments, "--root", tmp_path / "root") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_root_that_is_no_folder_is_named(tmp_path, photos, monkeypatch, capsys, below):
    file, root = tmp_path / "file", tmp_path / "file" / below
    file.write_text("")
    assert run("import", photos, "--name", "pets", "--size", 8, "--root", root) == 2
    assert (
        capsys.readouterr().err
        == f"genbench: --root {root}: {file} is no folder; choose another place\n"
    )
    monkeypatch.setenv("GENBENCH_DATA", str(root))
    assert run("import", photos, "--name", "pets", "--size", 8) == 2
    assert (
        capsys.readouterr().err
        == f"genbench: GENBENCH_DATA {root}: {file} is no folder; choose another place\n"
    )


def test_an_unknown_import_is_named(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"no imported data 'birds' in .*genbench data import PATH --name birds --size N",
    ):
        Imported("birds", str(tmp_path))


def test_an_import_under_another_ones_name_is_refused(tmp_path, photos):
    list(import_images(Import(photos, "pets", 16, tmp_path)))
    (tmp_path / "imported" / "pets").rename(tmp_path / "imported" / "birds")
    with pytest.raises(ValueError, match=r"damaged: .*card\.json \(it is that of 'pets'\)"):
        Imported("birds", str(tmp_path))


def test_names_of_classes_have_the_hash_of_their_card(tmp_path, photos):
    list(import_images(Import(photos, "pets", 16, tmp_path)))
    card = tmp_path / "imported" / "pets" / "card.json"
    card.write_text(card.read_text().replace('["cat", "dog"]', '["dog", "cat"]'))
    with pytest.raises(InputError, match="its card does not have the hash that it states"):
        Imported("pets", str(tmp_path)).arrays("train")


def test_what_a_killed_replacement_moved_aside_comes_back(tmp_path, photos):
    list(import_images(Import(photos, "pets", 16, tmp_path)))
    whole = Imported("pets", str(tmp_path)).content_hash
    folder = tmp_path / "imported" / "pets"
    folder.rename(folder.with_name(".pets.0123abcd.old"))
    with pytest.raises(InputError, match="holds another data set pets"):
        list(import_images(Import(photos, "pets", 8, tmp_path)))
    assert Imported("pets", str(tmp_path)).content_hash == whole
    assert [path.name for path in folder.parent.iterdir()] == ["pets"]


def test_a_name_that_is_too_long_is_found_before_anything_is_decoded(tmp_path, photos, monkeypatch):
    list(import_images(Import(photos, "x" * 200, 16, tmp_path)))
    list(import_images(Import(photos, "x" * 200, 8, tmp_path, replace=True)))
    assert Imported("x" * 200, str(tmp_path)).spec.shape[1] == 8
    monkeypatch.setattr("genbench.data.importing.gather", lambda *_: pytest.fail("decoded"))
    with pytest.raises(
        InputError,
        match=r"^--name x{40}\.\.\. has 202 bytes, and is part of file names; at most 200 are right",
    ):
        list(import_images(Import(photos, "x" * 200 + "ä", 16, tmp_path)))
    with pytest.raises(ValueError, match=r"^data\.name x{40}\.\.\. has 300 bytes"):
        Imported("x" * 300, str(tmp_path))


def test_a_damaged_import_is_named(tmp_path, photos):
    list(import_images(Import(photos, "pets", 16, tmp_path)))
    card = tmp_path / "imported" / "pets" / "card.json"
    whole = json.loads(card.read_text())
    others = [
        whole | {"source": whole["source"] | part}
        for part in ({"sizes": ["a", 1, 1]}, {"sizes": [1]}, {"classes": ["cat"]})
    ]
    for content in ("", "{}", "[]", '{"source": {"shape": 3}}', *map(json.dumps, others)):
        card.write_text(content)
        with pytest.raises(ValueError, match=r"damaged: .*import pets again with --replace"):
            Imported("pets", str(tmp_path))


def test_a_damaged_import_stands_in_no_other_ones_way(tmp_path, photos, capsys):
    """It is one row of the list, one line of show, and replaced when asked."""
    bad = tmp_path / "imported" / "bad"
    bad.mkdir(parents=True)
    (bad / "card.json").write_text("{}")
    at = ("--size", 16, "--root", tmp_path)
    assert run("list", "--root", tmp_path) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "bad" in line)
    assert row.startswith("bad  ")
    assert " damaged: " in row
    assert run("show", "bad", "--root", tmp_path) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "damaged: " in err
    assert run("import", photos, "--name", "other", *at) == 0
    assert run("import", photos, "--name", "bad", *at) == 2
    assert "--replace it" in capsys.readouterr().err
    assert run("import", photos, "--name", "bad", "--replace", *at) == 0
    assert (
        Imported("bad", str(tmp_path)).content_hash == Imported("other", str(tmp_path)).content_hash
    )


@pytest.mark.parametrize("name", ["../pets", "imported/../pets", "/etc", "", ".", ".."])
def test_an_import_is_looked_for_in_its_root_alone(tmp_path, photos, name):
    list(import_images(Import(photos, "pets", 16, tmp_path)))
    (tmp_path / "imported" / "pets").rename(tmp_path / "pets")
    with pytest.raises(
        ValueError, match=r"is part of file names; letters, digits, and \. _ \+ - are right"
    ):
        Imported(name, str(tmp_path))


# --- list and fetch ---------------------------------------------------------------------------------------------------


def test_every_data_set_is_listed_with_its_sizes(tmp_path, photos, capsys):
    list(import_images(Import(photos, "pets", 16, tmp_path)))
    names = [data.name for data in every(str(tmp_path))]
    assert len(set(names)) == len(names)
    assert {
        "digits",
        "points2d",
        "points2d-two_moons",
        "mnist",
        "mnist-static",
        "fashion_mnist",
        "cifar10",
        "pets",
    } <= set(names)
    assert run("list", "--root", tmp_path) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert set(rows) == set(names)
    assert "45,000   5,000  10,000  genbench data fetch cifar10" in rows["cifar10"]
    assert "10       1       1  here: " in rows["pets"]


@pytest.mark.parametrize("name", ["digits", "points2d", "points2d-pinwheel"])
def test_sizes_are_those_of_the_arrays(name):
    data = next(data for data in every() if data.name == name)
    assert data.sizes == tuple(len(data.arrays(split)[0]) for split in SPLITS)


@pytest.fixture
def server(tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (tmp_path / "www").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield tmp_path / "www", f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_downloads_appear_whole_and_right_or_not_at_all(server, tmp_path):
    folder, address = server
    (folder / "file").write_bytes(b"content")
    right, path = hashlib.md5(b"content").hexdigest(), tmp_path / "data" / "file"
    with pytest.raises(
        InputError, match=r"its content has md5 .*, not 000; nothing was kept"
    ) as error:
        download([f"{address}/file"], path, "000")
    one_line(error)
    with pytest.raises(
        InputError, match=r"no download of file: .*not found.*--mirror URL"
    ) as error:
        download([f"{address}/absent"], path, right)
    one_line(error)
    assert not path.exists()
    assert download([f"{address}/absent", f"{address}/file"], path, right)
    assert path.read_bytes() == b"content"
    assert not download([f"{address}/absent"], path, right)
    with pytest.raises(InputError, match="is here with md5"):
        download([f"{address}/file"], path, "000")
    assert download(
        [f"{address}/file"],
        tmp_path / "other",
        hashlib.sha256(b"content").hexdigest()[:8],
        "sha256",
    )
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["file"]


def test_fetch_from_a_mirror(server, tmp_path, capsys, monkeypatch):
    from torchvision.datasets import MNIST as PUBLISHED

    folder, address = server
    write_mnist(folder, pack=True)
    resources = [
        (p.name, hashlib.md5(p.read_bytes()).hexdigest())
        for p in (folder / "MNIST" / "raw").iterdir()
    ]
    assert {name for name, _ in resources} == {name for name, _ in PUBLISHED.resources}
    assert (
        run("fetch", "mnist", "--mirror", address, "--root", tmp_path / "root") == 2
    )  # torchvision's hashes are others
    assert "nothing was kept" in capsys.readouterr().err
    monkeypatch.setattr(PUBLISHED, "resources", resources)
    monkeypatch.setenv("GENBENCH_MIRROR", address + "/")
    assert run("fetch", "mnist", "--root", tmp_path / "root") == 0
    assert capsys.readouterr().out.count("downloaded") == 4
    assert run("fetch", "mnist", "--root", tmp_path / "root") == 0
    assert capsys.readouterr().out.count("was here") == 4
    assert len(small(MNIST, tmp_path / "root").arrays("train")[0]) == 50


def test_what_torchvision_publishes_is_what_is_read(tmp_path):
    """The files that fetch brings are those that decode looks for."""
    for kind in (MNIST, FashionMNIST, CIFAR10):
        data: ImageData = kind(str(tmp_path / kind.__name__))
        for file in data.downloads:
            path = data.root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        assert data.downloads
        assert all(path.exists() for path in data.source_files)


def zip_with(path, entries):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in entries:
                archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ([("a.png", b"x"), ("a.png", b"y")], "'a.png' stands for several files"),
        ([("a.png", b"x"), ("dataset.json", b"[" * 200_000)], "dataset.json: it nests too deep"),
        (
            [("a.png", b"x"), ("dataset.json", b'{"labels": [["a.png", true]]}')],
            r"labels\[0\]\[1\] is True, not an integer",
        ),
    ],
)
def test_a_nasty_zip_is_one_line(tmp_path, entries, line):
    with pytest.raises(InputError, match=line):
        open_container(zip_with(tmp_path / "nasty.zip", entries))


def test_a_damaged_card_inside_a_zip_is_one_line(tmp_path):
    path = zip_with(
        tmp_path / "damaged.zip", [("a.png", b"x"), ("dataset.json", b'{"labels": null}')]
    )
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b'{"labels": null}', b'{"labels": nUll}', 1)
    )  # its checksum is another's
    with pytest.raises(InputError, match=r"dataset\.json: cannot be unpacked"):
        open_container(path)


def test_white_and_black_are_certain_in_every_draw():
    """x = 255 is one with probability 1: a million draws of which one in 256 would be wrong."""
    rng = Rng(0, range(1_000))
    assert bool((binarise(torch.full((1_000, 1, 32, 32), 255, dtype=torch.uint8), rng) == 1).all())
    assert bool((binarise(torch.zeros(1_000, 1, 32, 32, dtype=torch.uint8), rng) == 0).all())
