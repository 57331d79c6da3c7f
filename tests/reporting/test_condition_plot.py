"""The figure of one code under every label has a column for each, with its name."""

import numpy as np
import pytest

from lowerbound.reporting.condition_plot import recoded
from lowerbound.reporting.model_graph import model_graph
from lowerbound.reporting.wording import lead

pytestmark = pytest.mark.usefixtures("coarse_figures")


def test_every_level_has_a_column_that_is_named(make_results):
    figure = recoded(make_results(num_levels=3))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["original", *["kind of dig…"] * 3]


def test_rows_begin_with_the_original(make_results):
    results = make_results(num_levels=2, image_shape=(4, 4, 1))
    results.arrays["recoded_originals"][:] = 0.0
    results.arrays["recoded"][:] = 1.0
    picture = np.asarray(recoded(results).axes[0].images[0].get_array())
    middle = picture.shape[0] // 4
    columns = picture.shape[1] // 3
    shades = [picture[middle, number * columns + columns // 2, 0] for number in range(3)]
    assert shades[0] < 10
    assert min(shades[1:]) > 245


def test_the_graph_and_the_first_sentence_say_what_is_given(make_results):
    results = make_results(num_levels=3)
    texts = [text.get_text() for text in model_graph(results).axes[0].texts]
    assert r"$p_\theta(x\,|\,z, y)\;p_\theta(z\,|\,y)$" in texts
    assert r"$q_\phi(z\,|\,x, y)$" in texts
    assert "given, y: kind" in texts
    assert "every log p(x) is log p(x|y)" in lead(results)
    plain = [text.get_text() for text in model_graph(make_results()).axes[0].texts]
    assert r"$p_\theta(x\,|\,z)\;p(z)$" in plain
