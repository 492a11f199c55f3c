"""Quality over network evaluations: a line a model, and how many evaluations are enough."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from test_leaderboard import make

from genbench.leaderboard import write_record
from genbench.leaderboard.board import boards
from genbench.leaderboard.page import write_page
from genbench.leaderboard.sampling_plot import (
    sampling_plot,
    sampling_sentence,
    samplings_of_claims,
)


def sampler(steps, fid, model="ddpm", family="diffusion", config="cccccccc"):
    """One record a seed of a sampler with so many network evaluations."""
    records = make(
        model, fid, family, f"ddim{steps}", nfe=steps, config=config, sampler={"steps": steps}
    )
    return [replace(record, curve=None) for record in records]


# seeds differ by much more than samplers do; their differences to 100 steps are 3, 1 and none
CHAIN = [
    *sampler(10, (7.0, 13.1, 9.9)),
    *sampler(20, (5.0, 11.1, 7.9)),
    *sampler(50, (4.1, 9.9, 7.0)),
    *sampler(100, (3.9, 10.0, 7.0)),
]


def paths_of(picture):
    paths = [node.get("d", "") for node in ElementTree.fromstring(picture).iter()]
    return [path for path in paths if "L" in path]


def test_a_model_is_one_line_from_few_evaluations_to_many():
    flow = [
        *sampler(10, (3.0, 3.1), "flow", config="f"),
        *sampler(20, (3.0, 3.2), "flow", config="f"),
    ]
    (board,) = boards([*reversed(CHAIN), *flow])
    picture = sampling_plot(board)
    (path,) = paths_of(picture)  # two samplers are no line
    corners = [tuple(map(float, corner.split())) for corner in path.removeprefix("M").split("L")]
    xs, ys = zip(*corners)
    assert len(corners) == 4
    assert list(xs) == sorted(xs)
    assert ys[0] < ys[1] < ys[2]  # y grows downwards in a picture
    assert picture.count(">ddim10<") == 1
    assert 'family-flow"' not in picture


def test_enough_evaluations_are_told_by_differences_that_are_paired():
    (board,) = boards(CHAIN)
    sentence = sampling_sentence(board)
    assert "of 10, 20, 50, 100 network evaluations" in sentence
    assert "lowest (ddpm@ddim100) are 50." in sentence


def test_one_seed_shows_no_spread_and_one_sampler_no_line():
    (board,) = boards([record for record in CHAIN if record.seed == 0])
    assert sampling_plot(board) is not None
    assert sampling_sentence(board) is None
    (board,) = boards(sampler(10, (7.0, 8.0)))
    assert sampling_plot(board) is None
    assert sampling_sentence(board) is None


def test_the_page_draws_the_records_of_claims(tmp_path):
    write_record(tmp_path, make("vae", (20.0, 22.0))[0])
    assert samplings_of_claims(tmp_path) == []
    for record in CHAIN:
        write_record(tmp_path / "claims" / "steps", record)
    page = write_page(tmp_path).read_text()
    assert page.count("FID over network evaluations</title>") == 1
    assert sampling_sentence(boards(CHAIN)[0]) in page
