"""The colours of figures."""

import numpy as np
from matplotlib.colors import to_rgb

from lowerbound.reporting import theme


def test_the_colours_of_labels_are_distinct_and_dark_enough_for_white_paper():
    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    assert len(set(theme.CATEGORIES)) == 10
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in theme.CATEGORIES)
