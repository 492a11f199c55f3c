"""The tour runs: what it trains is measured, and what it says stands in its records."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from genbench.records.store import records_in

TOUR = Path(__file__).parents[1] / "examples" / "tour.py"


def test_tour_trains_samples_scores_and_compares(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("tour", TOUR)
    tour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tour)
    records = tour.main(tmp_path, images=2_000, seeds=1)
    printed = capsys.readouterr().out
    assert {record.id for record in records} == {record.id for record in records_in(tmp_path)}
    assert [(record.model, record.likelihood.kind) for record in records] == [
        ("made", "exact"),
        ("vae", "bound"),
    ]
    for record in records:
        distance = record.metrics["energy_distance"].value
        assert f"{record.model}, seed 0: energy distance {distance:.4f}" in printed
    assert printed.count("bits/dim (exact)") == printed.count("bits/dim (bound)") == 4
    assert "A = made (1 seed), B = vae (1 seed)" in printed


def test_tour_stays_a_tour():
    assert len(TOUR.read_text().splitlines()) <= 80
