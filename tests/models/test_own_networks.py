"""Modules of someone's own become a model, or one line says which of them does not fit."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import lowerbound as lb
from lowerbound.data.sources import DataConfig
from lowerbound.foundation.errors import ConfigError, DataError, RunError, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.probability.priors import StandardNormalPrior
from lowerbound.training.checkpoint import save_model
from untrained_models import untrained_run


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
    with pytest.raises(UsageError, match=r"own networks, encoder torch.* and decoder torch.*; pass them"):
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


@pytest.fixture(scope="module")
def splits():
    return lb.load_data(DataConfig())


@pytest.mark.parametrize("parts", [{}, {"likelihood": "gaussian", "prior": "mixture-of-normals"}], ids=["plain", "own"])
def test_a_saved_model_is_the_same_model_in_the_units_of_its_data(tmp_path, splits, parts):
    model = own(**parts).eval()
    path = lb.save(model, tmp_path / "new" / "model.safetensors", splits)
    loaded = lb.load(path, encoder=encoder(), decoder=decoder())
    assert loaded.schema == splits.schema
    torch.testing.assert_close(loaded.vae.state_dict(), model.state_dict(), rtol=0, atol=0)
    stored = splits.test.values[:3]
    torch.testing.assert_close(
        loaded.encode(stored).mean, model.encode(torch.tensor(stored / 16.0).float().movedim(-1, 1)).mean
    )
    assert lb.load(lb.save(loaded, tmp_path / "again.safetensors"), encoder(), decoder()).schema == loaded.schema


def test_a_model_of_built_in_parts_needs_nothing_but_its_file(tmp_path, splits):
    model = lb.build_model(lb.ModelConfig(network="dense", hidden=(8,)), (1, 8, 8), generator(0, "weights")).eval()
    loaded = lb.load(lb.save(model, tmp_path / "model.safetensors", splits))
    torch.testing.assert_close(loaded.vae.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_tied_weights_are_saved(tmp_path, splits):
    tied = nn.Linear(2, 64)
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(64, 2), tied, nn.Linear(64, 4)) for _ in range(2)]
    decoders = [nn.Sequential(tied, nn.Unflatten(1, (1, 8, 8))) for _ in range(2)]
    model = own(encoder=networks[0], decoder=decoders[0])
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = lb.save(model, tmp_path / "model.safetensors", splits)
    nn.init.zeros_(tied.weight)
    loaded = lb.load(path, networks[1], decoders[1])
    torch.testing.assert_close(loaded.vae.state_dict(), expected, rtol=0, atol=0)


class WithState(nn.Sequential):
    """Has a state that is not a tensor."""

    def get_extra_state(self):
        return {"calls": 3}

    def set_extra_state(self, state):
        pass


def complex_encoder():
    network = encoder()
    network.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))
    return network


class Unregistered(StandardNormalPrior):
    pass


UNSAVED = {
    "complex": (lambda: own(encoder=complex_encoder()), "encoder.phase is a torch.complex64; files store real tensors"),
    "state": (lambda: own(encoder=WithState(encoder())), "encoder._extra_state is a dict; files store real tensors"),
    "prior": (lambda: own(prior=Unregistered(2)), "its prior Unregistered is not registered"),
}


@pytest.mark.parametrize(("model", "reason"), UNSAVED.values(), ids=UNSAVED)
def test_a_model_that_could_not_be_built_again_is_not_saved(tmp_path, splits, model, reason):
    with pytest.raises(RunError, match=f"the model cannot be saved: {re.escape(reason)}"):
        lb.save(model(), tmp_path / "model.safetensors", splits)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_for_saving_is_said(tmp_path, splits, unchecked):
    untrained_run(tmp_path / "run", np.random.default_rng(0).integers(0, 256, (30, 8, 8), np.uint8))
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    for arguments, error, reason in (
        ((own(), tmp_path / "model.safetensors"), UsageError, "give the splits that it was trained on"),
        ((own(), tmp_path / "model.pt", splits), UsageError, r"model\.pt is not the name of a \.safetensors file"),
        ((own(), tmp_path, splits), UsageError, r"is not the name of a \.safetensors file"),
        ((own(), tmp_path / "run" / "model.safetensors", splits), UsageError, "is a run, whose files belong together"),
        ((encoder(), tmp_path / "model.safetensors", splits), UsageError, "save takes a VAE or a TrainedModel, got Se"),
        ((own(), 3, splits), UsageError, "expected a run or the path"),
        ((own(), tmp_path / "model.safetensors", lb.split_array(np.zeros((20, 7)))), DataError, "examples are 7, the"),
    ):
        with pytest.raises(error, match=reason):
            lb.save(*arguments)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_networks_of_another_shape_or_none_are_refused_in_one_line(tmp_path, splits, unchecked):
    path = lb.save(own(), tmp_path / "model.safetensors", splits)
    wider = nn.Sequential(nn.Flatten(), nn.Linear(64, 33), nn.ReLU(), nn.Linear(33, 4))
    with pytest.raises(RunError, match=r"another model \(size mismatch for encoder\.1\.weight"):
        lb.load(path, wider, decoder())
    with pytest.raises(UsageError, match=r"\(got <class .*Linear'> as the decoder\); pass them"):
        lb.load(path, encoder(), nn.Linear)


def test_a_conditional_model_says_how_it_takes_its_context(tmp_path, splits):
    class Encoder(nn.Module):
        takes_context = True

        def __init__(self):
            super().__init__()
            self.body = encoder()

        def forward(self, x, labels):
            return self.body(x)

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = decoder()

        def forward(self, z, labels):
            return self.body(z)

    path = lb.save(own(encoder=Encoder(), decoder=Decoder()), tmp_path / "model.safetensors", splits)
    loaded = lb.load(path, Encoder(), Decoder())
    with pytest.raises(UsageError, match=r"the model is conditional: .* use model\.vae\.given"):
        loaded.encode(splits.test.values[:3])
    with pytest.raises(DataError, match="the model is conditional"):
        loaded.decode(torch.zeros(1, 2))


def test_anything_but_splits_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(UsageError, match=r"save takes splits, such as those of load_data, got 'fine\.npy'"):
        lb.save(own(), tmp_path / "model.safetensors", "fine.npy")
    assert list(tmp_path.iterdir()) == []
