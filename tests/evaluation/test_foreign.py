"""Images of another tool: what a model here has made, written out and read back, gets that model's own numbers."""

from __future__ import annotations

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pytest
import torch

from genbench.cli.main import main
from genbench.config.protocol import load_protocol
from genbench.data.digits import Digits
from genbench.data.pictures import pixels, png
from genbench.errors import InputError
from genbench.evaluation.evaluate import evaluate
from genbench.evaluation.foreign import evaluate_samples, read_samples
from genbench.evaluation.resolve import resolve_protocol
from genbench.evaluation.score import score_samples
from genbench.leaderboard import render_tables
from genbench.metrics.extractor import load_extractor
from genbench.metrics.inception_score import inception_score
from genbench.records.contents import FOREIGN
from genbench.records.record import Record
from genbench.records.store import records_in
from genbench.spec import Labels, Spec
from genbench.training.train import train

SPEC = Spec((1, 8, 8), 17, Labels(10))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run of digits, its record, and its samples as an npz file, a folder and a zip."""
    from genbench.config.recipe import load_config

    folder = tmp_path_factory.mktemp("foreign")
    run = train(
        load_config("digits/vae", [f"run_dir={folder / 'run'}", "wandb.mode=disabled"], smoke=True)
    )
    record = Record.from_json(evaluate(run, "default", folder / "own").read_text())
    seed = str(load_protocol("digits").seed_of(0))
    for out in ("samples.npz", "samples"):
        assert (
            main(["sample", str(run.path), "-n", "719", "--seed", seed, "-o", str(folder / out)])
            == 0
        )
    with zipfile.ZipFile(folder / "samples.zip", "w") as archive:
        for path in sorted((folder / "samples").iterdir()):
            archive.write(path, path.name)
    return folder, record


@pytest.mark.parametrize("form", ["samples.npz", "samples", "samples.zip"])
def test_a_models_own_images_get_its_own_numbers(form, measured, tmp_path):
    folder, record = measured
    found = Record.from_json(
        evaluate_samples(folder / form, Digits(), "theirs", tmp_path).read_text()
    )
    assert found.metrics == record.metrics
    assert found.protocol == record.protocol
    assert (found.family, found.density, found.likelihood, found.speed) == (
        FOREIGN,
        "-",
        None,
        None,
    )


def test_the_score_does_not_depend_on_the_order_of_the_files(measured, tmp_path):
    """Sorted by class, every split of IS would hold one class; a row of equal images would fill one split."""
    folder, record = measured
    images = np.load(folder / "samples.npz")["images"]
    images[100:180] = images[100]
    classes = load_extractor("digits")(torch.from_numpy(images))[1].argmax(1).numpy()
    grids, records = [], []
    for name, order in (
        ("plain", np.arange(719)),
        ("sorted", classes.argsort(kind="stable")),
        ("back", np.arange(719)[::-1]),
    ):
        np.savez(tmp_path / f"{name}.npz", images=images[order], levels=17)
        path = evaluate_samples(tmp_path / f"{name}.npz", Digits(), name, tmp_path / name)
        records.append(Record.from_json(path.read_text()))
        assert records[-1].metrics == records[0].metrics
        assert records[-1].provenance.config == records[0].provenance.config
        grids.append(next((tmp_path / name / "pictures").rglob("*.png")).read_bytes())
    assert len(set(grids)) == 1
    assert records[0].metrics["is"].value == pytest.approx(record.metrics["is"].value, rel=0.2)
    assert (
        inception_score(load_extractor("digits")(torch.from_numpy(images[classes.argsort()]))[1])[0]
        < 2
    )


def test_scores_of_images_are_those_of_their_set():
    """Of whatever images: sorted by class, and as they come."""
    protocol = dataclasses.replace(load_protocol("digits"), metrics=("fid", "is"))
    resolved = resolve_protocol(protocol, Digits())
    x, y = resolved.data.tensors("train")
    by_class = score_samples(x[torch.argsort(y, stable=True)], resolved)
    assert by_class == score_samples(x, resolved)
    assert by_class["is"].value > 5


def test_which_of_too_many_images_are_scored_depends_on_neither_order_nor_chance(
    measured, tmp_path
):
    folder, _ = measured
    images = np.concatenate(
        [np.load(folder / "samples.npz")["images"], np.zeros((719, 1, 8, 8), np.uint8)]
    )
    scores = []
    for name, order in (
        ("plain", np.arange(1438)),
        ("mixed", np.random.default_rng(0).permutation(1438)),
    ):
        np.savez(tmp_path / "x.npz", images=images[order], levels=17)
        scores.append(
            Record.from_json(
                evaluate_samples(tmp_path / "x.npz", Digits(), name, tmp_path).read_text()
            ).metrics
        )
    assert scores[0] == scores[1]
    # another training seed draws others of them
    other = Record.from_json(
        evaluate_samples(tmp_path / "x.npz", Digits(), "seed", tmp_path, seed=1).read_text()
    ).metrics
    assert other != scores[0]


def test_the_command_adds_a_marked_row(measured, tmp_path, capsys):
    folder, _ = measured
    shutil.copytree(folder / "own" / "records", tmp_path / "records")
    np.savez(
        tmp_path / "more.npz",
        images=np.load(folder / "samples.npz")["images"][..., ::-1],
        levels=17,
    )
    for seed, samples in (("0", folder / "samples.npz"), ("1", tmp_path / "more.npz")):
        command = [
            "evaluate",
            "--samples",
            str(samples),
            "--data",
            "digits",
            "--name",
            "their-GAN",
            "--seed",
            seed,
        ]
        assert main([*command, "--out", str(tmp_path)]) == 0
    assert len(records_in(tmp_path)) == 3
    assert "| their-GAN (foreign) |" in capsys.readouterr().out
    (line,) = [
        line
        for line in render_tables(tmp_path).splitlines()
        if line.startswith("| their-GAN | foreign")
    ]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[-5:] == [
        "–",
        "–",
        "–",
        "2 of 3",
        "0 of 2",
    ]  # parameters, images seen, seconds; seeds, diverged


def test_more_images_than_asked_are_drawn_from_and_fewer_are_refused(measured, tmp_path):
    folder, _ = measured
    images = np.load(folder / "samples.npz")["images"]
    np.savez(tmp_path / "few.npz", images=images[:700], levels=17)
    with pytest.raises(
        InputError, match=r"few\.npz holds 700 images; protocol digits is about 719"
    ):
        evaluate_samples(tmp_path / "few.npz", Digits(), "few", tmp_path)
    # blank images at the end would never be seen, were the first ones taken
    np.savez(
        tmp_path / "many.npz", images=np.concatenate([images, np.zeros_like(images)]), levels=17
    )
    found = Record.from_json(
        evaluate_samples(tmp_path / "many.npz", Digits(), "many", tmp_path).read_text()
    )
    assert found.metrics["precision"].value < 0.7 * _precision(measured)


def _precision(measured):
    return measured[1].metrics["precision"].value


@pytest.mark.parametrize(
    "name",
    [
        *("noise-floor", "a/b", "../evil", "a@b", ".hidden", "two\nlines", ""),
        *("a b", "-x", "a\x1b[31m"),
    ],
)
def test_names_that_are_no_names_are_refused_before_anything_is_scored(
    name, measured, tmp_path, monkeypatch
):
    monkeypatch.setattr("genbench.evaluation.foreign.score_samples", None)
    with pytest.raises(InputError, match="part of file names: letters, digits") as error:
        evaluate_samples(measured[0] / "samples.npz", Digits(), name, tmp_path)
    assert "\n" not in str(error.value)


def test_samples_that_cannot_be_read_are_named_and_not_passed_over(measured, tmp_path, capsys):
    shutil.copytree(measured[0] / "samples", tmp_path / "in")
    (tmp_path / "in" / "000003.png").unlink()
    (tmp_path / "in" / "000003.png").symlink_to(tmp_path / "nothing.png")
    command = [
        "evaluate",
        "--samples",
        str(tmp_path / "in"),
        "--data",
        "digits",
        "--name",
        "theirs",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 2
    assert (
        capsys.readouterr().err == f"genbench: {tmp_path / 'in'}: 000003.png: a link to nothing\n"
    )


def test_one_set_of_images_is_one_seed(measured, tmp_path):
    folder, _ = measured
    evaluate_samples(folder / "samples.npz", Digits(), "theirs", tmp_path)
    with pytest.raises(
        InputError,
        match="a record of the same images as --seed 0; seeds are trainings of their own",
    ):
        evaluate_samples(folder / "samples.zip", Digits(), "theirs", tmp_path, seed=1)
    assert evaluate_samples(folder / "samples.zip", Digits(), "others", tmp_path, seed=1).exists()


def test_levels_that_were_not_said_are_asked_for(measured, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.load(measured[0] / "samples.npz")["images"])
    with pytest.raises(InputError, match=r"no pixel is above 16 of 255; .* levels=17"):
        read_samples(tmp_path / "x.npz", SPEC)


def test_other_images_under_a_name_that_is_taken_are_refused(measured, tmp_path):
    folder, _ = measured
    path = evaluate_samples(folder / "samples.npz", Digits(), "theirs", tmp_path)
    before = path.read_bytes()
    assert (
        evaluate_samples(folder / "samples", Digits(), "theirs", tmp_path) == path
    )  # the same images
    np.savez(
        tmp_path / "others.npz",
        images=np.load(folder / "samples.npz")["images"][..., ::-1],
        levels=17,
    )
    with pytest.raises(
        InputError,
        match="a record of other images under the name theirs; choose another --name or --seed",
    ):
        evaluate_samples(tmp_path / "others.npz", Digits(), "theirs", tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("levels", "channels"), [(2, 1), (17, 1), (256, 1), (256, 3), (17, 3)])
def test_pixels_survive_a_picture_file(levels, channels, tmp_path):
    spec, draw = Spec((channels, 5, 7), levels, None), np.random.default_rng(0)
    images = draw.integers(levels, size=(3, channels, 5, 7), dtype=np.uint8)
    for i, image in enumerate(images):
        (tmp_path / f"{i}.png").write_bytes(png(pixels(image, spec)))
    assert torch.equal(read_samples(tmp_path, spec), torch.from_numpy(images))


@pytest.mark.parametrize(
    ("images", "levels", "message"),
    [
        (np.zeros((3, 9, 8), np.uint8), 17, "0 is grey, 8x9; the data are grey, 8x8"),
        (
            np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3),
            256,
            "0 is colour, 8x8; the data are grey, 8x8",
        ),
        (np.zeros((3, 8, 8), np.uint8), 16, "its images have 16 levels; the data have 17"),
        (np.zeros((3, 8, 8), np.float32), 256, "images are uint8"),
    ],
)
def test_images_of_another_kind_are_named(images, levels, message, tmp_path):
    np.savez(tmp_path / "x.npz", images=images, levels=levels)
    with pytest.raises(InputError, match=message) as error:
        read_samples(tmp_path / "x.npz", SPEC)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["RUN", "--samples", "x"],
        ["--samples", "x", "--data", "digits"],
        ["--data", "digits", "--name", "x"],
    ],
)
def test_a_run_or_samples_and_not_half_of_each(arguments, capsys):
    assert main(["evaluate", *arguments]) == 2
    assert "genbench evaluate --samples PATH --data NAME --name LABEL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--protocol", "digits"], "genbench train -c RECIPE --protocol=digits changes"),
        (["RUN", "--seed", "0"], "--seed and --root are about --samples"),
        (
            ["--samples", "x", "--data", "digits", "--name", "x", "--variant", "mean"],
            "--variant is about a run",
        ),
    ],
)
def test_options_of_the_other_kind_are_refused(arguments, message, capsys):
    assert main(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_foreign_record_holds_the_hash_of_its_images(measured, tmp_path):
    folder, _ = measured
    tree = json.loads(
        evaluate_samples(folder / "samples.npz", Digits(), "theirs", tmp_path).read_text()
    )
    assert len(tree["provenance"]["config"]["samples"]) == 64
