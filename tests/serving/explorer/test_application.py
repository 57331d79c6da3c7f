"""The explorer's routes: what they answer is what the model says."""

import numpy as np
import torch

from explorer_runs import KINDS, every_example, info, tensors
from lowerbound.serving.explorer import projection
from lowerbound.training.checkpoint import load_model


def test_runs_are_listed_with_what_they_are_at(client):
    runs = {run["id"]: run for run in client.get("/api/runs").json()["runs"]}
    states = {name: run["state"] for name, run in runs.items()}
    assert states == dict.fromkeys((*KINDS, "gone", "lost"), "finished") | {"training": "training", "broken": "broken"}
    assert "not valid TOML" in runs["broken"]["reason"]


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


def test_codes_are_given_from_where_they_were_left(client):
    whole = tensors(client.get("/api/runs/line/codes"))
    rest = tensors(client.get("/api/runs/line/codes?after=1790"))
    assert len(rest["mean"]) == 7
    for name, array in rest.items():
        np.testing.assert_array_equal(array, whole[name][1790:])
    assert len(tensors(client.get("/api/runs/line/codes?after=1797"))["mean"]) == 0
    assert client.get("/api/runs/line/codes?after=x").status_code == 400


def test_as_many_points_are_decoded_as_are_accepted(client):
    z = np.zeros((4096, 2), np.float32)
    assert tensors(client.post("/api/runs/digits/decode", content=z.tobytes()))["images"].shape == (4096, 8, 8, 3)


def test_examples_are_shown_as_they_are(client):
    x, _ = every_example(client.app.state.explorer.folder.root / "colour")
    images = tensors(client.get("/api/runs/colour/images?indices=39,0,7"))["images"]
    np.testing.assert_array_equal(images, np.rint(x[[39, 0, 7]].permute(0, 2, 3, 1).numpy() * 255))
    assert tensors(client.get("/api/runs/array/images?indices=2"))["values"].shape == (1, 7)


def test_neighbours_in_z_are_those_of_a_brute_force(client, run):
    codes, latent_dim = tensors(client.get(f"/api/runs/{run.name}/codes")), load_model(run).latent_dim
    z = np.random.default_rng(0).normal(size=latent_dim)
    found = client.post(f"/api/runs/{run.name}/neighbours", json={"z": z.tolist()}).json()["codes"]
    distances = np.linalg.norm(codes["mean"].astype(np.float64) - z, axis=1)
    np.testing.assert_allclose([each["distance"] for each in found], np.sort(distances)[:8], rtol=1e-4)
    np.testing.assert_allclose(distances[[each["index"] for each in found]], np.sort(distances)[:8], rtol=1e-4)


def test_the_codes_of_the_results_are_those_of_the_test_split(client, run):
    stored, whole = (tensors(client.get(f"/api/runs/{run.name}/codes{end}")) for end in ("/stored", ""))
    count = len(stored["mean"])
    assert count == info(client, run.name)["splits"][-1]["count"]
    np.testing.assert_allclose(stored["mean"], whole["mean"][-count:], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(stored["labels"], whole["labels"][-count:])


def test_umap_is_refused_with_how_to_install_it(client, monkeypatch):
    monkeypatch.setattr(projection, "find_spec", lambda name: None)
    assert not info(client, "colour")["can"]["umap"]
    answer = client.get("/api/runs/colour/umap")
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "UMAP is not installed; `pip install umap-learn` installs it.",
    )
