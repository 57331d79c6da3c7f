import dataclasses
import math

import pytest

from lowerbound.reporting import wording


def scored(make_results, **scores):
    """Results whose first score goes by other names, too, with some changes."""
    results = make_results()
    others = [
        dataclasses.replace(results.scores[0], name=name.replace("_", "-"), **changes)
        for name, changes in scores.items()
    ]
    return dataclasses.replace(results, scores=(*results.scores, *others))


def test_how_far_the_bound_lies_below_the_evidence_is_told_with_error_unit_and_convention(make_results):
    evidence, gap = {"value": -24.2, "standard_error": 0.14}, {"value": 0.179, "standard_error": 0.019}
    assert wording.bound_quality(scored(make_results, grey_evidence=evidence, evidence_gap=gap)) == (
        "The ELBO lies 0.179 ± 0.019 nats below log p(x), which is −24.20 ± 0.14 nats by exact integration: means ± "
        "standard errors per image over 360 test images, grey pixels."
    )
    told = wording.bound_quality(scored(make_results, importance_bound={"num_draws": 5000}))
    assert "With 5,000 draws" in told and "−24.70 ± 0.15 nats" in told


def test_evidence_that_has_not_converged_is_never_called_exact(make_results):
    facts = {"value": -24.2, "num_not_converged": 3, "discretisation_error": None}
    results = scored(make_results, grey_evidence_not_converged=facts)
    told = wording.bound_quality(results)
    assert told.startswith("Log p(x) could not be integrated for 3 images of 360 within the budget")
    assert "exact" not in told
    assert wording.quantity(results.scores[-1].name) == "Grey evidence (not converged)"
    assert wording.score_description(results.scores[-1]) == "what elbo means; 3 of 360 not converged"


def test_the_discretisation_error_is_told_beside_the_error_over_images(make_results):
    evidence, gap = {"value": -24.2, "discretisation_error": 0.0034}, {"value": 0.179}
    told = wording.bound_quality(scored(make_results, grey_evidence=evidence, evidence_gap=gap))
    assert told.endswith("360 test images, grey pixels, discretisation error at most 0.0034 nats.")


def test_a_tail_that_too_few_draws_leave_without_a_shape_is_not_mentioned(make_results):
    weighted = scored(make_results, x={"effective_sample_size": 3.21, "pareto_k": math.nan}).scores[-1]
    assert (
        wording.score_description(weighted) == "what elbo means; effective sample size 3.21 of 16, median over images"
    )


@pytest.mark.parametrize(
    ("knob", "code"),
    [
        ("fewer --set training.num_epochs=10, or a smaller --set model.hidden=[128]", ["10", "[128]"]),
        ("rescale the data to [0, 1], or --set model.likelihood=gaussian", ["gaussian"]),
        ("--set objective.rate_warm_up=5; or a smaller --set training.learning_rate=0.0003.", ["5", "0.0003"]),
        ("lowerbound evaluate RUN --anneal estimates it", ["lowerbound evaluate RUN --anneal"]),
        ("nothing to set", []),
    ],
)
def test_what_a_command_line_takes_is_told_from_the_words_around_it(knob, code):
    parts = list(wording.code_parts(knob))
    assert "".join(text for _, text in parts) == knob
    found = [text for is_code, text in parts if is_code]
    assert [text.rpartition("=")[2] for text in found] == code


@pytest.mark.parametrize("convention", ["grey", "binary", "density", "static binarisation, seed 3"])
def test_every_convention_is_explained(convention):
    assert convention.split()[0] in wording.convention(convention).lower()


def test_a_model_worse_than_one_that_ignores_z_is_said_to_be(make_results):
    results = make_results()
    scores = [dataclasses.replace(score, value=-30.0) if score.name == "elbo" else score for score in results.scores]
    placed = wording.placement(dataclasses.replace(results, scores=tuple(scores)))
    assert "no better than the 27.08 nats" in placed.sentence
    assert placed.percent == 100


def test_without_a_floor_only_what_is_saved_is_told(make_results):
    results = make_results()
    scores = tuple(score for score in results.scores if score.name != "grey-floor")
    placed = wording.placement(dataclasses.replace(results, scores=scores))
    assert placed.sentence.startswith("That is 2.38 nats below the 27.08 nats of the best decoder that ignores z")
    assert placed.percent is None


@pytest.mark.parametrize(
    ("value", "standard_error", "unit", "text"),
    [
        (-152.3149, 0.4512, "nats", "−152.31 ± 0.45"),
        (152.3149, 12.3, "nats", "152.31 ± 12"),
        (152.3149, 123.0, "nats", "152.31 ± 120"),
        (5.6434, 0.0154, "nats", "5.643 ± 0.015"),
        (2391.2, None, "nats", "2,391.20"),
        (45.53, float("nan"), "nats", "45.53"),
        (45.53, 0.0, "nats", "45.53"),
        (45.53, 0.0996, "nats", "45.53 ± 0.10"),
        (-0.0001, 0.41, "nats", "0.00 ± 0.41"),
        (0.55693, 0.0034, "bits/dim", "0.5569 ± 0.0034"),
        (0.040851, 0.000971, "per pixel", "0.04085 ± 0.00097"),
        (float("nan"), None, "nats", "nan"),
        (float("-inf"), None, "nats", "−inf"),
    ],
)
def test_errors_have_two_significant_digits_and_values_as_many_decimals_or_more(value, standard_error, unit, text):
    assert wording.measured(value, standard_error, unit) == text


@pytest.mark.parametrize(("seconds", "text"), [(1.26, "1.3 s"), (81.2, "1 min 21 s"), (7325.0, "2 h 2 min")])
def test_a_duration_is_told_as_one_would_say_it(seconds, text):
    assert wording.format_duration(seconds) == text


@pytest.mark.parametrize(("precision", "told"), [("bfloat16", ", layers in bfloat16"), ("float32", "")])
def test_layers_in_another_precision_than_the_usual_are_told(make_results, precision, told):
    results = make_results()
    training = {"epochs": 3, "best_epoch": 2, "precision": precision}
    results = dataclasses.replace(results, context=results.context | {"training": training})
    assert dict(wording.facts(results))["Training"] == f"3 epochs, weights of epoch 2 kept{told}"


def test_of_what_is_no_image_examples_are_spoken(make_results):
    text = "Images, test images and each image of grey pixels; not what is imagined."
    assert wording.in_data_terms(make_results(), text) == text
    said = "Examples, test examples and each example of grey values; not what is imagined."
    assert wording.in_data_terms(make_results(rows=True), text) == said
    assert "trained on 1,257 rows of 4 columns" in wording.lead(make_results(rows=True))
