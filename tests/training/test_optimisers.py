from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.runs.experiment import resolve
from lowerbound.training.config import OPTIMISER_NAMES, TrainingConfig
from lowerbound.training.optimisers import OPTIMISERS, MuonWithAdam, decay_weights, drop_fading_moments, orthogonalised

CONFIG = TrainingConfig(optimiser="muon", learning_rate=1e-2)


def new_model():
    model = build_model(ModelConfig(network="conv", hidden=(8,), channels=(6, 12)), (1, 8, 8), generator(0, "weights"))
    return model.to(memory_format=torch.channels_last)


def give_gradients(model, stream):
    noise = generator(0, stream)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=noise).to(memory_format=layout(parameter))


def layout(tensor):
    return torch.channels_last if tensor.ndim == 4 else torch.contiguous_format


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_every_name_of_an_optimiser_has_one():
    assert tuple(OPTIMISERS) == tuple(OPTIMISER_NAMES)


def test_muons_first_step_on_a_kernel_has_the_singular_vectors_of_its_gradient_and_singular_values_near_one():
    model = new_model()
    optimiser = MuonWithAdam(model.parameters(), CONFIG)
    kernel = model.encoder.body[2].weight  # 12 filters of 6 × 3 × 3
    before = kernel.detach().clone()
    give_gradients(model, "gradients")
    gradient = kernel.grad.clone()
    optimiser.step()
    # Liu et al., arXiv:2502.16982, Equation 4: 0.2 sqrt(max(rows, columns)) times the orthogonal factor.
    step = (before - kernel.detach()).flatten(1) / (CONFIG.learning_rate * 0.2 * 54**0.5)
    left, _, right = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    inner = left.T @ step @ right.T
    assert (inner.diag() > 0.5).all()
    assert (inner.diag() < 1.3).all()
    assert (inner - inner.diag().diag()).abs().max() < 0.1


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (9, 9)])
def test_orthogonalising_is_the_published_iteration(shape):
    matrix = torch.randn(shape, dtype=torch.float64, generator=generator(0, "matrix"))
    x = matrix / matrix.norm()
    for _ in range(5):
        if shape[0] > shape[1]:
            gram = x.T @ x
            x = 3.4445 * x + x @ (-4.775 * gram + 2.0315 * gram @ gram)
        else:
            gram = x @ x.T
            x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalised(matrix), x)
    rounded = orthogonalised(matrix.float())
    torch.testing.assert_close(rounded.double(), x, rtol=0, atol=1e-3)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this version of torch has no Muon")
def test_muons_steps_are_those_of_torch():
    ours, theirs = [nn.Linear(20, 10, bias=False) for _ in range(2)]
    theirs.load_state_dict(ours.state_dict())
    reference = torch.optim.Muon(
        theirs.parameters(), lr=CONFIG.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    optimiser = MuonWithAdam(ours.parameters(), CONFIG)
    for stream in ("one", "two", "three"):
        before = ours.weight.detach().clone()
        for layer, its in ((ours, optimiser), (theirs, reference)):
            give_gradients(layer, stream)
            its.step()
    # Theirs iterates in bfloat16.
    assert (ours.weight - theirs.weight).norm() < 0.03 * (ours.weight - before).norm()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this version of torch has no Muon")
@pytest.mark.parametrize("name", OPTIMISER_NAMES)
def test_weight_decay_is_that_of_torch_on_weights_alone(name):
    rate, decay = 1e-2, 0.3
    factor = 1 - rate * decay
    config = TrainingConfig(optimiser=name, learning_rate=rate)
    ours, theirs = [nn.Linear(20, 10).double() for _ in range(2)]
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        theirs.weight /= factor  # theirs decays before a step, ours after it
    kinds = {"adam": torch.optim.AdamW, "muon": partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")}
    references = [kinds[name]([theirs.weight], lr=rate, weight_decay=decay), torch.optim.Adam([theirs.bias], lr=rate)]
    optimiser = OPTIMISERS[name](ours.parameters(), config)
    for stream in ("one", "two", "three"):
        for layer in (ours, theirs):
            noise = generator(0, stream)
            for parameter in layer.parameters():
                parameter.grad = torch.randn(parameter.shape, dtype=torch.float64, generator=noise)
        optimiser.step()
        decay_weights(ours, factor)
        for reference in references:
            reference.step()
    # torch's Muon iterates in bfloat16.
    tolerance = {"rtol": 0, "atol": 3 * rate * 0.05} if name == "muon" else {}
    torch.testing.assert_close(ours.weight, factor * theirs.weight, **tolerance)
    torch.testing.assert_close(ours.bias, theirs.bias)


def test_scales_of_normalisations_and_what_is_no_layer_do_not_decay():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ConvTranspose2d(4, 2, 3))
    model.register_parameter("means", nn.Parameter(torch.ones(3, 4)))
    before = weights(model)
    decay_weights(model, 0.5)
    for name, tensor in weights(model).items():
        assert torch.equal(tensor, before[name] * (0.5 if name in ("0.weight", "2.weight") else 1.0)), name


def keras_adam(variable, gradients, learning_rate, beta_1, beta_2, epsilon):
    """keras.optimizers.Adam.update_step, Keras 3, line by line in numpy."""
    m, v = np.zeros_like(variable), np.zeros_like(variable)
    for iterations, gradient in enumerate(gradients):
        local_step = iterations + 1
        alpha = learning_rate * np.sqrt(1 - beta_2**local_step) / (1 - beta_1**local_step)
        m += (gradient - m) * (1 - beta_1)
        v += (np.square(gradient) - v) * (1 - beta_2)
        variable = variable - (m * alpha) / (np.sqrt(v) + epsilon)
    return variable


@pytest.mark.parametrize("recipe", ["tutorial-conv", "tutorial-dense"])
@pytest.mark.parametrize("size", [1.0, 1e-6])  # of gradients: beside small ones epsilon counts
def test_the_reference_texts_recipes_take_the_steps_of_keras_adam(recipe, size):
    config = resolve(recipe).training
    noise = np.random.default_rng(0)
    start = noise.normal(size=(4, 3))
    gradients = size * noise.normal(size=(300, 4, 3)) * noise.random((4, 3))
    layer = nn.Linear(3, 4, bias=False).double()
    layer.weight.data = torch.from_numpy(start.copy())
    optimiser = OPTIMISERS[config.optimiser](layer.parameters(), config)
    for gradient in gradients:
        layer.weight.grad = torch.from_numpy(gradient)
        optimiser.step()
    expected = keras_adam(start, gradients, config.learning_rate, config.adam_beta1, config.adam_beta2, 1e-7)
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-12)
    assert all(group["fused"] for group in optimiser.param_groups)


