"""Learning-rate schedules: the rate of every step against torch's own, over interruptions and processes, and in hashes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from torch.optim import lr_scheduler

from genbench.cli.main import main
from genbench.config.recipe import load_config
from genbench.errors import InputError, Stopped
from genbench.formulas.learning_rate import (
    CosineDecay,
    LearningRateSchedule,
    LinearDecay,
    StepDecay,
)
from genbench.model import GenerativeModel
from genbench.optimization import Optimization
from genbench.records.store import read_record
from genbench.runs.folder import Run
from genbench.steps import rate_factor
from genbench.training.train import train

RECIPE = "points2d/gan"
BATCH = 16
BUDGET = 480
STEPS = BUDGET // BATCH
COSINE = "optimization.schedule={class_path: genbench.formulas.learning_rate.CosineDecay}"
SHORT = (f"budget.images={BUDGET}", f"data.batch_size={BATCH}", f"trainer.log_every={BATCH}")

# a schedule, and torch's of the same closed form over so many steps
ORACLES = {
    "cosine": (
        CosineDecay(final=0.1),
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, STEPS, eta_min=0.1 * 2e-3),
    ),
    "linear": (
        LinearDecay(),
        lambda optimizer: lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS),
    ),
    "linear after a while": (
        LinearDecay(constant_images=10 * BATCH),
        lambda optimizer: lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (STEPS - step) / (STEPS - 10))
        ),
    ),
    "step": (
        StepDecay(every=7 * BATCH, gamma=0.3),
        lambda optimizer: lr_scheduler.StepLR(optimizer, 7, gamma=0.3),
    ),
}


@pytest.mark.parametrize("name", ORACLES)
def test_rates_are_those_of_torch(name):
    schedule, make_scheduler = ORACLES[name]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-3)
    scheduler = make_scheduler(optimizer)
    for step in range(STEPS):
        factor = rate_factor(
            Optimization(schedule=schedule), step * BATCH, (step + 1) * BATCH, BUDGET
        )
        assert 2e-3 * factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        scheduler.step()


def test_warmup_and_schedule_are_multiplied():
    both = Optimization(warmup_images=64, schedule=StepDecay(every=32, gamma=0.5))
    factors = [rate_factor(both, start, start + 16, BUDGET) for start in (0, 16, 32, 48, 64)]
    assert factors == [0.25, 0.5, 0.75 * 0.5, 0.5, 0.25]


def test_a_constant_rate_is_the_default():
    assert Optimization().schedule is None
    assert rate_factor(Optimization(), 100, 116, BUDGET) == 1.0


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("CosineDecay, final: 2", "final is from 0 to 1, not 2"),
        ("LinearDecay, constant_images: -1", "constant_images is at least 0, not -1"),
        ("StepDecay, every: 0", "every is at least 1 and gamma above 0 and at most 1, not 0 and 0.1"),
        ("StepDecay", "StepDecay needs every"),
        ("Cosine", "did you mean 'genbench.formulas.learning_rate.CosineDecay'"),
    ],
)  # fmt: skip
def test_a_wrong_schedule_gets_one_line(schedule, message):
    option = f"optimization.schedule={{class_path: genbench.formulas.learning_rate.{schedule}}}"
    with pytest.raises(InputError) as error:
        load_config(RECIPE, [option])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("LinearDecay, constant_images: 9999", "constant_images is below budget.images, not 9,999"),
        ("LinearDecay, constant_images: 128", "constant_images is below budget.images, not 128"),
        ("StepDecay, every: 128", "every is below budget.images, not 128 of 128: the rate would n"),
    ],
)
def test_a_decay_that_the_budget_never_reaches_is_refused(schedule, message, tmp_path, capsys):
    option = f"--optimization.schedule={{class_path: genbench.formulas.learning_rate.{schedule}}}"
    run_dir = f"--run_dir={tmp_path / 'run'}"
    command = ["train", "-c", RECIPE, "--budget.images=128", "--data.batch_size=16", run_dir]
    assert main([*command, option]) == 2
    errors = capsys.readouterr().err
    assert f"genbench: optimization.schedule: {message}" in errors
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())
    assert main([*command, option.replace("9999", "127").replace("128", "127"), "--dry-run"]) == 0


def test_a_word_is_no_schedule():
    with pytest.raises(InputError, match=r"names a class, and 'cosine' is none; .*CosineDecay"):
        load_config(RECIPE, ["optimization.schedule=cosine"])


# --- hashes ---------------------------------------------------------------------------------------


def test_a_constant_rate_leaves_no_trace_in_a_configuration():
    """Records of a time without schedules are those of today's recipe."""
    records = Path(__file__).parents[2] / "leaderboards" / "records"
    record = read_record(next((records / "points2d").glob("made-s0-*.json")))
    assert "schedule" not in record.provenance.config["optimization"]
    plain = load_config("points2d/made")
    assert plain.hash == record.provenance.config_hash
    explicit = load_config("points2d/made", ["optimization.schedule=null"])
    assert explicit.hash == plain.hash
    assert explicit.resolved == plain.resolved


