"""Tests of the calibration curve."""

from types import SimpleNamespace

import numpy as np

from lowerbound.reporting.calibration_plot import calibration_curve


def test_each_bin_is_a_point_at_its_confidence_and_accuracy():
    arrays = {
        "calibration_confidence": np.array([0.5, 0.9]),
        "calibration_accuracy": np.array([0.4, 1.0]),
        "calibration_counts": np.array([3.0, 7.0]),
    }
    axes = calibration_curve(SimpleNamespace(arrays=arrays)).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[0.5, 0.4], [0.9, 1.0]]
