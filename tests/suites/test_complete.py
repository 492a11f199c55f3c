"""A finished suite, typed again, answers without torch; whatever changed is noticed, and then it is planned as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genbench.suites import complete
from genbench.suites.bench import bench
from genbench.suites.complete import (
    is_complete,
    note_complete,
    note_file,
    program_digest,
    runs_on_cpu,
)
from genbench.suites.suite import load_suite
from genbench.system.progress import Lines
from genbench.system.yaml12 import files_read

WITHOUT_TORCH = """
import sys
from genbench.cli.main import main
code = main(sys.argv[1:])
assert not {'torch', 'lightning', 'sklearn'} & set(sys.modules)
sys.exit(code)
"""


def finished(folder: Path):
    """A suite of one run, done."""
    (folder / "vae.yaml").write_text(
        (Path(__file__).parents[2] / "configs" / "digits" / "vae.yaml").read_text()
    )
    narrow = "model.encoder.width: 4, model.decoder.width: 4"
    small = f"{{wandb.mode: disabled, budget.images: 160, trainer.curve_images: 0, protocol: likelihood, {narrow}}}"
    entry = f"{{config: {folder / 'vae.yaml'}, evaluations: [mean]}}"
    (folder / "tiny.yaml").write_text(
        f"out: {folder / 'out'}\nseeds: [0]\noverrides: {small}\nentries: [{entry}]\n"
    )
    suite = load_suite(folder / "tiny.yaml")
    bench(suite, Lines())
    return suite


def test_a_finished_suite_answers_without_torch_until_anything_changes(tmp_path, monkeypatch):
    suite = finished(tmp_path)
    assert is_complete(suite, "cpu", ())
    command = [
        sys.executable,
        "-c",
        WITHOUT_TORCH,
        "bench",
        str(tmp_path / "tiny.yaml"),
        "--device",
        "cpu",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (
        "Nothing to do: every run of tiny" in done.stdout
        and f"The page: {suite.out / 'index.html'}" in done.stdout
    )

    record = next((suite.out / "records").rglob("vae*.json"))
    recipe = tmp_path / "vae.yaml"
    card = next(
        path
        for path in map(Path, complete.read_json(note_file(suite))["files"])
        if path.name == "card.json"
    )
    for path in (record, recipe, card, suite.out / "index.html", suite.out / "digits.md"):
        content = path.read_bytes()
        try:
            path.write_bytes(content + b" ")
            assert not is_complete(suite, "cpu", ()), path
        finally:
            path.write_bytes(content)
    other = record.with_name("another.json")
    other.write_text("{}")
    assert not is_complete(suite, "cpu", ())
    other.unlink()
    (tmp_path / "tiny.yaml").write_text(
        (tmp_path / "tiny.yaml").read_text().replace("seeds: [0]", "seeds: [0, 1]")
    )
    assert not is_complete(load_suite(tmp_path / "tiny.yaml"), "cpu", ())
    assert not is_complete(suite, "cuda", ()) and not is_complete(suite, "cpu", ("mine",))
    with monkeypatch.context() as patch:
        patch.setenv("GENBENCH_WEIGHTS", "elsewhere")
        assert not is_complete(suite, "cpu", ())
    with monkeypatch.context() as patch:
        patch.setattr("genbench.suites.complete.program_digest", lambda: "another program")
        assert not is_complete(suite, "cpu", ())
        note_file(suite).unlink()
        note_complete(suite, "the program of the beginning", files_read())
        assert not note_file(suite).exists()
    assert not is_complete(suite, "cpu", ())
    note_file(suite).write_text("[]")
    assert not is_complete(suite, "cpu", ())


def test_the_program_is_every_file_of_it(tmp_path, monkeypatch):
    (tmp_path / "genbench").mkdir()
    (tmp_path / "configs").mkdir()
    monkeypatch.setattr("genbench.suites.complete.shipped", tmp_path.joinpath)
    digests = [program_digest()]
    for name in ("genbench/a.py", "configs/b.yaml", "genbench/a.css"):
        (tmp_path / name).write_text("x")
        digests.append(program_digest())
    (tmp_path / "genbench" / "a.cpython.pyc").write_text("x")
    assert len(set(digests)) == 4 and program_digest() == digests[-1]


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [("cpu", True, True), ("auto", False, True), ("auto", True, False), ("cuda", True, False)],
)
def test_a_gpu_that_torch_could_find_is_torch_s_to_judge(device, gpus, expected, monkeypatch):
    monkeypatch.setattr("genbench.suites.complete._GPUS", ("/",) if gpus else ("/absent",))
    assert runs_on_cpu(device) is expected
