"""Our figures beside published ones: what is printed comes from records and from the list, and bad lists are named."""

from __future__ import annotations

import math
import re
from pathlib import Path
from statistics import stdev

import pytest
import yaml
from test_leaderboard import PROTOCOL, make, write

from genbench.errors import InputError
from genbench.leaderboard import build
from genbench.leaderboard.board import boards
from genbench.leaderboard.reproductions import LIST, own_figure, read_list, reproductions_text

ENTRY = {
    "recipe": "digits/vae",
    "method": "A method.",
    "unit": "nats",
    "published": [
        {
            "value": 86.76,
            "kind": "bound",
            "conditions": "the paper's",
            "publication": "a README",
            "link": "https://x",
        }
    ],
    "difference": "A reason.",
}
COMMITTED = Path(__file__).parents[2] / "leaderboards"


def listed(path: Path, *entries: dict, **more) -> Path:
    path.write_text(yaml.safe_dump({"entries": list(entries), **more}))
    return path


def of(records, unit):
    return own_figure(boards(records)[0].rows[0], unit)


def test_the_figure_of_several_seeds_is_their_mean_and_spread():
    bits, dims = (1.1, 1.3, 1.6), math.prod(PROTOCOL.shape)
    records = make(kind="bound", bits=bits, fid=(1.0, 1.0, 1.0), options={"K": 5_000})
    found = of(records, "nats")
    assert math.isclose(found.value, sum(record.likelihood.nats for record in records) / 3)
    assert math.isclose(found.error, stdev(bits) * dims * math.log(2))
    assert (found.kind, found.seeds, found.images) == ("bound", (0, 1, 2), 719)
    assert found.meaning == "bound, importance-weighted, K = 5,000"
    assert math.isclose(of(records, "bits/dim").value, sum(bits) / 3)


def test_the_error_of_one_seed_is_that_of_the_images():
    found = of(make(kind="exact", bits=(1.1,)), "nats")
    assert math.isclose(found.error, 0.01 * math.prod(PROTOCOL.shape) * math.log(2))
    assert found.meaning == "exact"


def test_diverged_runs_and_models_without_a_density_have_no_figure():
    assert of(make(density="implicit"), "nats") is None
    assert of(make(kind="exact", bits=(1.0,), fid=(1.0, 1.0), diverged=(0,)), "nats").seeds == (1,)


def test_the_document_says_what_the_records_and_the_list_say(tmp_path):
    path = listed(
        tmp_path / LIST, ENTRY, not_reproduced=[{"method": "Another", "reason": "no weights"}]
    )
    text = reproductions_text(boards(make(kind="bound", bits=(1.5,), options={"K": 50})), path)
    nats = 1.5 * math.prod(PROTOCOL.shape) * math.log(2)
    for words in (
        f"<= {nats:.2f}",
        "<= 86.76",
        "importance-weighted, K = 50",
        "A method.",
        "A reason.",
        "- **Another**: no weights",
    ):
        assert words in text
    assert "719 test images of digits, training seeds 0" in text
    assert "[a README](https://x)" in text


def test_what_was_not_measured_or_not_published_is_said(tmp_path):
    path = listed(tmp_path / LIST, ENTRY | {"published": []}, ENTRY | {"recipe": "digits/realnvp"})
    text = reproductions_text(boards(make(kind="exact", bits=(1.5,))), path)
    assert "no checked publication" in text
    assert "| digits/realnvp | not measured | <= 86.76 |" in text


def test_two_rows_of_a_recipe_are_not_chosen_between(tmp_path):
    path = listed(tmp_path / LIST, ENTRY)
    records = make(kind="exact", bits=(1.0,)) + make(kind="exact", bits=(2.0,), config="dddddddd")
    with pytest.raises(InputError, match="digits/vae has 2 rows"):
        reproductions_text(boards(records), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": "digits/vaee"}, "no configuration|digits/vae"),
        ({"unit": "bits"}, r"entries\[0\]\.unit is 'bits', not one of nats, bits/dim"),
        ({"difference": ""}, r"entries\[0\]\.difference is '', not a text that is not empty"),
        ({"note": "x"}, r"unknown key entries\[0\]\.note"),
        (
            {"published": [ENTRY["published"][0] | {"value": "86"}]},
            r"entries\[0\]\.published\[0\]\.value is '86', not a finite number",
        ),
        (
            {"published": [ENTRY["published"][0] | {"kind": "guess"}]},
            r"published\[0\]\.kind is 'guess', not one of exact, bound, estimate",
        ),
        (
            {"published": [{"value": 86.0, "kind": "bound", "conditions": "x", "link": "y"}]},
            r"published\[0\]\.publication is missing",
        ),
    ],
)
def test_a_bad_list_is_named(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        read_list(listed(tmp_path / LIST, ENTRY | change))
    with pytest.raises(InputError, match="unknown key entrys"):
        read_list(listed(tmp_path / LIST, entrys=[]))


def test_build_writes_the_document_where_there_is_a_list(tmp_path):
    write(tmp_path, make(kind="exact", bits=(1.5,)))
    assert "reproductions.md" not in {path.name for path in build(tmp_path)}
    listed(tmp_path / LIST, ENTRY)
    assert "reproductions.md" in {path.name for path in build(tmp_path)}


def test_the_committed_document_prints_no_figure_of_its_own():
    """Every published figure is in the list, with a publication and an address; nothing is left to be filled in."""
    content = read_list(COMMITTED / LIST)
    entries = content.entries
    text = (COMMITTED / "reproductions.md").read_text()
    assert content.not_reproduced
    assert entries
    assert "TODO" not in text
    for entry in entries:
        for published in entry.published:
            assert published.link.startswith("https://")
    stated = {float(value) for value in re.findall(r"Published: (?:<= |~ )?([\d.]+) ", text)}
    assert stated == {published.value for entry in entries for published in entry.published}