def test_every_schedule_is_another_configuration():
    options = [
        [],
        [COSINE],
        [COSINE, "optimization.schedule.final=0.1"],
        ["optimization.schedule={class_path: genbench.formulas.learning_rate.LinearDecay}"],
    ]
    assert len({load_config(RECIPE, option).hash for option in options}) == len(options)


# --- training -------------------------------------------------------------------------------------


def rates_of_steps(monkeypatch) -> list[tuple[float, ...]]:
    """The rates of both players, one entry per step of a training."""
    rates = []
    after_step = GenerativeModel.after_step

    def note(model, *arguments):
        optimizers = model.optimizers(use_pl_optimizer=False)
        rates.append(tuple(group["lr"] for o in optimizers for group in o.param_groups))
        after_step(model, *arguments)

    monkeypatch.setattr(GenerativeModel, "after_step", note)
    return rates


def stop_at(images: int):
    """A report that asks for a stop."""

    def report(seen: int, loss: float | None) -> None:
        if seen == images:
            os.kill(os.getpid(), signal.SIGTERM)

    return report


def test_every_player_follows_the_schedule_also_over_an_interruption(tiny, monkeypatch):
    rates = rates_of_steps(monkeypatch)
    whole = train(tiny(RECIPE, *SHORT, COSINE, folder="whole"))
    uninterrupted = list(rates)
    rates.clear()
    cut = tiny(RECIPE, *SHORT, COSINE, folder="cut")
    with pytest.raises(Stopped):
        train(cut, stop_at(13 * BATCH))
    train(cut)
    assert rates == uninterrupted
    factors = [CosineDecay().factor(step * BATCH, BUDGET) for step in range(STEPS)]
    lr = load_config(RECIPE).resolved["model"]["optimizer"]["lr"]
    assert rates == [pytest.approx((lr * factor, lr * factor)) for factor in factors]
    assert whole.weights.read_bytes() == Run(Path(cut.resolved["run_dir"])).weights.read_bytes()


@pytest.mark.parametrize(
    "option",
    ["optimization.schedule=null", f"{COSINE[:-1]}, final: 0.5}}"],
    ids=["none", "another"],
)
def test_another_schedule_on_an_existing_run_is_refused(option, tiny):
    train(tiny(RECIPE, *SHORT, COSINE))
    with pytest.raises(InputError, match=r"another configuration: optimization\.schedule\."):
        train(tiny(RECIPE, *SHORT, option))


def test_a_schedule_on_a_run_without_one_is_refused(tiny):
    train(tiny(RECIPE, *SHORT))
    with pytest.raises(InputError, match=r"optimization\.schedule\.class_path was absent, is now"):
        train(tiny(RECIPE, *SHORT, COSINE))


def test_a_larger_budget_is_refused_with_a_schedule(tiny):
    """The rates of the steps behind would be others."""
    train(tiny(RECIPE, *SHORT, COSINE))
    longer = tiny(RECIPE, f"budget.images={2 * BUDGET}", *SHORT[1:], COSINE)
    with pytest.raises(InputError, match="over which the learning rate is scheduled"):
        train(longer)


class Given(LearningRateSchedule):
    """A schedule with one factor, whatever it is."""

    def __init__(self, share: float) -> None:
        self.share = share

    def factor(self, images: int, budget: int) -> float:
        return self.share


@pytest.mark.parametrize("share", [-0.5, float("nan"), float("inf"), None])
def test_a_factor_that_is_no_share_of_a_rate_is_refused(share):
    with pytest.raises(InputError) as error:
        rate_factor(Optimization(schedule=Given(share)), 1600, 1616, 4000)
    assert str(error.value) == (
        "optimization.schedule: the factor of Given is a finite number and at least 0, "
        f"not {share} at image 1,600 of 4,000"
    )


@pytest.mark.parametrize("share", [0, 0.0, 1.0, 2.5])
def test_factors_from_0_are_taken(share):
    assert rate_factor(Optimization(schedule=Given(share)), 16, 32, 4000) == share


def test_a_negative_rate_ends_training_in_one_line(tiny, monkeypatch):
    config = tiny(RECIPE, *SHORT, COSINE)
    monkeypatch.setattr(CosineDecay, "factor", lambda self, images, budget: -1.0)
    with pytest.raises(InputError, match=r"^optimization\.schedule: the factor of CosineDecay is "):
        train(config)


class Recorded(LearningRateSchedule):
    """A schedule that says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def factor(self, images: int, budget: int) -> float:
        self.asked.append((images, budget))
        return 1.0


def test_a_schedule_is_asked_for_the_images_before_the_step_and_the_budget():
    schedule = Recorded()
    assert rate_factor(Optimization(schedule=schedule), 32, 48, BUDGET) == 1.0
    assert schedule.asked == [(32, BUDGET)]
