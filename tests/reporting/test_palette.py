"""The colours of figures."""

from lowerbound.reporting import theme


def test_the_colours_of_labels_are_distinct():
    assert len(set(theme.CATEGORIES)) == 10
