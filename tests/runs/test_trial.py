"""Options of evaluations that a model refuses are refused before it is trained."""

from __future__ import annotations

from inspect import signature

import pytest
import torch
from conftest import BY_CLASS

from genbench.cli.main import main
from genbench.config.class_paths import named_class
from genbench.config.find import find_config
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.runs.build import build
from genbench.runs.trial import try_options


def test_a_dry_run_refuses_what_the_evaluation_would(capsys):
    arguments = ["-c", "digits/ddpm", "--evaluations.ddim50.sample.steps=0", "--dry-run"]
    assert main(["train", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line = (
        f"{find_config('digits/ddpm')} with the options given: "
        "evaluations.ddim50.sample: steps is from 1 to T = 1000, not 0"
    )
    assert line in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "override", "message"),
    [
        ("digits/ddpm", "ddim50.sample.steps=1001", "steps is from 1 to T = 1000, not 1001"),
        ("digits/ddpm", "ddim50.sample.eta=2", "eta is from 0 to 1, not 2"),
        ("digits/ddpm", "ddim50.sample.guidance=1", "guidance is at least 0, and 0 for a model"),
        (
            "digits/ddpm",
            "x.sample.sampler={class_path: genbench.formulas.samplers.Stochastic}",
            "a chain is known at its steps alone: Stochastic",
        ),
        ("digits/ddpm", "ddim50.log_prob.timesteps=0", "timesteps is at least 1, not 0"),
        ("points2d/edm", "heun18.sample.steps=1", "steps is at least 2, not 1"),
        ("points2d/edm", "heun18.sample.churn=2", "churn is an option of the sampler"),
        ("points2d/edm", "heun18.log_prob.probes=0", "probes is at least 1, not 0"),
        ("points2d/flow_matching", "heun20.sample.steps=0", "steps and power are at least 1"),
        ("points2d/flow_matching", "heun20.sample.tolerance=1", "tolerance is an option of"),
        (
            "points2d/flow_matching",
            "heun20.log_prob={solver: dopri5, tolerance: 0}",
            "tolerance is above 0, not 0",
        ),
        ("points2d/flow_matching", "heun20.log_prob.power=0.5", "steps and power are at least 1"),
        ("points2d/flow_matching", "heun20.log_prob.K=0", "K is at least 1, not 0"),
        ("points2d/nice", "default.log_prob.K=0", "K is at least 1, not 0"),
        ("digits/vae", "mean.log_prob.K=0", "K is at least 1, not 0"),
        ("digits/vae", "mean.log_prob.ais=0", "ais is at least 1 temperature, not 0"),
        ("digits-binary/rbm", "default.sample.steps=0", "steps is at least 1, not 0"),
    ],
)
def test_a_value_out_of_range_is_refused_before_training(recipe, override, message):
    evaluation, _, option = override.partition(".")
    method = "sample" if option.startswith("sample") else "log_prob"
    with pytest.raises(InputError) as error:
        build(load_config(recipe, [f"evaluations.{override}"]))
    assert f": evaluations.{evaluation}.{method}: {message}" in str(error.value)
    assert "\n" not in str(error.value)


def numbers(kind: type[GenerativeModel]) -> list[tuple[str, str]]:
    """The methods and options of a class of models that take a number."""
    return [
        (method, option)
        for method in ("sample", "log_prob")
        for option, parameter in kind.options(method).items()
        if not isinstance(parameter.default, bool | str)
    ]


@pytest.mark.parametrize("name", BY_CLASS)
@pytest.mark.parametrize("conditional", [False, True])
def test_what_a_call_refuses_a_trial_has_refused(name, conditional):
    """Any option of any model, with numbers that are too small for most of them."""
    config = load_config(name, smoke=True)
    kind = named_class(config.resolved["model"]["class_path"])
    if conditional:
        if "conditional" not in signature(kind).parameters or not name.startswith("points2d/"):
            return
        config = load_config(name, ["model.conditional=true"], smoke=True)
    if not numbers(kind):
        return
    data, model = build(config)
    y = torch.zeros(2, dtype=torch.int64)
    x = torch.zeros(2, *data.spec.shape, dtype=data.spec.dtype)
    for method, option in numbers(kind):
        for value in (-1, 0):
            try:
                try_options(model, method, {option: value})
            except ValueError:
                continue
            rng = Rng(0, range(2))
            inputs = (rng, y) if method == "sample" else (x, y, rng)
            getattr(model.eval(), method)(*inputs, **{option: value})


def test_a_trial_computes_nothing():
    """A billion of anything costs no time, and weights on the meta device have no values."""
    _, model = build(load_config("digits/vae", smoke=True))
    model.to("meta")
    try_options(model, "log_prob", {"K": 10**9, "ais": 10**9})
    try_options(model, "sample", {"decoder": "mean"})
