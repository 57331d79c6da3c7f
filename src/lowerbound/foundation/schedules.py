"""Learning-rate schedules: functions from a step in [0, num_steps) to a factor in [0, 1] of the peak rate.

They are pure functions, so resuming a run needs only the step.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int, int], float]


def constant(step: int, num_steps: int) -> float:
    """1 throughout."""
    return 1.0


def cosine(step: int, num_steps: int) -> float:
    """From 1 to 0 along half a cosine.

    Source: Loshchilov and Hutter, "SGDR", arXiv:1608.03983, Equation 5 without restarts.
    """
    return 0.5 * (1 + math.cos(math.pi * step / num_steps))


def one_cycle(step: int, num_steps: int, rise: float = 0.25, start: float = 0.04) -> float:
    """From `start` up to 1 over the first `rise` of training, then down to 0; both along half a cosine.

    Source: Smith and Topin, "Super-Convergence", arXiv:1708.07120; cosine arms as in common use.
    """
    peak = rise * num_steps
    if step < peak:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * step / peak))
    return 0.5 * (1 + math.cos(math.pi * (step - peak) / (num_steps - peak)))


def eight_stages(step: int, num_steps: int) -> float:
    """Down from 1 to 0.1 in eight stages, each three times as long as the one before: 1, 3, 9 ... 2187 passes of 3280.

    Source: Burda, Grosse and Salakhutdinov, arXiv:1509.00519, Section 5; rates rounded as in their published code.
    """
    passes = 3280 * step / num_steps
    # Stage i begins after 1 + 3 + ... + 3^(i-1) = (3^i - 1) / 2 passes.
    stage = next(i for i in range(8) if passes < (3 ** (i + 1) - 1) / 2 or i == 7)
    return round(10 ** (1 - stage / 7), 1) / 10


def linear_warm_up(step: int, num_warm_up_steps: float) -> float:
    """From just above 0 to 1 over `num_warm_up_steps`, then 1."""
    return min(1.0, (step + 1) / num_warm_up_steps) if num_warm_up_steps > 0 else 1.0


SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "eight-stages": eight_stages,
}
