"""lb.bound_terms: the run's test examples, or examples in stored units."""

import numpy as np
import pytest

import lowerbound as lb
from lowerbound.foundation.errors import SchemaError
from untrained_models import untrained_run

IMAGES = (np.random.default_rng(0).random((30, 8, 8)) > 0.6).astype(np.uint8) * 255


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bound")
    np.save(folder / "images.npy", IMAGES)
    untrained_run(folder / "run", str(folder / "images.npy"), latent_dim=2)
    return folder / "run"


def test_the_identity_holds_for_the_runs_own_test_examples(run):
    found = lb.bound_terms(run, num_draws=8)
    assert len(found.elbo) == 3
    assert found.is_exact.all()
    np.testing.assert_allclose(found.log_evidence, found.elbo + found.kl_to_posterior)


def test_given_examples_are_read_in_stored_units(run):
    model = lb.load(run)
    found = lb.bound_terms(model, IMAGES[:2], num_draws=8)
    again = lb.bound_terms(run, IMAGES[:2], num_draws=8)
    assert found.elbo.shape == (2,)
    np.testing.assert_array_equal(found.elbo, again.elbo)
    with pytest.raises(SchemaError):
        lb.bound_terms(model, IMAGES[:, :4])
