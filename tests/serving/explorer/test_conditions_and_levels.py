"""The explorer decodes with the condition, and at the level, that the page asks for; others are refused in one line."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load as read_tensors
from starlette.testclient import TestClient

import lowerbound as lb
from lowerbound.reporting.tiles import displayable
from lowerbound.serving.explorer.application import application

SMALL = {"model": {"hidden": [16]}, "training": {"min_steps": 0}, "evaluation": {"after_training": False}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structured")
    kinds = {
        "given": {"condition_on": ["label"], "prior": "conditional-normal"},
        "levels": {"levels": [2, 2], "hierarchy": "residual"},
    }
    for name, model in kinds.items():
        settings = SMALL | {"model": SMALL["model"] | model}
        lb.train("digits", recipe="dense", epochs=2, settings=settings, out=folder / name)
    return folder


@pytest.fixture(scope="module")
def client(runs):
    with TestClient(application(runs, device="cpu"), raise_server_exceptions=False) as client:
        yield client


def decoded(client, run, z, **query):
    content = np.asarray(z, "<f4").tobytes()
    return client.post(f"/api/runs/{run}/decode", params=query, content=content)


def pictures(x):
    return displayable(x.clamp(0, 1).permute(0, 2, 3, 1).numpy())


def test_a_point_is_decoded_with_the_label_that_is_asked_for(client, runs):
    z = np.zeros((2, 2), np.float32)
    model = lb.load(runs / "given")
    found = read_tensors(decoded(client, "given", z, given=json.dumps({"label": ["3", "8"]})).content)
    vae = model.vae.given(torch.tensor([[3.0], [8.0]]))
    with torch.no_grad():
        expected, density = vae.decode(torch.zeros(2, 2)).mean, vae.prior.log_prob(torch.zeros(2, 2))
    np.testing.assert_array_equal(found["images"], pictures(expected))
    np.testing.assert_allclose(found["log_prior"], density, rtol=1e-5)
    first = read_tensors(decoded(client, "given", z[:1]).content)["images"]  # with the first label
    with torch.no_grad():
        of_zero = model.vae.given(torch.zeros(1, 1)).decode(torch.zeros(1, 2)).mean
    np.testing.assert_array_equal(first, pictures(of_zero))


def test_the_description_has_the_conditions_and_an_example_its_own(client, runs):
    info = client.get("/api/runs/given").json()
    assert [(one["name"], one["levels"][:3]) for one in info["conditions"]] == [("label", ["0", "1", "2"])]
    assert info["given"] == {"label": "0"}
    point = client.get("/api/runs/given/points/5").json()
    assert point["given"] == {"label": point["label_name"]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"label": "x"}', "a value is given that is the label 'x', which the model does not know"),
        ('{"site": "x"}', "a value of 'site' is given, which the model does not take"),
        ('{"label": ["1", "2"]}', "2 values of 'label' given for 1 examples"),
        ("3", "given is not a JSON object of texts and numbers"),
        ("{", "JSON"),
    ],
)
def test_values_that_the_model_does_not_know_are_refused(client, given, message):
    answer = decoded(client, "given", np.zeros((1, 2)), given=given)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_a_sample_has_the_label_that_is_asked_for(client, runs):
    body = {"num": 3, "seed": 1, "given": {"label": "5"}}
    found = read_tensors(client.post("/api/runs/given/sample", json=body).content)
    expected = lb.load(runs / "given").generate(3, seed=1, given={"label": 5})
    np.testing.assert_allclose(found["images"][..., :1] / 255 * 16, expected, atol=16 / 255)


def test_an_upper_level_is_decoded_with_the_lower_ones_that_follow_from_it(client, runs):
    z = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    whole, upper = (read_tensors(decoded(client, "levels", z, level=level).content)["images"] for level in (1, 2))
    moved = z.copy()
    moved[:, :2] += 5
    assert not np.array_equal(whole, read_tensors(decoded(client, "levels", moved, level=1).content)["images"])
    np.testing.assert_array_equal(upper, read_tensors(decoded(client, "levels", moved, level=2).content)["images"])
    answer = decoded(client, "levels", z, level=3)
    assert answer.json()["error"] == "level is 3; the model has 2 levels of latents, from 1."
    assert client.get("/api/runs/levels").json()["levels"] == [2, 2]
