"""Linear probes: labelled images, principal components, accuracy and its error, and what their protocol refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from genbench.cli.main import main
from genbench.config.protocol import load_protocol
from genbench.data.digits import Digits
from genbench.errors import GenbenchError, InputError
from genbench.evaluation.evaluate import evaluate
from genbench.metrics import probe as probing
from genbench.metrics.codes import encoded
from genbench.metrics.measure import measure
from genbench.metrics.probe import Parts, labelled, principal_components, probe, scaled
from genbench.metrics.samples import Encoded, Samples
from genbench.records.consistency import contradictions
from genbench.records.record import Record
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.training.train import train


def blobs(n: int, seed: int, spread: float = 1.0, K: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """n points of the plane around K corners, and which corner."""
    rng = Rng(seed, range(n), torch.float64)
    y = torch.arange(n) % K
    angle = 2 * math.pi * y.double() / K
    return torch.stack((angle.cos(), angle.sin()), 1) + spread * rng.normal((2,)), y


def test_labelled_images_are_as_many_of_each_class_and_others_in_every_draw():
    y = torch.tensor(Digits().arrays("train")[1])
    draws = labelled(y, 10, Rng(0, range(50)))
    assert len(draws) == 20
    for rows in draws:
        assert torch.equal(torch.bincount(y[rows]), torch.full((10,), 10))
        assert len(rows.unique()) == 100
    assert len({tuple(sorted(rows.tolist())) for rows in draws}) == 20
    # every image is as likely: of class 0, as many times as chance allows
    often = torch.bincount(torch.cat(draws), minlength=len(y))[y == 0]
    p = 10 / len(often)
    assert abs(float(often.double().var()) / (20 * p * (1 - p)) - 1) < 0.6
    assert torch.equal(labelled(y, None, Rng(0, range(50)))[0], torch.arange(len(y)))
    with pytest.raises(InputError, match="of 95 labels needs as many training images of class"):
        labelled(y, 95, Rng(0, range(50)))


def test_principal_components_are_those_of_scikit_learn():
    x = [torch.tensor(Digits().arrays(split)[0]).flatten(1).double() for split in ("train", "val", "test")]  # fmt: skip
    ours = principal_components(Parts(*x), 7)
    oracle = PCA(7, svd_solver="full").fit(x[0].numpy())
    for part, images in zip(ours, x, strict=True):
        theirs = oracle.transform(images.numpy())
        np.testing.assert_allclose(part.abs().numpy(), np.abs(theirs), rtol=1e-6, atol=1e-7)
    assert principal_components(Parts(*x), 99).train.shape == (898, 64)


def test_entries_are_scaled_together():
    z = Parts(*(torch.tensor([[3.0, 1.0], [7.0, 1.0]]).double() + i for i in range(3)))
    one = scaled(z)
    assert one.train.square().mean() == pytest.approx(1)
    assert one.train[:, 1].tolist() == [0, 0]
    torch.testing.assert_close(one.test - one.train, torch.full((2, 2), 2 / math.sqrt(2)).double())
    constant = scaled(Parts(*[torch.ones(4, 2, dtype=torch.float64)] * 3))
    assert not constant.train.any()


def test_accuracy_is_that_of_the_best_classifier_of_points():
    """Three far corners: none is wrong. Noise alone: a third is right, as of guesses."""
    for spread, expected, tolerance in ((0.05, 1.0, 0.0), (1e3, 1 / 3, 0.05)):
        sets = [blobs(n, seed, spread) for seed, n in ((1, 300), (2, 90), (3, 900))]
        z = scaled(Parts(*(x for x, _ in sets)))
        y = Parts(*(labels for _, labels in sets))
        value, error = probe(z, y, labelled(y.train, 10, Rng(0, range(20))))
        assert value == pytest.approx(expected, abs=tolerance)
        assert error < 0.03


def test_the_penalty_is_chosen_on_the_validation_images(monkeypatch):
    """Fits that are right on validation images at one C alone: its test images count."""
    y = Parts(torch.arange(6) % 2, torch.arange(4) % 2, torch.arange(8) % 2)
    z = Parts(*(torch.zeros(len(part), 1) for part in y))

    def fit(z, labels, C, others):
        wrong = torch.tensor([1, 0] * 4)
        if C == 10:
            return [y.val, torch.where(torch.arange(8) < 6, y.test, 1 - y.test)]
        return [wrong[:4], y.test]

    monkeypatch.setattr(probing, "_fit", fit)
    value, error = probe(z, y, [torch.arange(6)] * 3)
    assert value == 0.75
    # no spread over draws: that of the test images
    assert error == pytest.approx(math.sqrt(0.75 * 0.25 / 7))


def test_the_error_is_the_spread_over_labelled_and_test_images(monkeypatch):
    monkeypatch.setattr(probing, "_C", (1.0,))
    values = []
    for seed in range(40):
        sets = [blobs(n, 10 * seed + i, 0.8) for i, n in ((1, 120), (2, 60), (3, 60))]
        z = scaled(Parts(*(x for x, _ in sets)))
        y = Parts(*(labels for _, labels in sets))
        values.append(probe(z, y, labelled(y.train, 4, Rng(seed, range(6)))))
    value, error = torch.tensor(values, dtype=torch.float64).T
    assert 0.6 < float(value.std() / error.square().mean().sqrt()) < 1.5


def test_codes_are_those_of_the_model(tiny):
    data, model = build(tiny("digits/vae"))
    model.eval().requires_grad_(False)
    sets = encoded(model, data, replace(load_protocol("digits-probe"), chunk=100), "cpu")
    assert {name: tuple(part.z.shape) for name, part in sets.items()} == {
        "train": (898, 12),
        "val": (180, 12),
        "test": (719, 12),
    }
    x, y = data.tensors("test")
    torch.testing.assert_close(sets["test"].z, model.encode(x).double())
    assert torch.equal(sets["test"].y, y) and torch.equal(sets["test"].x, x)
    model.encode = lambda x: torch.full((len(x), 2), torch.inf)
    with pytest.raises(GenbenchError, match="code of train image 0 is not finite"):
        encoded(model, data, load_protocol("digits-probe"), "cpu")


def test_codes_and_floors_are_probed_by_the_same_labelled_images(monkeypatch):
    """Codes that are the pixels, or a rotation of them, have the accuracy of the pixels."""
    monkeypatch.setattr(probing, "_C", (1.0,))
    monkeypatch.setattr(probing, "_DRAWS", 4)
    sets = {}
    turn = torch.linalg.qr(Rng(5, range(64), torch.float64).normal((64,)))[0]
    for split in ("train", "val", "test"):
        x, y = (torch.tensor(array) for array in Digits().arrays(split))
        sets[split] = Encoded(x, y, x.flatten(1).double() @ turn)
    names = ["probe_10", "pixels_10", "pca_10"]
    samples = Samples(Rng(0, range(50)), encoded=sets)
    one = measure(samples, names)
    assert one["probe_10"][0] == pytest.approx(one["pixels_10"][0], abs=1e-3)
    assert one["pca_10"][0] == pytest.approx(one["pixels_10"][0], abs=1e-3)
    assert 0.8 < one["pixels_10"][0] < 0.98
    with pytest.raises(InputError, match="a probe needs codes of the images"):
        measure(replace(samples, encoded=None, results={}), names)


def test_a_record_has_the_probes_of_its_protocol(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(probing, "_DRAWS", 2)
    run = train(tiny("digits/autoencoder", "protocol=digits-probe"))
    record = Record.from_json(evaluate(run, "default", tmp_path).read_text())
    assert set(record.metrics) == set(load_protocol("digits-probe").metrics)
    assert record.metrics["probe_10"].value < record.metrics["pixels_10"].value  # 640 images
    assert list(contradictions(record)) == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("digits/gan", [], "needs a model that encodes images, as VAE does; not GAN"),
        ("digits/vae", ["--model.conditional=true"], "needs codes of images alone; this VAE is given y"),
        ("digits-halves/l1", [], "needs labels; digits-halves has none"),
    ],
)  # fmt: skip
def test_a_model_without_codes_of_images_alone_is_refused_before_it_is_trained(
    name, options, message, tmp_path, capsys
):
    folder = f"--run_dir={tmp_path}/run"
    command = ["train", "-c", name, "--protocol=digits-probe", "--smoke", folder, *options]
    assert main(command) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
