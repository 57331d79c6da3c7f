"""The graphical model is drawn to its borders."""

import math

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, FancyArrowPatch

from lowerbound.reporting.plots import PLOTS


def test_the_arrows_of_the_graph_meet_the_borders_of_its_nodes(make_results):
    figure = PLOTS["graph"].draw(make_results())
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    heads = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch) and patch.get_linewidth() == 0]
    assert len(heads) == 4
    for head in heads:
        tips = axes.transData.inverted().transform(head.get_transform().transform(head.get_path().vertices))
        gaps = [abs(math.dist(tip, circle.center) - circle.radius) for tip in tips for circle in circles]
        assert min(gaps) < 0.03
