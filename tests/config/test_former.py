"""Former words: records of older configurations are those of today's recipes, and nothing else is read in other words."""

from __future__ import annotations

from pathlib import Path

import pytest

from genbench.config.check import check_config
from genbench.config.find import configs
from genbench.config.former import in_todays_words
from genbench.config.recipe import load_config
from genbench.records.store import read_record

RECORDS = Path(__file__).parents[2] / "leaderboards" / "records"
FORMER = {
    path: record
    for path in sorted(RECORDS.rglob("*-s0-*.json"))
    if in_todays_words(tree := (record := read_record(path)).provenance.config) != tree
}


@pytest.mark.parametrize("path", FORMER, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_record_in_former_words_is_one_of_todays_recipe(path):
    record = FORMER[path]
    today = check_config(record.provenance.config, record.model, (), str(path))
    assert today.hash == load_config(f"{path.parent.name}/{record.model}").hash


@pytest.mark.parametrize("name", configs())
def test_todays_words_stay_as_they_are(name):
    tree = load_config(name).resolved
    assert in_todays_words(tree) == tree


def test_realnvps_couplings_are_those_of_its_dequantiser_too():
    net = {"class_path": "genbench.nets.resnet.ResNet"}
    former = {
        "class_path": "genbench.models.flow.realnvp.RealNVP",
        "net": net,
        "scales": 1,
        "couplings": 3,
        "dequantiser": net,
        "conditional": True,
    }
    bijection = {"class_path": "genbench.nets.bijections.realnvp.RealNVP"}
    assert in_todays_words({"model": former, "seed": 1}) == {
        "seed": 1,
        "model": {
            "class_path": "genbench.models.flow.flow.Flow",
            "dequantiser": net,
            "dequantiser_couplings": 3,
            "conditional": True,
            "bijection": {**bijection, "net": net, "scales": 1, "couplings": 3},
        },
    }
