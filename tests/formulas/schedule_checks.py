"""What every schedule keeps. Each check speaks of the schedule that it was asked about."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genbench.formulas.noise import Schedule
from genbench.formulas.noise_end import check_end
from genbench.rng import Rng

# the noise at t = 0, in units of the image's scale; a tenth is the rest of a straight path
_LARGEST_BEGINNING = 0.12


def name_of(schedule: Schedule) -> str:
    return f"the schedule {type(schedule).__name__}"


def check_close(actual: Tensor, expected: Tensor, message: str, rtol: float, atol: float) -> None:
    torch.testing.assert_close(
        actual, expected, rtol=rtol, atol=atol, msg=lambda numbers: f"{message}: {numbers}"
    )


def values_are_float64(schedule: Schedule) -> None:
    """At times of either type, and of their shape."""
    for dtype in (torch.float32, torch.float64):
        t = torch.linspace(0.1, 0.9, 6, dtype=dtype).view(2, 3)
        for letter, values in (("alpha", schedule.alpha(t)), ("sigma", schedule.sigma(t))):
            assert values.dtype == torch.float64, (
                f"{name_of(schedule)}: {letter} of times in {dtype} is float64, not {values.dtype}"
            )
            assert values.shape == t.shape, (
                f"{name_of(schedule)}: {letter} has the shape of its times, {tuple(t.shape)}, "
                f"not {tuple(values.shape)}"
            )


def path_begins_at_the_image(schedule: Schedule) -> None:
    begin = schedule.level(0.0)
    is_image = abs(begin.alpha - 1) < 1e-6 and 0 <= begin.sigma < _LARGEST_BEGINNING
    assert is_image, (
        f"{name_of(schedule)} begins at alpha = {begin.alpha:.3g} and sigma = {begin.sigma:.3g}; "
        f"right is the image, alpha = 1 and sigma from 0 to {_LARGEST_BEGINNING}"
    )


def noise_grows(schedule: Schedule) -> None:
    """At every time sigma / alpha is larger than before."""
    t = torch.linspace(0, 1, 51, dtype=torch.float64)
    # the last alpha may be 0
    ratio = schedule.sigma(t) / schedule.alpha(t).clamp(min=1e-30)
    assert bool((ratio.diff() > 0).all()), (
        f"{name_of(schedule)}: sigma / alpha grows with t, and does not here: {ratio.tolist()}"
    )


def path_ends_in_noise(schedule: Schedule) -> None:
    """Little is left of the image, and where its scale falls, the noise is standard normal."""
    end = schedule.level(1.0)
    check_end(end, schedule)
    t = torch.linspace(0, 1, 51, dtype=torch.float64)
    keeps_scale = bool((schedule.alpha(t) == 1).all())
    assert keeps_scale or abs(end.sigma - 1) < 0.01, (
        f"{name_of(schedule)} ends at sigma = {end.sigma:.3g}; right is 1 where alpha falls"
    )


def rates_are_differences(schedule: Schedule) -> None:
    h = 1e-6
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    alpha_rate, sigma_rate = schedule.rates(t)
    for letter, function, rate in (
        ("alpha", schedule.alpha, alpha_rate),
        ("sigma", schedule.sigma, sigma_rate),
    ):
        difference = (function(t + h) - function(t - h)) / (2 * h)
        message = f"{name_of(schedule)}: rates(t) is no derivative of {letter} in float64"
        check_close(rate, difference, message, rtol=1e-6, atol=1e-8)


def views_are_inverses(schedule: Schedule) -> None:
    """Each of x, eps, v and the score gives the other three, and v is the derivative of x_t in t."""
    rng = Rng(0, range(9), torch.float64)
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    x = rng.normal((1, 2, 2))
    eps = rng.normal((1, 2, 2))
    x_t = schedule.diffuse(x, eps, t)
    name = name_of(schedule)
    check_close(schedule.noise_of(x, x_t, t), eps, f"{name}: noise_of", 1e-7, 1e-7)
    check_close(schedule.from_noise(eps, x_t, t), x, f"{name}: from_noise", 1e-7, 1e-7)
    h = 1e-6
    speed = (schedule.diffuse(x, eps, t + h) - schedule.diffuse(x, eps, t - h)) / (2 * h)
    check_close(schedule.velocity_of(x, x_t, t), speed, f"{name}: velocity_of", 1e-5, 1e-6)
    for there, back in (
        (schedule.noise_of, schedule.from_noise),
        (schedule.velocity_of, schedule.from_velocity),
        (schedule.score_of, schedule.from_score),
    ):
        view = there(x, x_t, t)
        message = f"{name}: {there.__name__} and {back.__name__} are no inverses"
        check_close(back(view, x_t, t), x, message, 1e-7, 1e-7)
        check_close(there(back(x, x_t, t), x_t, t), x, message, 1e-7, 1e-7)


CHECKS: tuple[Callable[[Schedule], None], ...] = (
    values_are_float64,
    path_begins_at_the_image,
    noise_grows,
    path_ends_in_noise,
    rates_are_differences,
    views_are_inverses,
)
