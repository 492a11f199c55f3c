"""The condition on the end of a noise schedule under which samples may begin with pure noise.

Samples begin with sigma_1 eps in place of x_1, which is right where x_1 says nothing about x. With r = alpha_1 / sigma_1
and entries of x in [-1, 1], no mean of x_1 is further than r standard deviations from 0, and KL(N(alpha_1 x, sigma_1^2
I) || N(0, sigma_1^2 I)) = r^2 |x|^2 / 2 is at most r^2 / 2 nats per dimension. Models refuse a schedule with r > 0.1,
beyond 0.005 nats: `check_end`. Of the paths of `genbench.formulas.noise` r is 0 to 0.02, with their default arguments.
"""

from __future__ import annotations

import math

from genbench.formulas.noise import Level, Schedule

__all__ = ["check_end"]

_LARGEST_REST = 0.1


def check_end(end: Level, schedule: Schedule) -> None:
    """Refuse a path that ends with an image in it: samples, which begin with noise alone, would
    follow another law. The bound is derived at the top of this file.

    Args:
        end: The last level of the path, or of the chain that has its levels.
        schedule: The schedule, which the message names.

    Raises:
        ValueError: alpha_1 / sigma_1 is above 0.1.
    """
    is_noise = 0 < end.sigma < math.inf and abs(end.alpha) <= _LARGEST_REST * end.sigma
    if not is_noise:
        raise ValueError(
            f"the schedule {type(schedule).__name__} ends at alpha = {end.alpha:.3g} and "
            f"sigma = {end.sigma:.3g}; right is noise, alpha at most {_LARGEST_REST:g} sigma"
        )
