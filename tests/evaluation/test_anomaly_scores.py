"""Anomaly scores are what their definitions say, computed in other ways."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LinearRegression

from lowerbound.data.examples import Examples
from lowerbound.evaluation.anomaly_scores import (
    SCORES,
    Calibration,
    ExampleMeasurements,
    complexity,
    measure,
    recommended_score,
)
from lowerbound.evaluation.conformal import conformal_threshold, rounded_up
from lowerbound.foundation.errors import ConfigError, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.models.construction import build_model
from lowerbound.runs.experiment import resolve

RNG = np.random.default_rng(0)


def measured(num: int, complex_by: float = 1.0) -> ExampleMeasurements:
    length = RNG.gamma(5, 100, num)
    return ExampleMeasurements(0.2 * length + 5 * RNG.normal(size=num), RNG.normal(size=num), complex_by * length)


def every_second(normal: ExampleMeasurements) -> ExampleMeasurements:
    """The held-out examples that scores are fitted to."""
    return normal.subset(np.arange(len(normal)) % 2 == 1)


def test_the_residual_is_that_of_a_linear_regression_on_every_second_held_out_example():
    calibration, new = Calibration(measured(400)), measured(50)
    normal = every_second(calibration.measured)
    line = LinearRegression().fit(normal.complexity[:, np.newaxis], normal.negative_elbo)
    inside = new.complexity <= normal.complexity.max()
    expected = new.negative_elbo - line.predict(new.complexity[:, np.newaxis])
    np.testing.assert_allclose(calibration.scores(new)["complexity-residual"][inside], expected[inside], rtol=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_no_example_is_excused_further_than_the_held_out(sign):
    # Where −ELBO falls with complexity the simplest ones are those that cost most.
    given = measured(200)
    calibration = Calibration(ExampleMeasurements(sign * given.negative_elbo, None, given.complexity))
    normal = every_second(calibration.measured)
    line = LinearRegression().fit(normal.complexity[:, np.newaxis], normal.negative_elbo)
    most = line.predict(normal.complexity[:, np.newaxis]).max()
    length = np.array([0.0, 1e5])
    scores = calibration.scores(ExampleMeasurements(np.zeros(2), None, length))["complexity-residual"]
    np.testing.assert_allclose(scores, -np.minimum(line.predict(length[:, np.newaxis]), most), rtol=1e-9)
    assert scores[int(sign == 1)] == pytest.approx(-most) and scores[int(sign == -1)] > -most


def test_the_residual_does_not_depend_on_the_unit_of_complexity_and_the_difference_does():
    normal, new = measured(200), measured(50)
    scaled = [ExampleMeasurements(part.negative_elbo, None, 3 * part.complexity) for part in (normal, new)]
    before, after = Calibration(normal).scores(new), Calibration(scaled[0]).scores(scaled[1])
    np.testing.assert_allclose(after["complexity-residual"], before["complexity-residual"], rtol=1e-9)
    np.testing.assert_allclose(before["complexity"] - after["complexity"], 2 * new.complexity)


def test_where_all_are_as_complex_the_residual_is_the_distance_from_the_mean():
    normal = ExampleMeasurements(RNG.normal(size=20), None, np.full(20, 700.0))
    new = ExampleMeasurements(RNG.normal(size=5), None, np.full(5, 900.0))
    expected = new.negative_elbo - every_second(normal).negative_elbo.mean()
    np.testing.assert_allclose(Calibration(normal).scores(new)["complexity-residual"], expected)


def test_what_is_as_probable_as_the_mean_is_typical():
    normal = measured(200)
    mean = float(np.mean(every_second(normal).negative_elbo))
    new = ExampleMeasurements(np.array([mean - 30, mean, mean + 20]), None, None)
    np.testing.assert_allclose(Calibration(normal).scores(new)["typicality"], [30, 0, 20], atol=1e-9)


def test_what_cannot_be_computed_is_no_score_and_another_is_recommended():
    images, rows = measured(30), ExampleMeasurements(RNG.normal(size=30), None, None)
    assert set(Calibration(images).scores(images)) == set(SCORES) - {"missing-adjusted"}
    scores = Calibration(rows).scores(rows)
    assert set(scores) == {"negative-elbo", "typicality"}
    assert recommended_score(scores) == "negative-elbo"
    assert recommended_score(SCORES) == "complexity-residual"
    cells = ExampleMeasurements(RNG.normal(size=30), None, None, RNG.normal(size=(30, 3)))
    assert recommended_score(Calibration(cells).scores(cells)) == "missing-adjusted"


def test_a_missing_cell_costs_what_its_column_costs_held_out_rows_on_average():
    costs = RNG.gamma(2, 1, (200, 4))
    costs[:, 1:][RNG.random((200, 3)) < 0.3] = np.nan
    normal = ExampleMeasurements(np.nansum(costs, axis=1), None, None, costs)
    new = ExampleMeasurements(
        np.array([5.0, 5.0, 0.0]), None, None, np.array([[1, 1, 2, 1], [1, np.nan, 2, np.nan], 4 * [np.nan]])
    )
    judged = Calibration(normal).judge(new)
    average = np.nanmean(costs[1::2], axis=0)
    np.testing.assert_allclose(judged.scores["missing-adjusted"], [5, 5 + average[1] + average[3], np.nan])
    assert judged.by == "missing-adjusted" and judged.is_scored.tolist() == [True, True, False]


def test_rows_with_missing_cells_raise_as_many_false_alarms_as_complete_ones():
    # Cells cost the same whether others are known or not; −ELBO alone would flag hardly any row with a missing cell.
    costs = RNG.gamma(2, 1, (20_000, 6))
    costs[:10_000][RNG.random((10_000, 6)) < 0.5] = np.nan
    half = np.arange(0, 20_000, 2)
    rows = ExampleMeasurements(np.nansum(costs, axis=1), None, None, costs)
    is_whole = ~np.isnan(costs).any(axis=1)
    is_chosen = np.isin(np.arange(20_000), half)
    judged = Calibration(rows.subset(is_chosen)).judge(rows.subset(~is_chosen), false_alarm_rate=0.05)
    raw = judged.scores["negative-elbo"] > judged.thresholds["negative-elbo"].value
    whole = is_whole[~is_chosen]
    assert judged.is_anomalous[~whole].mean() > 4 * raw[~whole].mean()
    assert 0.02 < judged.is_anomalous[whole].mean() < 0.08


def test_what_is_not_finite_has_no_score_and_no_verdict(tmp_path):
    normal = measured(50)
    new = ExampleMeasurements(np.array([np.inf, np.nan, 1e9]), None, np.full(3, 100.0))
    Calibration(normal).write(tmp_path / "calibration.safetensors")
    judged = Calibration.read(tmp_path / "calibration.safetensors").judge(new, "negative-elbo")
    assert judged.is_scored.tolist() == [False, False, True] and judged.is_anomalous.tolist() == [False, False, True]


def simulated(num: int, stream: np.random.Generator, decimals: int = 6) -> ExampleMeasurements:
    """Exchangeable examples with every quantity that a score is made of; ties where they have few decimals."""
    costs = stream.exponential(size=(num, 2))
    costs[stream.random(num) < 0.3, 1] = np.nan
    length = stream.exponential(100, num)
    elbo = 0.2 * length + np.nansum(costs, axis=1) + stream.normal(size=num)
    return ExampleMeasurements(
        elbo.round(decimals), elbo + stream.normal(size=num), length.round(decimals), costs.round(decimals)
    )


NUM_SIMULATED = 10_000  # calibrations


@pytest.mark.parametrize("num_held_out", [20, 41, 100, 1000])
def test_the_expected_share_of_false_alarms_is_the_stated_one(num_held_out):
    # What scores are fitted to is drawn 50 times, with 200 calibrations each: given the fit, scores are exchangeable.
    stream, num_fits, num_new = np.random.default_rng(num_held_out), 50, max(4000, 40 * num_held_out)
    each, shares = NUM_SIMULATED // num_fits, {name: [] for name in SCORES}
    for _ in range(num_fits):
        calibration = Calibration(simulated(num_held_out, stream))
        drawn = calibration.scores(simulated(each * num_held_out, stream))
        new, stated = calibration.scores(simulated(num_new, stream)), calibration.thresholds()
        for name, threshold in stated.items():
            held_out = drawn[name].reshape(each, num_held_out)[:, : threshold.num_examples]
            limits = conformal_threshold(held_out, max(0.05, threshold.rate))
            shares[name].append(1 - np.searchsorted(np.sort(new[name]), limits, side="right") / num_new)
    for name, threshold in stated.items():
        assert threshold.num_examples == (math.ceil(num_held_out / 2) if SCORES[name].is_fitted else num_held_out)
        # A rank more or less would change the rate by 1 / (n + 1), which is more than four of these errors.
        error = np.mean(shares[name], axis=1).std(ddof=1) / math.sqrt(num_fits)
        assert abs(np.mean(shares[name]) - threshold.rate) < 4 * error < 1 / (threshold.num_examples + 1)


def test_equal_scores_make_no_more_false_alarms_than_stated():
    stream, shares = np.random.default_rng(0), {name: [] for name in SCORES}
    for _ in range(300):
        calibration, new = Calibration(simulated(60, stream, decimals=0)), simulated(1000, stream, decimals=0)
        thresholds = calibration.thresholds()
        for name, values in calibration.scores(new).items():
            shares[name].append((values > thresholds[name].value).mean())
    for name, found in shares.items():
        assert np.mean(found) < thresholds[name].rate + 3 * np.std(found, ddof=1) / math.sqrt(len(found))
    # Whole numbers are so often equal that much less than that is flagged.
    assert np.mean(shares["complexity-residual"]) > 0.02


@pytest.mark.parametrize("name", SCORES)
def test_a_threshold_is_the_rank_that_split_conformal_prediction_has(name):
    calibration, new = Calibration(simulated(101, RNG)), simulated(3, RNG)
    is_fitted = SCORES[name].is_fitted
    part = calibration.measured.subset(np.arange(101) % 2 == 0) if is_fitted else calibration.measured
    scores = np.sort(calibration.scores(part)[name])
    for rate in (0.02, 0.05, 0.1, 0.5, 0.9):
        rank = math.ceil((len(scores) + 1) * (1 - rate) - 1e-9)
        threshold = calibration.judge(new, name, rate).threshold
        assert (threshold.value, threshold.num_examples) == (scores[rank - 1], 51 if is_fitted else 101)
        assert threshold.rate == pytest.approx((len(scores) + 1 - rank) / (len(scores) + 1)) and threshold.rate <= rate


def test_what_a_score_is_fitted_to_moves_no_threshold_and_what_has_the_threshold_no_fit():
    normal, new = measured(100), measured(10)
    moved = ExampleMeasurements(normal.negative_elbo + 1e3 * (np.arange(100) % 2 == 0), None, normal.complexity)
    before, after = Calibration(normal), Calibration(moved)
    for name in ("typicality", "complexity-residual"):
        np.testing.assert_array_equal(before.scores(new)[name], after.scores(new)[name])
        assert after.thresholds()[name].value > before.thresholds()[name].value + 900


def test_a_single_held_out_example_allows_a_rate_of_one_half():
    calibration = Calibration(measured(1))
    judged = calibration.judge(measured(1))
    # None are left for fitted scores.
    assert set(judged.thresholds) == {"negative-elbo", "importance", "complexity"}
    assert (judged.by, judged.threshold.rate) == ("negative-elbo", 0.5)
    with pytest.raises(
        ConfigError, match=r"accepted: from 0\.5 \(1 / 2, because the threshold of score 'negative-elbo'"
    ):
        calibration.judge(measured(1), false_alarm_rate=0.05)
    with pytest.raises(UsageError, match="score 'typicality' cannot be computed"):
        calibration.judge(measured(1), "typicality")


def test_without_known_held_out_examples_there_is_no_threshold():
    empty = ExampleMeasurements(np.full(3, np.nan), None, None)
    with pytest.raises(UsageError, match="no held-out example has a known value"):
        Calibration(empty).judge(empty)


@pytest.mark.parametrize("rate", [0.0, 0.004, 1.0, -1.0, math.nan, math.inf])
def test_a_rate_too_small_for_the_held_out_examples_is_refused_with_a_remedy(rate):
    calibration, new = Calibration(measured(200)), measured(1)
    accepted = r"accepted: from 0\.00498 \(1 / 201, because the threshold .* comes from 200 held-out"
    with pytest.raises(ConfigError, match=accepted + r".* hold out more examples \(data.num_held_out\)\."):
        calibration.judge(new, "negative-elbo", rate)
    remedy = r"from 0\.00991 \(1 / 101, .* or choose score 'negative-elbo', which accepts 0\.00498\."
    with pytest.raises(ConfigError, match=remedy):
        calibration.judge(new, "complexity-residual", rate)


@pytest.mark.parametrize("num_held_out", [1, 2, 9, 19, 20, 99, 100, 199, 999, 1000])
def test_the_least_rate_that_is_named_is_accepted_and_less_is_not(num_held_out):
    calibration, new = Calibration(measured(num_held_out)), measured(1)
    for least in (1 / (num_held_out + 1), float(rounded_up(1 / (num_held_out + 1)))):
        threshold = calibration.judge(new, "negative-elbo", least).threshold
        assert threshold.rate == 1 / (num_held_out + 1)
        assert threshold.value == calibration.measured.negative_elbo.max()
    with pytest.raises(ConfigError):
        calibration.judge(new, "negative-elbo", 0.999 / (num_held_out + 1))


def test_a_score_with_too_few_held_out_examples_for_the_rate_has_no_threshold_and_another_decides():
    judged = Calibration(measured(30)).judge(measured(5), "negative-elbo", 0.04)
    assert set(judged.thresholds) == {"negative-elbo", "importance", "complexity"} < set(judged.scores)


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


def test_importance_is_measured_on_request_and_is_tighter():
    experiment = resolve("dense", {"model": {"hidden": [16]}})
    examples = Examples(RNG.integers(0, 256, (40, 6, 5, 1), np.uint8), 255.0)
    model = build_model(experiment.model, examples.event_shape, generator(0, "initial weights"))
    without, with_it = (measure(model, examples, importance=importance) for importance in (False, True))
    assert without.negative_log_evidence is None
    np.testing.assert_array_equal(with_it.negative_elbo, without.negative_elbo)
    assert with_it.negative_log_evidence.mean() < with_it.negative_elbo.mean()
