import pytest
import torch

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.tensor_files import save_tensors
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.training.checkpoint import (
    drop_checkpoints_after,
    load_checkpoint,
    load_model,
    save_checkpoint,
    save_model,
)


def state(step):
    numbers = {"epoch": 1, "batch": 0, "best_epoch": 1, "epochs_without_improvement": 0, "seconds": 1.0}
    return {**numbers, "step": step, "machine": {"threads": 2}}


def save(folder, step):
    save_checkpoint(folder, step, {"weight": torch.full((3,), float(step))}, state(step))


def damage(path, position=-3):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))


def test_the_two_newest_checkpoints_are_kept_and_the_newest_is_loaded(tmp_path):
    for step in (9, 10, 100):
        save(tmp_path, step)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "step-000000010.safetensors",
        "step-000000100.safetensors",
    ]
    assert load_checkpoint(tmp_path).state == state(100)


@pytest.mark.parametrize(
    "injury", [damage, lambda path: path.write_bytes(path.read_bytes()[:40]), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(tmp_path, injury):
    save(tmp_path, 1)
    save(tmp_path, 2)
    injury(tmp_path / "step-000000002.safetensors")
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.state == state(1)
    assert checkpoint.tensors["weight"].tolist() == [1.0, 1.0, 1.0]
    assert "damaged" in checkpoint.damaged[0]


def test_a_checkpoint_with_another_key_is_passed_over_as_a_damaged_one_is(tmp_path):
    save(tmp_path, 1)
    save_checkpoint(tmp_path, 2, {}, state(2) | {"epoch": "2"})
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.state == state(1)
    assert 'epoch: input should be a valid integer, got "2"' in checkpoint.damaged[0]


def test_where_no_checkpoint_is_whole_the_error_says_so(tmp_path):
    assert load_checkpoint(tmp_path) is None
    save(tmp_path, 1)
    damage(tmp_path / "step-000000001.safetensors")
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("network", ["dense", "conv"])
def test_a_saved_model_loads_with_equal_weights_and_configuration(tmp_path, network):
    config = ModelConfig(
        network=network, hidden=(7,), latent_dim=3, likelihood="gaussian", likelihood_options={"learn_sigma": True}
    )
    model = build_model(config, (2, 6, 5), generator(0, "weights"))
    save_model(tmp_path / "model.safetensors", model, None, {})
    loaded = load_model(tmp_path)
    assert loaded.config == config
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_model_with_one_bit_flipped_is_refused(tmp_path):
    model = build_model(ModelConfig(hidden=(7,)), (1, 4, 4), generator(0, "w"))
    save_model(tmp_path / "model.safetensors", model, None, {})
    damage(tmp_path / "model.safetensors", position=-30)
    with pytest.raises(RunError, match="damaged"):
        load_model(tmp_path)


def test_what_holds_no_model_is_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        load_model(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is not a run directory"):
        load_model(tmp_path)
    save(tmp_path, 1)
    with pytest.raises(RunError, match=r"step-000000001\.safetensors is damaged \(model: is missing; and \d+ more\)"):
        load_model(tmp_path / "step-000000001.safetensors")


def test_what_a_kill_before_the_oldest_was_dropped_left_is_dropped_when_training_goes_on(tmp_path):
    for step in (1, 2, 3, 4):
        save_tensors(tmp_path / f"step-{step:09d}.safetensors", {"weight": torch.zeros(1)}, {"step": step})
    drop_checkpoints_after(tmp_path, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000002.safetensors",
        "step-000000003.safetensors",
    ]
