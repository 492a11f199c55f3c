"""Suites: checked before anything is trained, run once, resumed, and their tables regenerate byte for byte."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import warm

from genbench.config.find import find_config
from genbench.errors import InputError
from genbench.leaderboard import build
from genbench.records.store import records_in
from genbench.suites.bench import bench
from genbench.suites.suite import load_suite
from genbench.system.progress import Lines

SMOKE = "overrides: {wandb.mode: disabled, budget.images: 160, data.batch_size: 16, trainer.curve_images: 0}"


def suite_file(folder: Path, entries: str, seeds: str = "[0, 1]") -> Path:
    path = folder / "tiny.yaml"
    path.write_text(f"out: {folder / 'out'}\nseeds: {seeds}\n{SMOKE}\nentries: {entries}\n")
    return path


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, but the note of what completeness depended on, which lists what this process has read."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in files if not path.name.endswith(".complete.json")}


def test_a_suite_runs_once_and_a_repeat_does_nothing(tmp_path, capsys):
    entries = "[{config: digits/vae, evaluations: [mean], overrides: {model.encoder.width: 4, model.decoder.width: 4}}]"
    suite = load_suite(suite_file(tmp_path, entries))
    written = bench(suite, Lines())
    names = sorted(record.model for record in records_in(suite.out))
    assert names == ["noise-floor", "noise-floor", "vae", "vae"]
    assert {path.name for path in written} == {"digits.md", "index.html"}
    before = contents(suite.out)
    again = Lines()
    bench(suite, again)
    assert again.steps == 1  # only the tables
    build(suite.out)
    assert contents(suite.out) == before


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ("[{config: digits/vae}, {config: digits/gna}]", "did you mean 'digits/gan'?"),
        ("[{config: digits/vae, evaluations: [maen]}]", "did you mean 'mean'?"),
        ("[{config: digits/vae, evalutions: [mean]}]", "did you mean 'evaluations'?"),
        ("[{config: digits/vae, overrides: {model.latnt: 3}}]", "did you mean 'latent'?"),
        (
            "[{config: digits/vae, evaluations: []}]",
            "entries[0].evaluations is [], not a list of at least one",
        ),
        (
            "[{config: digits/vae, evaluations: [mean, mean]}]",
            "entries[0]: evaluations: mean is given twice",
        ),
        (
            "[{config: digits/vae, overrides: {run_dir: runs/x}}]",
            "entries[0]: overrides cannot set run_dir; the folder of a run is",
        ),
        (
            "[{config: digits/reflow, overrides: {needs: {teacher: {run_dir: x}}}}]",
            "overrides cannot set needs.teacher.run_dir; the folder",
        ),
        ("[]", "entries is [], not a list of at least one"),
        ("[{config: [5]}]", "entries[0].config is [5], not a text"),
        ("[{config: 5}]", "no configuration '5'"),
        (
            "[{config: digits/vae, overrides: [1]}]",
            "entries[0].overrides is [1], not a group of fields",
        ),
        (
            "[{config: digits/vae}, {config: digits/vae, overrides: {model.latent: 3}}]",
            "two entries would train in",
        ),
        ("[digits/vae]", "entries[0] is 'digits/vae', not a group of config,"),
        (
            "[{config: digits/vae, evaluations: [[1]]}]",
            "entries[0].evaluations[0] is [1], not a text",
        ),
        ("[{config: digits/vae, overrides: {seed: 9}}]", "overrides cannot set the seed"),
    ],
)
def test_a_wrong_suite_trains_nothing(tmp_path, entries, says):
    with pytest.raises(InputError) as error:
        bench(load_suite(suite_file(tmp_path, entries)), Lines())
    assert says in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seeds: []", "seeds is [], not a list of at least one"),
        ("seeds: [0, 1, 0]", "seeds: 0 is given twice"),
        ("seeds: [-1]", "seeds[0] is -1, not at least 0"),
        ("seeds: [true]", "seeds[0] is True, not an integer"),
        ("seeds: 3", "seeds is 3, not a list of integers"),
        ("out: null", "out is None, not a folder such as runs/mine"),
        ("overrides: {seed: 1}", "overrides cannot set the seed"),
        ("seed: [0]", "unknown key seed; did you mean 'seeds'?"),
    ],
)
def test_a_wrong_value_of_a_suite_is_named(tmp_path, text, says):
    path = tmp_path / "suite.yaml"
    path.write_text(f"{text}\nentries: [{{config: digits/gmm}}]\n")
    with pytest.raises(InputError) as error:
        load_suite(path)
    assert str(error.value).startswith(f"{path}: {says}")


def test_a_name_of_a_suite_that_no_file_can_have_is_found_before_anything_is_trained(tmp_path):
    text = f"out: {tmp_path / 'out'}\nentries: [{{config: digits/gmm}}]\n"
    for letters in (200, 201):
        (tmp_path / f"{'s' * letters}.yaml").write_text(text)
    assert load_suite(tmp_path / f"{'s' * 200}.yaml").entries
    with pytest.raises(InputError, match=r"the name s{40}\.\.\. of a suite has 201 bytes") as error:
        bench(load_suite(tmp_path / f"{'s' * 201}.yaml"), Lines())
    assert "at most 200 are right" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_diverged_run_is_recorded_and_the_suite_goes_on(tmp_path):
    bad = "{config: digits/vae, evaluations: [default], overrides: {model.optimizer.lr: 1e30, optimization.clip_norm: null}}"
    suite = load_suite(suite_file(tmp_path, f"[{bad}, {{config: digits/gan}}]", "[0]"))
    bench(suite, Lines())
    found = {record.model: record.status for record in records_in(suite.out)}
    assert found == {"vae": "diverged", "gan": "done", "noise-floor": "done"}
    again = Lines()
    bench(suite, again)
    assert again.steps == 1  # divergence is final


def test_an_interrupted_suite_goes_on_and_ends_the_same(tmp_path):
    entries = "[{config: digits/vae, evaluations: [mean]}]"
    folders = [tmp_path / "cut", tmp_path / "whole"]
    for folder in folders:
        folder.mkdir()
    cut = suite_file(folders[0], entries, "[0]")
    command = [sys.executable, "-m", "genbench", "bench", str(cut)]
    process = warm.Popen(command)
    run, deadline = folders[0] / "out" / "digits" / "vae" / "s0", time.monotonic() + 60
    while not (run / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 75), errors
    assert "Traceback" not in errors
    bench(load_suite(cut), Lines())
    whole = load_suite(suite_file(folders[1], entries, "[0]"))
    bench(whole, Lines())
    metrics = [{r.model: r.metrics for r in records_in(folder / "out")} for folder in folders]
    assert metrics[0] == metrics[1]


def test_shipped_suites_are_valid():
    names = [path.stem for path in (find_config("digits/vae").parents[1] / "suites").glob("*.yaml")]
    assert {"quickstart", "leaderboard"} <= set(names)
    for name in names:
        suite = load_suite(name)
        assert dataclasses.replace(suite, seeds=suite.seeds[:1]).pairs()


def test_a_suite_of_a_user_s_model_is_trusted_by_its_flag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from genbench.models.vae.vae import VAE as Mine\n")
    recipe = (Path(__file__).parents[2] / "configs" / "digits" / "vae.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(recipe.replace("genbench.models.vae.vae.VAE", "mine.Mine"))
    suite = load_suite(suite_file(tmp_path, f"[{{config: {tmp_path / 'mine.yaml'}}}]", "[0]"))
    with pytest.raises(InputError, match="--trust mine"):
        suite.pairs()
    assert suite.pairs(["mine"])[0][0].family == "mine"


def test_the_noise_floor_is_that_of_the_protocol_that_a_configuration_names(tmp_path):
    overrides = "{protocol: likelihood, model.encoder.width: 4, model.decoder.width: 4}"
    suite = load_suite(
        suite_file(
            tmp_path,
            f"[{{config: digits/vae, evaluations: [mean], overrides: {overrides}}}]",
            "[0]",
        )
    )
    bench(suite, Lines())
    found = {(record.model, record.protocol.name) for record in records_in(suite.out)}
    assert found == {("vae", "likelihood"), ("noise-floor", "likelihood")}
