"""Report text: sentences, conventions and facts, with their numbers."""

import dataclasses
import math

import pytest

from lowerbound.evaluation.results import NOTE, Finding
from lowerbound.reporting import wording


def scored(make_results, **scores):
    """Results whose first score goes by other names, too, with some changes."""
    results = make_results()
    others = [
        dataclasses.replace(results.scores[0], name=name.replace("_", "-"), **changes)
        for name, changes in scores.items()
    ]
    return dataclasses.replace(results, scores=(*results.scores, *others))


def test_how_far_the_bound_lies_below_the_evidence_is_reported_with_error_unit_and_convention(make_results):
    evidence, gap = {"value": -24.2, "standard_error": 0.14}, {"value": 0.179, "standard_error": 0.019}
    assert wording.bound_quality(scored(make_results, grey_evidence=evidence, evidence_gap=gap)) == (
        "The ELBO lies 0.179 ± 0.019 nats below log p(x), which is −24.20 ± 0.14 nats by exact integration: means ± "
        "standard errors per image over 360 test images, grey pixels."
    )
    text = wording.bound_quality(scored(make_results, importance_bound={"num_draws": 5000}))
    assert "With 5,000 draws" in text and "−24.70 ± 0.15 nats" in text


@pytest.mark.parametrize(
    ("number", "threshold", "unit", "expected"),
    [
        (0.2, 0.1, "% of the log-variances", "0.2 % of the log-variances; threshold 0.1 %"),
        (100.0, 0.0, "% of the examples", "100 % of the examples; threshold 0 %"),
        (1.5, 1.0, "nats", "1.5 nats; threshold 1"),
    ],
)
def test_a_share_is_shown_as_a_percentage_as_is_its_threshold(number, threshold, unit, expected):
    finding = Finding(
        name="x", severity=NOTE, sentence="", number=number, threshold=threshold, unit=unit, remedy="", source=""
    )
    assert wording.finding_numbers(finding) == expected


def test_evidence_that_has_not_converged_is_never_called_exact(make_results):
    facts = {"value": -24.2, "num_not_converged": 3, "discretisation_error": None}
    results = scored(make_results, grey_evidence_not_converged=facts)
    text = wording.bound_quality(results)
    assert text.startswith("The integral for log p(x) did not converge within the budget for 3 of 360 images")
    assert "exact" not in text
    assert wording.score_title(results.scores[-1].name) == "Log-evidence (grey pixels, not converged)"
    assert wording.score_description(results.scores[-1]) == "what elbo means; 3 of 360 not converged"


def test_the_discretisation_error_is_reported_beside_the_error_over_images(make_results):
    evidence, gap = {"value": -24.2, "discretisation_error": 0.0034}, {"value": 0.179}
    text = wording.bound_quality(scored(make_results, grey_evidence=evidence, evidence_gap=gap))
    assert text.endswith("360 test images, grey pixels, discretisation error at most 0.0034 nats.")


def test_a_tail_that_too_few_draws_leave_without_a_shape_is_not_mentioned(make_results):
    weighted = scored(make_results, x={"effective_sample_size": 3.21, "pareto_k": math.nan}).scores[-1]
    assert (
        wording.score_description(weighted) == "what elbo means; effective sample size 3.21 of 16, median over images"
    )


@pytest.mark.parametrize(
    ("remedy", "code"),
    [
        ("fewer --set training.num_epochs=10, or a smaller --set model.hidden=[128]", ["10", "[128]"]),
        ("rescale the data to [0, 1], or --set model.likelihood=gaussian", ["gaussian"]),
        ("--set objective.rate_warm_up=5; or a smaller --set training.learning_rate=0.0003.", ["5", "0.0003"]),
        ("lowerbound evaluate RUN --anneal estimates it", ["lowerbound evaluate RUN --anneal"]),
        ("nothing to set", []),
    ],
)
def test_code_in_a_remedy_is_distinguished_from_the_words_around_it(remedy, code):
    parts = list(wording.code_parts(remedy))
    assert "".join(text for _, text in parts) == remedy
    found = [text for is_code, text in parts if is_code]
    assert [text.rpartition("=")[2] for text in found] == code


@pytest.mark.parametrize("convention", ["grey", "binary", "density", "static binarisation, seed 3"])
def test_every_convention_is_explained(convention):
    assert convention.split()[0] in wording.explain_convention(convention).lower()


def test_a_model_worse_than_one_that_ignores_z_is_reported_as_such(make_results):
    results = make_results()
    scores = [dataclasses.replace(score, value=-30.0) if score.name == "elbo" else score for score in results.scores]
    placed = wording.placement(dataclasses.replace(results, scores=tuple(scores)))
    assert "no better than the 27.08 nats" in placed.sentence
    assert placed.percent == 100


def test_without_a_floor_only_the_difference_is_reported(make_results):
    results = make_results()
    scores = tuple(score for score in results.scores if score.name != "grey-floor")
    placed = wording.placement(dataclasses.replace(results, scores=scores))
    assert placed.sentence.startswith("This is 2.38 nats below the 27.08 nats of the best decoder that ignores z")
    assert placed.percent is None


@pytest.mark.parametrize(("precision", "text"), [("bfloat16", ", layers in bfloat16"), ("float32", "")])
def test_layers_in_another_precision_than_the_default_are_named(make_results, precision, text):
    results = make_results()
    training = {"epochs": 3, "best_epoch": 2, "precision": precision}
    results = dataclasses.replace(results, context=results.context | {"training": training})
    assert dict(wording.facts(results))["Training"] == f"3 epochs, weights of epoch 2 kept{text}"
