"""A recipe that builds on another is the recipe that results, written out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from genbench.config import Config, find_config, load_config, load_yaml
from genbench.errors import InputError
from genbench.yaml12 import dump_yaml

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
    assert same(load_config(recipe(tmp_path, f"base: digits/vae\n{text}")), written_out(tmp_path, expected))


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
    assert same(load_config(recipe(tmp_path, f"base: digits/vae\n{text}")), written_out(tmp_path, expected))


def test_arguments_of_a_class_that_is_named_again_stay(tmp_path):
    again = "model: {class_path: genbench.models.vae.vae.VAE, latent: 16}\n"
    expected = {**BASE, "model": {**BASE["model"], "latent": 16}}
    assert same(load_config(recipe(tmp_path, f"base: digits/vae\n{again}")), written_out(tmp_path, expected))


def test_another_model_with_its_own_evaluations_and_smoke(tmp_path):
    gan = load_yaml(find_config("digits/gan"))
    text = dump_yaml({"base": "digits/vae", **gan, "evaluations": {"default": {}, "mean": None}})
    config = load_config(recipe(tmp_path, text), smoke=True)
    expected = {**gan, "optimization": {**BASE["optimization"], **gan.get("optimization", {})}}
    assert config.hash == load_config(recipe(tmp_path, dump_yaml(expected), "written_out"), smoke=True).hash
    assert set(config.evaluations) == {""}


def test_bases_build_on_bases_by_name_or_by_path(tmp_path, monkeypatch):
    recipe(tmp_path, "base: digits/vae\nname: first\nmodel.latent: 3\nmodel.beta: 2\nrun_dir: runs/first\n", "first")
    second = recipe(tmp_path, "base: first.yaml\nmodel.latent: 16\n", "second")
    monkeypatch.chdir(tmp_path.parent)
    config = load_config(second)
    assert same(config, written_out(tmp_path, {**BASE, "model": {**BASE["model"], "latent": 16, "beta": 2}}))
    assert config.name == "second"
    assert load_config(second, ["model.latent=5"]).resolved["model"]["latent"] == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("base: digits/vea\n", "mine.yaml: base: no configuration 'digits/vea'; did you mean 'digits/vae'?"),
        ("base: [digits/vae]\n", "base names one recipe"),
        ("base: null\n", "base names one recipe"),
        ("base: mine.yaml\n", "mine.yaml builds on itself"),
        ("base: other.yaml\n", "builds on itself, by way of"),
        ("base: digits/vae\nmodel.latnt: 3\n", "mine.yaml: unknown key model.latnt; did you mean 'latent'?"),
        ("base: digits/vae\nmodel.latent: 3\nmodel: {latent: 4}\n", "mine.yaml: the key model.latent is given twice"),
        ("base: digits/vae\nmodel: {latent: 4}\nmodel.latent: 3\n", "mine.yaml: the key model.latent is given twice"),
        ("base: digits/vae\nmodel.latent.more: 3\n", "mine.yaml: model.latent.more: latent is a value"),
        (f"base: digits/vae\nmodel.encoder: {{class_path: {MLP}, stages: 3}}\n", "unknown key model.encoder.stages"),
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
