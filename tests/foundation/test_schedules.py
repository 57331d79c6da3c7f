"""Schedules are pure functions of the step, with values in [0, 1]."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from lowerbound.foundation.schedules import SCHEDULES, constant, cosine, eight_stages, linear_warm_up, one_cycle


@st.composite
def steps(draw):
    num_steps = draw(st.integers(1, 10_000))
    return draw(st.integers(0, num_steps - 1)), num_steps


def learning_rates(make_scheduler, num_steps):
    """What one of torch's schedulers makes of a learning rate of 1."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimiser)
    rates = []
    for _ in range(num_steps):
        rates.append(scheduler.get_last_lr()[0])
        optimiser.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
@given(steps())
def test_a_factor_lies_between_0_and_1_and_depends_on_the_step_alone(schedule, step):
    factor = schedule(*step)
    schedule(0, 7)
    assert 0 <= factor <= 1
    assert schedule(*step) == factor


@given(steps())
def test_constant_is_1(step):
    assert constant(*step) == 1


def test_cosine_is_torchs_cosine_annealing():
    expected = learning_rates(lambda optimiser: CosineAnnealingLR(optimiser, T_max=30), 30)
    assert [cosine(step, 30) for step in range(30)] == pytest.approx(expected)


def test_cosine_starts_at_1_and_would_reach_0_at_the_step_after_the_last():
    assert cosine(0, 10) == 1
    assert cosine(10, 10) == pytest.approx(0)


def test_one_cycle_is_torchs_one_cycle_with_a_quarter_of_rising():
    num_steps = 40
    # torch puts its peak and its end on steps counted from 0; ours end one step after the last.
    expected = learning_rates(
        lambda optimiser: OneCycleLR(
            optimiser,
            max_lr=1.0,
            total_steps=num_steps + 1,
            pct_start=(0.25 * num_steps + 1) / (num_steps + 1),
            div_factor=25,
            final_div_factor=math.inf,
        ),
        num_steps,
    )
    assert [one_cycle(step, num_steps) for step in range(num_steps)] == pytest.approx(expected)


@given(st.integers(1, 2_000))
def test_one_cycle_starts_low_peaks_at_a_quarter_and_falls_to_0(quarter):
    num_steps = 4 * quarter
    assert one_cycle(0, num_steps) == pytest.approx(0.04)
    assert one_cycle(quarter, num_steps) == 1
    assert one_cycle(num_steps, num_steps) == pytest.approx(0)


@given(steps())
def test_one_cycle_rises_before_its_peak_and_falls_after_it(step):
    step, num_steps = step
    here, there = one_cycle(step, num_steps), one_cycle(step + 1, num_steps)
    assume(step + 1 <= num_steps / 4 or step >= num_steps / 4)
    assert (there > here) == (step + 1 <= num_steps / 4)


@given(st.floats(0.1, 5_000), st.integers(0, 6_000))
def test_warm_up_rises_in_a_line_to_1_and_stays_there(num_warm_up_steps, step):
    here, there = (linear_warm_up(at, num_warm_up_steps) for at in (step, step + 1))
    assert 0 < here <= there <= 1
    assert here == pytest.approx(min(1.0, (step + 1) / num_warm_up_steps))
    assert (here == 1) == (step + 1 >= num_warm_up_steps)


@given(st.integers(0, 100))
def test_without_warm_up_the_factor_is_1_from_the_first_step(step):
    assert linear_warm_up(step, 0.0) == 1


def test_the_eight_stages_are_those_of_the_paper():
    # Passes of each stage, and its learning rate in units of 1e-4, as published.
    stages = {10.0: 1, 7.2: 3, 5.2: 9, 3.7: 27, 2.7: 81, 1.9: 243, 1.4: 729, 1.0: 2187}
    expected = [rate for rate, passes in stages.items() for _ in range(passes)]
    assert [10 * eight_stages(step, 3280) for step in range(3280)] == pytest.approx(expected)
    # Two steps a pass, and a tenth of the passes: the proportions stay.
    assert [10 * eight_stages(step, 6560) for step in range(0, 6560, 2)] == pytest.approx(expected)
    assert [10 * eight_stages(step, 328) for step in range(328)] == pytest.approx(expected[::10])
