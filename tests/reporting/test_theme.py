"""The style of figures, and the same bytes from the same results."""

from io import BytesIO

import matplotlib
import numpy as np
import pytest
from PIL import Image

from lowerbound.reporting import theme
from lowerbound.reporting.plots import PLOTS


@pytest.mark.parametrize("name", ["graph", "curves", "latent_space", "reconstructions"])
def test_the_same_results_give_the_same_bytes_whatever_the_settings_of_the_user(make_results, name):
    results = make_results()
    first = [render(PLOTS[name].draw(results)) for render in (theme.png, theme.svg)]
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.hashsalt": None, "figure.dpi": 50}):
        second = [render(PLOTS[name].draw(results)) for render in (theme.png, theme.svg)]
    assert first == second


def test_drawing_leaves_the_settings_of_the_user_alone(make_results):
    before = dict(matplotlib.rcParams)
    theme.png(PLOTS["curves"].draw(make_results()))
    assert dict(matplotlib.rcParams) == before


def test_an_image_is_drawn_pixel_by_pixel():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    figure, _ = theme.image_figure(image, left=0.1, top=0.05)
    with Image.open(BytesIO(theme.png(figure))) as opened:
        drawn = np.asarray(opened.convert("RGB"))
    assert drawn.shape == (50, 80, 3)
    np.testing.assert_array_equal(drawn[10:, 20:], image)
