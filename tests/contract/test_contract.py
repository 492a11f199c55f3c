"""The contract, over every configuration that lies in configs/: a new model is tested without editing a test."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple

import pytest
import torch
from conftest import CONFIGS, DISTINCT, PUPILS, classes_of, recipe_tree
from contract import (
    bounds_are_ordered,
    decoding_inverts_encoding,
    exact_masses_add_up,
    jacobians_are_those_of_autograd,
    kind_is_as_declared,
    kinds_without_noise,
    labels_reach_all_methods_alike,
    samples_have_the_masses,
    streams_are_used_once,
)

from genbench.batch import Batch
from genbench.config.config import Config
from genbench.config.find import find_config
from genbench.config.instantiate import instantiate as made
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.leaderboard.board import Board
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.recipe_figures import figures, header_with
from genbench.metrics.timing import conditions
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.runs.build import build as instantiate
from genbench.spec import Labels, Spec
from genbench.system.locations import project_root


def model_class(name: str) -> type[GenerativeModel]:
    """The class of a recipe's model."""
    module, _, cls = recipe_tree(name)["model"]["class_path"].rpartition(".")
    return getattr(importlib.import_module(module), cls)


def is_implicit(name: str) -> bool:
    """Whether the recipe's model has no density."""
    return model_class(name).terms is GenerativeModel.terms


def takes_labels(name: str) -> bool:
    """Whether the recipe's model offers p(x) and p(x | y)."""
    return "conditional" in inspect.signature(model_class(name)).parameters


def needs_y(name: str) -> bool:
    """Whether the recipe's model is one of p(x | y) alone, of a y that is no label."""
    return Labels not in model_class(name).conditions


CONDITIONAL = [name for name in CONFIGS if takes_labels(name)]
# every recipe as a model of p(x), and of p(x | y) where it offers that
BOTH = [
    pytest.param(name, y, id=f"{name}{'-conditional' * y}")
    for name in CONFIGS
    for y in (False, True)
    if name in CONDITIONAL or y == needs_y(name)
]
# what does not depend on sizes: once for every model with its networks, on the smallest data
SMALLEST = [it for it in BOTH if it.values[0] in DISTINCT]
# every recipe: those of other sizes as longer tests
SIZES = [
    it if it in SMALLEST else pytest.param(*it.values, id=it.id, marks=pytest.mark.slow)
    for it in BOTH
]
# shapes of images, the smallest first, on which models are held against a universe
SHAPES = [(1, 1, 2), (1, 2, 2), (1, 2, 4), (1, 4, 4), (1, 4, 8), (1, 8, 8)]


def networks(name: str) -> tuple[str, ...]:
    """The classes of a recipe's model and its networks."""
    return classes_of(recipe_tree(name)["model"])


# on a universe: every recipe of points both ways, and, as the others take more time, one for every model with other networks than
# theirs, or with none
POINTS = [it for it in SMALLEST if it.values[0].startswith("points2d/")]
OTHERS = {
    networks(it.values[0]): it
    for it in SMALLEST
    if not it.values[0].startswith("points2d/") and not it.values[1]
}
COVERED = {networks(it.values[0]) for it in POINTS if len(networks(it.values[0])) > 1}
UNIVERSES = [
    it
    for it in [*POINTS, *[it for classes, it in OTHERS.items() if classes not in COVERED]]
    if not is_implicit(it.values[0])
]


def of_family(*families: str) -> list[Any]:
    """Those of SMALLEST whose models lie in these folders."""
    return [it for it in SMALLEST if model_class(it.values[0]).__module__.split(".")[2] in families]


def recipe(tiny, name: str, conditional: bool, *overrides: str):
    """As a model of p(x) or of p(x | y), whichever the recipe itself is; what it learns from likewise."""
    needs = recipe_tree(name).get("needs", {})
    prefixes = {"": name, **{f"needs.{need}.": its for need, its in needs.items()}}
    taking = [prefix for prefix, its in prefixes.items() if its in CONDITIONAL]
    return tiny(
        name,
        *[f"{prefix}model.conditional={str(conditional).lower()}" for prefix in taking],
        *overrides,
    )


def build(tiny, name: str, *overrides: str, conditional: bool = False):
    config = recipe(tiny, name, conditional, *overrides)
    data, model = instantiate(config)
    assert model.conditional == (conditional or needs_y(name))
    for needed in model.needed():
        move_and_finalize(needed, [])
    move_and_finalize(model, data.finalize_batches(model))
    return data, model.eval()


