"""Held-out examples are measured evenly over their order, and the importance-weighted score only when asked for."""

import numpy as np

from lowerbound.data.examples import Examples
from lowerbound.evaluation import anomaly_calibration
from lowerbound.evaluation.anomaly_calibration import calibrate_scores, with_importance
from lowerbound.evaluation.anomaly_scores import measure
from lowerbound.foundation.seeding import generator
from lowerbound.models.construction import build_model
from lowerbound.runs.experiment import resolve


def test_held_out_examples_in_the_order_of_their_classes_are_all_sampled(monkeypatch):
    monkeypatch.setattr(anomaly_calibration, "NUM_CALIBRATED", 10)
    monkeypatch.setattr(anomaly_calibration, "MAX_WEIGHTED", 100 * 30 * 6)
    monkeypatch.setattr(anomaly_calibration, "LEAST_WEIGHTED", 6)
    shades = np.repeat(np.arange(0, 250, 10, dtype=np.uint8), 4)  # 100 images
    examples = Examples(np.broadcast_to(shades[:, None, None, None], (100, 6, 5, 1)).copy(), 255.0)
    model = build_model(resolve("dense").model, examples.event_shape, generator(0, "initial weights"))
    quick = calibrate_scores(model, examples)
    assert quick.measured.negative_log_evidence is None
    found = with_importance(quick, model, examples).measured
    chosen = [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    expected = measure(model, examples.subset(np.array(chosen)))
    np.testing.assert_array_equal(found.negative_elbo, expected.negative_elbo)
    assert np.flatnonzero(np.isfinite(found.negative_log_evidence)).tolist() == [0, 1, 3, 5, 7, 9]
