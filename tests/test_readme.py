"""The README cannot drift: its commands are those of the Makefile, its example model is trained and measured as it stands there."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import warm
import yaml

from genbench.cli.main import main
from genbench.config.recipe import load_config
from genbench.records.store import records_in

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_plain_commands_are_those_of_make():
    make = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    _, plain, *_ = blocks("sh")
    for command in (
        "-m pip install",
        ".venv/bin/genbench bench quickstart",
        ".venv/bin/python -m pytest",
    ):
        assert command in plain
        assert command in make
    targets = re.findall(r"^make (\w+)", blocks("sh")[0], re.MULTILINE)
    assert len(targets) == 2
    assert all(f"\n{target}:" in make for target in targets)


def test_every_command_of_the_readme_parses():
    from genbench.cli.main import build_parser

    lines = [
        line.partition("#")[0].split()
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("genbench ")
    ]
    assert {line[1] for line in lines} == {
        "list",
        "train",
        "sample",
        "evaluate",
        "bench",
        "table",
        "data",
        "explore",
        "demo",
        "claims",
        "compare",
    }
    for line in lines:
        _, rest = build_parser().parse_known_args(line[1:])
        assert all(re.fullmatch(r"--[a-z_.]+=\S+", argument) for argument in rest)


def test_the_configuration_shown_is_the_recipe():
    shown = yaml.safe_load(next(block for block in blocks("yaml") if "VAE" in block))
    recipe = load_config("digits/vae").resolved
    assert shown["model"]["latent"] == recipe["model"]["latent"]
    assert shown["model"]["encoder"]["width"] == recipe["model"]["encoder"]["width"]
    assert shown["budget"]["images"] == recipe["budget"]["images"]


def test_python_example_draws_the_images_of_the_command(tiny, tmp_path):
    from genbench.training.train import train

    run = train(tiny("digits/vae", "budget.images=160"))
    code = next(block for block in blocks("python") if "genbench.load" in block).replace(
        "runs/digits/vae/s1", str(run.path)
    )
    names: dict = {}
    exec(code, names)
    assert names["nats"].shape == (16,)
    assert (
        main(
            ["sample", str(run.path), "-n", "20", "--seed", "0", "-o", str(tmp_path / "images.npz")]
        )
        == 0
    )
    with np.load(tmp_path / "images.npz") as file:
        assert np.array_equal(names["images"].numpy(), file["images"][:16])


def test_the_example_model_trains_and_is_measured(tmp_path):
    (tmp_path / "my_model.py").write_text(
        next(block for block in blocks("python") if "class Histogram" in block)
    )
    (tmp_path / "histogram.yaml").write_text(
        next(block for block in blocks("yaml") if "Histogram" in block)
    )
    (block,) = [block for block in blocks("sh") if "--trust" in block]
    environment = {**os.environ, "WANDB_MODE": "disabled"}
    for line in block.splitlines():
        arguments = line.split()[1:] + (["--out", "out"] if " evaluate " in line else [])
        done = warm.run(
            [sys.executable, "-m", "genbench", *arguments], env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    (record,) = records_in(tmp_path / "out")
    assert (record.model, record.family, record.likelihood.kind) == (
        "histogram",
        "my_model",
        "exact",
    )
    # a histogram per pixel of the training set has 2.27 bits/dim on the training images themselves
    assert 2.0 < record.likelihood.bits_per_dim < 3.0
