"""The folder for diffusers has the names, shapes and results of AutoencoderKL, and other models are refused."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch.testing import assert_close

import diffusers_reference as reference
import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.data.batches import scaled
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.schema import Schema, Support
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.runs.run_data import own_splits
from lowerbound.serving.portable.diffusers_form import (
    CONFIG,
    README,
    WEIGHTS,
    Computed,
    as_map,
    check_model,
    config_of,
    contents_of,
    measured_scaling,
    reference_part,
    weights_of,
)
from lowerbound.serving.portable.diffusers_form import Scaling as Scaled

STORED = json.loads(reference.FILE.read_text(encoding="utf-8"))
IMAGES = Schema(layout="image", shape=(8, 8, 3), dtype="uint8", range=(0.0, 255.0), support=Support(0.0, 1.0, 256))
ABOUT = {"lowerbound": "0", "recipe": "", "data": "x", "checksum": "0", "layout": "x = stored / 255", "prior": "flow"}


def model_of(event_shape=(3, 8, 8), **changes):
    settings = {"channels": (8, 16), "latent_dim": 32, "activation": "silu", "likelihood": "gaussian"} | changes
    return build_model(ModelConfig(**{"network": "autoencoder-kl", **settings}), event_shape, generator(0, "weights"))


def test_names_and_shapes_of_the_weights_are_those_of_diffusers():
    shapes = {name: list(tensor.shape) for name, tensor in weights_of(model_of())}
    assert shapes == STORED["shapes"]
    ours = config_of(model_of(), 0.5)
    assert ours == {"_class_name": "AutoencoderKL", "scaling_factor": 0.5, **reference.CONFIG}


def test_the_stored_reference_is_what_the_installed_diffusers_computes():
    pytest.importorskip("diffusers", reason="`make test-diffusers` installs it")
    found = reference.computed_by_diffusers()
    assert {name: list(shape) for name, shape in found["shapes"].items()} == STORED["shapes"]
    for name in ("mean", "log_variance", "image"):
        np.testing.assert_allclose(found[name], STORED[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("likelihood", ["gaussian", "discretized-logistic"])
@pytest.mark.parametrize("channels", [(8,), (8, 16, 24)])
def test_the_files_alone_give_the_models_results(likelihood, channels):
    side = 8 // 2 ** (len(channels) - 1)
    model = model_of(likelihood=likelihood, channels=channels, latent_dim=2 * side**2).eval()
    contents = contents_of(model, Scaled(2.0, 10), ABOUT)
    inputs = {"x": torch.rand(2, 3, 8, 8), "z": torch.randn(2, model.latent_dim)}
    found, expected = Computed(model, contents)(inputs), reference_part(model)(inputs)
    for name, values in expected.items():
        assert_close(found[name], values, rtol=1e-5, atol=1e-5)


def test_the_image_of_a_logistic_is_its_location():
    model = model_of(likelihood="discretized-logistic").eval()
    z = torch.randn(2, 32)
    with torch.no_grad():
        decoded = model.decode(z)
        image = Computed(model, contents_of(model, Scaled(2.0, 10), ABOUT))({"x": torch.rand(2, 3, 8, 8), "z": z})
    assert_close((image["image"] + 1) / 2, decoded.location[..., 0].float(), rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("diffusers") / "run"
    np.save(path.parent / "images.npy", images)
    model = {"channels": [8, 16], "latent_dim": 32}
    training = {"batch_size": 16, "min_steps": 0}
    settings = {"model": model, "training": training, "evaluation": {"after_training": False}}
    return lb.train(path.parent / "images.npy", recipe="autoencoder-kl", epochs=1, settings=settings, out=path).path


def test_the_command_writes_the_folder_and_says_how_latents_are_scaled(run, tmp_path, capsys):
    out = tmp_path / "out"
    printed = in_process(capsys, "export", run, "--format", "diffusers", "--out", out)
    assert sorted(path.name for path in out.iterdir()) == sorted([CONFIG, WEIGHTS, README])
    model, examples = lb.load(run).vae, own_splits(run).train
    config = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    # The variance of a draw is that of the means and the mean of the variances; all latents count alike.
    with torch.no_grad():
        posterior = model.encode(scaled(examples))
    expected = math.sqrt(posterior.mean.var().item() + posterior.log_variance.exp().mean().item())
    assert 1 / config["scaling_factor"] == pytest.approx(expected, rel=0.05)
    assert f"each of {len(examples)} training examples" in printed.err
    with safe_open(out / WEIGHTS, "pt") as file:
        about = file.metadata()
    assert (about["format"], about["latent_shape"]) == ("pt", "[4, 4, 2]")
    assert float(about["scaling_factor"]) == config["scaling_factor"]
    assert f"{config['scaling_factor']:.6g}" in (out / README).read_text(encoding="utf-8")
    (out / "more.txt").write_text("mine")
    assert "choose another folder" in one_line(
        in_process(capsys, "export", run, "--format", "diffusers", "--out", out, expect=2).err
    )


def test_diffusers_loads_the_folder_and_agrees_with_the_model(run, tmp_path):
    diffusers = pytest.importorskip("diffusers", reason="`make test-diffusers` installs it")
    lb.export(run, "diffusers", tmp_path / "out")
    network, about = diffusers.AutoencoderKL.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not (about["missing_keys"] or about["unexpected_keys"] or about["mismatched_keys"])
    model, x = lb.load(run).vae, scaled(own_splits(run).test)
    with torch.no_grad():
        theirs, ours = network.encode(2 * x - 1).latent_dist, model.encode(x)
        assert_close(theirs.mean, as_map(model, ours.mean), rtol=1e-4, atol=1e-5)
        assert_close(theirs.logvar, as_map(model, ours.log_variance), rtol=1e-4, atol=1e-5)
        assert_close((network.decode(theirs.mean).sample + 1) / 2, model.decode(ours.mean).mean, rtol=1e-4, atol=1e-5)
    assert set(load_file(tmp_path / "out" / WEIGHTS)) == set(network.state_dict())


def test_the_scale_of_latents_is_one_for_a_model_that_ignores_its_input():
    model = model_of((1, 8, 8)).eval()
    with torch.no_grad():
        model.encoder.heads.weight.zero_()
    splits = lb.load_data(lb.DataConfig())
    scaling = measured_scaling(model, splits.train)
    assert scaling.deviation == pytest.approx(1, abs=0.02)
    assert scaling.num_examples == min(2000, len(splits.train))


@pytest.mark.parametrize(
    ("changes", "support", "message"),
    [
        ({"network": "conv-map"}, (0, 1), "it has network 'conv-map'; train one with model.network='autoencoder-kl'"),
        ({"posterior": "point-mass"}, (0, 1), "it has posterior 'point-mass'"),
        ({"activation": "tanh"}, (0, 1), "it has activation 'tanh'"),
        ({"likelihood": "bernoulli"}, (0, 1), "it has likelihood 'bernoulli'"),
        ({"likelihood_options": {"mean_map": "sigmoid"}}, (0, 1), "it maps its output by a sigmoid"),
        (
            {"likelihood": "discretized-logistic", "likelihood_options": {"num_components": 2}},
            (0, 1),
            "it has several logistics",
        ),
        ({}, (-2, 3), r"it was trained on values in \[-2, 3\], not \[0, 1\]"),
    ],
)
def test_what_diffusers_cannot_express_is_refused_in_one_line(changes, support, message):
    schema = Schema(layout="image", shape=(8, 8, 3), dtype="float32", support=Support(*map(float, support)))
    with pytest.raises(UsageError, match=message) as caught:
        check_model(model_of(**changes), schema)
    assert "\n" not in str(caught.value)
    check_model(model_of(), IMAGES)
