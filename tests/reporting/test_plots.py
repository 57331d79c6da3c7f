import dataclasses
import math
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch
from PIL import Image

from lowerbound.reporting import theme
from lowerbound.reporting.latent_plots import MAX_CATEGORIES, categories, spread
from lowerbound.reporting.plots import BOUND, PLOTS, plots_for
from lowerbound.reporting.posterior_plots import SHARES, density_level
from lowerbound.reporting.tiles import centres, compose, displayable, fitted

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

KINDS = {
    "two latents": {},
    "one latent": {"latent_dim": 1},
    "eight latents": {"latent_dim": 8},
    "deterministic": {"variational": False},
    "colour": {"image_shape": (6, 10, 3), "num_labels": 0, "manifold_sizes": (3,)},
    "five channels": {"image_shape": (20, 7, 5), "num_labels": 30, "manifold_sizes": (4,)},
    "large": {"image_shape": (256, 256, 3), "num_labels": 0, "manifold_sizes": (3,)},
    "full evaluated, one latent": {"latent_dim": 1, "full": True},
    "full evaluated, two latents": {"full": True, "image_shape": (6, 10, 3)},
    "rows of a table": {"rows": True, "num_labels": 0, "latent_dim": 3},
    "rows of a table, two latents": {"rows": True, "num_labels": 0, "full": True},
}

