"""Decoding and sampling by a run that is loaded."""

import numpy as np
import pytest
import torch

from explorer_runs import tensors
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import to_images
from lowerbound.foundation.seeding import generator
from lowerbound.training.checkpoint import load_model


def shown(model, z):
    """Latents decoded by the model itself, as the page is to have them."""
    with torch.inference_mode():
        expected = best_guess(model, model.decode(torch.from_numpy(z)))
    if len(model.event_shape) != 3:
        return "values", expected.reshape(len(z), -1).numpy()
    images = np.rint(to_images(expected) * 255)
    return "images", np.broadcast_to(images, (*images.shape[:3], 3))


@pytest.mark.parametrize("num", [1, 16, 17, 100])
def test_latents_are_decoded_as_the_model_does(client, run, num):
    model = load_model(run)
    z = np.random.default_rng(0).normal(size=(num, model.latent_dim)).astype(np.float32)
    answer = tensors(client.post(f"/api/runs/{run.name}/decode", content=z.tobytes()))
    name, expected = shown(model, z)
    assert set(answer) == {name} | (set() if run.name == "plain" else {"log_prior"})
    assert answer[name].shape == expected.shape
    assert answer[name].dtype == (np.uint8 if name == "images" else np.float32)
    difference = np.abs(answer[name].astype(np.float64) - expected)
    # In one batch or another, a pixel may round to the next level.
    assert difference.max() <= 1 if name == "images" else difference.max() < 1e-4


def test_samples_are_decoded_draws_from_the_prior(client, run):
    asked = {"num": 20, "temperature": 0.5, "seed": 3}
    if run.name == "plain":
        refusal = client.post("/api/runs/plain/sample", json=asked)
        assert refusal.status_code == 400
        assert "no prior" in refusal.json()["error"]
        return
    model, answer = load_model(run), tensors(client.post(f"/api/runs/{run.name}/sample", json=asked))
    stream = generator(3, "samples")
    z = 0.5 * torch.cat([model.prior().sample(stream, 1) for _ in range(20)]).numpy()
    np.testing.assert_allclose(answer["z"], z, rtol=1e-6)
    name, expected = shown(model, z)
    assert np.abs(answer[name].astype(np.float64) - expected).max() <= 1
    again = tensors(client.post(f"/api/runs/{run.name}/sample", json=asked))
    np.testing.assert_array_equal(again["z"], answer["z"])
    other = tensors(client.post(f"/api/runs/{run.name}/sample", json=asked | {"seed": 4}))
    assert not np.array_equal(other["z"], answer["z"])


def test_at_temperature_zero_every_sample_is_the_priors_mean(client):
    answer = tensors(client.post("/api/runs/digits/sample", json={"num": 3, "temperature": 0}))
    np.testing.assert_array_equal(answer["z"], np.zeros((3, 2)))