def move_and_finalize(model: GenerativeModel, batches: Iterable[Batch], noise: float = 0.1) -> None:
    """Away from the initial weights, where zero-initialised layers hide mistakes."""
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(noise * Rng(i, [0], p.dtype).normal(p.shape)[0])
    model.finalize(batches, Rng(0, [0], model.dtype).split("finalize"))


class Case(NamedTuple):
    """A model in double precision, 64 images, their labels, and options: of the smoke test, and of the recipe's evaluation."""

    model: GenerativeModel
    x: torch.Tensor
    y: torch.Tensor
    sample: dict[str, Any]
    log_prob: dict[str, Any]
    fine_sample: dict[str, Any]
    fine_log_prob: dict[str, Any]

    def labels(self, n: int) -> torch.Tensor | None:
        """Of the first n images; None for a model of p(x)."""
        return self.y[:n] if self.model.conditional else None

    @property
    def label(self) -> torch.Tensor | None:
        """One label, with which a universe is scored; None for a model of p(x)."""
        return torch.tensor(1) if self.model.conditional else None

    @property
    def universe_options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of samples and scores that are of one law: finer ones than those of the smoke test where a solver takes steps."""
        if self.model.finer(**self.fine_log_prob) is None:
            return self.sample, self.log_prob
        if is_solved_for_images(self.model):
            return self.fine_sample, self.model.finer(**self.log_prob)[1]
        return self.fine_sample, self.fine_log_prob


def case(tiny, name: str, conditional: bool, *overrides: str) -> Case:
    data, model = build(tiny, name, *overrides, conditional=conditional)
    x, y = (torch.tensor(array[:64]) for array in data.arrays("val"))
    coarse = next(iter(tiny(name).evaluations.values()))
    fine = next(iter(load_config(name).evaluations.values()))
    return Case(model, x, y, coarse.sample, coarse.log_prob, fine.sample, fine.log_prob)


@pytest.mark.parametrize("dataset", ["digits", "points2d", "mnist", "cifar10"])
def test_there_are_seven_families_each_of_which_takes_labels(dataset, tiny):
    families = {tiny(name).family for name in CONDITIONAL if name.startswith(f"{dataset}/")}
    assert {
        "classical",
        "vae",
        "gan",
        "autoregressive",
        "flow",
        "flow_matching",
        "diffusion",
    } <= families


@pytest.mark.parametrize("name", CONFIGS)
def test_recipe_begins_with_what_hardware_figures_and_command(name):
    text = find_config(name).read_text()
    header = "\n".join(takewhile(lambda line: line.startswith("#"), text.splitlines()))
    assert "Hardware:" in header
    assert "Figures:" in header
    assert f"genbench train -c {name}" in header


@cache
def measured() -> list[Board]:
    return load_boards(project_root() / "leaderboards")


@pytest.mark.parametrize("name", CONFIGS)
def test_figures_of_a_recipe_are_those_of_its_configuration(name):
    """`make figures` writes them; a recipe that was changed since it was measured says "not yet measured"."""
    text = find_config(name).read_text()
    assert text == header_with(text, figures(name, load_config(name), measured()))


@pytest.mark.parametrize(
    "change",
    [
        "model.latent=13",
        "budget.images=64_001",
        "evaluations.default.sample.decoder=mean",
        "evaluations={}",
    ],
)
def test_figures_of_another_configuration_are_not_its_own(change):
    before = figures("digits/vae", load_config("digits/vae"), measured())
    after = figures("digits/vae", load_config("digits/vae", [change]), measured())
    assert before.startswith("FID ")
    assert before != after
    # the plain evaluation is still there in the last two, or the other one
    assert (after == "not yet measured.") == (not change.startswith("evaluations"))


@pytest.mark.parametrize(("name", "conditional"), SIZES)
def test_every_player_learns_with_every_parameter(name, conditional, tiny):
    data, model = instantiate(recipe(tiny, name, conditional))
    batch = next(data.batches(0, 10**6, 0, 1, torch.device("cpu"), torch.float32))
    owned: list[int] = []
    # zero-initialised last layers block gradients in the first step: move off them
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(0.01 * Rng(i, [0]).normal(p.shape)[0])
    for player in model.players().values():
        losses = player.loss(batch.x, batch.y, batch.rng)
        assert losses["loss"].dim() == 0
        assert all(torch.isfinite(value).all() for value in losses.values())
        gradients = torch.autograd.grad(losses["loss"], player.parameters)
        assert all(torch.isfinite(g).all() for g in gradients)
        owned += [id(p) for p in player.parameters]
    assert sorted(owned) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(("name", "conditional"), [*SMALLEST, *[(name, False) for name in PUPILS]])
def test_samples_are_integer_images_and_the_same_at_any_batch_size(name, conditional, tiny, double):
    _, model = build(tiny, name, conditional=conditional)
    options = next(iter(tiny(name).evaluations.values())).sample
    y = conditions(model, 6, "cpu")

    def samples(rows: list[int]) -> torch.Tensor:
        rng = Rng(3, rows, torch.float64).split("sample")
        return model.sample(rng, None if y is None else y[rows], **options)

    with torch.no_grad():
        together = samples([*range(6)])
        apart = [samples([i]) for i in (5, 0, 2)]
    assert together.dtype == model.spec.dtype
    assert tuple(together.shape) == (6, *model.spec.shape)
    assert int(together.max()) < model.spec.levels
    assert torch.equal(torch.cat(apart), together[[5, 0, 2]])
    assert len(torch.unique(together, dim=0)) > 1


@pytest.mark.parametrize("name", [name for name in DISTINCT if is_implicit(name)])
def test_an_implicit_density_has_no_log_prob(name, tiny):
    data, model = instantiate(tiny(name))
    with pytest.raises(TypeError, match="implicit density"):
        model.log_prob(torch.tensor(data.arrays("val")[0][:2]))


# on all sizes: rounding grows with them
@pytest.mark.parametrize(
    ("name", "conditional"), [it for it in SIZES if not is_implicit(it.values[0])]
)
def test_log_prob_is_per_image_in_nats_and_its_terms_add_up(name, conditional, tiny, double):
    data, model = build(tiny, name, conditional=conditional)
    x, y = (torch.tensor(array[:5]) for array in data.arrays("val"))
    rng = lambda rows: Rng(1, rows, torch.float64).split("log_prob")  # noqa: E731
    options = next(iter(tiny(name).evaluations.values())).log_prob
    with torch.no_grad():
        together = model.log_prob(x, y, rng(range(5)), **options)
        terms = model.terms(x, y, rng(range(5)), **options)
        assert together.shape == (5,)
        assert torch.isfinite(together).all()
        torch.testing.assert_close(-sum(terms.values()), together, rtol=1e-12, atol=1e-9)
        torch.testing.assert_close(
            model.log_prob(x[3:4], y[3:4], rng([3]), **options),
            together[3:4],
            rtol=1e-10,
            atol=1e-9,
        )
        # without streams there are fixed ones
        assert torch.equal(model.log_prob(x, y, **options), model.log_prob(x, y, **options))
        other = model.log_prob(x, (y + 1) % model.spec.classes, rng(range(5)), **options)
    # a label that only rounding carries says nothing
    assert bool((other - together).abs().max() > 1e-6) == conditional
    if torch.equal(together, model.log_prob(x, y, rng(range(7, 12)), **options)):
        assert model.likelihood in kinds_without_noise(model)
    else:
        assert model.likelihood != "exact"


@pytest.mark.parametrize("name", [name for name in DISTINCT if name in CONDITIONAL])
def test_a_model_of_p_of_x_given_y_asks_for_y(name, tiny):
    data, model = instantiate(recipe(tiny, name, True))
    with pytest.raises(ValueError, match=r"p\(x \| y\): it needs labels y"):
        model.sample(Rng(0, range(2)))
    if model.likelihood is not None:
        with pytest.raises(ValueError, match=r"p\(x \| y\): it needs labels y"):
            model.log_prob(torch.tensor(data.arrays("val")[0][:2]))


@pytest.mark.parametrize(("name", "conditional"), of_family("flow", "flow_matching"))
def test_decoding_inverts_encoding(name, conditional, tiny, double):
    it = case(tiny, name, conditional)
    decoding_inverts_encoding(it.model, it.x[:8], it.labels(8))


@pytest.mark.parametrize(("name", "conditional"), of_family("flow"))
def test_jacobians_are_those_of_autograd(name, conditional, tiny, double):
    it = case(tiny, name, conditional)
    jacobians_are_those_of_autograd(it.model, it.x[:1], it.labels(1))


@pytest.mark.parametrize(("name", "conditional"), SMALLEST)
def test_every_random_number_is_used_once(name, conditional, tiny, double):
    it = case(tiny, name, conditional)
    streams_are_used_once(it.model, it.x[:3], it.labels(3), it.sample, it.log_prob)


@pytest.mark.parametrize("name", [name for name in DISTINCT if name in CONDITIONAL])
def test_labels_reach_losses_samples_and_scores_alike(name, tiny, double):
    it = case(tiny, name, True)
    labels_reach_all_methods_alike(it.model, it.x, it.y, it.sample, it.log_prob)


def smallest(tiny, name: str, conditional: bool) -> Case:
    """The recipe on the smallest images that its networks take."""
    config = recipe(tiny, name, conditional)
    data, model = instantiate(config)
    # networks of images are for rows and columns
    shapes = [shape for shape in SHAPES if data.spec.shape[1] == 1 or shape[1] > 1]
    specs = [
        Spec(shape, several, data.spec.y)
        for shape in shapes
        if (several := levels(shape, model, data.spec.levels)) > 1
    ]
    spec, model = first_that_fits(config, specs)
    batches = batches_of(spec)
    # the norm of a handful of numbers is nearly a step of its inputs: solvers follow it where the field is small
    move_and_finalize(model, batches, noise=0.02 if is_solved_for_images(model) else 0.1)
    if weighs_latents(model):
        take_steps(model, batches[0])
    x, y, _ = batches[0]
    coarse = next(iter(config.evaluations.values()))
    fine = next(iter(load_config(name).evaluations.values()))
    return Case(model.eval(), x, y, coarse.sample, coarse.log_prob, fine.sample, fine.log_prob)


def is_solved_for_images(model: GenerativeModel) -> bool:
    """Whether a solver takes steps through a network of images, which take time."""
    return model.finer() is not None and model.spec.shape[1] > 1


def levels(shape: tuple[int, int, int], model: GenerativeModel, most: int) -> int:
    """So many that the universe has at most 65,536 images; for a density that ends at the border, that few images lie there."""
    if model.dequantisation is not None and math.prod(shape) > 2:
        return min(most, 64)
    return min(most, 2 ** (16 // math.prod(shape)), 16)


def first_that_fits(config: Config, specs: list[Spec]) -> tuple[Spec, GenerativeModel]:
    """The first of the specs that the configuration's model takes, and the model."""
    for spec in specs:
        tree = {**config.resolved["model"], "spec": asdict(spec)}
        try:
            torch.manual_seed(0)
            return spec, made(GenerativeModel, tree)
        except InputError as error:
            refusal = error
    raise refusal


