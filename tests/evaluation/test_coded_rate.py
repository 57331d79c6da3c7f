"""What compression takes for test examples is −ELBO, for every likelihood of whole numbers; others are left out."""

import sys

import numpy as np
import pytest

from coded_arrays import ARRAYS, coded_run
from coded_tables import coded_table_run, written_table
from lowerbound.coding import bits_back
from lowerbound.data.sources import Splits
from lowerbound.evaluation.coded_rate import coded_rate_metrics, why_not_coded
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation.errors import DataError
from lowerbound.runs.inputs import read_inputs
from untrained_models import untrained_run


def subject_of(trained, examples, num_coded=400):
    """A subject whose test split is eight times the examples, so that most have bits to get back."""
    test = examples.subset(np.tile(np.arange(len(examples)), 8))
    splits = Splits("test", test, test, test, (), "validation", "made here", "", "0")
    return Subject(trained.vae, splits, EvaluationConfig(num_coded=num_coded), "levels")


@pytest.mark.parametrize("kind", ARRAYS)
def test_the_coded_rate_is_minus_elbo(kind, tmp_path):
    trained, values = coded_run(tmp_path / "run", kind)
    subject = subject_of(trained, trained.examples(values).examples)
    assert why_not_coded(subject) == ""
    rate, excess = coded_rate_metrics(subject).scores
    assert 280 < rate.num_examples == excess.num_examples < 296 and rate.unit == "nats"
    # Counts are coded given that none is larger than the largest, which saves a little.
    saved = 0.02 * rate.value if kind in ("poisson", "negative-binomial") else 0
    assert -saved - 3 * excess.standard_error - 0.05 < excess.value < 3 * excess.standard_error + 0.05


def test_the_coded_rate_of_a_table_is_minus_elbo_of_rounded_numbers(tmp_path):
    written_table(tmp_path / "people.csv")
    trained = coded_table_run(tmp_path / "run", tmp_path / "people.csv")
    subject = subject_of(trained, read_inputs(trained, []).examples)
    assert why_not_coded(subject) == ""
    rate, excess = coded_rate_metrics(subject).scores
    assert abs(excess.value) < 0.03 * rate.value


def test_what_cannot_be_coded_is_left_out_with_the_reason(tmp_path, monkeypatch):
    trained, values = coded_run(tmp_path / "run", "bernoulli")
    examples = trained.examples(values).examples
    assert "not asked for" in why_not_coded(subject_of(trained, examples, num_coded=0))
    density = untrained_run(tmp_path / "density", values, likelihood="gaussian")
    assert "gives no probabilities" in why_not_coded(subject_of(density, examples))
    between = values[..., 0] / np.float32(300)
    grey = untrained_run(tmp_path / "grey", between, likelihood="bernoulli")
    assert "between the levels" in why_not_coded(subject_of(grey, grey.examples(between).examples))
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert "pip install 'lowerbound[codec]'" in why_not_coded(subject_of(trained, examples))


def test_examples_that_come_back_as_others_are_an_error(tmp_path, monkeypatch):
    trained, values = coded_run(tmp_path / "run", "bernoulli")
    subject = subject_of(trained, trained.examples(values).examples)
    monkeypatch.setattr(bits_back.BlockCoder, "decode", lambda self, block: np.zeros((block.num_images, 20), np.int64))
    with pytest.raises(RuntimeError, match="not what was coded"):
        coded_rate_metrics(subject)


def test_too_few_examples_to_get_bits_back_are_an_error(tmp_path):
    trained, values = coded_run(tmp_path / "run", "bernoulli")
    with pytest.raises(DataError, match="coded directly"):
        coded_rate_metrics(subject_of(trained, trained.examples(values).examples, num_coded=1))
