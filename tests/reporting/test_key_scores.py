"""The scores by which a run is judged first."""

from dataclasses import replace

import pytest

from lowerbound.evaluation.results import Score
from lowerbound.reporting.key_scores import MOST, examples_in_words, key_scores, most_examples


def scores(*names, split="test"):
    return [
        Score(name=name, value=1.0, standard_error=0.1, unit="nats", split=split, convention="grey", num_examples=3,
              num_draws=1, description="")
        for name in names
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (
            ["elbo", "distortion", "rate", "bits-per-dimension", "squared-error", "grey-evidence", "evidence-gap"],
            ["grey-evidence", "elbo", "distortion", "rate", "evidence-gap"],
        ),
        (
            ["elbo", "distortion", "rate", "bits-per-dimension", "squared-error"],
            ["elbo", "distortion", "rate", "bits-per-dimension", "squared-error"],
        ),
        (["reconstruction-error", "squared-error"], ["reconstruction-error", "squared-error"]),
        (["importance-bound", "elbo", "another"], ["importance-bound", "elbo"]),
        ([], []),
    ],
)
def test_evidence_elbo_and_its_terms_come_first_and_there_are_five_at_most(names, chosen):
    found = key_scores(scores(*names, "elbo", split="train") + scores(*names))
    assert [score.name for score in found] == chosen
    assert len(found) <= MOST and {score.split for score in found} <= {"test"}


def test_a_part_of_a_split_is_told_from_the_whole():
    assert examples_in_words(15, "train", {"train": 120}) == "15 of 120 examples"
    assert examples_in_words(120, "train", {"train": 120}) == examples_in_words(120, "given", {}) == "120 examples"


def test_the_usual_number_of_examples_is_that_of_most_scores():
    assert most_examples([], "test") == 0
    few = [replace(score, num_examples=7) for score in scores("log-evidence")]
    assert most_examples([*few, *scores("elbo", "rate")], "test") == scores("elbo")[0].num_examples