ALWAYS = {"reconstructions"}
VARIATIONAL = ALWAYS | {"graph", "curves", "samples", "rates"}
MEASURED = {"bound_sweep", "inference_gaps"}
ROWS = {"graph", "curves", "rates", "drawn_elements", "reconstructed_elements"}
EXPECTED = {
    "two latents": VARIATIONAL | {"latent_space", "manifold_15", "manifold_20"},
    "one latent": VARIATIONAL | {"latent_line"},
    "eight latents": VARIATIONAL | {"latent_pair", "traversals"},
    "deterministic": ALWAYS | {"reconstruction_error", "latent_space"},
    "colour": VARIATIONAL | {"latent_space", "manifold_3"},
    "five channels": VARIATIONAL | {"latent_space", "manifold_4"},
    "large": VARIATIONAL | {"latent_space", "manifold_3"},
    "full evaluated, one latent": VARIATIONAL | MEASURED | {"latent_line"},
    "full evaluated, two latents": VARIATIONAL
    | MEASURED
    | {"true_posterior", "latent_space", "manifold_15", "manifold_20"},
    "rows of a table": ROWS | {"latent_pair"},
    "rows of a table, two latents": ROWS | {"true_posterior", "latent_space"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_plots_that_apply_are_drawn_and_no_others(make_results, kind):
    results = make_results(**KINDS[kind])
    plots = plots_for(results)
    assert set(plots) == EXPECTED[kind]
    for plot in plots.values():
        assert theme.png(plot.draw(results)).startswith(PNG_SIGNATURE)


def test_the_kinds_of_results_above_reach_every_row_of_the_table():
    assert set(PLOTS) <= set().union(*EXPECTED.values())


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_has_a_title_and_a_caption_of_whole_sentences(name):
    plot = PLOTS[name]
    assert plot.title
    assert len(plot.caption) > 100
    assert plot.caption.endswith(".")
    assert "\n" not in plot.caption
    assert "  " not in plot.caption


@pytest.mark.parametrize("name", ["graph", "curves", "latent_space", "reconstructions"])
def test_the_same_results_give_the_same_bytes_whatever_the_settings_of_the_user(make_results, name):
    results = make_results()
    first = [render(PLOTS[name].draw(results)) for render in (theme.png, theme.svg)]
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.hashsalt": None, "figure.dpi": 50}):
        second = [render(PLOTS[name].draw(results)) for render in (theme.png, theme.svg)]
    assert first == second


def test_drawing_leaves_the_settings_of_the_user_alone(make_results):
    before = dict(matplotlib.rcParams)
    theme.png(PLOTS["curves"].draw(make_results()))
    assert dict(matplotlib.rcParams) == before


def test_without_a_history_there_are_no_curves(make_results):
    for variational in (True, False):
        results = dataclasses.replace(make_results(variational=variational), history=())
        assert not {"curves", "reconstruction_error"} & set(plots_for(results))


@pytest.mark.parametrize(
    ("kind", "names"),
    [("two latents", ["graph", "curves", "latent_space"]), ("deterministic", ["reconstruction_error"])],
)
def test_plots_that_read_the_context_can_do_without_it(make_results, kind, names):
    results = dataclasses.replace(make_results(**KINDS[kind]), context={})
    for name in names:
        assert theme.png(PLOTS[name].draw(results)).startswith(PNG_SIGNATURE)


def test_tile_k_stands_in_row_k_by_columns_and_column_k_modulo_columns():
    tiles = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), dtype=np.uint8)
    picture = compose(tiles, columns=3, gap=1)
    assert picture.shape == (2 * 2 + 1, 3 * 3 + 2, 3)
    for k in range(6):
        top, left = (k // 3) * 3, (k % 3) * 4
        assert (picture[top : top + 2, left : left + 3] == k).all()
    assert (picture[2] == 255).all()
    assert (picture[:, [3, 7]] == 255).all()


def test_a_short_last_row_is_made_up_with_white():
    picture = compose(np.zeros((5, 2, 2, 3), dtype=np.uint8), columns=3)
    assert (picture[2:, 4:] == 255).all()
    assert picture.sum() == 255 * 2 * 2 * 3


def test_centres_are_the_middles_of_the_composed_tiles():
    tiles = np.zeros((4, 5, 5, 3), dtype=np.uint8)
    tiles[:, 2, 2] = 9
    rows, columns, _ = np.nonzero(compose(tiles, columns=4, gap=2) == 9)
    assert set(rows) == {2}
    np.testing.assert_array_equal(np.unique(columns), centres(4, 5, gap=2))


def test_fitted_tiles_are_enlarged_without_new_values_and_shrunk_to_averages():
    tiles = np.array([0, 60, 120, 240], dtype=np.uint8).reshape(1, 2, 2, 1).repeat(3, axis=3)
    large = fitted(tiles, 6, 10)
    np.testing.assert_array_equal(large, tiles.repeat(3, axis=1).repeat(3, axis=2))
    np.testing.assert_array_equal(fitted(large, 2, 2), tiles)
    assert fitted(tiles, 1, 1).ravel().tolist() == [105] * 3


@pytest.mark.parametrize(("shape", "box"), [((8, 8), (37, 37)), ((30, 10), (50, 20)), ((3, 40), (25, 100))])
def test_fitted_tiles_fill_the_box_in_one_direction_and_keep_their_proportions(shape, box):
    height, width = fitted(np.zeros((2, *shape, 3), dtype=np.uint8), *box).shape[1:3]
    assert width == box[0] or height == box[1]
    assert width <= box[0] and height <= box[1]
    assert abs(height * shape[1] - width * shape[0]) <= max(shape)


def test_one_channel_is_shown_grey_three_as_colours_and_of_five_the_first():
    images = np.random.default_rng(0).uniform(size=(2, 4, 4, 5)).astype(np.float32)
    first = np.rint(images[..., 0] * 255)
    for channels in (1, 5):
        shown = displayable(images[..., :channels])
        assert all((shown[..., channel] == first).all() for channel in range(3))
    np.testing.assert_array_equal(displayable(images[..., :3]), np.rint(images[..., :3] * 255))


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


def test_an_image_is_drawn_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    figure, _ = theme.image_figure(image, left=0.1, top=0.05)
    with Image.open(BytesIO(theme.png(figure))) as opened:
        drawn = np.asarray(opened.convert("RGB"))
    assert drawn.shape == (50, 80, 3)
    np.testing.assert_array_equal(drawn[10:, 20:], image)


def test_traversals_have_a_row_for_each_dimension_counted_from_one(make_results):
    axes = PLOTS["traversals"].draw(make_results(latent_dim=3)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["$z_{1}$", "$z_{2}$", "$z_{3}$"]
    percent = [label.get_text() for label in axes.get_xticklabels()]
    assert (percent[0], percent[5], percent[10]) == ("5 %", "50 %", "95 %")


def test_rates_are_ordered_from_the_most_used_dimension(make_results):
    axes = PLOTS["rates"].draw(make_results(latent_dim=4)).axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == sorted(heights, reverse=True)
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"$z_{{{i}}}$" for i in (4, 3, 2, 1)]


def test_the_latent_pair_is_the_two_dimensions_of_greatest_variance(make_results):
    results = make_results(latent_dim=8)
    results.arrays["latent_mean"][:, 5] *= 100
    results.arrays["latent_mean"][:, 2] *= 50
    axes = PLOTS["latent_pair"].draw(results).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_{6}$", "$z_{3}$")


def test_the_legend_names_every_label_and_no_prior_where_there_is_none(make_results):
    names = [f"kind {label}" for label in range(10)]
    for variational, others in ((True, ["95 % of\nthe prior"]), (False, [])):
        axes = PLOTS["latent_space"].draw(make_results(variational=variational)).axes[0]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == names + others


@pytest.mark.parametrize("num_labels", [1, 10, 20, 21, 57])
def test_categories_hold_every_example_once_and_look_different(make_results, num_labels):
    shown = list(categories(make_results(num_labels=num_labels)))
    assert len(shown) == min(num_labels, MAX_CATEGORIES + 1)
    assert (np.sum([row.members for row in shown], axis=0) == 1).all()
    assert len({(row.colour, row.marker) for row in shown}) == len(shown)


def test_the_labels_that_share_a_grey_are_the_rarest(make_results):
    results = make_results(num_labels=22, num_examples=220)
    results.arrays["labels"][results.arrays["labels"] == 3] = 0
    results.arrays["labels"][results.arrays["labels"] == 8] = 1
    results.arrays["labels"][:2] = (3, 8)
    *named, others = categories(results)
    assert {"kind 3", "kind 8"}.isdisjoint(row.name for row in named)
    assert others.name == "2 others"
    assert others.members.sum() == 2


def test_a_label_without_a_name_is_its_number(make_results):
    results = make_results(num_labels=3, context={"data": {"label_names": ["$5_{$", "é"]}})
    assert [row.name for row in categories(results)] == ["$5_{$", "é", "2"]


def test_names_among_dots_are_pushed_apart_only_where_they_meet():
    points = np.array([[0.0, 0.0], [0.1, 0.0], [0.1, 0.0], [9.0, 9.0]])
    apart = spread(points, distance=1.0)
    distances = np.linalg.norm(apart[:, None] - apart[None], axis=-1)[np.triu_indices(4, 1)]
    assert distances.min() > 0.99
    np.testing.assert_array_equal(apart[3], points[3])


def test_the_colours_of_labels_are_distinct_and_dark_enough_for_white_paper():
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    assert len(set(theme.CATEGORIES)) == 10
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in theme.CATEGORIES)


