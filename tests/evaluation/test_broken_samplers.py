"""Samplers that yield too little end a command in one line that names them."""

from __future__ import annotations

from functools import wraps
from itertools import islice

import pytest

from genbench.cli.main import main
from genbench.errors import InputError
from genbench.formulas.samplers import DDIM, Euler, Heun
from genbench.models.diffusion.edm import EDM
from genbench.training.train import train


def nothing(self, denoise, x, grid, rng):
    """A walk without `yield`."""


def first(self, denoise, x, grid, rng):
    yield from islice(Euler()(denoise, x, grid, rng), 1)


@wraps(EDM.trajectory)
def no_state(*args, **options):
    return iter(())


@pytest.mark.parametrize("walk", [nothing, first])
@pytest.mark.parametrize(
    ("recipe", "sampler", "command"),
    [
        ("points2d/edm", Heun, "sample"),
        ("points2d/edm", Heun, "evaluate"),
        ("points2d/ddpm", DDIM, "sample"),
    ],
)
def test_a_sampler_that_yields_too_little_is_named(
    recipe, sampler, command, walk, trained, monkeypatch, tmp_path, capsys
):
    run = trained(recipe)
    monkeypatch.setattr(sampler, "__call__", walk)
    target = {
        "sample": ["-n", "4", "-o", str(tmp_path / "samples.png")],
        "evaluate": ["--out", str(tmp_path / "out")],
    }
    assert main([command, str(run.path), *target[command]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the sampler {sampler.__name__} yields " in line
    assert line.endswith("right is the state after every step")


def test_a_trajectory_without_a_state_is_named(trained, monkeypatch, tmp_path, capsys):
    run = trained("points2d/edm")
    monkeypatch.setattr(EDM, "trajectory", no_state)
    assert main(["sample", str(run.path), "-n", "4", "-o", str(tmp_path / "samples.png")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "EDM.trajectory yields no state" in line


def test_a_preview_names_the_sampler_too(tiny, monkeypatch):
    config = tiny("points2d/edm", "trainer.preview_every=16")
    monkeypatch.setattr(Heun, "__call__", first)
    with pytest.raises(InputError, match=r"^sample options .*: the sampler Heun yields 1 states"):
        train(config)
