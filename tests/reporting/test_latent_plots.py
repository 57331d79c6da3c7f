"""The latent space: labels, colours, names among the dots."""

import numpy as np
import pytest

from lowerbound.reporting import latent_plots
from lowerbound.reporting.latent_plots import MAX_CATEGORIES, categories, push_apart
from lowerbound.reporting.plots import PLOTS


def shown_of(results):
    return list(categories(results, results.arrays["labels"]))


def test_the_latent_pair_is_the_two_dimensions_of_greatest_variance(make_results):
    results = make_results(latent_dim=8)
    results.arrays["latent_mean"][:, 5] *= 100
    results.arrays["latent_mean"][:, 2] *= 50
    axes = PLOTS["latent_pair"].draw(results).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_{6}$", "$z_{3}$")


def test_the_legend_names_every_label_and_the_prior_only_where_it_has_a_contour(make_results):
    names = [f"kind {label}" for label in range(10)]
    for variational, others in ((True, ["95 % of the prior"]), (False, [])):
        figure = PLOTS["latent_space"].draw(make_results(variational=variational))
        assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == others + names


def test_codes_of_all_splits_are_drawn_where_results_have_them_those_of_the_test_split_larger_and_on_top(make_results):
    results = make_results(num_labels=3)
    results.arrays["latent_mean_train"] = np.full((7, 2), 9.0, np.float32)
    results.arrays["latent_mean_validation"] = np.full((5, 2), -9.0, np.float32)
    results.arrays["labels_train"], results.arrays["labels_validation"] = np.arange(7) % 3, np.arange(5) % 3
    figure = PLOTS["latent_space"].draw(results)
    others, test = figure.axes[0].collections
    assert (len(others.get_offsets()), len(test.get_offsets())) == (12, 200)
    assert others.get_sizes()[0] < test.get_sizes()[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["test", "train, validation"]


def test_more_dots_than_a_page_can_hold_are_thinned_out_and_the_figure_says_so(make_results, monkeypatch):
    monkeypatch.setattr(latent_plots, "MAX_DOTS", 50)
    axes = PLOTS["latent_space"].draw(make_results()).axes[0]
    assert sum(len(dots.get_offsets()) for dots in axes.collections) == 50
    assert axes.get_title(loc="left") == "50 of 200 test images"


@pytest.mark.parametrize("num_labels", [1, 10, 20, 21, 57])
def test_categories_hold_every_example_once_and_look_different(make_results, num_labels):
    shown = shown_of(make_results(num_labels=num_labels))
    assert len(shown) == min(num_labels, MAX_CATEGORIES + 1)
    assert (np.sum([row.members for row in shown], axis=0) == 1).all()
    assert len({(row.colour, row.marker) for row in shown}) == len(shown)


def test_the_labels_that_share_a_grey_are_the_rarest(make_results):
    results = make_results(num_labels=22, num_examples=220)
    results.arrays["labels"][results.arrays["labels"] == 3] = 0
    results.arrays["labels"][results.arrays["labels"] == 8] = 1
    results.arrays["labels"][:2] = (3, 8)
    *named, others = shown_of(results)
    assert {"kind 3", "kind 8"}.isdisjoint(row.name for row in named)
    assert others.name == "2 others"
    assert others.members.sum() == 2


def test_a_label_without_a_name_is_its_number(make_results):
    results = make_results(num_labels=3, context={"data": {"label_names": ["$5_{$", "é"]}})
    assert [row.name for row in shown_of(results)] == ["$5_{$", "é", "2"]


def test_names_among_dots_are_pushed_apart_only_where_they_meet():
    points = np.array([[0.0, 0.0], [0.1, 0.0], [0.1, 0.0], [9.0, 9.0]])
    apart = push_apart(points, distance=1.0)
    distances = np.linalg.norm(apart[:, None] - apart[None], axis=-1)[np.triu_indices(4, 1)]
    assert distances.min() > 0.99
    np.testing.assert_array_equal(apart[3], points[3])
