"""The quick check of a request finds what the check of every other door finds."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowerbound.data.examples import Examples
from lowerbound.foundation.schema import Schema, Support
from lowerbound.models.support import unsupported_values
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.serving.service.validation import first_unsupported

SHAPES = {"image": (2, 3, 1), "array": (4,)}


@given(
    name=st.sampled_from(sorted(set(LIKELIHOODS) - {"table"})),
    layout=st.sampled_from(sorted(SHAPES)),
    is_binary=st.booleans(),
    top=st.sampled_from([1.0, 16.0, 255.0]),
    values=st.lists(
        st.sampled_from([0.0, 1.0, 0.5, 0.25, 8.0, 16.0, 17.0, 255.0, -1.0, math.nan, math.inf]),
        min_size=12,
        max_size=12,
    ),
)
def test_the_quick_check_finds_what_the_check_of_every_door_finds(name, layout, is_binary, top, values):
    shape = SHAPES[layout]
    schema = Schema(
        layout=layout, shape=shape, dtype="float32", range=(0.0, top), support=Support(0.0, 1.0, is_binary=is_binary)
    )
    likelihood = LIKELIHOODS[name](schema.event_shape)
    stored = np.array(values, np.float32)[: 12 // math.prod(shape) * math.prod(shape)].reshape(-1, *shape)
    examples = Examples(stored, top, layout=layout)
    x = torch.from_numpy(stored / np.float32(top))
    wrong = np.flatnonzero(unsupported_values(likelihood, schema, x).reshape(len(x), -1).any(axis=1))
    assert first_unsupported(examples, likelihood, schema) == (int(wrong[0]) if len(wrong) else None)
