"""Runs that are being trained, and those whose data or results are gone."""

import os

import numpy as np
import pytest
import torch
from safetensors.numpy import load as read_tensors

from explorer_runs import as_png, copied, info, tensors
from lowerbound.runs.trained_model import load
from lowerbound.training.checkpoint import save_model


def test_a_log_is_given_from_where_it_was_left(client, folder):
    whole = client.get("/api/runs/digits/metrics").json()
    size = (folder / "digits" / "metrics.jsonl").stat().st_size
    assert (whole["after"], whole["state"]) == (size, "finished")
    assert whole["records"][-1]["validation"]["elbo"] < 0
    assert client.get(f"/api/runs/digits/metrics?after={size}").json()["records"] == []
    assert client.get(f"/api/runs/digits/metrics?after={size + 1}").json()["restarted"]
    assert client.get("/api/runs/training/metrics").json()["state"] == "training"


def test_a_report_is_given_where_there_is_one(client, folder):
    (folder / "line" / "report.html").write_text("<p>a report</p>")
    assert client.get("/api/runs/line/report").text == "<p>a report</p>"
    assert info(client, "line")["has_report"]
    assert client.get("/api/runs/digits/report").status_code == 404


def test_a_run_in_training_is_described_from_its_configuration(client):
    about = info(client, "training")
    assert (about["state"], about["num_codes"], about["splits"], about["scores"]) == ("training", 0, [], [])
    assert about["event_shape"] == [1, 8, 8]
    assert about["num_parameters"] == info(client, "digits")["num_parameters"]
    assert set(about) == set(info(client, "digits"))
    assert not any(about["can"].values())
    assert client.get("/api/runs/training/codes").status_code == 409


def test_a_training_that_ends_is_open_at_once_and_one_that_goes_on_is_read_again(client, folder):
    path = copied(folder / "digits", folder / "live")
    model = (path / "model.safetensors").rename(folder / "kept")
    assert info(client, "live")["state"] == "training"
    model.rename(path / "model.safetensors")
    z = np.zeros((1, 2), np.float32).tobytes()
    first = tensors(client.post("/api/runs/live/decode", content=z))["images"]
    trained = load(path)
    with torch.no_grad():
        for parameter in trained.vae.decoder.parameters():
            parameter.zero_()
    save_model(path / "model.safetensors", trained.vae, trained.schema, {})
    os.utime(path / "model.safetensors", (1, 1))
    second = tensors(client.post("/api/runs/live/decode", content=z))["images"]
    assert not np.array_equal(first, second)


def test_without_its_data_a_run_shows_the_codes_of_its_results(client, folder):
    about, codes = info(client, "gone"), tensors(client.get("/api/runs/gone/codes"))
    original = tensors(client.get("/api/runs/colour/codes"))
    assert about["splits"] == [{"name": "test", "count": 4}]
    assert about["label_names"] == ["cold", "warm"]
    np.testing.assert_allclose(codes["mean"], original["mean"][-4:], atol=1e-5)
    np.testing.assert_array_equal(codes["labels"], original["labels"][-4:])
    (note,) = about["notes"]
    assert "squares, are unavailable" in note
    assert str(folder) not in note
    images = client.get("/api/runs/gone/images?indices=0")
    assert images.status_code == 404
    assert "are unavailable" in images.json()["error"]


def test_without_its_data_a_run_decodes_samples_and_encodes(client, folder):
    z = np.zeros((1, 50), np.float32)
    assert tensors(client.post("/api/runs/gone/decode", content=z.tobytes()))["images"].shape == (1, 5, 6, 3)
    assert len(tensors(client.post("/api/runs/gone/sample", json={"num": 2}))["z"]) == 2
    answer = client.post("/api/runs/gone/encode", content=as_png(np.full((5, 6, 3), 77, np.uint8))).json()
    assert answer["elbo"] < 0
    assert answer["neighbours"]["pixels"] == []
    assert len(answer["neighbours"]["codes"]) == 4
    point = client.get("/api/runs/gone/points/1").json()
    assert (point["split"], point["id_in_split"], point["rate"]) == ("test", 1, None)
    results = read_tensors((folder / "gone" / "results.safetensors").read_bytes())
    assert point["elbo"] == pytest.approx(float(results["elbo_per_image"][1]))
    assert point["num_draws"] == 2


def test_without_data_and_results_a_run_still_decodes(client):
    about = info(client, "lost")
    assert (about["num_codes"], about["splits"]) == (0, [])
    assert client.get("/api/runs/lost/codes").status_code == 404
    z = np.zeros((1, 50), np.float32)
    assert client.post("/api/runs/lost/decode", content=z.tobytes()).status_code == 200
    answer = client.post("/api/runs/lost/encode", content=as_png(np.full((5, 6, 3), 77, np.uint8))).json()
    assert answer["neighbours"] == {"pixels": [], "codes": []}
