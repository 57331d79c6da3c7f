"""The explorer's routes: what they answer is what the model says."""

import json
import re

import numpy as np
import pytest
import torch

from explorer_runs import KINDS, info, tensors
from lowerbound.data.batches import scaled
from lowerbound.data.sources import load
from lowerbound.evaluation.feature_samples import best_guess
from lowerbound.evaluation.generation import to_images
from lowerbound.foundation.seeding import generator
from lowerbound.reporting.theme import CATEGORIES
from lowerbound.runs.run_data import read_stored
from lowerbound.serving.explorer.application import PAGE
from lowerbound.training.checkpoint import load_model


@pytest.fixture(params=KINDS)
def run(request, folder):
    """One run of each kind."""
    return folder / request.param


def every_example(run):
    splits = load(read_stored(run).experiment.data)
    return torch.cat([scaled(part) for part in (splits.train, splits.validation, splits.test)]), splits


def shown(model, z):
    """Latents decoded by the model itself, as the page is to have them."""
    with torch.inference_mode():
        expected = best_guess(model, model.decode(torch.from_numpy(z)))
    if len(model.event_shape) != 3:
        return "values", expected.reshape(len(z), -1).numpy()
    images = np.rint(to_images(expected) * 255)
    return "images", np.broadcast_to(images, (*images.shape[:3], 3))


def test_runs_are_listed_with_what_they_are_at(client):
    runs = {run["id"]: run for run in client.get("/api/runs").json()["runs"]}
    states = {name: run["state"] for name, run in runs.items()}
    assert states == dict.fromkeys((*KINDS, "gone", "lost"), "finished") | {"training": "training", "broken": "broken"}
    assert "not valid TOML" in runs["broken"]["reason"]