def test_curves_show_minus_the_bounds_and_mark_the_epoch_that_was_kept(make_results):
    figure = PLOTS["curves"].draw(make_results())
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert set(panels) == {"−ELBO", "distortion", "rate"}
    train, watched, *_, kept = panels["−ELBO"].lines
    assert list(train.get_ydata()) == [31, 30, 29]
    assert list(watched.get_ydata()) == [32, 31, 30]
    assert (list(kept.get_xdata()), list(kept.get_ydata())) == ([2], [31])


def test_an_objective_other_than_the_elbo_has_a_panel_of_its_own(make_results):
    results = make_results()
    for record in results.history:
        record["train"]["objective"] -= 4
    titles = [axes.get_title(loc="left") for axes in PLOTS["curves"].draw(results).axes]
    assert "−objective, what is minimised" in titles


@pytest.mark.parametrize(("watched", "name"), [("test", "test, watched"), ("validation", "validation")])
def test_the_watched_curve_is_named_after_its_split(make_results, watched, name):
    results = make_results(context={"data": {"watched": watched}})
    (legend,) = PLOTS["curves"].draw(results).legends
    assert [text.get_text() for text in legend.get_texts()] == ["train", name, "kept: epoch 2"]


def test_the_arrows_of_the_graph_meet_the_borders_of_its_nodes(make_results):
    figure = PLOTS["graph"].draw(make_results())
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    heads = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch) and patch.get_linewidth() == 0]
    assert len(heads) == 4
    for head in heads:
        tips = axes.transData.inverted().transform(head.get_transform().transform(head.get_path().vertices))
        gaps = [abs(math.dist(tip, circle.center) - circle.radius) for tip in tips for circle in circles]
        assert min(gaps) < 0.03


def test_the_sweep_shows_the_mean_bound_of_each_k_below_the_exact_line(make_results):
    results = make_results(full=True)
    axes = PLOTS["bound_sweep"].draw(results).axes[0]
    bound = axes.containers[0].lines[0]
    np.testing.assert_allclose(bound.get_xdata(), [1, 10, 100])
    np.testing.assert_allclose(bound.get_ydata(), results.arrays["sweep_bounds"].mean(1), rtol=1e-6)
    exact = next(line for line in axes.lines if line.get_label() == "log p(x), exact")
    assert exact.get_ydata()[0] == pytest.approx(results.arrays["log_evidence_per_image"].mean())
    assert axes.get_title(loc="left") == "30 test images, grey pixels"


