"""Demonstrations: found by the folder, their numbers agree, and their files can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import genbench
from genbench.cli.main import main
from genbench.demos.command import demonstration_names, run_demonstration
from genbench.errors import InputError
from genbench.records.demonstration import demonstrations_in, read_demonstration

LEADERBOARDS = Path(genbench.__file__).parents[1] / "leaderboards"
NAMES = list(demonstration_names())
FOLDER = Path(genbench.__file__).parent / "demos"
RANDOM = [
    name for name in NAMES if "Rng(seed" in (FOLDER / f"{name.replace('-', '_')}.py").read_text()
]


@pytest.fixture(scope="module")
def results():
    """The results of every demonstration at seed 0, by name."""
    return {name: run_demonstration(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_agree_with_their_closed_forms(name, results):
    values = results[name].values
    assert [value for value in values if not value.passed] == []
    # a tolerance that holds anything tests nothing
    for value in values:
        assert value.tolerance <= 0.2 * max(1.0, abs(value.expected)), value


@pytest.mark.parametrize("name", RANDOM)
def test_numbers_agree_for_another_seed(name, results):
    values = run_demonstration(name, seed=1).values
    assert [value for value in values if not value.passed] == []
    assert values != results[name].values


@pytest.mark.parametrize("name", NAMES)
def test_committed_results_are_those_of_the_code(name, results):
    record = read_demonstration(LEADERBOARDS / "demos" / f"{name}.json")
    result = results[name]
    assert (record.title, record.formula) == (result.title, result.formula)
    assert record.sentence == result.sentence and record.passed
    for committed, value in zip(record.values, result.values, strict=True):
        assert committed.quantity == value.quantity
        assert committed.value == pytest.approx(value.value, rel=1e-6, abs=1e-9)
        assert committed.tolerance == pytest.approx(value.tolerance, rel=1e-3)
    picture = LEADERBOARDS / "demos" / f"{name}.svg"
    assert picture.read_text().startswith("<?xml") and picture.stat().st_size < 100_000
    labels = [
        text for axes in result.figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())
    ]
    assert all(labels), labels


def test_the_folder_of_the_page_holds_no_other_demonstration():
    assert [record.name for record in demonstrations_in(LEADERBOARDS)] == NAMES
    pictures = sorted(path.stem for path in (LEADERBOARDS / "demos").glob("*.svg"))
    assert pictures == NAMES


def test_command_writes_equal_files_twice_and_prints_every_number(tmp_path, capsys):
    contents = []
    for folder in ("a", "b"):
        assert main(["demo", "joint-table", "--out", str(tmp_path / folder)]) == 0
        files = sorted((tmp_path / folder / "demos").iterdir())
        assert [path.name for path in files] == ["joint-table.json", "joint-table.svg"]
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]
    tree = json.loads(contents[0][0])
    assert set(tree) == {"name", "title", "formula", "sentence", "passed", "values"}
    assert set(tree["values"][0]) == {"quantity", "value", "expected", "tolerance"}
    assert "E[x]: 1.96, expected 1.96 within 1e-09: agrees" in capsys.readouterr().out


def test_list_has_a_line_for_each(capsys):
    assert main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    assert all(len(line.split()) > 3 for line in lines)


def test_unknown_name_is_one_line_with_the_nearest(capsys, tmp_path):
    assert main(["demo", "joint-tabel", "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "did you mean 'joint-table'?" in message
    assert not list(tmp_path.iterdir())


def test_wrong_numbers_are_written_as_failed_and_end_the_command(tmp_path, monkeypatch, capsys):
    from genbench.demos import joint_table

    monkeypatch.setattr(joint_table, "PAIRS", joint_table.PAIRS.T)
    assert main(["demo", "joint-table", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "DISAGREES" in said.out and "joint-table" in said.err
    assert not read_demonstration(tmp_path / "demos" / "joint-table.json").passed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: tree.update(passed=False), "its values say otherwise"),
        (lambda tree: tree["values"][0].update(value=0.5), "its values say otherwise"),
        (lambda tree: tree["values"][0].update(value=0.1), "its values say otherwise"),
        (lambda tree: tree["values"][0].update(tolerance=-1), "at least 0"),
        (lambda tree: tree.update(values=[]), "a list of at least one"),
        (lambda tree: tree.update(colour="red"), "unknown key"),
        (lambda tree: tree.update(name="other"), "are named other.json"),
    ],
)
def test_edited_results_are_refused(change, words, tmp_path):
    tree = json.loads((LEADERBOARDS / "demos" / "joint-table.json").read_text())
    change(tree)
    path = tmp_path / "joint-table.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match=words):
        read_demonstration(path)
