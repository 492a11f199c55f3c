"""What a newcomer sees first: `genbench` alone, and `genbench list`."""

from __future__ import annotations

import json
from pathlib import Path

from genbench.cli.listing import first_reference, papers, run_lines
from genbench.cli.main import build_parser, main
from genbench.config.find import configs
from genbench.system.locations import project_root


def test_every_model_is_listed_with_the_paper_that_it_comes_from(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    lines = shown[: shown.index("\nruns:")].splitlines()
    assert max(map(len, lines)) <= 100
    assert (
        "  VAE               vae             2014  Kingma and Welling: Auto-Encoding Variational Bayes"
        in lines
    )
    # a line for each model, one or two for each data set, and the suites
    datasets = {name.partition("/")[0] for name in configs()}
    assert len(lines) <= len(papers()) + 2 * len(datasets) + 6
    assert not any("genbench.models" in line for line in lines)
    for paper in papers():
        assert paper.authors and paper.title and 1900 < int(paper.year) < 2100, paper
    folders = Path(project_root() / "genbench" / "models").glob("*/__init__.py")
    assert {paper.family for paper in papers()} == {path.parent.name for path in folders}
    assert main(["list", "--classes"]) == 0
    classes = capsys.readouterr().out
    for name in (
        "models.vae.vae.VAE",
        "nets.bijections.nice.NICE",
        "models.gan.games.LeastSquares",
        "formulas.samplers.Heun",
    ):
        assert f"  genbench.{name} " in classes


def test_that_there_are_no_runs_yet_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("genbench.cli.listing.project_root", lambda: tmp_path)
    assert main(["list"]) == 0
    assert capsys.readouterr().out.endswith("\nruns:\n  none yet\n")


def test_images_of_a_model_without_gradients_are_those_that_its_fit_has_read(tmp_path, monkeypatch):
    monkeypatch.setattr("genbench.cli.listing.project_root", lambda: tmp_path)
    run = tmp_path / "runs" / "gmm"
    smoke = ["train", "-c", "points2d/gmm", "--smoke", "--wandb.mode=disabled"]
    assert main([*smoke, f"--run_dir={run}"]) == 0
    state = json.loads((run / "state.json").read_text())
    assert state["images_seen"] == 0 < state["finalize_images"]
    (line,) = run_lines(tmp_path / "runs")
    assert f"done      {state['finalize_images']:>12,} images" in line


def test_the_paper_is_the_first_of_the_references():
    first, second = "Ho, Jain (2020), Denoising\n    diffusion.", "Song (2021), More. arXiv:2.2"
    text = f"A model.\n\nReferences:\n    {first} arXiv:1.1\n    {second}\n"
    assert first_reference(text) == ("Ho, Jain", "Denoising diffusion", "2020", "1.1")
    text = f"A model.\n\nReferences:\n    {first} Science 313\n    {second}\n"
    assert first_reference(text) == ("Ho, Jain", "Denoising diffusion", "2020", "")
    assert first_reference(f"A model of {first} arXiv:1.1") == ("", "", "", "")


def test_genbench_alone_shows_its_help_and_how_to_begin(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "usage: genbench" in shown and max(map(len, shown.splitlines())) <= 100
    commands = [
        line.strip().split("  ")[0].split()
        for line in shown.partition("to begin with:")[2].strip().splitlines()
    ]
    assert [words[0] for words in commands] == ["genbench"] * 3
    for _, *words in commands:
        build_parser().parse_known_args(words)
