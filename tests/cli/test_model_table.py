"""The README's tables of models are what the classes and the recipes say."""

from __future__ import annotations

import pytest

from genbench.cli.listing import papers
from genbench.cli.model_table import (
    answers_of,
    class_at,
    readme_with_models,
    recipes,
    reference_of,
    tables,
)
from genbench.config.find import configs
from genbench.errors import InputError
from genbench.models.gan.games import NonSaturating, PearsonChi2, Wasserstein
from genbench.models.vae.vae import VAE
from genbench.system.locations import project_root


def test_the_tables_of_the_readme_are_those_of_the_classes():
    readme = (project_root() / "README.md").read_text()
    assert readme_with_models(readme) == readme, "make figures writes them"
    assert readme_with_models(readme.replace("log p exact", "log p")) == readme
    with pytest.raises(InputError, match="0 places between"):
        readme_with_models(readme.replace("<!-- models -->", ""))


def test_every_model_and_every_recipe_is_in_the_tables():
    text = tables()
    for paper in papers():
        assert f"| `{paper.model}` |" in text
    names = {name.partition("/")[2].removesuffix("-small") for name in configs()}
    assert {recipe.name.partition("/")[2] for recipe in recipes()} == names
    assert all(f"[{name}](configs/" in text for name in names)


def test_answers_are_those_of_the_class():
    class Exact(VAE):
        likelihood = "exact"

    assert list(answers_of(VAE)) == [
        "samples", "bound of log p", "encode", "decode", "given labels",
    ]  # fmt: skip
    assert "log p exact" in list(answers_of(Exact))
    for paper in papers():
        model = class_at(paper.class_path)
        answers = list(answers_of(model))
        assert ("decode" in answers) == hasattr(model, "decode"), model
        assert any("log p" in word for word in answers) == (model.likelihood is not None), model


def test_the_paper_of_a_part_is_the_one_that_it_cites():
    assert reference_of(PearsonChi2) == ("Nowozin, Cseke, Tomioka", "2016", "1606.00709")
    assert reference_of(Wasserstein)[2] == "1701.07875"
    assert reference_of(NonSaturating)[:2] == ("Goodfellow et al.", "2014")
