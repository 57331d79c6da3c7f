"""An image that someone brings is read as the run's own were, and found among them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from explorer_runs import as_png, info
from lowerbound.data.sources import load
from lowerbound.run import read_experiment


def test_an_image_of_the_data_finds_itself(client, folder):
    pixels = load(read_experiment(folder / "colour")[1].data).train.values[11]
    answer = client.post("/api/runs/colour/encode", content=as_png(pixels)).json()
    point = client.get("/api/runs/colour/points/11").json()
    np.testing.assert_allclose(answer["mean"], point["mean"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answer["log_variance"], point["log_variance"], rtol=1e-4, atol=1e-5)
    assert answer["rate"] == pytest.approx(point["rate"], rel=1e-4)
    assert abs(answer["elbo"] - point["elbo"]) < 6 * point["elbo_standard_error"]
    assert answer["convention"] == "levels"
    assert answer["notes"] == []
    for kind in ("pixels", "codes"):
        nearest = answer["neighbours"][kind]
        assert len(nearest) == 8
        assert nearest[0]["index"] == 11
        assert nearest[0]["distance"] == pytest.approx(0, abs=1e-4)
        assert nearest[0]["label_name"] == point["label_name"]
    seen = np.frombuffer(base64.b64decode(answer["seen"]["data"]), np.uint8).reshape(answer["seen"]["shape"])
    np.testing.assert_array_equal(seen, pixels)


def test_an_image_of_another_size_and_colour_is_brought_to_the_models_and_that_is_said(client):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 90, 3)).astype(np.uint8)
    answer = client.post("/api/runs/digits/encode", content=as_png(pixels)).json()
    assert answer["seen"]["shape"] == [8, 8, 3]
    assert answer["notes"] == ["resized to 8 wide and 8 high, cut to shape", "its colours made grey"]
    expected = np.asarray(Image.fromarray(pixels[:, 25:65]).convert("L").resize((8, 8), Image.Resampling.LANCZOS))
    seen = np.frombuffer(base64.b64decode(answer["seen"]["data"]), np.uint8).reshape(8, 8, 3)
    # At the borders of what is cut out, its neighbours count a little.
    assert np.abs(seen[:, 1:-1, 0].astype(int) - expected[:, 1:-1]).max() <= 3
    assert answer["convention"] == "grey"


def test_of_a_binarised_run_a_grey_image_is_scored_as_grey_and_that_is_said(client):
    answer = client.post("/api/runs/dynamic/encode", content=as_png(np.full((8, 8), 90, np.uint8))).json()
    assert answer["convention"] == "grey"
    assert "the run's own numbers are of dynamic binarisation" in " ".join(answer["notes"])
    answer = client.post("/api/runs/dynamic/encode", content=as_png(np.full((8, 8), 255, np.uint8))).json()
    assert (answer["convention"], answer["notes"]) == ("binary", [])


def test_an_image_that_cannot_be_scored_has_a_posterior_and_neighbours_all_the_same(client):
    # Sixteen bits a pixel lie on no 256 levels.
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16))
    file = io.BytesIO()
    grey.save(file, "PNG")
    answer = client.post("/api/runs/levels/encode", content=file.getvalue()).json()
    assert answer["elbo"] is answer["rate"] is None
    assert len(answer["mean"]) == info(client, "levels")["latent_dim"]
    assert len(answer["neighbours"]["pixels"]) == 8
    (note,) = answer["notes"]
    assert note.startswith("no bound: ")
    assert "levels" in note


def test_a_deterministic_code_has_a_reconstruction_error_and_no_bound(client):
    answer = client.post("/api/runs/plain/encode", content=as_png(np.full((8, 8), 90, np.uint8))).json()
    assert answer["elbo"] is answer["log_variance"] is None
    assert answer["reconstruction_error"] > 0
