"""Scores of annealing, on a model whose evidence is known exactly."""

from dataclasses import replace

import numpy as np
import pytest

from lowerbound.data.examples import Examples
from lowerbound.data.sources import DataConfig, load
from lowerbound.evaluation import annealing_metrics
from lowerbound.evaluation.annealing import AnnealingConfig
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.results import Measurements

ANNEALING = AnnealingConfig(num_temperatures=40, num_leapfrog=5, num_chains=64)
CONFIG = EvaluationConfig(num_annealed=6, num_simulated=20, annealing=ANNEALING)


@pytest.fixture
def subject(linear_gaussian):
    """Eight examples as all splits, with their exact evidence."""
    examples = Examples(linear_gaussian.x.permute(0, 2, 3, 1).float().numpy(), 1.0)
    splits = replace(load(DataConfig()), train=examples, validation=examples, test=examples)
    known = Measurements((), {"log_evidence_per_image": linear_gaussian.log_evidence.numpy()})
    return Subject(linear_gaussian.model.float(), splits, CONFIG, "density", known=known)


def by_name(found):
    return {score.name: score for score in found.scores}


def test_the_annealed_evidence_is_the_exact_one_within_the_error_that_is_reported(subject, linear_gaussian):
    found = annealing_metrics.annealing_metrics(subject)
    scores, exact = by_name(found), linear_gaussian.log_evidence[:6].numpy()
    annealed = found.arrays["annealed_evidence_per_image"]
    np.testing.assert_allclose(annealed, exact, rtol=0, atol=1)
    assert annealed.mean() == pytest.approx(exact.mean(), abs=0.2)
    assert scores["annealed-evidence"].value == pytest.approx(annealed.mean(), rel=1e-5)
    assert scores["annealing-error"].value == pytest.approx((exact - annealed).mean(), abs=1e-4)
    assert 1 < scores["annealed-evidence"].effective_sample_size <= 64
    assert "40 temperatures of 5 leapfrog steps in 64 chains" in scores["annealed-evidence"].description


def test_without_the_exact_evidence_there_is_no_error(subject):
    unknown = replace(subject, known=Measurements((), {}))
    assert set(by_name(annealing_metrics.annealing_metrics(unknown))) == {"annealed-evidence"}


def test_examples_annealed_in_batches_have_streams_of_their_own_and_the_same_evidence(subject, monkeypatch):
    together = annealing_metrics.annealing_metrics(subject).arrays["annealed_evidence_per_image"]
    monkeypatch.setattr(annealing_metrics, "MAX_CHAINS", 128)
    done = []
    watched = replace(subject, progress=lambda stage, at, total: done.append((at, total)))
    apart = annealing_metrics.annealing_metrics(watched).arrays["annealed_evidence_per_image"]
    assert apart.mean() == pytest.approx(together.mean(), abs=0.2)
    assert not np.array_equal(apart[2:], together[2:])
    assert done[-1] == (6 * 40, 6 * 40) and [at for at, _ in done] == sorted(at for at, _ in done)


def test_a_bracket_encloses_and_states_the_convention_of_its_samples(subject):
    found = annealing_metrics.bracket_metrics(subject)
    scores, gap = by_name(found), found.arrays["annealing_bracket_per_image"]
    assert {score.split for score in scores.values()} == {"simulated"}
    assert {score.convention for score in scores.values()} == {"density"}
    width = scores["annealed-upper-bound"].value - scores["annealed-lower-bound"].value
    assert width == pytest.approx(scores["annealing-bracket"].value, rel=1e-4) == pytest.approx(gap.mean(), rel=1e-4)
    assert 0 < width < 1
