"""Several processes write records, caches, decoded data and tables of one checkout at once: nothing is lost, nothing is torn."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import pytest
import warm
from writers_worker import COMMON, EACH, WRITERS, of_seed

import genbench
from genbench.cli.main import main
from genbench.data.digits import Digits
from genbench.leaderboard import build, page
from genbench.records.record import Record
from genbench.records.store import records_in, write_record
from genbench.system.files import write_atomic, write_once

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records" / "digits"
WORKER = Path(__file__).parents[1] / "workers" / "writers_worker.py"


@pytest.fixture(scope="module")
def example() -> Path:
    return sorted(RECORDS.glob("vae-s0-*.json"))[0]


@pytest.mark.slow
def test_eight_processes_lose_and_tear_nothing(example, tmp_path):
    out, data = tmp_path / "out", tmp_path / "data"
    command = [sys.executable, str(WORKER), str(out), str(example)]
    done = warm.run(command, env={**os.environ, "GENBENCH_DATA": str(data)})
    assert done.returncode == 0, done.stderr
    assert sorted(record.seed for record in records_in(out)) == [*range(WRITERS * EACH), COMMON]
    assert (
        len({record.evaluated_at for record in records_in(out)}) == WRITERS
    )  # each kept what it wrote
    tables = {path: path.read_bytes() for path in (out / "digits.md", out / "index.html")}
    build(out)
    assert {
        path: path.read_bytes() for path in tables
    } == tables  # of all records, whoever wrote last
    assert Digits(str(data)).content_hash == Digits().content_hash
    assert [path.suffix for path in (data / "features").iterdir()] == [".safetensors"]
    assert len([path for path in data.iterdir() if path.name != "features"]) == 1
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".tmp", ".once")]


def test_the_first_of_two_writers_of_a_record_wins(example, tmp_path, monkeypatch):
    """Also where the second looked before the first was there."""
    first = Record.from_json(example.read_text())
    path = write_record(tmp_path, first)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "exists", lambda self: False)
    write_record(tmp_path, dataclasses.replace(first, evaluated_at="2031-01-01T00:00:00+00:00"))
    assert path.read_bytes() == before
    assert [write_once(tmp_path / "a", text) for text in ("one", "two")] == [True, False]
    assert (tmp_path / "a").read_text() == "one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "records"]


def test_a_record_that_comes_while_tables_are_written_is_in_them(example, tmp_path, monkeypatch):
    record = Record.from_json(example.read_text())
    write_record(tmp_path, record)
    late = [of_seed(record, seed) for seed in (7, 8)]

    def slow(path, content):
        if late:
            write_record(tmp_path, late.pop())
        write_atomic(path, content)

    monkeypatch.setattr(page, "write_atomic", slow)
    written = build(tmp_path)
    monkeypatch.undo()
    texts = [path.read_bytes() for path in written]
    assert texts == [path.read_bytes() for path in build(tmp_path)]


def test_tables_of_a_half_finished_suite_show_what_is_there(example, tmp_path, capsys):
    """Beside the remains of writers that were killed."""
    path = write_record(tmp_path, Record.from_json(example.read_text()))
    for name in (
        f".{path.name}.1a2b3c4d.tmp",
        f".{path.name}.1a2b3c4d.once",
        f"..{path.name}.1a2b3c4d.once.5e6f7a8b.tmp",
    ):
        path.with_name(name).write_text('{"half')
    (tmp_path / "records" / "mnist").mkdir()
    assert main(["table", str(tmp_path), "--write"]) == 0
    assert "vae" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["digits.md", "index.html", "records"]


def test_nothing_relies_on_locks_that_shared_file_systems_lack():
    sources = "".join(path.read_text() for path in Path(genbench.__file__).parent.rglob("*.py"))
    assert not [word for word in ("fcntl", "flock", "lockf", "O_EXLOCK") if word in sources]
