"""Levels and the values that they came from, in the type and the layout in which they were given."""

import numpy as np
import pytest

from coded_arrays import ARRAYS, coded_run
from lowerbound.compression.stored_levels import levels_of
from lowerbound.foundation.errors import DataError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return coded_run(tmp_path_factory.mktemp("runs") / "run", "mixture of logistics")[0]


PIXELS = ARRAYS["mixture of logistics"][0]


@pytest.mark.parametrize(
    "given", [PIXELS, np.moveaxis(PIXELS, -1, 1), PIXELS.astype(np.float64), PIXELS.astype(np.int16), PIXELS[0]]
)
def test_types_and_layouts_are_restored(trained, given):
    levels, units = levels_of(trained.examples(given), trained.vae, trained.schema, given)
    restored = units.restored(levels, trained.vae.event_shape)
    assert restored.dtype == given.dtype
    np.testing.assert_array_equal(restored.reshape(given.shape), given)
    # Elements are in the order of the model: channels first.
    channels = given.reshape(-1, *given.shape[-3:])
    if channels.shape[1:] == (4, 4, 3):
        np.testing.assert_array_equal(levels[0].reshape(3, 4, 4), np.moveaxis(channels[0], -1, 0))


def test_what_lies_between_levels_is_refused(trained):
    given = PIXELS.astype(np.float64) + 0.25
    examples = trained.examples(PIXELS)
    with pytest.raises(DataError, match="not on the 256 even levels from 0 to 255"):
        levels_of(examples, trained.vae, trained.schema, given)


def test_an_array_of_objects_is_refused(trained):
    given = PIXELS.astype(object)
    with pytest.raises(DataError, match="the array has the type object"):
        levels_of(trained.examples(PIXELS), trained.vae, trained.schema, given)