def test_biases_and_thin_matrices_take_adams_steps():
    model, other = new_model(), new_model()
    muon = MuonWithAdam(model.parameters(), CONFIG)
    adam = torch.optim.Adam(other.parameters(), lr=CONFIG.learning_rate)
    for stream in ("one", "two", "three"):
        for which, optimiser in ((model, muon), (other, adam)):
            give_gradients(which, stream)
            optimiser.step()
    for (name, ours), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        is_thin = ours.ndim < 2 or min(ours.shape[0], ours[0].numel()) < 5
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6) == is_thin, name


@pytest.mark.parametrize("name", OPTIMISERS)
def test_gradients_are_dropped(name):
    model = new_model()
    optimiser = OPTIMISERS[name](model.parameters(), CONFIG)
    give_gradients(model, "gradients")
    optimiser.step()
    optimiser.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())
    before = weights(model)
    optimiser.step()
    assert all(torch.equal(tensor, before[key]) for key, tensor in weights(model).items())


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_restored_from_its_state_goes_on_as_if_nothing_had_been(name):
    model, copy = new_model(), new_model()
    optimiser, restored = [OPTIMISERS[name](which.parameters(), CONFIG) for which in (model, copy)]
    give_gradients(model, "one")
    optimiser.step()
    copy.load_state_dict(model.state_dict())
    saved = {
        index: {k: v.clone() for k, v in slots.items()} for index, slots in optimiser.state_dict()["state"].items()
    }
    restored.load_state_dict({**restored.state_dict(), "state": saved})
    for which, its in ((model, optimiser), (copy, restored)):
        give_gradients(which, "two")
        its.step()
    for key, tensor in weights(model).items():
        assert torch.equal(tensor, weights(copy)[key]), key


@pytest.mark.parametrize("module", [nn.Linear(9, 1), nn.Linear(9, 9, bias=False)], ids=["all thin", "all matrices"])
def test_a_model_of_one_kind_of_parameters_alone_can_be_trained(module):
    optimiser = MuonWithAdam(module.parameters(), replace(CONFIG, learning_rate=1e-3))
    before = module.weight.detach().clone()
    module(torch.ones(2, 9)).sum().backward()
    optimiser.step()
    assert not torch.equal(module.weight, before)
    assert optimiser.state_dict()["state"]


def test_moments_that_fade_become_zero_before_they_are_denormal_and_the_others_stay():
    layer = nn.Linear(3, 1)
    optimiser = OPTIMISERS["adam"](layer.parameters(), replace(CONFIG, optimiser="adam"))
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    slots = optimiser.state[layer.weight]
    slots["exp_avg"].copy_(torch.tensor([[1e-31, -1e-29, 0.5]]))
    slots["exp_avg_sq"].copy_(torch.tensor([[1e-37, 1e-35, 0.25]]))
    drop_fading_moments(optimiser)
    torch.testing.assert_close(slots["exp_avg"], torch.tensor([[0.0, -1e-29, 0.5]]), rtol=0, atol=0)
    torch.testing.assert_close(slots["exp_avg_sq"], torch.tensor([[0.0, 1e-35, 0.25]]), rtol=0, atol=0)
    # Fifty steps at the usual rates later what stayed is still a normal number.
    smallest = torch.finfo(torch.float32).smallest_normal
    assert smallest < 1e-30 * 0.9**50
    assert smallest < 1e-36 * 0.999**50


def test_muons_momentum_of_what_gets_no_gradient_fades_to_zero_and_not_to_denormals():
    layer = nn.Linear(6, 6)
    optimiser = MuonWithAdam(layer.parameters(), replace(CONFIG, learning_rate=1e-3))
    alive = torch.tensor([1.0, 0, 1, 1, 0, 1])  # two of the six units are dead
    (layer(torch.randn(8, 6, generator=generator(0, "x"))) * alive).square().sum().backward()
    (momentum,) = (slots["momentum_buffer"] for slots in optimiser.state.values() if "momentum_buffer" in slots)
    bias = optimiser.adam.state
    momentum[1] = momentum[4] = 1e-31  # where two hundred and fifty steps take it from one
    optimiser.step()
    bias[layer.bias]["exp_avg"].fill_(1e-31)
    drop_fading_moments(optimiser)
    assert not momentum[[1, 4]].any() and momentum[[0, 2, 3, 5]].all()
    assert not bias[layer.bias]["exp_avg"].any()
    # Left alone it would stay: the smallest number times 0.95 is rounded to itself.
    smallest = torch.tensor(1e-45)
    assert smallest.lerp(torch.zeros(()), 0.05) == smallest
