"""What the contract's base derives from the methods of a leaf."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor

from genbench.config.annotations import parameters
from genbench.config.instantiate import instantiate
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Image, Labels, Spec, Tokens
from genbench.steps import Losses, OptimizerFactory

SPEC = Spec((1, 2, 2), 5)
sgd = partial(torch.optim.SGD, lr=0.1)


class Plain(GenerativeModel):
    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        return {"loss": x.double().mean()}


class Stepwise(Plain):
    """Halves the noise in every step; its score is two parts that depend on the options."""

    def terms(
        self,
        x: Tensor,
        y: Tensor | None = None,
        rng: Rng | None = None,
        K: int = 2,
        solver: Literal["euler", "heun"] = "heun",
    ) -> dict[str, Tensor]:
        brightness = x.flatten(1).double().sum(1)
        return {"first": K * brightness, "second": torch.full_like(brightness, len(solver))}

    def trajectory(
        self, x: Tensor, rng: Rng, y: Tensor | None = None, steps: int = 3, scale: float = 1.0
    ) -> Iterator[Tensor]:
        for _ in range(steps):
            x = x / 2
            yield scale * x


def test_log_prob_is_minus_the_sum_of_the_terms_with_their_options():
    model = Stepwise(SPEC, sgd)
    x = torch.tensor([0, 1, 2, 3], dtype=torch.uint8).view(1, 1, 2, 2)
    assert float(model.log_prob(x)) == -(2 * 6 + 4)
    assert float(model.log_prob(x, None, None, 5, solver="euler")) == -(5 * 6 + 5)


def test_sample_is_the_last_state_of_the_trajectory_with_its_options():
    model = Stepwise(SPEC, sgd)
    rng = Rng(0, range(3))
    noise = rng.normal(SPEC.shape)
    streams = Rng(0, range(3))
    drawn = model.sample(streams, steps=2, scale=0.5)
    assert torch.equal(drawn, model.to_pixels(noise / 8))
    assert drawn.dtype == torch.uint8 and drawn.shape == (3, *SPEC.shape)
    assert torch.equal(model.sample(Rng(0, range(3)), None, 2, 0.5), drawn)


def test_one_signature_has_the_options_their_types_and_their_defaults():
    model = Stepwise(SPEC, sgd)
    assert model.defaults("sample") == {"steps": 3, "scale": 1.0}
    assert model.defaults("sample", {"steps": 9}) == {"scale": 1.0}
    assert model.defaults("log_prob") == {"K": 2, "solver": "heun"}
    path = "genbench.models.vae.vae.VAE"
    assert parameters(path, "log_prob", ("genbench",))["ais"] is int
    assert set(parameters("genbench.models.diffusion.ddpm.DDPM", "sample", ("genbench",))) >= {
        "sampler",
        "steps",
    }


def test_a_density_that_is_implicit_has_no_options_and_no_score():
    class Implicit(Plain):
        def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
            return self.to_pixels(rng.normal(self.spec.shape))

    model = Implicit(SPEC, sgd)
    assert model.defaults("log_prob") == {} == model.defaults("sample")
    with pytest.raises(TypeError, match="Implicit has an implicit density"):
        model.log_prob(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))


def test_a_class_without_a_sampler_is_refused():
    with pytest.raises(TypeError, match="Plain has neither a method `sample` nor `trajectory`"):
        Plain(SPEC, sgd)


class OfImages(Plain):
    """A model of p(x | y) of images y."""

    conditions = (Image,)

    def __init__(self, spec: Spec, optimizer: OptimizerFactory) -> None:
        super().__init__(spec, optimizer, conditional=True)

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return y


@pytest.mark.parametrize("y", [None, Labels(3), Image((1, 2, 2), 5), Tokens(4, 9)])
def test_a_model_is_built_with_whatever_y_the_data_declare(y):
    spec = replace(SPEC, y=y)
    tree = {
        "class_path": f"{__name__}.Stepwise",
        "spec": asdict(spec),
        "optimizer": {"class_path": "torch.optim.SGD", "lr": 0.1},
    }
    model = instantiate(GenerativeModel, tree)
    assert model.spec == spec
    assert not model.conditional


@pytest.mark.parametrize(
    ("kind", "y", "line"),
    [
        (Stepwise, None, "the data have no labels y"),
        (Stepwise, Image((1, 2, 2), 5), "Stepwise takes labels y, not images"),
        (Stepwise, Tokens(4, 9), "Stepwise takes labels y, not texts"),
        (OfImages, Labels(3), "of images y; y of these data: labels"),
        (OfImages, None, "of images y; y of these data: missing"),
    ],
)
def test_a_model_refuses_a_y_of_another_kind_in_one_line(kind, y, line):
    options = {"conditional": True} if kind is Stepwise else {}
    with pytest.raises(ValueError, match=line) as refusal:
        kind(replace(SPEC, y=y), sgd, **options)
    assert "\n" not in str(refusal.value)


def test_labels_condition_as_one_hot_vectors_and_images_as_bin_centres():
    of_labels = Stepwise(replace(SPEC, y=Labels(3)), sgd, conditional=True)
    assert of_labels.classes == 3
    assert of_labels.condition(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
    of_images = OfImages(replace(SPEC, y=Image((1, 1, 2), 2)), sgd)
    assert of_images.classes == 0
    y = torch.tensor([0, 1], dtype=torch.uint8).view(1, 1, 1, 2)
    assert of_images.condition(y).flatten().tolist() == [-1, 1]
    with pytest.raises(ValueError, match="it needs images y"):
        of_images.condition(None)
