"""An error of a constructor names the file and the key of the class that refused."""

from __future__ import annotations

import pytest

from genbench.config.find import find_config
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.runs.build import build

NOISE = "genbench.formulas.noise"


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        ("digits/vae", ["model.latent=-1"], "model: latent is at least 1"),
        (
            "digits/gan",
            ["model.latent=-1"],
            "model: latent and critic_steps are at least 1, not -1",
        ),
        ("digits/vqvae", ["model.K=1"], "model: K is 2 to 65,536, not 1"),
        ("digits/vae", ["model.encoder.width=0"], "model.encoder: width is at least 1, not 0"),
        ("digits/vae", ["model.decoder.width=0"], "model.decoder: width is at least 1, not 0"),
        ("digits/vae", ["model.optimizer.lr=-1"], "model.optimizer: Invalid learning rate: -1.0"),
        ("digits/vae", ["data.batch_size=0"], "data.batch_size is at least 1, not 0"),
        (
            "digits/edm",
            [f"model.schedule={{class_path: {NOISE}.Exploding, sigma_min: 5, sigma_max: 1}}"],
            "model.schedule: sigma_min is above 0 and below sigma_max, not 5.0 and 1.0",
        ),
        (
            "digits/ddpm",
            [f"model.schedule={{class_path: {NOISE}.Exploding}}"],
            "model: Exploding is no schedule of a chain",
        ),
        (
            "digits/gan",
            ["model.game={class_path: genbench.models.gan.games.LeastSquares, real_target: -1}"],
            "model.game: real_target is above fake_target, not -1.0 and 0.0",
        ),
        (
            "points2d/reflow",
            ["needs.teacher.model.net.width=0"],
            "needs.teacher: model.net: MLP: width and depth are at least 1",
        ),
    ],
)
def test_a_constructor_that_refuses_is_named_by_its_key(recipe, overrides, message):
    with pytest.raises(InputError) as error:
        build(load_config(recipe, overrides))
    line = str(error.value)
    assert line.startswith(f"{find_config(recipe)} with the options given: {message}")
    assert "\n" not in line


def test_of_two_networks_of_one_class_the_one_that_refused_is_named():
    mlp = "{class_path: genbench.nets.mlp.MLP, width: %d}"
    overrides = [f"model.encoder={mlp % 8}", f"model.decoder={mlp % 0}"]
    with pytest.raises(InputError, match=r"model\.decoder: MLP: width and depth are at least 1"):
        build(load_config("digits/vae", overrides))


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("DDIM, eta: 3", r"evaluations\.x\.sample\.sampler: eta is from 0 to 1, not 3\.0"),
        ("Stochastic, churn: -1", r"evaluations\.x\.sample\.sampler: churn is at least 0, not -1"),
    ],
)
def test_a_sampler_that_refuses_does_so_before_training(sampler, message):
    option = f"{{sampler: {{class_path: genbench.formulas.samplers.{sampler}}}}}"
    with pytest.raises(InputError, match=message):
        load_config("digits/ddpm", [f"evaluations.x.sample={option}"])


def test_where_a_configuration_comes_from_is_no_part_of_what_it_is(tmp_path):
    recipe = tmp_path / "vae.yaml"
    recipe.write_text("base: digits/vae\n")
    mine = load_config(recipe)
    shipped = load_config("digits/vae")
    assert mine.origin == str(recipe)
    assert mine == shipped
    assert mine.hash == shipped.hash