def test_a_run_is_described_as_its_model_is(client, run):
    model, about = load_model(run), info(client, run.name)
    assert about["event_shape"] == list(model.event_shape)
    assert about["latent_dim"] == model.latent_dim
    assert about["likelihood"] == model.config.likelihood
    assert about["is_deterministic"] == (run.name == "plain") == (not about["can"]["sample"])
    assert about["num_parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert about["can"]["encode"] == (about["layout"] == "image") == (about["image"] is not None)
    assert about["num_codes"] == sum(split["count"] for split in about["splits"]) == len(every_example(run)[0])
    assert len(about["axes"]) == min(2, model.latent_dim)
    assert all(0 <= axis < model.latent_dim for axis in about["axes"])
    assert (about["title"], about["state"], about["has_report"]) == (run.name, "finished", False)


@pytest.mark.parametrize(
    ("name", "convention", "data"),
    [
        ("digits", "grey", "digits"),
        ("dynamic", "dynamic binarisation, seed 0", "digits"),
        ("colour", "levels", "squares"),
        ("table", "table", "things.csv"),
        ("array", "density", "vectors.npy"),
    ],
)
def test_numbers_carry_their_convention_and_data_their_name(client, folder, name, convention, data):
    about = info(client, name)
    assert (about["convention"], about["data"]["name"]) == (convention, data)
    assert about["convention_note"]
    scores = json.loads((folder / name / "results.json").read_text())["scores"]
    assert [score["name"] for score in about["scores"]] == [score["name"] for score in scores]
    elbo = about["scores"][0]
    assert (elbo["quantity"], elbo["split"]) == ("ELBO", "test")
    assert elbo["value"].endswith(" nats")
    assert " ± " in elbo["value"]
    assert str(folder.parent) not in json.dumps(about)


def test_columns_and_labels_have_their_names(client):
    columns = [(column["name"], column["kind"], column["levels"]) for column in info(client, "table")["columns"]]
    assert columns[:2] == [("length", "numeric", []), ("kind", "categorical", ["a", "b", "c"])]
    assert info(client, "colour")["label_names"] == ["cold", "warm"]
    assert info(client, "digits")["label_names"] == list("0123456789")
    assert info(client, "array")["columns"] is None


def test_codes_are_those_of_the_model(client, run):
    codes, model = tensors(client.get(f"/api/runs/{run.name}/codes")), load_model(run)
    x, splits = every_example(run)
    with torch.inference_mode():
        posterior = model.encode(x)
    # Where training pixels are drawn anew on every pass, the others alone are the same each time.
    fixed = slice(len(splits.train) if run.name == "dynamic" else 0, None)
    np.testing.assert_allclose(codes["mean"][fixed], posterior.mean[fixed], rtol=1e-4, atol=1e-5)
    if run.name == "plain":
        assert "log_variance" not in codes
    else:
        log_variance = posterior.log_variance[fixed]
        np.testing.assert_allclose(codes["log_variance"][fixed], log_variance, rtol=1e-4, atol=1e-5)
    sizes = [len(splits.train), len(splits.validation), len(splits.test)]
    np.testing.assert_array_equal(codes["split"], np.repeat([0, 1, 2], sizes))
    if splits.test.labels is None:
        assert set(codes["labels"]) == {-1}
    else:
        np.testing.assert_array_equal(codes["labels"][-sizes[2] :], splits.test.labels)
    assert {name: array.dtype for name, array in codes.items() if name in ("labels", "split")} == {
        "labels": np.int32,
        "split": np.uint8,
    }


def test_progress_ends_when_all_are_encoded(client):
    client.get("/api/runs/digits/codes")
    assert client.get("/api/runs/digits/progress").json() == {"stage": "ready", "done": 1797, "total": 1797}


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


def test_as_many_points_are_decoded_as_are_accepted(client):
    z = np.zeros((4096, 2), np.float32)
    assert tensors(client.post("/api/runs/digits/decode", content=z.tobytes()))["images"].shape == (4096, 8, 8, 3)


def test_examples_are_shown_as_they_are(client):
    x, _ = every_example(client.app.state.explorer.folder.root / "colour")
    images = tensors(client.get("/api/runs/colour/images?indices=39,0,7"))["images"]
    np.testing.assert_array_equal(images, np.rint(x[[39, 0, 7]].permute(0, 2, 3, 1).numpy() * 255))
    assert tensors(client.get("/api/runs/array/images?indices=2"))["values"].shape == (1, 7)


def test_a_point_is_its_example_its_code_and_its_bound(client, run):
    codes, about = tensors(client.get(f"/api/runs/{run.name}/codes")), info(client, run.name)
    index = about["num_codes"] - 2
    point = client.get(f"/api/runs/{run.name}/points/{index}").json()
    assert (point["index"], point["split"]) == (index, "test")
    assert point["id_in_split"] == about["splits"][2]["count"] - 2
    np.testing.assert_allclose(point["mean"], codes["mean"][index])
    if codes["labels"][index] < 0:
        assert point["label"] is point["label_name"] is None
    else:
        assert point["label_name"] == about["label_names"][point["label"]]
    if run.name == "plain":
        assert point["elbo"] is point["log_variance"] is None
        assert point["reconstruction_error"] > 0
        return
    assert point["elbo"] == pytest.approx(-point["rate"] - point["distortion"])
    assert point["rate"] == pytest.approx(sum(point["rate_per_dimension"]))
    assert (point["num_draws"], point["unit"], point["convention"]) == (64, "nats", about["convention"])
    assert client.get(f"/api/runs/{run.name}/points/{index}").json() == point


def test_the_mean_elbo_of_points_is_that_of_the_results(client, folder):
    about = info(client, "colour")
    first = about["num_codes"] - 4
    points = [client.get(f"/api/runs/colour/points/{first + number}").json() for number in range(4)]
    scores = json.loads((folder / "colour" / "results.json").read_text())["scores"]
    (elbo,) = [score for score in scores if (score["name"], score["split"]) == ("elbo", "test")]
    assert elbo["num_examples"] == 4
    mean = np.mean([point["elbo"] for point in points])
    error = np.sqrt(np.sum([point["elbo_standard_error"] ** 2 * (1 + 64 / 2) for point in points])) / 4
    assert abs(mean - elbo["value"]) < 4 * error


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


def test_neighbours_in_z_are_those_of_a_brute_force(client, run):
    codes, latent_dim = tensors(client.get(f"/api/runs/{run.name}/codes")), load_model(run).latent_dim
    z = np.random.default_rng(0).normal(size=latent_dim)
    found = client.post(f"/api/runs/{run.name}/neighbours", json={"z": z.tolist()}).json()["codes"]
    distances = np.linalg.norm(codes["mean"].astype(np.float64) - z, axis=1)
    np.testing.assert_allclose([each["distance"] for each in found], np.sort(distances)[:8], rtol=1e-4)
    np.testing.assert_allclose(distances[[each["index"] for each in found]], np.sort(distances)[:8], rtol=1e-4)


