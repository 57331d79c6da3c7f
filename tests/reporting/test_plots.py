"""PLOTS: what is drawn for which results, and the reasons for what is not."""

import dataclasses

import pytest

from lowerbound.evaluation.full_evaluation import FULL
from lowerbound.reporting import theme
from lowerbound.reporting.plots import BOUND, PLOTS, not_measured, not_shown, plots_for

pytestmark = pytest.mark.usefixtures("coarse_figures")

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
    "a sphere": {"latent_dim": 3, "space": "sphere"},
    "a simplex": {"latent_dim": 3, "space": "simplex", "num_labels": 0},
    "codes": {"latent_dim": 6, "space": "one-hot"},
    "conditional": {"num_levels": 3},
    "rows of a table": {"rows": True, "num_labels": 0, "latent_dim": 3},
    "rows of a table, two latents": {"rows": True, "num_labels": 0, "full": True},
}

ALWAYS = {"reconstructions"}
VARIATIONAL = ALWAYS | {"graph", "curves", "samples", "rates"}
CURVED = VARIATIONAL - {"rates"}
MEASURED = {"bound_sweep", "inference_gaps", "bits", "factor_information"}
ROWS = {"graph", "curves", "rates", "sampled_features", "reconstructed_features"}
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
    "a sphere": CURVED | {"latent_sphere", "manifold_4", "traversals"},
    "a simplex": CURVED | {"latent_triangle", "manifold_4", "mixtures"},
    "codes": CURVED | {"category_shares", "code_means"},
    "conditional": VARIATIONAL | {"recoded", "calibration", "latent_space", "manifold_15", "manifold_20"},
    "rows of a table": ROWS | {"latent_pair"},
    "rows of a table, two latents": ROWS | {"true_posterior", "latent_space"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_plots_that_apply_are_drawn_and_every_other_subject_is_left_out_with_a_reason(make_results, kind):
    results = make_results(**KINDS[kind])
    plots, reasons = plots_for(results), not_shown(results)
    assert set(plots) == EXPECTED[kind]
    subjects = {plot.subject for plot in plots.values()}
    assert subjects.isdisjoint(reasons)
    assert subjects | set(reasons) == {plot.subject for plot in PLOTS.values()}
    assert all(reason and "\n" not in reason for reason in reasons.values())
    for plot in plots.values():
        assert theme.png(plot.draw(results)).startswith(PNG_SIGNATURE)


def test_the_kinds_of_results_above_reach_every_row_of_the_table():
    assert set(PLOTS) <= set().union(*EXPECTED.values())


@pytest.mark.parametrize(
    ("kind", "subject", "reason"),
    [
        ("deterministic", "Graphical model", "a plain autoencoder has no posterior and no prior"),
        ("deterministic", "Samples from the prior", "not computed for this run"),
        ("eight latents", "True posterior and encoder", "needs 2 latent dimensions, but the model has 8"),
        ("two latents", "Inference gaps", "not measured yet: lowerbound evaluate RUN"),
    ],
)
def test_what_is_not_drawn_says_why(make_results, kind, subject, reason):
    assert not_shown(make_results(**KINDS[kind]))[subject] == reason


def test_the_reason_of_a_metric_counts_where_its_figure_is_not_drawn(make_results):
    reasons = {
        "manifold": "needs 2 latents, but the model has 1",
        "codes": "of a figure that is drawn",
        "diagnosis": "failed",
    }
    results = dataclasses.replace(make_results(latent_dim=1), left_out=reasons)
    assert not_shown(results)["Latent manifold"] == "needs 2 latents, but the model has 1"
    assert "Latent space" not in not_shown(results)
    assert not_measured(results) == {"diagnosis": "failed"}


def test_every_plot_names_a_metric_that_exists():
    assert {plot.metric for plot in PLOTS.values()} <= {*FULL, ""}


@pytest.mark.parametrize(
    ("kind", "name"), [("two latents", "latent_space"), ("one latent", "latent_line"), ("eight latents", "latent_pair")]
)
def test_the_latent_space_has_one_figure_which_fits_its_number_of_dimensions(make_results, kind, name):
    plots = plots_for(make_results(**KINDS[kind]))
    assert [key for key, plot in plots.items() if plot.subject == "Latent space"] == [name]


@pytest.mark.parametrize(("variational", "name"), [(True, "curves"), (False, "reconstruction_error")])
def test_training_has_one_figure_and_it_shows_what_was_minimised(make_results, variational, name):
    plots = plots_for(make_results(variational=variational))
    assert [key for key, plot in plots.items() if plot.subject == "Training"] == [name]


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_has_a_title_and_a_caption_of_whole_sentences(name):
    plot = PLOTS[name]
    assert plot.title
    assert len(plot.caption) > 100
    assert plot.caption.endswith(".")
    assert "\n" not in plot.caption
    assert "  " not in plot.caption


def test_without_a_history_there_are_no_curves(make_results):
    for variational in (True, False):
        results = dataclasses.replace(make_results(variational=variational), history=())
        assert not {"curves", "reconstruction_error"} & set(plots_for(results))
        assert not_shown(results)["Training"] == "the training log is not available"


@pytest.mark.parametrize(
    ("kind", "names"),
    [("two latents", ["graph", "curves", "latent_space"]), ("deterministic", ["reconstruction_error"])],
)
def test_plots_that_read_the_context_can_do_without_it(make_results, kind, names):
    results = dataclasses.replace(make_results(**KINDS[kind]), context={})
    for name in names:
        assert theme.png(PLOTS[name].draw(results)).startswith(PNG_SIGNATURE)


def test_the_bound_has_a_section_of_its_own_which_comes_first():
    sections = [plot.section for plot in PLOTS.values()]
    assert sections == sorted(sections)
    of_bound = (MEASURED - {"factor_information"}) | {"true_posterior", "rates"}
    assert {name for name, plot in PLOTS.items() if plot.section == BOUND} == of_bound
