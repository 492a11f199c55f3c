"""What samples are compared with: kept features of a data set's images, or the statistics of another tool."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from genbench.config.protocol import Protocol
from genbench.data.digits import Digits
from genbench.data.points2d import Points2d
from genbench.errors import InputError
from genbench.evaluation.noise_floor import noise_floor
from genbench.evaluation.reference import features_of
from genbench.evaluation.resolve import resolve_protocol
from genbench.evaluation.score import score_samples
from genbench.metrics.extractor import load_extractor
from genbench.metrics.features import Features
from genbench.metrics.reference import feature_file, feature_key, reference_features, save_features
from genbench.records.record import Record
from genbench.spec import Spec

METRICS = (
    "fid",
    "fid_infinity",
    "is",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "class_recall",
    "memorisation",
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    data = Digits()
    assert data.content_hash
    monkeypatch.setattr("genbench.metrics.reference.data_root", lambda: tmp_path)
    monkeypatch.setattr("genbench.config.protocol.among_data", lambda path, root: tmp_path / path)
    return data


def compute(data, split="test"):
    protocol = Protocol("p", ("fid",), 100, "digits")
    return features_of(data.tensors(split)[0], load_extractor("digits"), protocol, "cpu")


def test_features_are_kept_bit_for_bit_and_made_once(data):
    extractor, calls = load_extractor("digits"), []

    def counted():
        calls.append(1)
        return compute(data)

    first, second = (
        reference_features(data, "test", extractor, 256, "cpu", counted) for _ in range(2)
    )
    assert len(calls) == 1
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert first.features.shape == (719, 32)


@pytest.mark.parametrize("damage", [b"", b"not tensors", "cut"])
def test_a_damaged_file_is_made_again_with_a_line_that_says_so(data, damage, caplog):
    extractor = load_extractor("digits")
    whole = reference_features(data, "test", extractor, 256, "cpu", lambda: compute(data))
    path = feature_file(data, "test", extractor, 256, "cpu")
    content = path.read_bytes()
    path.write_bytes(content[:-100] if damage == "cut" else damage)
    again = reference_features(data, "test", extractor, 256, "cpu", lambda: compute(data))
    assert torch.equal(whole.features, again.features)
    assert path.read_bytes() == content
    assert f"{path} is damaged" in caplog.text


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-5_000] ^= 1
    path.write_bytes(content)


def exchange(path, data, extractor):
    other = feature_file(data, "train", extractor, 256, "cpu")
    content = path.read_bytes()
    path.write_bytes(other.read_bytes())
    other.write_bytes(content)


def cut_rows(path, rows, whole=False):
    """A file of fewer rows, as an older program, or a hand, could have written it."""
    tensors = {name: value[:rows].contiguous() for name, value in load_file(path).items()}
    with safe_open(path, "pt") as file:
        card = file.metadata()
    save_file(tensors, path, card if whole else None)


def put_fifo(path):
    path.unlink()
    os.mkfifo(path)


FEATURE_DAMAGE = {
    "one bit": lambda path, data, extractor: flip_a_bit(path),
    "exchanged": exchange,
    "100 rows": lambda path, data, extractor: cut_rows(path, 100, whole=True),
    "a narrower file": lambda path, data, extractor: save_features(
        path,
        feature_key(data, "test", extractor, 256, "cpu"),
        Features(torch.zeros(719, 3), torch.zeros(718, 10)),
    ),
    "without a hash": lambda path, data, extractor: cut_rows(path, 719),
    "a FIFO": lambda path, data, extractor: put_fifo(path),
}


@pytest.mark.parametrize("damage", FEATURE_DAMAGE.values(), ids=FEATURE_DAMAGE)
def test_features_that_are_not_those_of_the_images_are_computed_again(data, damage, caplog):
    extractor = load_extractor("digits")

    def read(split):
        return reference_features(data, split, extractor, 256, "cpu", lambda: compute(data, split))

    whole = {split: read(split) for split in ("train", "test")}
    path = feature_file(data, "test", extractor, 256, "cpu")
    content = path.read_bytes()
    damage(path, data, extractor)
    assert not path.is_file() or path.read_bytes() != content
    for split, features in whole.items():
        again = read(split)
        assert all(torch.equal(a, b) for a, b in zip(again, features))
    assert path.read_bytes() == content
    assert f"{path} is damaged" in caplog.text
    assert "its features are computed again" in caplog.text


def test_whatever_the_features_depend_on_is_in_the_name(data, monkeypatch):
    extractor = load_extractor("digits")
    names = {
        feature_file(data, split, extractor, chunk, "cpu")
        for split in ("train", "test")
        for chunk in (256, 128)
    }
    monkeypatch.setattr(torch, "__version__", "9")
    names.add(feature_file(data, "test", extractor, 256, "cpu"))
    names.add(feature_file(Points2d(), "test", extractor, 256, "cpu"))
    assert len(names) == 6


def test_a_cache_that_cannot_be_written_is_done_without(data, tmp_path, caplog):
    (tmp_path / "features").write_text("in the way")
    found = reference_features(
        data, "test", load_extractor("digits"), 256, "cpu", lambda: compute(data)
    )
    assert len(found.features) == 719
    assert "features are not kept" in caplog.text


def test_several_writers_leave_one_whole_file(data, monkeypatch):
    extractor, found = load_extractor("digits"), []
    features = compute(data)
    # read once: Python's ast, by which numpy reads headers, is not safe in threads, and writers are processes
    arrays = data.arrays("test")
    monkeypatch.setattr(type(data), "arrays", lambda self, split: arrays)
    threads = [
        threading.Thread(
            target=lambda: found.append(
                reference_features(data, "test", extractor, 256, "cpu", lambda: features)
            )
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(torch.equal(one.features, features.features) for one in found)
    assert [
        path.suffix for path in feature_file(data, "test", extractor, 256, "cpu").parent.iterdir()
    ] == [".safetensors"]


def test_statistics_of_another_tool_give_the_distance_to_the_images_they_are_of(data, tmp_path):
    h = compute(data).features.double().numpy()
    (tmp_path / "statistics").mkdir()
    np.savez(tmp_path / "statistics" / "test.npz", mu=h.mean(0), sigma=np.cov(h, rowvar=False))
    images = data.tensors("train")[0][:719]
    plain = resolve_protocol(Protocol("p", ("fid", "is"), 719, "digits"), data)
    given = resolve_protocol(replace(plain.protocol, statistics="test.npz"), data)
    by_images, by_statistics = (score_samples(images, resolved) for resolved in (plain, given))
    assert by_statistics["fid"].value == pytest.approx(by_images["fid"].value, rel=1e-9)
    assert by_statistics["is"] == by_images["is"]
    # that of the generated images alone
    assert 0 < by_statistics["fid"].error < by_images["fid"].error
    identity = given.identity
    assert (identity.statistics, identity.reference_images) == ("test.npz", 0)
    assert len(identity.statistics_hash) == 64
    assert identity.hash != plain.identity.hash


def test_statistics_that_do_not_fit_are_named(data, tmp_path):
    protocol = Protocol("p", ("fid",), 719, "digits", statistics="x.npz")
    with pytest.raises(InputError, match=r"protocol p: no statistics file .*x\.npz"):
        resolve_protocol(protocol, data)
    (tmp_path / "statistics").mkdir()
    np.savez(tmp_path / "statistics" / "x.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(InputError, match=r"x\.npz is about 3 features; extractor digits has 32"):
        score_samples(data.tensors("train")[0][:719], resolve_protocol(protocol, data))
    with pytest.raises(ValueError, match="kid need reference images, not their statistics alone"):
        Protocol("p", ("fid", "kid"), 719, "digits", statistics="x.npz")


def test_held_out_images_are_fresh_copies_are_not_and_a_lost_class_is_seen(data):
    resolved = resolve_protocol(Protocol("p", METRICS, 300, "digits"), data)
    (x, y), (held_out, _) = data.tensors("train"), data.tensors("val")
    fresh = score_samples(held_out, resolved)
    copies = score_samples(x[:300], resolved)
    without = score_samples(x[y != 3][:300], resolved)
    assert fresh["memorisation"].value < 0.05 + 4 * fresh["memorisation"].error < 0.3
    assert copies["memorisation"].value == 1
    assert copies["class_recall"].value > 0.4 > 0.2 > without["class_recall"].value
    assert set(copies) == set(METRICS) and all(
        metric.error is not None for metric in copies.values()
    )
    assert abs(copies["fid_infinity"].value) < copies["fid"].value


def test_the_noise_floor_says_nothing_of_memorisation(tmp_path):
    record = Record.from_json(noise_floor(Digits(), 0, tmp_path).read_text())
    assert "memorisation" in record.protocol.metrics and "memorisation" not in record.metrics


def test_class_recall_needs_labels(data, monkeypatch):
    monkeypatch.setattr(data, "spec", Spec((1, 8, 8), 17))
    with pytest.raises(InputError, match="class_recall, which needs labels; digits has none"):
        resolve_protocol(Protocol("p", ("class_recall",), 100, "digits"), data)
