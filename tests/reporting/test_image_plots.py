"""Figures of decoded images: every tile stands at its place."""

import numpy as np
import pytest

from lowerbound.reporting.plots import PLOTS, plots_for


@pytest.mark.parametrize(("channels", "number_of_notes"), [(1, 0), (3, 0), (5, 1)])
def test_a_figure_says_which_channel_it_shows_where_it_does_not_show_all(make_results, channels, number_of_notes):
    results = make_results(image_shape=(8, 8, channels))
    notes = [text.get_text() for text in PLOTS["samples"].draw(results).texts]
    assert len(notes) == number_of_notes
    assert all("first of 5 channels" in note for note in notes)


def test_the_tile_of_a_manifold_stands_where_its_latents_say(make_results):
    results = make_results(manifold_sizes=(3,))
    brightness = np.arange(9, dtype=np.float32) / 10
    results.arrays["manifold_3"] = np.broadcast_to(brightness[:, None, None, None], (9, 8, 8, 1))
    axes = plots_for(results)["manifold_3"].draw(results).axes[0]
    picture = axes.images[0].get_array()
    columns = {tick.get_text(): at for tick, at in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    rows = {tick.get_text(): at for tick, at in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    # In the array the greatest second latent, here 3.00, comes first.
    for row, vertical in enumerate(("3.00", "1.00", "−1.00")):
        for column, horizontal in enumerate(("−2.00", "0.00", "2.00")):
            value = picture[round(rows[vertical]), round(columns[horizontal]), 0]
            assert value == round(255 * (3 * row + column) / 10)


def test_originals_stand_above_their_reconstructions(make_results):
    results = make_results()
    results.arrays["originals"] = np.full((13, 8, 8, 1), 0.8, dtype=np.float32)
    results.arrays["reconstructions"] = np.full((13, 8, 8, 1), 0.2, dtype=np.float32)
    axes = PLOTS["reconstructions"].draw(results).axes[0]
    picture = axes.images[0].get_array()
    named = [(text.get_text(), picture[round(text.get_position()[1]), 20, 0]) for text in axes.texts]
    assert sorted(named) == [("original", 204)] * 2 + [("reconstructed", 51)] * 2


def test_traversals_have_a_row_for_each_dimension_counted_from_one(make_results):
    axes = PLOTS["traversals"].draw(make_results(latent_dim=3)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$z_{1}$", "$z_{2}$", "$z_{3}$"]
    percent = [label.get_text() for label in axes.get_xticklabels()]
    assert (percent[0], percent[5], percent[10]) == ("5 %", "50 %", "95 %")


def test_a_manifold_says_how_many_codes_lie_outside_its_range(make_results):
    results = make_results(manifold_sizes=(3,))  # from -2 to 2 and from -1 to 3
    code = np.zeros((200, 2), dtype=np.float32)
    notes = []
    for outside in (0, 1, 50):
        code[:outside] = [0, -1.5]
        results.arrays["latent_mean"] = code
        notes.append([text.get_text() for text in plots_for(results)["manifold_3"].draw(results).texts])
    assert notes == [
        [],
        ["under 1 % of the test images have codes outside this range"],
        ["25 % of the test images have codes outside this range"],
    ]