def test_a_level_of_fewer_images_than_the_sweep_is_not_drawn(make_results):
    results = make_results(full=True)
    results.arrays["annealed_evidence_per_image"] = results.arrays["log_evidence_per_image"][:29]
    del results.arrays["log_evidence_per_image"]
    labels = [line.get_label() for line in PLOTS["bound_sweep"].draw(results).axes[0].lines]
    assert not any("log p(x)" in label for label in labels)


def test_each_gap_is_a_bar_with_its_number_and_unit(make_results):
    results = make_results(full=True)
    axes = PLOTS["inference_gaps"].draw(results).axes[0]
    for bar, text, name in zip(axes.patches, axes.texts, ("amortisation", "approximation"), strict=True):
        gap = results.arrays[f"{name}_gap_per_image"]
        assert bar.get_width() == pytest.approx(gap.mean(), rel=1e-5)
        assert text.get_text().endswith(" nats")
        assert float(text.get_text().split()[0]) == pytest.approx(gap.mean(), abs=0.005)


def test_the_bound_has_a_section_of_its_own_which_comes_first():
    sections = [plot.section for plot in PLOTS.values()]
    assert sections == sorted(sections)
    assert {name for name, plot in PLOTS.items() if plot.section == BOUND} == MEASURED | {"true_posterior", "rates"}


def test_a_panel_shows_its_own_window_with_ellipses_at_one_and_two_standard_deviations(make_results):
    results = make_results(full=True)
    figure = PLOTS["true_posterior"].draw(results)
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == 4
    for index, axes in enumerate(panels):
        scale = 0.1**index
        # The lattice's outermost points are half a cell from the edge.
        np.testing.assert_allclose(axes.get_xlim(), index + scale * np.array([-4.1, 4.1]), rtol=1e-4)
        ellipses = [patch for patch in axes.patches if isinstance(patch, Ellipse)]
        np.testing.assert_allclose([patch.center for patch in ellipses], [(index, -index)] * 4)
        sizes = [(patch.width / scale, patch.height / scale) for patch in ellipses]
        np.testing.assert_allclose(sizes, [(2, 4), (4, 8), (2, 2), (4, 4)], rtol=1e-5)
        assert [text.get_text() for text in axes.texts] == [f"gap {index}.25 nats"]
        assert len(axes.child_axes) == 1


def test_what_is_no_image_is_named_by_its_place_in_the_test_split(make_results):
    results = make_results(full=True, rows=True, num_labels=0)
    results.arrays["true_posterior_positions"] = np.array([4, 1299, 0, 7])
    panels = [axes for axes in PLOTS["true_posterior"].draw(results).axes if axes.axison]
    assert [axes.texts[0].get_text().splitlines()[0] for axes in panels] == [
        f"test example {number}" for number in ("5", "1,300", "1", "8")
    ]
    assert not any(axes.child_axes for axes in panels)


def test_true_posteriors_are_drawn_without_the_best_gaussian_and_the_gap(make_results):
    results = make_results(full=True)
    for name in ("local_mean", "local_covariance", "gap"):
        del results.arrays[f"true_posterior_{name}"]
    figure = PLOTS["true_posterior"].draw(results)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "true posterior",
        "encoder's Gaussian, 1 and 2 σ",
    ]
    assert all(len(axes.patches) == 2 for axes in figure.axes if axes.axison)


def test_a_posterior_within_a_single_cell_is_drawn_all_the_same(make_results):
    results = make_results(full=True)
    density = np.zeros((4, 41, 41), dtype=np.float32)
    density[:, 20, 20] = 1e6
    results.arrays["true_posterior_density"] = density
    assert theme.png(PLOTS["true_posterior"].draw(results)).startswith(PNG_SIGNATURE)


def test_of_a_normal_the_tones_end_where_the_ellipses_run():
    z = np.linspace(-5, 5, 801)
    density = np.exp(-0.5 * (z[:, None] ** 2 + z**2))
    for sigma, share in zip((1, 2), SHARES, strict=True):
        assert density_level(density, share) == pytest.approx(math.exp(-0.5 * sigma**2), rel=0.01)
