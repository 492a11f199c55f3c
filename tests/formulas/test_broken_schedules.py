"""The checks of schedules see what is wrong: paths broken on purpose, each by one line that a new schedule may well have."""

from __future__ import annotations

import math

import pytest
from conftest import parts_of
from schedule_checks import CHECKS
from torch import Tensor

from genbench.formulas.noise import Karras, Linear, Schedule, Straight


class Circle(Schedule):
    """A path of one's own that is right: a quarter of a circle."""

    def alpha(self, t: Tensor) -> Tensor:
        return (t.double() * math.pi / 2).cos()

    def sigma(self, t: Tensor) -> Tensor:
        return (t.double() * math.pi / 2).sin()


class HalvedRates(Circle):
    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha_rate, sigma_rate = super().rates(t)
        return alpha_rate / 2, sigma_rate / 2


class HalfWay(Circle):
    def alpha(self, t: Tensor) -> Tensor:
        return super().alpha(t / 2)

    def sigma(self, t: Tensor) -> Tensor:
        return super().sigma(t / 2)


class LittleNoise(Circle):
    def sigma(self, t: Tensor) -> Tensor:
        return 0.3 * super().sigma(t)


class NoisyBeginning(Circle):
    def sigma(self, t: Tensor) -> Tensor:
        return 0.3 + 0.7 * super().sigma(t)


class Float32(Circle):
    def sigma(self, t: Tensor) -> Tensor:
        return (t.float() * math.pi / 2).sin()


class Float32Inside(Circle):
    def sigma(self, t: Tensor) -> Tensor:
        return (t.float() * math.pi / 2).sin().double()


class TypeOfTheTimes(Circle):
    def alpha(self, t: Tensor) -> Tensor:
        return (t * math.pi / 2).cos()


class Interchanged(Circle):
    def alpha(self, t: Tensor) -> Tensor:
        return super().sigma(t)

    def sigma(self, t: Tensor) -> Tensor:
        return super().alpha(t)


class BackAndForth(Circle):
    def sigma(self, t: Tensor) -> Tensor:
        return (t.double() * 5 * math.pi / 2).sin().abs()


BROKEN = (
    (HalvedRates(), "rates_are_differences"),
    (HalfWay(), "path_ends_in_noise"),
    (LittleNoise(), "path_ends_in_noise"),
    (NoisyBeginning(), "path_begins_at_the_image"),
    (Float32(), "values_are_float64"),
    (Float32Inside(), "rates_are_differences"),
    (TypeOfTheTimes(), "values_are_float64"),
    (Interchanged(), "path_begins_at_the_image"),
    (Interchanged(), "path_ends_in_noise"),
    (BackAndForth(), "noise_grows"),
)
BY_NAME = {check.__name__: check for check in CHECKS}


@pytest.mark.parametrize(("schedule", "check"), BROKEN)
def test_a_broken_schedule_fails_and_is_named(schedule, check):
    with pytest.raises(
        (AssertionError, ValueError), match=f"he schedule {type(schedule).__name__}"
    ):
        BY_NAME[check](schedule)


@pytest.mark.parametrize("check", BY_NAME)
def test_a_schedule_of_ones_own_that_is_right_passes(check):
    BY_NAME[check](Circle())


def test_schedules_of_recipes_are_found_with_their_arguments():
    noise = "genbench.formulas.noise"
    tree = {
        "model": {"teacher": {"schedule": {"class_path": f"{noise}.Straight", "sigma_min": 0.2}}},
        "optimization": {
            "schedule": {"class_path": "genbench.formulas.learning_rate.CosineDecay"},
        },
        "smoke": {"model.schedule": {"class_path": f"{noise}.Karras"}},
    }
    assert parts_of(tree, Schedule) == {
        "Straight(sigma_min=0.2)": Straight(0.2),
        "Karras()": Karras(),
    }


def test_schedules_of_the_shipped_recipes_are_found():
    from test_noise import OF_RECIPES

    assert {Straight(), Linear(), Karras()} <= set(OF_RECIPES.values())
