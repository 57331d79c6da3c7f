"""Anomaly scores are what their definitions say, computed in other ways."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LinearRegression

from lowerbound.data.examples import Examples
from lowerbound.errors import ConfigError
from lowerbound.evaluation.anomaly import SCORES, Calibration, Measured, complexity, measure, recommended
from lowerbound.experiment import resolve
from lowerbound.model import build_model
from lowerbound.seeding import generator

RNG = np.random.default_rng(0)


def measured(num: int, complex_by: float = 1.0) -> Measured:
    length = RNG.gamma(5, 100, num)
    return Measured(0.2 * length + 5 * RNG.normal(size=num), RNG.normal(size=num), complex_by * length)


def test_the_residual_is_that_of_a_linear_regression_on_held_out_examples():
    normal, new = measured(200), measured(50)
    line = LinearRegression().fit(normal.complexity[:, np.newaxis], normal.negative_elbo)
    inside = new.complexity <= normal.complexity.max()
    expected = new.negative_elbo - line.predict(new.complexity[:, np.newaxis])
    np.testing.assert_allclose(
        Calibration(normal).scores(new)["complexity-residual"][inside], expected[inside], rtol=1e-9
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_no_example_is_excused_further_than_the_held_out(sign):
    # Where −ELBO falls with complexity the simplest ones are those that cost most.
    normal = measured(200)
    normal = Measured(sign * normal.negative_elbo, None, normal.complexity)
    line = LinearRegression().fit(normal.complexity[:, np.newaxis], normal.negative_elbo)
    most = line.predict(normal.complexity[:, np.newaxis]).max()
    length = np.array([0.0, 1e5])
    scores = Calibration(normal).scores(Measured(np.zeros(2), None, length))["complexity-residual"]
    np.testing.assert_allclose(scores, -np.minimum(line.predict(length[:, np.newaxis]), most), rtol=1e-9)
    assert scores[int(sign == 1)] == pytest.approx(-most) and scores[int(sign == -1)] > -most


def test_the_residual_does_not_depend_on_the_unit_of_complexity_and_the_difference_does():
    normal, new = measured(200), measured(50)
    scaled = [Measured(part.negative_elbo, None, 3 * part.complexity) for part in (normal, new)]
    before, after = Calibration(normal).scores(new), Calibration(scaled[0]).scores(scaled[1])
    np.testing.assert_allclose(after["complexity-residual"], before["complexity-residual"], rtol=1e-9)
    np.testing.assert_allclose(before["complexity"] - after["complexity"], 2 * new.complexity)


def test_where_all_are_as_complex_the_residual_is_the_distance_from_the_mean():
    normal = Measured(RNG.normal(size=20), None, np.full(20, 700.0))
    new = Measured(RNG.normal(size=5), None, np.full(5, 900.0))
    expected = new.negative_elbo - normal.negative_elbo.mean()
    np.testing.assert_allclose(Calibration(normal).scores(new)["complexity-residual"], expected)


def test_what_is_as_probable_as_the_mean_is_typical():
    normal = measured(200)
    mean = float(np.mean(normal.negative_elbo))
    new = Measured(np.array([mean - 30, mean, mean + 20]), None, None)
    np.testing.assert_allclose(Calibration(normal).scores(new)["typicality"], [30, 0, 20], atol=1e-9)


def test_what_cannot_be_computed_is_no_score_and_another_is_recommended():
    images, rows = measured(30), Measured(RNG.normal(size=30), None, None)
    assert set(Calibration(images).scores(images)) == set(SCORES) - {"missing-adjusted"}
    scores = Calibration(rows).scores(rows)
    assert set(scores) == {"negative-elbo", "typicality"}
    assert recommended(scores) == "negative-elbo"
    assert recommended(SCORES) == "complexity-residual"
    cells = Measured(RNG.normal(size=30), None, None, RNG.normal(size=(30, 3)))
    assert recommended(Calibration(cells).scores(cells)) == "missing-adjusted"


def test_a_missing_cell_costs_what_its_column_costs_held_out_rows_on_average():
    costs = RNG.gamma(2, 1, (200, 4))
    costs[RNG.random(costs.shape) < 0.3] = np.nan
    normal = Measured(np.nansum(costs, axis=1), None, None, costs)
    new = Measured(
        np.array([5.0, 5.0, 0.0]), None, None, np.array([[1, 1, 2, 1], [1, np.nan, 2, np.nan], 4 * [np.nan]])
    )
    judged = Calibration(normal).judge(new)
    average = np.nanmean(costs, axis=0)
    np.testing.assert_allclose(judged.scores["missing-adjusted"], [5, 5 + average[1] + average[3], np.nan])
    assert judged.by == "missing-adjusted" and judged.is_scored.tolist() == [True, True, False]


def test_rows_with_missing_cells_raise_as_many_false_alarms_as_whole_ones():
    # Cells cost the same whether others are known or not; −ELBO alone would flag hardly any row with a missing cell.
    costs = RNG.gamma(2, 1, (20_000, 6))
    costs[:10_000][RNG.random((10_000, 6)) < 0.5] = np.nan
    half = np.arange(0, 20_000, 2)
    rows = Measured(np.nansum(costs, axis=1), None, None, costs)
    is_whole = ~np.isnan(costs).any(axis=1)
    is_chosen = np.isin(np.arange(20_000), half)
    judged = Calibration(rows.subset(is_chosen)).judge(rows.subset(~is_chosen), false_alarm_rate=0.05)
    raw = judged.scores["negative-elbo"] > judged.thresholds["negative-elbo"]
    whole = is_whole[~is_chosen]
    assert judged.is_anomalous[~whole].mean() > 5 * raw[~whole].mean()
    assert 0.02 < judged.is_anomalous[whole].mean() < 0.08


def test_what_is_not_finite_has_no_score_and_no_verdict(tmp_path):
    normal = measured(50)
    new = Measured(np.array([np.inf, np.nan, 1e9]), None, np.full(3, 100.0))
    Calibration(normal).write(tmp_path / "calibration.safetensors")
    judged = Calibration.read(tmp_path / "calibration.safetensors").judge(new, "negative-elbo")
    assert judged.is_scored.tolist() == [False, False, True] and judged.is_anomalous.tolist() == [False, False, True]


def test_a_single_held_out_example_accepts_the_rate_that_it_can_tell():
    calibration = Calibration(measured(1))
    assert calibration.judge(measured(1), "negative-elbo").false_alarm_rate == 1.0
    with pytest.raises(ConfigError, match="accepted is 1, as a single example is held out"):
        calibration.thresholds(0.05)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3, 0.5])
def test_a_threshold_is_exceeded_by_no_more_than_its_share_of_the_held_out(rate):
    calibration = Calibration(measured(200))
    thresholds = calibration.thresholds(rate)
    for name, values in calibration.scores(calibration.measured).items():
        assert rate - 2 / 200 <= (values > thresholds[name]).mean() <= rate


@pytest.mark.parametrize("rate", [0.0, 0.004, 1.0, -1.0, math.nan])
def test_a_rate_that_so_few_cannot_tell_is_refused(rate):
    with pytest.raises(ConfigError, match=r"accepted is from 0\.005 \(one of 200 held-out examples\) to below 1"):
        Calibration(measured(200)).thresholds(rate)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_complexity_is_the_length_of_a_png_file_in_nats(num_channels):
    noise = RNG.integers(0, 256, (9, 7, num_channels), np.uint8)
    lengths = complexity(Examples(np.stack([noise, np.zeros_like(noise)]), 255.0))
    file = io.BytesIO()
    Image.fromarray(noise.squeeze(-1) if num_channels == 1 else noise).save(file, "PNG", optimize=True)
    assert lengths[0] == pytest.approx(file.tell() * 8 * math.log(2))
    # Noise cannot be compressed: every byte of it is there.
    assert lengths[0] - lengths[1] > 0.8 * 8 * math.log(2) * noise.size


def test_complexity_does_not_depend_on_how_pixels_are_held():
    pixels = RNG.integers(0, 256, (4, 6, 5, 1), np.uint8)
    floats = Examples(pixels.astype(np.float32) / 255, 1.0)
    np.testing.assert_array_equal(complexity(floats), complexity(Examples(pixels, 255.0)))
    assert complexity(Examples(pixels[..., 0, 0].astype(np.float32), 1.0, layout="array")) is None


def test_importance_is_measured_where_it_is_asked_for_and_is_tighter():
    experiment = resolve("dense", {"model": {"hidden": [16]}})
    examples = Examples(RNG.integers(0, 256, (40, 6, 5, 1), np.uint8), 255.0)
    model = build_model(experiment.model, examples.event_shape, generator(0, "initial weights"))
    without, with_it = (measure(model, examples, importance=importance) for importance in (False, True))
    assert without.negative_log_evidence is None
    np.testing.assert_array_equal(with_it.negative_elbo, without.negative_elbo)
    assert with_it.negative_log_evidence.mean() < with_it.negative_elbo.mean()
