"""An installed genbench, without its checkout: recipes come with it, and what it writes goes to the working folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import genbench
from genbench.system.locations import shipped

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder that a wheel of a copy of this checkout is installed into; what other checks have left there goes along."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in ("genbench", "configs", "slurm"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
    ]
    done = subprocess.run(
        [*pip, "--target", str(folder / "site"), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def call(installed: Path, where: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "WANDB_MODE": "disabled"}
    command = [sys.executable, "-m", "genbench", *arguments]
    done = subprocess.run(
        command, cwd=where, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_that_is_shipped_is_installed(installed):
    for kind in ("configs", "slurm"):
        here = {path.relative_to(shipped()) for path in shipped(kind).rglob("*") if path.is_file()}
        there = installed / "genbench" / "shipped"
        assert here == {
            path.relative_to(there) for path in (there / kind).rglob("*") if path.is_file()
        }
    package = Path(genbench.__file__).parent
    files = {
        path.relative_to(package)
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert not {path for path in files if not (installed / "genbench" / path).is_file()}


@pytest.mark.slow
def test_a_recipe_is_trained_and_measured_from_an_empty_folder(installed, tmp_path):
    code = "import genbench, sys; print(genbench.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(installed / "genbench" / "__init__.py")
    listed = call(installed, tmp_path, "list")
    assert all(word in listed for word in ("VAE", "digits/", "wgan-gp", "quickstart"))
    assert not list(tmp_path.iterdir())
    call(installed, tmp_path, "train", "-c", "digits/vae", "--smoke", "--budget.images=160")
    assert (tmp_path / "runs" / "smoke" / "digits" / "vae" / "model.safetensors").is_file()
    call(installed, tmp_path, "evaluate", "runs/smoke/digits/vae", "--variant", "mean")
    assert len(list((tmp_path / "runs" / "records").rglob("*.json"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert "smoke/digits/vae" in call(installed, tmp_path, "list")
