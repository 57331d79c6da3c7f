"""What commands print of scores."""

from dataclasses import replace

from lowerbound.commands.printed_scores import MAX_PARETO_K, described
from lowerbound.evaluation.results import Score
from lowerbound.evaluation.thresholds import PARETO_K_BOUND


def test_an_estimate_says_how_far_its_weights_can_be_trusted():
    score = Score(
        name="importance-bound", value=-1.0, standard_error=0.1, unit="nats", split="test", convention="grey",
        num_examples=3, num_draws=5000, description="what it is", effective_sample_size=1234.4, pareto_k=0.75,
    )  # fmt: skip
    trusted = "(effective sample size 1,234 of 5,000, Pareto-k 0.70)"
    assert described(replace(score, pareto_k=0.7), usual=3) == f"what it is {trusted}"
    assert described(score, usual=7).endswith("it is (3 examples, effective sample size 1,234 of 5,000, Pareto-k 0.75, "
                                            "unreliable)")  # fmt: skip
    assert described(replace(score, pareto_k=None, effective_sample_size=None), usual=3) == "what it is"
    assert MAX_PARETO_K == PARETO_K_BOUND
