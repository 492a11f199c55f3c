"""Former words: records of older configurations are those of today's recipes, and nothing else is read in other words."""

from __future__ import annotations

from pathlib import Path

import pytest

from genbench.config.check import check_config
from genbench.config.find import configs
from genbench.config.former import in_todays_words
from genbench.config.recipe import load_config
from genbench.errors import InputError
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


NOISE = "genbench.formulas.noise"
FLOW_MATCHING = "genbench.models.flow_matching.flow_matching.FlowMatching"
DDPM = "genbench.models.diffusion.ddpm.DDPM"


@pytest.mark.parametrize(
    ("class_path", "former", "schedule"),
    [
        (FLOW_MATCHING, {}, {"class_path": f"{NOISE}.Straight"}),
        (FLOW_MATCHING, {"sigma_min": 0.1}, {"class_path": f"{NOISE}.Straight", "sigma_min": 0.1}),
        (
            "genbench.models.diffusion.edm.EDM",
            {"sigma_min": 0.01, "sigma_max": 20.0},
            {"class_path": f"{NOISE}.Karras", "sigma_min": 0.01, "sigma_max": 20.0},
        ),
        (DDPM, {}, {"class_path": f"{NOISE}.Linear"}),
        (DDPM, {"schedule": "cosine"}, {"class_path": f"{NOISE}.Cosine"}),
    ],
)
def test_keys_of_a_model_become_those_of_its_schedule(class_path, former, schedule):
    tree = {"model": {"class_path": class_path, "cond_width": 8, **former}}
    assert in_todays_words(tree) == {
        "model": {"class_path": class_path, "cond_width": 8, "schedule": schedule}
    }


def test_a_word_that_was_no_schedule_is_answered_with_the_classes():
    with pytest.raises(
        InputError, match=r"model\.schedule names a class, and 'cosin' is none; .*Cosine"
    ):
        load_config("digits/ddpm", ["model.schedule=cosin"])


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


def test_an_argument_that_came_later_counts_where_it_changes_something():
    plain = load_config("digits/gan")
    neutral = load_config(
        "digits/gan", ["model.generator.hidden=0", "model.generator.strided=true"]
    )
    hidden = load_config("digits/gan", ["model.generator.hidden=16"])
    assert neutral.hash == plain.hash
    assert "hidden" not in neutral.resolved["model"]["generator"]
    assert hidden.hash != plain.hash
    assert hidden.resolved["model"]["generator"]["hidden"] == 16
