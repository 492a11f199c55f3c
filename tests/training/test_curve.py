"""The curve over the images seen: eight points on validation images, the last of the recorded weights, the same after a resume."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch

from genbench.config.protocol import load_protocol
from genbench.errors import InputError, Stopped
from genbench.evaluation.draw import draw_samples
from genbench.evaluation.evaluate import evaluate_run
from genbench.evaluation.reference import features_of
from genbench.metrics.energy import energy_distance
from genbench.metrics.extractor import load_extractor
from genbench.metrics.frechet import fid
from genbench.records.curve import CurvePoint, logged_curve
from genbench.records.store import read_record
from genbench.runs.build import open_run
from genbench.tracking.metrics_file import read_metrics
from genbench.training.curve import curve_protocol
from genbench.training.train import train

SHORT = ("budget.images=320", "data.batch_size=16", "trainer.checkpoint_every=64")


def logged(run, name):
    return {line["images"]: line[name] for line in read_metrics(run.metrics) if name in line}


@pytest.mark.parametrize("name", ["digits/vae", "points2d/gan"])
def test_eight_points_of_which_the_last_is_that_of_the_recorded_weights(name, tiny):
    config = tiny(name, *SHORT, "trainer.curve_images=32")
    run = train(config)
    metric = {"digits/vae": "fid", "points2d/gan": "energy_distance"}[name]
    points = logged(run, f"val/{metric}_32")
    assert list(points) == [48, 80, 128, 160, 208, 240, 288, 320]

    loaded = open_run(run)
    protocol = curve_protocol(load_protocol(loaded.data.protocol), config, loaded.data.batch_size)
    images = draw_samples(loaded, next(iter(config.evaluations.values())), protocol, "cpu")
    assert len(images) == 32
    reference, _ = loaded.data.tensors("val", torch.device("cpu"))
    if metric == "fid":
        extractor = load_extractor(protocol.extractor, "cpu", 17)
        x, r = (
            features_of(rows, extractor, protocol, "cpu").features for rows in (images, reference)
        )
        expected = fid(x, r)
    else:
        expected = energy_distance(images.flatten(1), reference.flatten(1))[0]
    assert points[320] == pytest.approx(expected, rel=1e-6)
    assert points[320] != points[48]


def test_a_resumed_run_has_the_curve_of_an_uninterrupted_one(tiny):
    options = (*SHORT, "trainer.curve_images=16", "trainer.log_every=16")
    whole = logged(train(tiny("digits/vae", *options, folder="whole")), "val/fid_16")
    cut = tiny("digits/vae", *options, folder="cut")
    signals = iter([150, 250])
    due = next(signals)

    def report(images, loss):
        nonlocal due
        if images >= due:
            due = next(signals, 10**9)
            os.kill(os.getpid(), signal.SIGTERM)

    for _ in range(2):
        with pytest.raises(Stopped):
            train(cut, report)
    assert logged(train(cut, report), "val/fid_16") == whole


def test_the_record_holds_the_curve_and_training_seconds_leave_it_out(tiny, tmp_path):
    config = tiny("digits/ddpm", *SHORT, "trainer.curve_images=16")
    run = train(config)
    (path,) = evaluate_run(run, tmp_path / "out")
    curve = read_record(path).curve
    assert (curve.metric, curve.images, curve.variant) == ("fid", 16, "ddim50")
    assert {p.images_seen: p.value for p in curve.points} == logged(run, "val/fid_16")
    assert curve.reference_images == len(open_run(run).data.arrays("val")[0])


def test_a_point_is_no_training_time(tiny, monkeypatch):
    import time

    from genbench.training import curve

    def slow(*arguments, **options):
        time.sleep(0.5)
        return score(*arguments, **options)

    score = curve.score_samples
    monkeypatch.setattr(curve, "score_samples", slow)
    start = time.perf_counter()
    run = train(tiny("digits/vae", *SHORT, "trainer.curve_images=8"))
    assert time.perf_counter() - start - run.state()["seconds"] > 4


def test_a_curve_leaves_training_and_the_test_images_alone(tiny, monkeypatch):
    """A generator with batch normalisation: its weights, its statistics and its streams."""
    from genbench.data.images import ImageData

    splits = set()
    tensors = ImageData.tensors

    def noted(data, split, *arguments, **options):
        splits.add(split)
        return tensors(data, split, *arguments, **options)

    plain = train(tiny("digits/gan", *SHORT, folder="plain"))
    monkeypatch.setattr(ImageData, "tensors", noted)
    drawn = train(tiny("digits/gan", *SHORT, "trainer.curve_images=16", folder="drawn"))
    assert len(logged(drawn, "val/fid_16")) == 8
    assert drawn.weights.read_bytes() == plain.weights.read_bytes()
    assert "val" in splits
    assert "test" not in splits


def test_without_its_extractor_a_run_trains_without_a_curve(tiny, monkeypatch, caplog):
    from genbench.evaluation import resolve

    def missing(*arguments, **options):
        raise InputError("no weights of the extractor")

    monkeypatch.setattr(resolve, "load_extractor", missing)
    run = train(tiny("digits/vae", *SHORT, "trainer.curve_images=8"))
    assert run.state()["status"] == "done"
    assert not logged(run, "val/fid_8")
    assert "no weights of the extractor" in caplog.text


def test_weights_that_are_not_finite_are_noticed_before_samples_are_drawn(tiny, monkeypatch):
    from genbench.errors import Diverged
    from genbench.models.vae.vae import VAE
    from genbench.training import curve

    loss = VAE.loss
    monkeypatch.setattr(
        VAE, "loss", lambda *a, **k: {n: v * float("nan") for n, v in loss(*a, **k).items()}
    )
    monkeypatch.setattr(curve, "draw_samples", lambda *_: pytest.fail("samples were drawn"))
    with pytest.raises(Diverged):
        train(tiny("digits/vae", *SHORT, "trainer.curve_images=8", "trainer.log_every=320"))


def test_points_of_another_number_of_samples_are_another_curve():
    lines = [
        {"images": 8, "val/fid_16": 9.0},
        {"images": 16, "val/fid_32": 5.0},
        {"images": 12, "val/fid_32": 7.0, "loss": 1.0},
        {"images": 20, "val/fid_x": 1.0},
    ]
    curve = logged_curve(lines, "fid", 100, "")
    assert curve.images == 32
    assert curve.points == (CurvePoint(12, 7.0), CurvePoint(16, 5.0))
    assert curve.last.images_seen == 16
    assert logged_curve(lines, "kid", 100, "") is None
    with pytest.raises(ValueError, match="does not grow"):
        replace(curve, points=(CurvePoint(16, 5.0), CurvePoint(12, 7.0)))


def test_one_image_is_no_curve(tiny):
    with pytest.raises(
        InputError, match=r"trainer\.curve_images is at least 2, or 0 for no curve, not 1"
    ):
        tiny("digits/vae", "trainer.curve_images=1")
