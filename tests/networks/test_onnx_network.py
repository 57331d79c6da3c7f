"""Networks that ONNX Runtime computes have the outputs of the originals, and their gradients."""

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.networks.architectures import NETWORKS
from lowerbound.networks.onnx_network import OnnxNetwork, network_bytes

pytest.importorskip("onnx")
from portable_models import small_model


@pytest.mark.parametrize("network", NETWORKS)
def test_outputs_are_those_of_the_original_for_any_number_of_examples(network):
    model = small_model("bernoulli", network)
    for original, shape in ((model.encoder, model.event_shape), (model.decoder, (model.latent_dim,))):
        found = OnnxNetwork(original, network_bytes(original, shape))
        for num_examples in (0, 1, 2, 37):
            x = torch.randn(num_examples, *shape, generator=generator(0, "inputs"))
            with torch.no_grad():
                assert_close(found(x), original(x), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def dense():
    decoder = small_model("bernoulli").decoder
    return decoder, network_bytes(decoder, (3,))


def test_gradients_and_other_precisions_are_those_of_the_original(dense):
    original, content = dense
    found = OnnxNetwork(original, content)
    z = torch.ones(2, 3, requires_grad=True)
    found(z).sum().backward()
    assert z.grad is not None and z.grad.abs().sum() > 0
    assert all(parameter is same for parameter, same in zip(found.parameters(), original.parameters(), strict=True))
    with torch.no_grad():
        assert found.double()(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64
    found.float()


def test_views_are_computed_as_well(dense):
    original, content = dense
    z = torch.arange(12.0).reshape(3, 4).T / 12
    with torch.no_grad():
        assert_close(OnnxNetwork(original, content)(z), original(z), rtol=1e-5, atol=1e-5)


def test_a_session_has_the_threads_of_torch(dense, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    original, content = dense
    assert OnnxNetwork(original, content).session.get_session_options().intra_op_num_threads == 3
