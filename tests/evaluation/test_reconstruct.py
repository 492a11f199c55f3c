"""Evaluation reconstructs every image of the split, where the model encodes and decodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from without_a_model import metrics_without_a_model

from genbench.config.protocol import load_protocol
from genbench.evaluation.evaluate import evaluate
from genbench.evaluation.reconstruct import reconstructions
from genbench.records.store import read_record
from genbench.runs.build import build, open_run
from genbench.training.train import train

PROTOCOL = "images: 8\nchunk: 100\nmetrics: [reconstruction]\nscored_images: 8\n"


@pytest.fixture(scope="module")
def protocol(tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol") / "few-reconstructions.yaml"
    path.write_text(PROTOCOL)
    return path


def test_the_error_is_that_of_all_test_images(tiny, protocol, tmp_path):
    run = train(tiny("digits/ppca", f"protocol={protocol}"))
    record = read_record(evaluate(run, "default", tmp_path))
    loaded = open_run(run)
    x, _ = loaded.data.tensors("test")
    model = loaded.model
    with torch.no_grad():
        back = model.decode(model.encode(x))
    error = ((x.double() - back.double()) / 8).square().mean()
    assert record.metrics["reconstruction"].value == pytest.approx(float(error))
    assert record.metrics["reconstruction"].error > 0


def test_a_model_without_codes_images_of_others_and_the_noise_floor_have_none(
    tiny, protocol, tmp_path
):
    run = train(tiny("digits/gmm", f"protocol={protocol}"))
    assert read_record(evaluate(run, "default", tmp_path)).metrics == {}
    assert metrics_without_a_model(open_run(run).data, protocol, tmp_path, 8) == {}


def test_a_model_given_labels_is_given_those_of_the_images(tiny, protocol):
    data, model = build(tiny("digits/vae", "model.conditional=true"))
    model.eval()
    x, y = data.tensors("test")
    judged = load_protocol(str(protocol))
    with torch.no_grad():
        back = reconstructions(model, data, judged, "cpu")
        expected = model.decode(model.encode(x, y), y)
        others = model.decode(model.encode(x, 9 - y), 9 - y)
        none = reconstructions(model, data, replace(judged, metrics=()), "cpu")
    # batches of other sizes round otherwise
    assert (back != expected).double().mean() < 1e-3
    assert (back != others).any()
    assert none is None
