"""The figure of gradient estimators: a panel for each group of parameters, a row for each estimator."""

from lowerbound.evaluation.gradient_bench import EstimatorResult, GradientBench
from lowerbound.evaluation.gradient_statistics import GradientStatistics
from lowerbound.foundation.numerics import Estimate
from lowerbound.reporting import theme
from lowerbound.reporting.gradient_plot import gradient_figure


def row(name, variance, time=1.0):
    found = GradientStatistics(Estimate(variance, 0.8 * variance), Estimate(0.0, 0.1), Estimate(1.0, 0.1), (variance,))
    statistics = {"mean": found, "log-variance": found}
    return EstimatorResult(name, "about", relative_time=Estimate(time, 0.1), statistics=statistics)


BENCH = GradientBench(
    bound="elbo",
    rate="analytic",
    num_samples=1,
    num_examples=8,
    num_estimates=500,
    reference="stl",
    num_reference=4000,
    groups=("mean", "log-variance"),
    left_out_groups={},
    estimators=(row("stl", 0.01), row("measure-valued", 2.0, 7.0), EstimatorResult("dreg", "about", left_out="no")),
)


def test_each_group_has_a_panel_and_each_measured_estimator_a_row():
    figure = gradient_figure(BENCH)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["mean", "log-variance"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["stl", "measure-valued"]
    assert "the ELBO, 1 draw" in figure.get_supxlabel()


def test_the_markers_are_the_variance_of_one_estimate_and_at_equal_time():
    of_one, at_equal_time = (line.lines[0].get_xdata().tolist() for line in gradient_figure(BENCH).axes[0].containers)
    assert of_one == [0.01, 2.0]
    assert at_equal_time == [0.01, 14.0]


def test_it_is_drawn_with_errors_larger_than_values_and_without_variance():
    still = GradientBench(**{**vars(BENCH), "estimators": (row("stl", 0.0), row("measure-valued", 2.0))})
    assert theme.png(gradient_figure(BENCH)).startswith(b"\x89PNG")
    assert theme.png(gradient_figure(still)).startswith(b"\x89PNG")
