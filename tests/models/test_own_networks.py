"""Modules of someone's own become a model, or one line says which of them does not fit."""

import numpy as np
import pytest
import torch
from torch import nn

import lowerbound as lb
from lowerbound.data.sources import DataConfig
from lowerbound.foundation.errors import ConfigError, UsageError
from lowerbound.training.checkpoint import save_model


def encoder(out_features=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, out_features))


def decoder(shape=(1, 8, 8)):
    return nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, int(np.prod(shape))), nn.Unflatten(1, shape))


def own(**changes):
    parts = {"encoder": encoder(), "decoder": decoder(), "event_shape": (1, 8, 8), "latent_dim": 2}
    return lb.VAE(**{**parts, "likelihood": "bernoulli", **changes})


def test_own_modules_are_trained_saved_and_loaded_like_any_other(tmp_path):
    torch.manual_seed(0)
    model = own()
    splits = lb.load_data(DataConfig())
    records = []
    lb.fit(model, splits, lb.Objective(), lb.TrainingConfig(num_epochs=3), progress=records.append)
    elbos = [record.validation.elbo for record in records if record.validation]
    assert elbos[-1] > elbos[0]
    save_model(tmp_path / "model.safetensors", model, splits.schema, {})
    loaded = lb.load(tmp_path / "model.safetensors", encoder=encoder(), decoder=decoder())
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(loaded.vae.reconstruct(x), model.eval().reconstruct(x))
    with pytest.raises(UsageError, match=r"was trained with your own networks; pass them: load\(path, encoder="):
        lb.load(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"encoder": encoder(6)}, "the encoder maps 2 inputs of shape 1×8×8 to 2×6; posterior 'diagonal-normal'"),
        (
            {"decoder": decoder((1, 8, 9))},
            "the decoder maps 2 inputs of shape 2 to 2×1×8×9; likelihood 'bernoulli'",
        ),
        ({"event_shape": (1, 7, 8)}, "the encoder fails on inputs of shape 1×7×8: mat1 and mat2"),
        ({"latent_dim": 0}, "latent_dim is 0"),
    ],
)
def test_the_side_that_does_not_fit_is_named(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        own(**changes)


def test_an_array_in_memory_is_split_like_a_file():
    values = np.random.default_rng(0).normal(size=(50, 7))
    splits = lb.split_array(values, labels=np.arange(50) % 3)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [40, 5, 5]
    assert splits.train.event_shape == (7,) and splits.label_names == ("0", "1", "2")
