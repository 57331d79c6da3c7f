"""The figures of a report as methods of a run."""

import inspect

import pytest
from matplotlib.figure import Figure

from lowerbound.foundation.errors import UsageError
from lowerbound.reporting.plots import PLOTS, plots_for
from lowerbound.reporting.run_plots import Plots
from training_frames import made_frames

pytestmark = pytest.mark.usefixtures("coarse_figures")


@pytest.fixture(scope="module")
def results(make_results):
    return make_results(manifold_sizes=(3, 5))


@pytest.fixture(scope="module")
def plot(results):
    return Plots(results, made_frames)


def test_every_figure_of_the_report_is_a_method_of_its_name_with_its_caption(plot, results):
    for name, row in plots_for(results).items():
        assert name in dir(plot)
        method = getattr(plot, name)
        assert isinstance(method(), Figure)
        assert method.__name__ == name and row.caption in inspect.getdoc(method)


def test_a_manifold_is_the_smallest_unless_a_size_is_given(plot):
    side = [len(plot.manifold(size).axes[0].get_xticks()) for size in (None, 3, 5)]
    assert side == [3, 3, 5]
    with pytest.raises(UsageError, match="no manifold of size 15; it has 3, 5"):
        plot.manifold(15)


def test_a_figure_that_does_not_apply_is_refused_with_the_reason_of_the_report(plot, make_results):
    with pytest.raises(UsageError, match="no figure 'bound_sweep': not measured yet: lowerbound evaluate RUN"):
        plot.bound_sweep()
    with pytest.raises(UsageError, match="no figure 'manifold_15': not computed for this run"):
        Plots(make_results(latent_dim=8), made_frames).manifold()
    assert "bound_sweep" not in dir(plot) and "bound_sweep" in PLOTS


def test_a_name_that_is_no_figure_is_an_attribute_error_which_names_those_there_are(plot):
    with pytest.raises(AttributeError, match=r"no figure 'manifolt'; it has curves, .*latent_space"):
        plot.manifolt  # noqa: B018
    assert not hasattr(plot, "_repr_png_")
    assert "latent_space" in repr(plot)
