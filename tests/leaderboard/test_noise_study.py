"""The study of noise: what is measured, what is said of it, and the smallest difference that seeds resolve."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from test_leaderboard import make, write

from genbench.errors import InputError
from genbench.leaderboard import build
from genbench.leaderboard.board import boards
from genbench.leaderboard.intervals import welch
from genbench.leaderboard.noise_study import noise_text, resolvable

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "noise.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("noise", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_a_difference_is_resolved_exactly_where_its_interval_ends_at_zero(seeds):
    values = torch.linspace(-1, 1, seeds, dtype=torch.float64)
    values = values / values.std()
    shift = resolvable(1.0, seeds)
    low, _ = welch((values + shift).tolist(), values.tolist())
    assert low == pytest.approx(0, abs=1e-9)


def test_digits_are_measured_and_told(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SIZES", (100, 719))
    monkeypatch.setattr(script, "DRAWS", 2)
    monkeypatch.setattr(script, "NOISE", (1 / 8,))
    monkeypatch.setattr("sys.argv", ["noise.py", "digits", "--out", str(tmp_path)])
    script.main()
    study = json.loads((tmp_path / "noise" / "digits.json").read_text())
    fid = {row["n"]: row["fid"]["mean"] for row in study["bias"]}
    assert fid[100] > 3 * fid[719] > 0
    changes = {row["change"]: row for row in study["changes"]}
    as_it_is, dropped, noisy = changes.values()
    assert dropped["class_recall"]["mean"] < 0.2 < as_it_is["class_recall"]["mean"]
    assert dropped["precision"]["mean"] == pytest.approx(as_it_is["precision"]["mean"], abs=0.03)
    assert noisy["precision"]["mean"] < as_it_is["precision"]["mean"] - 0.05
    write(tmp_path, make("vae", (3.0, 4.0, 5.0)))
    assert tmp_path / "README.md" in build(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert f"| vae | 4.00 ± 1.00 | 3 | {resolvable(1.0, 3):.2f} |" in text
    assert "- one class dropped (mean over the classes): " in text


def test_noise_has_the_width_that_is_said(script):
    x = torch.full((400, 1, 8, 8), 128, dtype=torch.uint8)
    spoilt = script.spoilt(x, 1 / 16, 256, 0)
    assert spoilt.double().std().item() == pytest.approx(255 / 16, rel=0.02)
    assert spoilt.double().mean().item() == pytest.approx(128, abs=0.3)


def test_a_damaged_study_is_named(tmp_path):
    (tmp_path / "digits.json").write_text('{"data": "digits"}')
    with pytest.raises(InputError, match=r"digits\.json: not a study of benchmarks/noise\.py"):
        noise_text(boards(make()), tmp_path)
