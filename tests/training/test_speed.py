import pytest
import torch

from lowerbound.data.batches import Batch
from lowerbound.foundation.errors import UnknownName
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.training.config import TrainingConfig
from lowerbound.training.speed import choose_precision, computing
from lowerbound.training.step import loss_of


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.float32),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel Xeon Platinum"}, torch.float32),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC"}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "cpu_name": "AMD EPYC"}, torch.float32),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"architecture": "aarch64", "arm_bf16": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_where_the_processor_is_faster_with_it(monkeypatch, capabilities, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision("auto", "cpu") == chosen


def test_auto_is_float32_on_a_device_that_is_not_known():
    assert choose_precision("auto", "mps") == torch.float32


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_named_precision_is_taken_at_its_word(monkeypatch, name):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert choose_precision(name, "cpu") == getattr(torch, name)


@pytest.mark.parametrize(("key", "accepted"), [("speed", "fast, plain"), ("precision", "auto, bfloat16, float32")])
def test_an_unknown_speed_or_precision_is_refused_with_what_is_accepted(key, accepted):
    with pytest.raises(UnknownName, match=rf"training\.{key}.*{accepted}"):
        TrainingConfig(**{key: "fastest"})


@pytest.fixture(params=["dense", "conv"])
def model(request):
    config = ModelConfig(network=request.param, hidden=(16,), channels=(8, 16))
    return build_model(config, (1, 14, 14), generator(0, "weights"))


def test_in_bfloat16_layers_are_rounded_and_densities_are_not(model):
    x = torch.rand(8, 1, 14, 14, generator=generator(0, "x"))
    exact = loss_of(model, Objective(), Batch(x), generator(0, "noise"))
    rounded = loss_of(model, Objective(), Batch(x), generator(0, "noise"), precision=torch.bfloat16)
    for name in ("value", "objective", "distortion", "rate"):
        assert getattr(rounded, name).dtype == torch.float64
    # Eight bits of mantissa: some rounding is there, and no more than that.
    assert not torch.equal(rounded.objective, exact.objective)
    torch.testing.assert_close(rounded.objective, exact.objective, rtol=2**-7, atol=0)
    for ours, theirs in zip(gradients(model, rounded), gradients(model, exact), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() <= 0.1 * theirs.norm()


def gradients(model, loss):
    return torch.autograd.grad(loss.value, list(model.parameters()))


def test_the_plain_operations_are_chosen_within_and_undone_after(model):
    def is_fast():
        return {module.fast for module in model.modules() if hasattr(module, "fast")}

    with computing(model, "plain"):
        assert is_fast() <= {False}
    assert is_fast() <= {True}
