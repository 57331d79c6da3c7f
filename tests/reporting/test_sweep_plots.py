"""Figures of a sweep."""

import pytest
from matplotlib.colors import to_hex

from lowerbound.reporting import theme
from lowerbound.reporting.sweep_plots import frontier_in_words, plotted_scores, rate_distortion, scores_against_values
from sweep_points import point, results_of, sweep_of

pytestmark = pytest.mark.usefixtures("coarse_figures")
BETA, LATENTS = "objective.rate_weight", "model.latent_dim"


def three(path):
    """Two points on the frontier, and one that both beat."""
    places = {0.1: (5, 20), 1: (2, 22), 10: (6, 23)}
    return sweep_of(path, *(point(path, {BETA: value}, results_of(*place)) for value, place in places.items()))


def test_points_lie_at_rate_and_distortion_the_line_follows_the_hull_and_only_the_frontier_is_filled(tmp_path):
    (plane,) = three(tmp_path).planes()
    axes = rate_distortion(plane).axes[0]
    markers = {tuple(line[0].get_xydata()[0]): line[0] for line in axes.containers}
    assert markers.keys() == {(5, 20), (2, 22), (6, 23)}
    hollow = [place for place, marker in markers.items() if to_hex(marker.get_markerfacecolor()) == "#ffffff"]
    assert hollow == [(6, 23)]
    (hull,) = (line for line in axes.lines if to_hex(line.get_color()) == theme.HELD_OUT)
    assert hull.get_xydata().tolist() == [[2, 22], [5, 20]]
    assert frontier_in_words(plane).startswith("Pareto set, by increasing rate: (rate_weight=1), (rate_weight=0.1).")


def test_along_each_dotted_line_the_elbo_is_the_one_that_is_written_there(tmp_path):
    axes = rate_distortion(three(tmp_path).planes()[0]).axes[0]
    dotted = [line.get_xydata() for line in axes.lines if line.get_linestyle() == ":"]
    sums = {round(float(total), 6) for line in dotted for total in line.sum(1)}
    texts = [text.get_text().removeprefix("ELBO ") for text in axes.texts if "ELBO" in text.get_text()]
    named = {-float(text.replace("−", "-")) for text in texts}
    assert len(named) >= 3
    assert sums == named


def test_names_of_points_cover_no_other_name(tmp_path):
    close = [point(tmp_path, {BETA: value}, results_of(1 + value / 100, 20 - value / 50)) for value in range(4)]
    axes = rate_distortion(sweep_of(tmp_path, *close, *three(tmp_path).points).planes()[0]).axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if "ELBO" not in text.get_text()]
    assert len(boxes) == 7
    assert not any(one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[:index])


def test_scores_have_a_logarithmic_axis_over_a_wide_range_and_a_line_for_each_other_value(tmp_path):
    points = [
        point(tmp_path, {"model.posterior": name, BETA: value}, results_of(value, 20, mig=value / 10))
        for name in ("diagonal-normal", "full-normal")
        for value in (10, 0.1, 1)
    ]
    results = sweep_of(tmp_path, *points)
    assert plotted_scores(results) == ["elbo", "mig"]
    figure = scores_against_values(results)
    axes = figure.axes[1]
    assert axes.get_xscale() == "log"
    assert [line[0].get_xdata().tolist() for line in axes.containers] == [[0.1, 1, 10]] * 2
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["posterior=diagonal-normal", "posterior=full-normal"]


def test_names_are_places_of_their_own_and_are_not_joined_by_lines(tmp_path):
    places = {"vae": 1, "$x_": 2}
    points = [point(tmp_path, {"objective.preset": name}, results_of(1, place)) for name, place in places.items()]
    axes = scores_against_values(sweep_of(tmp_path, *points)).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["vae", "$x_"]
    assert axes.containers[0][0].get_linestyle() == "None"


def test_scores_that_do_not_differ_are_not_plotted(tmp_path):
    points = [point(tmp_path, {BETA: value}, results_of(value, 20, grey_floor=9, active_units=2)) for value in (1, 2)]
    assert plotted_scores(sweep_of(tmp_path, *points)) == ["elbo"]