def weighs_latents(model: GenerativeModel) -> bool:
    """Whether the score is of importance weights, which are far from their mean before their proposal has learnt anything."""
    return (
        model.dequantisation is None
        and model.likelihood == "bound"
        and "K" in model.options("log_prob")
    )


def take_steps(model: GenerativeModel, batch: Batch, steps: int = 60) -> None:
    """A handful of steps of every player on one batch."""
    for player in model.players().values():
        optimizer = torch.optim.Adam(player.parameters, lr=1e-2)
        for step in range(steps):
            optimizer.zero_grad()
            player.loss(batch.x, batch.y, batch.rng.split("step", step))["loss"].backward()
            optimizer.step()


def batches_of(spec: Spec) -> list[Batch]:
    """Noisy images whose mean depends on their label, for models that are fitted in a pass."""
    n = 64
    rng = Rng(21, range(n), torch.get_default_dtype())
    y = torch.arange(n) % (spec.classes or 1)
    mean = (y + 1) / ((spec.classes or 1) + 1)
    v = mean.view(-1, 1, 1, 1) + 0.3 * rng.normal(spec.shape)
    x = (v * spec.levels).floor().clamp(0, spec.levels - 1).to(spec.dtype)
    return [Batch(x, y, rng)]


@pytest.mark.parametrize(("name", "conditional"), UNIVERSES)
def test_masses_of_a_universe_are_those_of_the_samples(name, conditional, tiny, request):
    """With the options of the smoke test; those of the evaluation where a solver takes steps: coarse ones sample another law."""
    it = smallest(tiny, name, conditional)
    if it.model.likelihood_kind(**it.log_prob) == "exact":
        # what is exact is so in float64; errors of draws are larger than those of float32
        request.getfixturevalue("double")
        it = smallest(tiny, name, conditional)
    model, options = it.model, it.universe_options
    kind = model.likelihood_kind(**it.log_prob)
    kind_is_as_declared(model, it.x[:4], it.labels(4), it.log_prob)
    samples_have_the_masses(model, it.label, *options)
    if kind == "exact":
        exact_masses_add_up(model, it.label)
    if kind == "bound":
        bounds_are_ordered(model, it.label, *options)
