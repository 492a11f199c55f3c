"""A recipe that builds on another is the recipe that results, written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from genbench.config.config import Config
from genbench.config.find import find_config
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.system.yaml12 import dump_yaml, load_yaml

BASE = load_yaml(find_config("digits/vae"))


def recipe(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def written_out(folder: Path, tree: dict) -> Config:
    return load_config(recipe(folder, dump_yaml(tree), "written_out"))


def same(one: Config, other: Config) -> bool:
    return (one.resolved, one.hash) == (other.resolved, other.hash)


def test_a_base_alone_is_the_base_under_another_name(tmp_path):
    config, base = load_config(recipe(tmp_path, "base: digits/vae\n")), load_config("digits/vae")
    assert same(config, base)
    assert (config.name, base.name) == ("mine", "vae")
    smoke = load_config(recipe(tmp_path, "base: digits/vae\n"), smoke=True)
    assert smoke.hash == load_config("digits/vae", smoke=True).hash


@pytest.mark.parametrize(
    "text",
    [
        "model.latent: 16\nmodel.encoder.width: 0032\nbudget: {images: 1_000}\nwandb.tags: [010]\n",
        "model: {latent: 16, encoder: {width: 32}}\nbudget.images: 1000\nwandb: {tags: ['010']}\n",
        "wandb: {tags: [010]}\nbudget: {images: 1000}\nmodel: {encoder: {width: 32}}\nmodel.latent: 16\n",
    ],
)
def test_overrides_are_dotted_or_nested(text, tmp_path):
    model = {**BASE["model"], "latent": 16, "encoder": {**BASE["model"]["encoder"], "width": 32}}
    expected = {**BASE, "model": model, "budget": {"images": 1000}, "wandb": {"tags": ["010"]}}
    assert same(
        load_config(recipe(tmp_path, f"base: digits/vae\n{text}")), written_out(tmp_path, expected)
    )


MLP = "genbench.nets.mlp.MLP"


@pytest.mark.parametrize(
    "text",
    [
        f"model: {{encoder: {{depth: 3, class_path: {MLP}}}}}\n",
        f"model.encoder: {{class_path: {MLP}, depth: 3}}\n",
        f"model.encoder.depth: 3\nmodel.encoder.class_path: {MLP}\n",
    ],
)
def test_the_arguments_of_a_class_that_is_replaced_go(text, tmp_path):
    expected = {**BASE, "model": {**BASE["model"], "encoder": {"class_path": MLP, "depth": 3}}}
    assert same(
        load_config(recipe(tmp_path, f"base: digits/vae\n{text}")), written_out(tmp_path, expected)
    )


def test_arguments_of_a_class_that_is_named_again_stay(tmp_path):
    again = "model: {class_path: genbench.models.vae.vae.VAE, latent: 16}\n"
    expected = {**BASE, "model": {**BASE["model"], "latent": 16}}
    assert same(
        load_config(recipe(tmp_path, f"base: digits/vae\n{again}")), written_out(tmp_path, expected)
    )


def test_another_model_with_its_own_evaluations_and_smoke(tmp_path):
    gan = load_yaml(find_config("digits/gan"))
    text = dump_yaml({"base": "digits/vae", **gan, "evaluations": {"default": {}, "mean": None}})
    config = load_config(recipe(tmp_path, text), smoke=True)
    expected = {**gan, "optimization": {**BASE["optimization"], **gan.get("optimization", {})}}
    assert (
        config.hash
        == load_config(recipe(tmp_path, dump_yaml(expected), "written_out"), smoke=True).hash
    )
    assert set(config.evaluations) == {"default"}


def test_evaluations_of_a_base_are_left_out_one_by_one(tmp_path):
    text = "base: digits/vae\nevaluations: null\n"
    with pytest.raises(InputError, match=r"evaluations\.NAME: null leaves one out"):
        load_config(recipe(tmp_path, text))


def test_bases_build_on_bases_by_name_or_by_path(tmp_path, monkeypatch):
    recipe(
        tmp_path,
        "base: digits/vae\nname: first\nmodel.latent: 3\nmodel.beta: 2\nrun_dir: runs/first\n",
        "first",
    )
    second = recipe(tmp_path, "base: first.yaml\nmodel.latent: 16\n", "second")
    monkeypatch.chdir(tmp_path.parent)
    config = load_config(second)
    assert same(
        config, written_out(tmp_path, {**BASE, "model": {**BASE["model"], "latent": 16, "beta": 2}})
    )
    assert config.name == "second"
    assert load_config(second, ["model.latent=5"]).resolved["model"]["latent"] == 5


TWICE = "mine.yaml, line {}: the key {} is given twice, first in line {}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "base: digits/vea\n",
            "mine.yaml: base: no configuration 'digits/vea'; did you mean 'digits/vae'?",
        ),
        ("base: [digits/vae]\n", "base names one recipe"),
        ("base: null\n", "base names one recipe"),
        ("base: mine.yaml\n", "mine.yaml builds on itself"),
        ("base: other.yaml\n", "builds on itself, by way of"),
        (
            "base: digits/vae\nmodel.latnt: 3\n",
            "mine.yaml: unknown key model.latnt; did you mean 'latent'?",
        ),
        (
            "base: digits/vae\nmodel.latent: 3\nmodel: {latent: 4}\n",
            TWICE.format(3, "model.latent", 2),
        ),
        (
            "base: digits/vae\nmodel:\n  width: 8\n  latent: 4\nmodel.latent: 3\n",
            TWICE.format(5, "model.latent", 4),
        ),
        (
            "base: digits/vae\nmodel: {encoder: {width: 8}}\nmodel.encoder: 4\n",
            TWICE.format(3, "model.encoder", 2),
        ),
        (
            "base: digits/vae\nmodel.encoder: 4\nmodel.encoder.width: 8\n",
            TWICE.format(3, "model.encoder", 2),
        ),
        (
            "base: digits/vae\nsmoke:\n  budget: {images: 3}\n  budget.images: 4\n",
            TWICE.format(4, "smoke.budget.images", 3),
        ),
        (
            "base: digits/vae\nmodel.latent.more: 3\n",
            "mine.yaml: model.latent.more: latent is a value",
        ),
        (
            f"base: digits/vae\nmodel.encoder: {{class_path: {MLP}, stages: 3}}\n",
            "unknown key model.encoder.stages",
        ),
        ("base: digits/vae\nbase: digits/gan\n", "line 2: the key base is given twice"),
    ],
)
def test_wrong_bases_are_one_line(text, says, tmp_path):
    recipe(tmp_path, "base: mine.yaml\n", "other")
    with pytest.raises(InputError) as error:
        load_config(recipe(tmp_path, text))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_base_stands_in_a_file_alone():
    with pytest.raises(InputError, match="--base: only the file of a recipe has it"):
        load_config("digits/vae", ["base=digits/gan"])


def test_the_resolved_form_has_no_base(tmp_path):
    config = load_config(recipe(tmp_path, "base: digits/vae\nmodel.latent: 16\n"))
    assert "base" not in config.resolved
    assert yaml.safe_load(dump_yaml(config.resolved)) == config.resolved


REFLOW = "base: points2d/reflow\n"


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("needs.teacher.budget.images: 64\n", ["needs.teacher.budget.images=64"]),
        ("needs: {teacher: {budget: {images: 64}}}\n", ["needs.teacher.budget.images=64"]),
        (
            "needs.teacher.model: {net: {depth: 1, width: 8}}\nneeds.teacher.data.batch_size: 32\n",
            [
                "needs.teacher.model.net.depth=1",
                "needs.teacher.model.net.width=8",
                "needs.teacher.data.batch_size=32",
            ],
        ),
        ("needs.teacher.name: other\nseed: 3\n", ["needs.teacher.name=other", "seed=3"]),
    ],
)
def test_a_recipe_changes_what_its_base_needs_as_the_command_line_does(text, overrides, tmp_path):
    config = load_config(recipe(tmp_path, REFLOW + text))
    expected = load_config("points2d/reflow", overrides)
    assert config.hash == expected.hash
    assert config.needs == expected.needs
    assert config.hash != load_config("points2d/reflow").hash


def test_a_changed_teacher_is_shrunk_as_the_recipe_is(tmp_path):
    config = load_config(recipe(tmp_path, REFLOW + "needs.teacher.budget.images: 64\n"), smoke=True)
    assert config.hash == load_config("points2d/reflow", smoke=True).hash


def test_changes_of_what_is_needed_add_up_over_bases(tmp_path):
    recipe(
        tmp_path,
        REFLOW + "needs.teacher.budget.images: 64\nneeds.teacher.model.net.width: 8\n",
        "first",
    )
    config = load_config(recipe(tmp_path, "base: first.yaml\nneeds.teacher.model.net.width: 16\n"))
    overrides = ["needs.teacher.budget.images=64", "needs.teacher.model.net.width=16"]
    assert config.hash == load_config("points2d/reflow", overrides).hash
    # another teacher is without the changes of the first one
    again = load_config(
        recipe(tmp_path, "base: first.yaml\nneeds.teacher: points2d/flow_matching\n")
    )
    assert again.hash == load_config("points2d/reflow").hash


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "needs.teacher.budget.imges: 3\n",
            "needs.teacher: unknown key budget.imges; did you mean 'images'?",
        ),
        (
            "needs.teacher.seed: 3\n",
            "mine.yaml: needs.teacher.seed: a needed run has the seed of the run that needs it",
        ),
        (
            "needs.teacher.smoke.seed: 3\n",
            "mine.yaml: needs.teacher.smoke.seed: only the file of a recipe has smoke",
        ),
        (
            "needs.teacher.base: digits/vae\n",
            "mine.yaml: needs.teacher.base: only the file of a recipe has base",
        ),
        (
            "needs.teacher.model.net.width.more: 3\n",
            "needs.teacher: model.net.width.more: width is a value",
        ),
        ("needs.techer.budget.images: 3\n", "needs.techer: data.class_path is missing"),
    ],
)
def test_wrong_changes_of_what_is_needed_are_one_line(text, says, tmp_path):
    with pytest.raises(InputError) as error:
        load_config(recipe(tmp_path, REFLOW + text))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["needs: {teacher: own.yaml}\n", "needs.teacher: own.yaml\n"])
def test_a_needed_recipe_lies_beside_the_file_that_names_it(text, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    recipe(here, "base: points2d/flow_matching\nbudget.images: 99\n", "own")
    # one of the same name in the working folder is another
    recipe(tmp_path, "base: points2d/flow_matching\nbudget.images: 77\n", "own")
    monkeypatch.chdir(tmp_path)
    config = load_config(recipe(here, REFLOW + text))
    assert config.needs["teacher"].budget.images == 99
    assert config.resolved["needs"]["teacher"]["recipe"] == str(here / "own.yaml")
    # named from another folder's recipe it is still that one
    assert (
        load_config(recipe(tmp_path, "base: here/mine.yaml\n")).needs["teacher"].budget.images == 99
    )
    # else it is a recipe's name, or a path seen from here
    (here / "own.yaml").unlink()
    assert load_config(here / "mine.yaml").needs["teacher"].budget.images == 77
    (tmp_path / "own.yaml").unlink()
    with pytest.raises(InputError, match=r"needs\.teacher: no configuration 'own\.yaml'"):
        load_config(here / "mine.yaml")
