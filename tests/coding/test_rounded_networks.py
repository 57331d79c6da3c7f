"""Outputs of networks are rounded alike whatever the batch; those next to a boundary are recorded."""

import numpy as np
import pytest
import torch

from lowerbound.coding import rounded_networks
from lowerbound.coding.portable_tables import STEPS
from lowerbound.coding.rounded_networks import DECODER, Exceptions, RoundedNetworks
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model


@pytest.fixture
def networks():
    return RoundedNetworks(build_model(ModelConfig(network="conv", latent_dim=3), (1, 8, 8), generator(0, "weights")))


def test_batches_of_any_size_give_the_same_outputs(networks, monkeypatch):
    z, numbers = np.random.default_rng(0).standard_normal((40, 3)), np.arange(40)
    found = networks.decoded(z, numbers, Exceptions(), True)
    monkeypatch.setattr(rounded_networks, "AT_ONCE", 7)
    np.testing.assert_array_equal(networks.decoded(z, numbers, Exceptions(), True), found)
    raw = networks.model.decoder(torch.from_numpy(z)).flatten(1).numpy()
    assert np.abs(found / STEPS - raw).max() <= 0.5 / STEPS + 1e-12


@pytest.mark.parametrize("boundary", [3.5, -3.5, 0.5, -0.5])
@pytest.mark.parametrize("nearby", [1e-9, -1e-9])
def test_an_output_next_to_a_boundary_is_rounded_as_it_was_when_it_was_recorded(boundary, nearby):
    numbers = np.array([5])
    scaled = np.array([[boundary + nearby, 7.2]])
    steps = np.rint(scaled).astype(np.int64)
    exceptions = Exceptions()
    exceptions.record(DECODER, numbers, scaled, steps)
    assert list(exceptions.rounded_up) == [(DECODER, 5, 0)]
    # A machine on which it is on the other side:
    other = np.array([[boundary - nearby, 7.2]])
    found = np.rint(other).astype(np.int64)
    Exceptions.of_array(exceptions.as_array().tolist()).apply(DECODER, numbers, other, found)
    np.testing.assert_array_equal(found, steps)


def test_exceptions_of_other_images_and_networks_change_nothing():
    steps = np.array([[3]])
    exceptions = Exceptions({(DECODER, 4, 0): True, (1 - DECODER, 5, 0): True, (DECODER, 5, 99): True})
    exceptions.apply(DECODER, np.array([5]), np.array([[3.4]]), steps)
    assert steps.item() == 3


def test_outputs_that_are_not_finite_are_refused(networks):
    with pytest.raises(DataError, match="too large to be coded"):
        networks.decoded(np.full((1, 3), np.inf), np.arange(1), Exceptions(), True)
