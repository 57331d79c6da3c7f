"""Tests of the metrics of a classifier against counts made by hand."""

import numpy as np
import pytest

from lowerbound.data.conditions import conditioned
from lowerbound.data.sources import DataConfig, load
from lowerbound.evaluation.classification_metrics import calibration, classification_metrics, why_no_classifier
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.metrics import Subject
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.missing_labels import inferred_splits


def test_the_calibration_error_is_the_weighted_gap_between_confidence_and_accuracy():
    confidence = np.array([0.95, 0.95, 0.95, 1.0, 0.55])
    is_right = np.array([True, True, True, False, True])
    error, arrays = calibration(confidence, is_right)
    assert error == pytest.approx((4 * abs(0.75 - 0.9625) + 1 * abs(1 - 0.55)) / 5)
    assert arrays["calibration_counts"].tolist() == [1, 4]


def test_scores_are_of_known_labels_and_the_bounds_are_in_order():
    splits = conditioned(load(DataConfig(source="digits")), ["label"], infers=True, num_labelled=50)
    config = ModelConfig(hidden=(16,), condition_on=("label",), classifier=True)
    model = build_model(config, (1, 8, 8), generator(0, "weights"), conditions=splits.schema.conditions).eval()
    subject = Subject(model, inferred_splits(splits, model), EvaluationConfig(), "grey")
    assert why_no_classifier(subject) == ""
    found = {score.name: score for score in classification_metrics(subject).scores}
    assert 0 <= found["accuracy"].value < 0.5  # untrained
    assert 0.6 < found["accuracy-supervised-alone"].value <= 1
    assert found["elbo-unlabelled"].value <= found["elbo-enumerated"].value
