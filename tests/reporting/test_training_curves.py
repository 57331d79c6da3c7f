"""Training curves: signs, panels, the epoch that was kept."""

import dataclasses

import pytest

from lowerbound.reporting.plots import PLOTS


def test_curves_show_minus_the_bounds_and_mark_the_epoch_that_was_kept(make_results):
    figure = PLOTS["curves"].draw(make_results())
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert set(panels) == {"−ELBO", "distortion", "rate"}
    train, monitored, *_, kept = panels["−ELBO"].lines
    assert list(train.get_ydata()) == [31, 30, 29]
    assert list(monitored.get_ydata()) == [32, 31, 30]
    assert (list(kept.get_xdata()), list(kept.get_ydata())) == ([2], [31])


def test_an_objective_other_than_the_elbo_has_a_panel_of_its_own(make_results):
    results = make_results()
    for record in results.history:
        record["train"]["objective"] -= 4
    titles = [axes.get_title(loc="left") for axes in PLOTS["curves"].draw(results).axes]
    assert "−objective (the training loss)" in titles


@pytest.mark.parametrize(("monitored", "name"), [("test", "test (monitored)"), ("validation", "validation")])
def test_the_held_out_curve_is_named_after_its_split(make_results, monitored, name):
    results = make_results(context={"data": {"monitored": monitored}})
    (legend,) = PLOTS["curves"].draw(results).legends
    assert [text.get_text() for text in legend.get_texts()] == ["train", name, "kept: epoch 2"]


def test_a_penalty_has_a_panel_of_its_own_in_its_own_unit(make_results):
    results = make_results()
    for number, record in enumerate(results.history):
        for split in ("train", "validation"):
            record[split]["penalties"] = {"mmd": 0.1 * number}
    panels = {axes.get_title(loc="left"): axes for axes in PLOTS["curves"].draw(results).axes}
    assert list(panels["mmd"].lines[0].get_ydata()) == pytest.approx([0, 0.1, 0.2])
    assert panels["mmd"].get_ylabel() == "of a batch"
    assert panels["rate"].get_ylabel() == "nats per image"


def test_the_first_epochs_do_not_set_the_scale_and_are_given_as_numbers(make_results):
    results = make_results()
    (first, *_), history = results.history, []
    for epoch in range(1, 25):
        terms = {"distortion": 20 + 400 / epoch**3, "elbo": -22 - 400 / epoch**3, "objective": -22 - 400 / epoch**3}
        record = first | {"epoch": epoch, "is_best": epoch == 24}
        history.append(record | {split: first[split] | terms for split in ("train", "validation")})
    context = results.context | {"training": {}}
    figure = PLOTS["curves"].draw(dataclasses.replace(results, history=tuple(history), context=context))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    low, high = panels["distortion"].get_ylim()
    assert low < 20.03 and 20 + 400 / 4**3 < high < 30
    assert panels["distortion"].get_title(loc="right") == "epoch 1: 420.00 and 420.00"
    assert panels["rate"].get_title(loc="right") == ""  # it is constant


def test_an_early_epoch_that_was_kept_is_within_the_scale(make_results):
    results = make_results()
    history = [results.history[0] | {"epoch": epoch, "is_best": epoch == 1} for epoch in range(1, 25)]
    for record in history:
        distortion = 90.0 if record["epoch"] == 1 else 20.0 + record["epoch"] / 10
        for split in ("train", "validation"):
            record[split] = record[split] | {"distortion": distortion}
    context = results.context | {"training": {"best_epoch": 1}}
    figure = PLOTS["curves"].draw(dataclasses.replace(results, history=tuple(history), context=context))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert panels["distortion"].get_ylim()[1] > 90
