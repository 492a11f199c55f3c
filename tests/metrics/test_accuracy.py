"""Classification by Bayes' rule: the joint density of images and classes, and how many classes it finds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from genbench.capabilities import Classifies
from genbench.config.protocol import load_protocol
from genbench.config.recipe import load_config
from genbench.errors import GenbenchError, InputError
from genbench.evaluation.evaluate import evaluate
from genbench.metrics.log_densities import by_bayes, log_joint, marginal_log_prob
from genbench.metrics.measure import measure
from genbench.metrics.samples import Samples
from genbench.records.consistency import contradictions
from genbench.records.record import Record
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.training.train import train

PROTOCOL = replace(load_protocol("digits-binary"), scored_images=40)


def fitted(recipe: str, *overrides: str):
    """Data, and a conditional model of them that was fitted in passes."""
    config = load_config(recipe, ["model.conditional=true", *overrides], smoke=True)
    data, model = build(config)
    model.finalize(data.finalize_batches(model), Rng(0, [0]))
    return data, model.eval().requires_grad_(False)


def test_the_joint_density_is_the_frequency_of_a_class_times_the_density_given_it():
    data, model = fitted("digits-binary/bernoulli_mixture")
    assert not isinstance(model, Classifies)
    joint = log_joint(model, data, {}, PROTOCOL, "cpu")
    x, _ = data.tensors("test")
    _, y = data.tensors("train")
    assert joint.shape == (40, 10)
    for k in range(10):
        expected = model.log_prob(x[:40], torch.full((40,), k)).double()
        expected = expected + math.log(int((y == k).sum()) / len(y))
        torch.testing.assert_close(joint[:, k], expected)
    marginal = marginal_log_prob(model, data, x[:40], {}, PROTOCOL, "cpu", str)
    torch.testing.assert_close(joint.logsumexp(1), marginal)


@pytest.mark.parametrize("covariance", ["diagonal", "low-rank"])
def test_a_joint_density_of_the_models_own_is_that_of_bayes_rule(covariance):
    """The mixture knows the frequencies itself; all classes of an image see the same noise."""
    data, model = fitted("digits/gmm", f"model.covariance={covariance}")
    assert isinstance(model, Classifies)
    x, _ = data.tensors("test")
    bayes = by_bayes(model, data, x[:40], {}, PROTOCOL, "cpu", str)
    torch.testing.assert_close(log_joint(model, data, {}, PROTOCOL, "cpu"), bayes)
    if covariance == "low-rank":
        # its own density has no options: with options it is Bayes' rule
        finer = log_joint(model, data, {"K": 4}, PROTOCOL, "cpu")
        assert float((finer - bayes).abs().max()) > 1e-3


def test_a_class_without_training_images_is_never_found(monkeypatch):
    data, model = fitted("digits-binary/bernoulli_mixture")
    x, y = data.arrays("train")
    monkeypatch.setattr(data, "arrays", lambda split: (x[y != 3], y[y != 3]))
    images, _ = data.tensors("test")
    joint = by_bayes(model, data, images[:40], {}, PROTOCOL, "cpu", str)
    assert (joint[:, 3] == -torch.inf).all() and joint[:, 4].isfinite().all()


def test_a_probability_that_is_none_names_its_image(monkeypatch):
    data, model = fitted("digits/gmm")
    real = type(model).log_joint
    monkeypatch.setattr(
        type(model), "log_joint", lambda *arguments: real(*arguments).index_fill(0, torch.tensor(2), torch.nan)
    )  # fmt: skip
    with pytest.raises(GenbenchError, match="test image 2 is nan: not a probability"):
        log_joint(model, data, {}, PROTOCOL, "cpu")


def test_accuracy_counts_the_images_whose_class_is_the_likeliest():
    joint = torch.tensor([[0.0, 1.0], [3.0, -1.0], [-5.0, -4.0], [2.0, 1.0]])
    labels = torch.tensor([1, 0, 0, 0, 1, 1])  # of more images than are scored
    samples = Samples(Rng(0, range(4)), labels=labels, log_joint=joint)
    value, error = measure(samples, ["accuracy"])["accuracy"]
    assert value == 0.75
    assert error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    with pytest.raises(InputError, match="accuracy needs the joint density of the model"):
        measure(replace(samples, log_joint=None, results={}), ["accuracy"])


def test_the_error_is_the_spread_over_draws():
    p = 0.8
    values = []
    for seed in range(300):
        right = Rng(seed, range(200)).uniform() < p
        joint = torch.stack((right.double(), (~right).double()), 1)
        zeros = torch.zeros(200, dtype=torch.int64)
        samples = Samples(Rng(0, range(2)), labels=zeros, log_joint=joint)
        values.append(measure(samples, ["accuracy"])["accuracy"])
    value, error = torch.tensor(values, dtype=torch.float64).T
    assert float(value.std() / error.mean()) == pytest.approx(1, abs=0.15)


def test_a_record_has_the_accuracy_of_a_model_that_is_told_labels_and_of_no_other(tiny, tmp_path):
    told = Record.from_json(
        evaluate(
            train(tiny("digits/gmm", "model.conditional=true")), "default", tmp_path
        ).read_text()
    )
    assert 0.2 < told.metrics["accuracy"].value <= 1
    assert list(contradictions(told)) == []
    free = Record.from_json(
        evaluate(
            train(tiny("digits/gmm", f"run_dir={tmp_path}/free")), "default", tmp_path
        ).read_text()
    )
    assert "accuracy" in free.protocol.metrics and "accuracy" not in free.metrics
    forged = replace(free, metrics={**free.metrics, "accuracy": told.metrics["accuracy"]})
    assert any("metrics.accuracy is there" in line for line in contradictions(forged))
    lacking = dict(told.metrics)
    lacking.pop("accuracy")
    assert any(
        "metrics.accuracy is missing" in line
        for line in contradictions(replace(told, metrics=lacking))
    )
