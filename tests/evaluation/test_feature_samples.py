"""Values of single columns and elements, as the figures of features have them."""

import numpy as np
import pytest
import torch

from lowerbound.data.examples import Examples
from lowerbound.evaluation.feature_samples import MAX_ELEMENTS, MAX_EXAMPLES, best_guess, element_arrays, shown_elements
from lowerbound.foundation.schema import Column
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

COLUMNS = (
    Column(name="year", kind="numeric", offset=2000.0),
    Column(name="is_new", kind="binary", levels=("no", "yes")),
)
CELLS = np.array([[1.5, 1.0], [-2.0, 0.0], [0.25, np.nan]], np.float32)


@pytest.fixture(scope="module")
def model():
    config = ModelConfig(likelihood="table", hidden=(4,), latent_dim=2)
    return build_model(config, (2,), generator(0, "weights"), columns=COLUMNS).eval()


def table():
    return Examples(CELLS, 1.0, layout="table", columns=COLUMNS)


def test_values_of_columns_are_in_stored_units(model):
    arrays = element_arrays(model, table(), generator(0, "draws"))
    np.testing.assert_allclose(arrays["elements"], CELLS + np.array([2000, 0]))
    assert arrays["elements_shown"].tolist() == [0, 1]
    assert arrays["elements_reconstructed"].shape == (3, 2)
    assert arrays["elements_drawn"].shape == (MAX_EXAMPLES, 2)
    assert set(arrays["elements_drawn"][:, 1]) <= {0, 1}
    assert abs(np.median(arrays["elements_drawn"][:, 0]) - 2000) < 10


def test_the_best_guess_is_a_mean_or_the_most_probable_level(model):
    p = model.decode(torch.randn(50, 2, generator=generator(0, "z")))
    guess = best_guess(model, p)
    assert torch.equal(guess[:, 0], p.mean[:, 0])
    assert torch.equal(guess[:, 1], (p.mean[:, 1] > 0.5).to(guess.dtype))


def test_a_table_shows_its_first_columns_and_an_array_elements_across_it():
    wide = tuple(Column(name=str(number), kind="numeric") for number in range(30))
    columns = Examples(np.zeros((2, 30), np.float32), 1.0, layout="table", columns=wide)
    assert shown_elements(columns).tolist() == list(range(MAX_ELEMENTS))
    elements = shown_elements(Examples(np.zeros((2, 10, 10), np.float32), 1.0, layout="array"))
    assert (len(elements), elements[0], elements[-1]) == (MAX_ELEMENTS, 0, 99)
    assert shown_elements(Examples(np.zeros((2, 5), np.float32), 1.0, layout="array")).tolist() == list(range(5))
