"""Values and distributions in the units and the layout of the data."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.schema import Column, Schema
from lowerbound.foundation.seeding import generator
from lowerbound.models.stored_units import StoredUnits, to_model_units, to_stored_units
from lowerbound.probability.distributions import DiagonalNormal

IMAGES = Schema(layout="image", dtype="uint8", shape=(4, 5, 3), range=(0.0, 255.0))
OFFSET = Schema(
    layout="table",
    dtype="float64",
    shape=(2,),
    columns=(Column(name="time", kind="numeric", offset=1.7e9), Column(name="x", kind="numeric")),
)


def drawn(*shape):
    return torch.rand(shape, generator=generator(0, "values"))


def test_pixels_are_stored_with_the_channels_last_on_the_scale_of_the_data():
    x = drawn(2, 3, 4, 5)
    stored = to_stored_units(x, IMAGES)
    assert stored.shape == (2, 4, 5, 3)
    assert_close(stored[1, 2, 3], 255 * x[1, :, 2, 3])


def test_offsets_keep_their_digits():
    x = torch.tensor([[0.25, 3.0]])
    assert to_stored_units(x, OFFSET).tolist() == [[1.7e9 + 0.25, 3.0]]


@pytest.mark.parametrize(("schema", "shape"), [(IMAGES, (2, 3, 4, 5)), (OFFSET, (6, 2))])
def test_stored_values_come_back_on_the_models_scale_in_single_precision(schema, shape):
    x = drawn(*shape)
    again = to_model_units(to_stored_units(x, schema), schema)
    assert again.dtype == torch.float32
    assert_close(again, x, rtol=0, atol=1e-6)


def test_moments_and_draws_are_in_stored_units_and_log_densities_those_of_the_model():
    x = drawn(2, 3, 4, 5)
    inner = DiagonalNormal(x, torch.full_like(x, -4.0), event_ndim=3)
    outer = StoredUnits(inner, IMAGES)
    assert outer.event_ndim == 3
    assert_close(outer.mean, to_stored_units(inner.mean, IMAGES))
    assert_close(outer.mode, to_stored_units(inner.mode, IMAGES))
    draws = outer.sample(generator(0, "draws"), 4000)
    assert_close(draws.var(0), outer.variance, rtol=0.15, atol=0)
    assert_close(outer.log_prob(draws[:7]), inner.log_prob(to_model_units(draws[:7], IMAGES)))
