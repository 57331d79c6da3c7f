"""What an operation computes does not depend on what else is computed with it."""

import numpy as np
import pytest
import torch

from lowerbound.serving.service.operations import OPERATIONS, InferenceRequest, compute
from served_models import RUNS, images


def questions_of(run, operation):
    """Three requests of different sizes and seeds."""
    shape = {"x": run.model.event_shape, "z": (run.model.latent_dim,)}.get(operation.takes)
    for number, seed in ((1, 5), (3, 6), (2, 5)):
        x = shape and np.random.default_rng(seed).integers(0, 2, (number, *shape)).astype(np.float32)
        yield InferenceRequest(num_examples=number, x=x, seed=seed, sample=True, num_draws=2 + number)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_an_answer_does_not_depend_on_what_else_was_in_the_pass(run, name):
    operation = OPERATIONS[name]
    asked = list(questions_of(run, operation))
    together = compute(operation, run.model, asked)
    for alone, among_others in zip(asked, together, strict=True):
        (expected,) = compute(operation, run.model, [alone])
        assert expected.keys() == among_others.keys()
        for key in expected:
            np.testing.assert_allclose(among_others[key], expected[key], rtol=1e-4, atol=1e-4)


def test_chunks_of_a_large_batch_give_what_the_whole_gives():
    x = images(300)
    (found,) = compute(OPERATIONS["reconstruct"], RUNS[0].model, [InferenceRequest(num_examples=300, x=x)])
    np.testing.assert_allclose(found["reconstruction"], RUNS[0].model.reconstruct(torch.from_numpy(x)), rtol=1e-4)
