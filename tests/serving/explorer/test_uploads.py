"""An image that someone brings is read as the run's own were, and found among them."""

import base64
import re

import numpy as np
import pytest
from PIL import Image

from explorer_runs import as_png, trained
from lowerbound.data.images import read_image_bytes
from lowerbound.data.sources import load
from lowerbound.runs.run_data import read_stored
from lowerbound.serving.explorer.example_detail import upload_detail
from lowerbound.serving.explorer.loaded_run import load_run
from lowerbound.serving.explorer.uploads import NAME, read_upload, upload_options


def raw_of_png(loaded, content):
    return read_image_bytes(NAME, content, upload_options(loaded))


def test_an_image_of_the_data_finds_itself(client, folder):
    pixels = load(read_stored(folder / "colour").experiment.data).train.values[11]
    answer = client.post("/api/runs/colour/encode", content=as_png(pixels)).json()
    point = client.get("/api/runs/colour/points/11").json()
    np.testing.assert_allclose(answer["mean"], point["mean"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answer["log_variance"], point["log_variance"], rtol=1e-4, atol=1e-5)
    assert answer["rate"] == pytest.approx(point["rate"], rel=1e-4)
    # Noise is seeded from the image's values: as a point and as a file it has the same bound.
    assert answer["elbo"] == pytest.approx(point["elbo"], rel=1e-5)
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
    resized, grey, scaled = answer["notes"]
    assert resized.startswith("resized to 8×8 pixels")
    assert grey == "converted to grey"
    assert re.match(r"white, 255\b.* 16\b.*rounded", scaled)
    expected = np.asarray(Image.fromarray(pixels[:, 25:65]).convert("L").resize((8, 8), Image.Resampling.LANCZOS))
    seen = np.frombuffer(base64.b64decode(answer["seen"]["data"]), np.uint8).reshape(8, 8, 3)
    # Half a level of sixteen; and at the borders of what is cut out, its neighbours count a little.
    assert np.abs(seen[:, 1:-1, 0].astype(int) - expected[:, 1:-1]).max() <= 3 + 255 / 32
    assert answer["convention"] == "grey"


def test_of_a_binarised_run_grey_pixels_are_binarised_by_content_and_that_is_said(client):
    grey = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    answer = client.post("/api/runs/dynamic/encode", content=as_png(grey)).json()
    assert answer["convention"] == "dynamic binarisation, seed 0"
    note = "grey pixels are binarised at random, with a seed derived from the image's values"
    assert answer["notes"][-1] == f"{note} (dynamic binarisation, seed 0)"
    assert set(base64.b64decode(answer["seen"]["data"])) == {0, 255}
    assert client.post("/api/runs/dynamic/encode", content=as_png(grey)).json() == answer
    white = client.post("/api/runs/dynamic/encode", content=as_png(np.full((8, 8), 255, np.uint8))).json()
    assert white["convention"] == "dynamic binarisation, seed 0"
    assert "binarised" not in " ".join(white["notes"])


def test_an_image_that_cannot_be_scored_has_a_posterior_and_neighbours_all_the_same(tmp_path_factory):
    loaded = load_run(trained(tmp_path_factory, "ink"), "cpu")
    upload = read_upload(loaded, raw_of_png(loaded, as_png(np.full((8, 8), 90, np.uint8))))
    answer = upload_detail(loaded, upload)
    assert answer["elbo"] is answer["rate"] is None
    assert answer["convention"] == ""
    assert len(answer["mean"]) == loaded.latent_dim
    (note,) = answer["notes"]
    assert note.startswith("no bound: the image: example 0, element 0,0,0 is 90; the model accepts only 0 and 255")
    ink = upload_detail(loaded, read_upload(loaded, raw_of_png(loaded, as_png(np.full((8, 8), 255, np.uint8)))))
    assert (ink["convention"], ink["notes"]) == ("binary", [])
    assert ink["elbo"] < 0


@pytest.mark.parametrize(("kind", "full"), [("digits", 16), ("deep", 65535)])
def test_white_is_the_full_scale_of_the_run_whatever_the_files_is(tmp_path_factory, kind, full):
    loaded = load_run(trained(tmp_path_factory, kind), "cpu")
    shallow = 17 * np.random.default_rng(0).integers(0, 16, (8, 8)).astype(np.uint8)
    for pixels in (shallow, 257 * shallow.astype(np.uint16)):
        values = read_upload(loaded, raw_of_png(loaded, as_png(pixels))).examples.values
        np.testing.assert_array_equal(values[0, ..., 0], np.rint(shallow / 255 * full))


def test_grey_pixels_of_sixteen_bits_are_colours_where_the_run_has_them(client):
    shallow = 17 * np.random.default_rng(0).integers(0, 16, (5, 6)).astype(np.uint8)
    answers = [
        client.post("/api/runs/colour/encode", content=as_png(pixels)).json()
        for pixels in (shallow, 257 * shallow.astype(np.uint16), shallow[..., None].repeat(3, -1))
    ]
    assert all(answer["seen"] == answers[0]["seen"] for answer in answers)
    assert all(answer["elbo"] == answers[0]["elbo"] for answer in answers)


def test_a_deterministic_code_has_a_reconstruction_error_and_no_bound(client):
    answer = client.post("/api/runs/plain/encode", content=as_png(np.full((8, 8), 90, np.uint8))).json()
    assert answer["elbo"] is answer["log_variance"] is None
    assert answer["reconstruction_error"] > 0
