"""The support of parts, merged, is that of the whole."""

from functools import reduce
from operator import or_

import numpy as np
import pytest

from data_files import RNG
from lowerbound.data.support_scan import SupportScan

PIXELS = RNG.integers(0, 256, (60, 4), np.uint8)
CASES = {
    "bytes": (PIXELS, (0.0, 255.0), "image"),
    "levels": (PIXELS % 17, (0.0, 16.0), "image"),
    "binary": (PIXELS % 2, (0.0, 1.0), "image"),
    "8 bits as floats": (PIXELS.astype(np.float32) / 255, (0.0, 1.0), "image"),
    "8 bits but one": (np.float32(np.r_[PIXELS / 255, [[0.123456] * 4]]), (0.0, 1.0), "image"),
    "counts": (RNG.poisson(3, (60, 4)).astype(np.float32), (0.0, 1.0), "array"),
    "signed": (RNG.uniform(-1, 1, (60, 4)).astype(np.float32), (-1.0, 1.0), "image"),
    "missing": (np.where(PIXELS < 50, np.nan, PIXELS).astype(np.float32), (0.0, 1.0), "table"),
    "nothing known": (np.full((60, 4), np.nan, np.float32), (0.0, 1.0), "table"),
}


@pytest.mark.parametrize("case", CASES)
def test_parts_have_the_support_of_the_whole(case):
    values, scale, layout = CASES[case]
    whole = SupportScan(scale, layout).add(values).support
    parts = [SupportScan(scale, layout).add(values[at : at + 7]) for at in range(0, len(values), 7)]
    assert reduce(or_, parts).support == whole
    one = SupportScan(scale, layout)
    for at in range(0, len(values), 7):
        one.add(values[at : at + 7])
    assert one.support == whole


def test_the_support_says_what_values_there_are():
    def support(case):
        values, scale, layout = CASES[case]
        return SupportScan(scale, layout).add(values).support

    assert (support("bytes").num_levels, support("levels").num_levels) == (256, 17)
    assert support("binary").is_binary and not support("levels").is_binary
    assert (support("8 bits as floats").num_levels, support("8 bits but one").num_levels) == (256, 0)
    assert support("counts").is_integer and not support("signed").is_integer
    assert support("missing").has_missing and support("missing").low == PIXELS[PIXELS >= 50].min()
    assert (support("nothing known").low, support("nothing known").high) == (0, 0)
