"""The fast forms are the plain ones, in value and gradient."""

import pytest
import torch
from torch import nn

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.networks import kernels
from lowerbound.networks.kernels import Conv2d, ConvTranspose2d, Linear, choose_kernels
from lowerbound.objectives.objective import Objective


def values_and_gradients(layer, x, cotangent):
    x = x.clone().requires_grad_()
    layer.zero_grad()
    out = layer(x)
    out.backward(cotangent)
    return [out.detach(), x.grad, *[parameter.grad.clone() for parameter in layer.parameters()]]


def drawn(*shape, stream="x"):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(0, stream))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("height", "width"), [(5, 4), (1, 3), (7, 7)])
@pytest.mark.parametrize("num_filters", [1, 3])
def test_a_convolution_agrees_with_that_of_torch(height, width, num_filters, layout):
    layer = Conv2d(4, num_filters).double()
    plain = nn.Conv2d(4, num_filters, 3, padding=1).double()
    plain.load_state_dict(layer.state_dict())
    x = drawn(2, 4, height, width).to(memory_format=layout)
    cotangent = drawn(2, num_filters, height, width, stream="cotangent")
    for ours, theirs in zip(
        values_and_gradients(layer, x, cotangent), values_and_gradients(plain, x, cotangent), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("num_filters", [1, 3])
def test_a_convolution_of_no_image_has_no_output_and_no_gradient(num_filters):
    layer = Conv2d(4, num_filters).double()
    out, _, weight, _ = values_and_gradients(layer, drawn(0, 4, 5, 4), drawn(0, num_filters, 5, 4))
    assert out.shape == (0, num_filters, 5, 4) and not weight.any()


@pytest.mark.parametrize("output_padding", [(0, 0), (1, 0), (1, 1)])
def test_a_transposed_convolution_agrees_with_that_of_torch(output_padding):
    options = {"stride": 2, "padding": 1, "output_padding": output_padding}
    layer = ConvTranspose2d(3, 2, 3, **options).double()
    plain = nn.ConvTranspose2d(3, 2, 3, **options).double()
    plain.load_state_dict(layer.state_dict())
    x = drawn(2, 3, 4, 5)
    cotangent = drawn(*plain(x).shape, stream="cotangent")
    for ours, theirs in zip(
        values_and_gradients(layer, x, cotangent), values_and_gradients(plain, x, cotangent), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_gradient_of_a_single_filter_is_that_of_finite_differences():
    layer = Conv2d(2, 1).double()
    assert torch.autograd.gradcheck(layer, drawn(2, 2, 3, 4).requires_grad_())


def test_without_a_gradient_for_the_weights_that_for_the_input_is_the_same():
    layer = Conv2d(2, 1).double()
    x, cotangent = drawn(2, 2, 3, 4), drawn(2, 1, 3, 4, stream="cotangent")
    expected = values_and_gradients(layer, x, cotangent)[1]
    layer.requires_grad_(False)
    x.requires_grad_()
    layer(x).backward(cotangent)
    torch.testing.assert_close(x.grad, expected)


@pytest.fixture
def by_onednn(monkeypatch):
    """Products by oneDNN, whatever the processor; the number of them."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        pytest.skip("this torch does not have the operation")
    calls = []
    multiply = kernels.product
    monkeypatch.setattr(kernels, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(kernels, "product", lambda *tensors: calls.append(1) or multiply(*tensors))
    return calls


def linear_layers(bias=True):
    layer = Linear(96, 128, bias=bias)
    plain = nn.Linear(96, 128, bias=bias)
    plain.load_state_dict(layer.state_dict())
    return layer, plain


INPUTS = {
    "rows": drawn(7, 96),
    "one row": drawn(96),
    "draws of rows": drawn(3, 5, 96),
    "a transposed matrix": drawn(96, 7).T,
    "one row, repeated": drawn(96).expand(4, 96),
    "no rows": drawn(0, 96),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", INPUTS)
def test_a_linear_layer_by_onednn_agrees_with_that_of_torch(by_onednn, name, bias):
    layer, plain = linear_layers(bias)
    x = INPUTS[name].float()
    cotangent = drawn(*plain(x).shape, stream="cotangent").float()
    found, expected = (values_and_gradients(each, x, cotangent) for each in (layer, plain))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert len(by_onednn) == (3 if x.numel() else 0)


def test_of_a_linear_layer_the_second_derivative_is_that_of_torch(by_onednn):
    hessians = []
    for layer in linear_layers():
        x = INPUTS["rows"].float().requires_grad_()
        (first,) = torch.autograd.grad(layer(x).sin().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), x)
        hessians.append(second)
    assert len(by_onednn) > 2
    torch.testing.assert_close(*hessians, rtol=1e-4, atol=1e-5)


def test_where_onednn_is_not_called_a_linear_layer_is_that_of_torch(by_onednn):
    layer, plain = linear_layers()
    x = INPUTS["rows"].float()
    assert torch.equal(torch.func.vmap(layer)(x), torch.func.vmap(plain)(x))
    jacobian = torch.func.jacrev(layer)(x[0])
    torch.testing.assert_close(jacobian, plain.weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain(x))
    choose_kernels(layer, fast=False)
    assert torch.equal(layer(x), plain(x))
    assert torch.equal(layer.double()(x.double()), plain.double()(x.double()))
    assert by_onednn == []


def loss_and_gradients(model, fast):
    choose_kernels(model, fast)
    x = torch.rand(6, 1, 14, 14, generator=generator(0, "x"))
    loss = Objective()(model.sample_posterior(x, generator(0, "noise"))).value
    return loss.detach(), torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_a_whole_model_has_the_same_loss_and_gradients_fast_and_plain_in_float32(network):
    config = ModelConfig(network=network, hidden=(16,), channels=(8, 16))
    model = build_model(config, (1, 14, 14), generator(0, "weights")).to(memory_format=torch.channels_last)
    fast_loss, fast = loss_and_gradients(model, fast=True)
    plain_loss, plain = loss_and_gradients(model, fast=False)
    torch.testing.assert_close(fast_loss, plain_loss, rtol=1e-6, atol=0)
    for ours, theirs in zip(fast, plain, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_every_layer_with_two_forms_takes_the_one_that_is_chosen():
    model = build_model(ModelConfig(network="conv", channels=(4,)), (1, 8, 8), generator(0, "weights"))
    layers = [module for module in model.modules() if isinstance(module, ConvTranspose2d | Conv2d)]
    assert len(layers) == 2
    for fast in (False, True):
        choose_kernels(model, fast)
        assert all(layer.fast is fast for layer in layers)
