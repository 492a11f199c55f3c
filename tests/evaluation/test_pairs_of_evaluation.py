"""Evaluation keeps the pair: sample i is given y of test image i and compared with its x, on any number of processes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import warm
from PIL import Image
from without_a_model import metrics_without_a_model

from genbench.cli.main import main
from genbench.config.protocol import load_protocol
from genbench.data.digits import Digits
from genbench.errors import InputError
from genbench.evaluation.draw import draw
from genbench.evaluation.evaluate import evaluate
from genbench.evaluation.resolve import resolve_protocol
from genbench.explore.command import explore
from genbench.records.store import read_record
from genbench.runs.build import open_run
from genbench.training.train import train

PROTOCOL = "images: 40\nchunk: 16\nmetrics: [psnr, ssim]\n"


@pytest.fixture(scope="module")
def protocol(tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol") / "few-pairs.yaml"
    path.write_text(PROTOCOL)
    return path


@pytest.fixture
def run(tiny, protocol):
    return train(tiny("digits-halves/pix2pix", f"protocol={protocol}"))


def test_samples_are_compared_with_the_x_of_their_own_y(run, protocol, tmp_path):
    record = read_record(evaluate(run, "default", tmp_path))
    loaded = open_run(run)
    judged = load_protocol(str(protocol)).of_training(0)
    x, y = loaded.data.tensors("test")
    with torch.no_grad():
        parts = draw(loaded, 40, judged.evaluation_seed, 16, {}, "cpu")
        samples = torch.cat([part for _, part in parts])
        alone = torch.cat(
            [part for _, part in draw(loaded, 40, judged.evaluation_seed, 1, {}, "cpu")]
        )
    assert torch.equal(samples, alone)
    errors = (samples.double() - x[:40].double()).square().flatten(1).mean(1)
    assert record.metrics["psnr"].value == pytest.approx(
        float(10 * torch.log10(256 / errors.mean()))
    )
    assert record.metrics["psnr"].error > 0
    # the smoke test's model keeps little of y, but its samples are those of their y
    rolled = (samples.double() - x[1:41].double()).square().mean()
    assert float(errors.mean()) < float(rolled)
    given = loaded.data.y_of_samples(draw_streams(loaded))
    assert torch.equal(given, y[:40])


def draw_streams(loaded):
    from genbench.rng import Rng

    return Rng.of_samples(0, range(40), loaded.model.dtype)


def test_two_processes_write_the_same_metrics_of_pairs(run, tmp_path):
    one = read_record(evaluate(run, "default", tmp_path / "one"))
    command = [sys.executable, "-m", "genbench", "evaluate", str(run.path), "--out"]
    command += [str(tmp_path / "two"), "--devices", "2", "--device", "cpu"]
    done = warm.run(command)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "two").rglob("*.json")
    assert read_record(path).metrics == one.metrics


def test_images_without_a_y_have_no_metrics_of_pairs(protocol, tmp_path, run):
    assert metrics_without_a_model(open_run(run).data, protocol, tmp_path, 40) == {}


def test_metrics_of_pairs_are_refused_for_data_of_labels(protocol, tmp_path):
    with pytest.raises(InputError, match="psnr, which needs pairs of images; digits has none"):
        resolve_protocol(load_protocol(str(protocol)), Digits(str(tmp_path)))


def test_labels_are_refused_for_pairs(protocol, tmp_path, run):
    data = open_run(run).data
    wanted = replace(load_protocol("digits"), metrics=("class_recall",))
    with pytest.raises(
        InputError, match="class_recall, which needs labels; digits-halves has none"
    ):
        resolve_protocol(wanted, data)


def test_the_command_samples_triples_and_refuses_a_label(run, tmp_path, capsys):
    grid = tmp_path / "grid.png"
    assert main(["sample", str(run.path), "-n", "6", "-o", str(grid)]) == 0
    assert ": 6 images of pix2pix" in capsys.readouterr().out
    # 18 images in 9 columns, each 6 times as large, with gaps of 4 pixels
    with Image.open(grid) as picture:
        assert picture.size == (9 * 52 + 4, 2 * 52 + 4)
    assert main(["sample", str(run.path), "-o", str(grid), "--label", "3"]) == 2
    assert "labels are none in digits-halves" in capsys.readouterr().err


def test_figures_of_pairs_are_drawn_or_said_to_be_impossible(run):
    lines = dict(line.split(": ", 1) for line in explore(run))
    assert Path(lines["samples"].removesuffix(" and .svg")).is_file()
    assert lines["arithmetic"].startswith("not possible")
    assert lines["reverse"].startswith("not possible")
