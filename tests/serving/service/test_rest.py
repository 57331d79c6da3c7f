"""Endpoints for people, asked as curl would."""

from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from lowerbound.foundation.seeding import generator
from lowerbound.reporting.tiles import displayable
from served_models import GREY, SIDE, application, as_file, code, digits, on_sphere, running, tensor
from served_models import RUNS as FOUR

RUNS = (*FOUR, code(), on_sphere())
MODELS = {run.name: run.model for run in RUNS}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
ROWS = [{"height": 0.5, "visits": 3, "colour": "red"}, {"visits": 1, "colour": None}]
CELLS = np.array([[0.5, 3, 2], [np.nan, 1, np.nan]], np.float32)


@pytest.fixture(scope="module")
def client():
    with running(application(*RUNS)) as url, httpx.Client(base_url=url) as client:
        yield client


def pixels_of(response):
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(BytesIO(response.content)))


def found(response):
    assert response.status_code == 200, response.text
    return response.json()


def refused(response, status):
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert "\n" not in response.json()["error"]
    return response.json()["error"]


def test_an_image_file_is_encoded_as_its_pixels(client):
    answer = found(client.post("/encode?model=digits", content=as_file(GREY)))
    posterior = MODELS["digits"].encode(tensor(GREY[None, None] / np.float32(255)))
    np.testing.assert_allclose([answer["examples"][0]["mean"]], posterior.mean, **CLOSE)
    np.testing.assert_allclose([answer["examples"][0]["log_variance"]], posterior.log_variance, **CLOSE)
    assert (answer["model"], answer["version"]) == ("digits", "0123456789ab")
    assert "seed" not in answer
    assert "z" not in answer["examples"][0]


def test_an_example_on_the_sphere_has_a_direction_and_a_concentration_and_draws_of_length_one(client):
    (example,) = found(client.post("/encode?model=on-sphere&sample=true", content=as_file(GREY)))["examples"]
    posterior = MODELS["on-sphere"].encode(tensor(GREY[None, None] / np.float32(255)))
    assert set(example) == {"mean_direction", "concentration", "z"}
    np.testing.assert_allclose([example["mean_direction"]], posterior.direction, **CLOSE)
    np.testing.assert_allclose([example["concentration"]], posterior.concentration, **CLOSE)
    assert np.linalg.norm(example["z"]) == pytest.approx(1, abs=1e-6)


def test_a_point_that_is_not_on_the_sphere_is_refused(client):
    assert found(client.get("/decode?model=on-sphere&z=0.6,0,-0.8"))["examples"]
    reason = refused(client.get("/decode?model=on-sphere&z=0.6,0,-0.8&z=1,1,0"), 400)
    assert reason.startswith("z: code 1 has length 1.414; codes on the sphere have length 1")


def test_a_draw_is_given_where_it_is_asked_for_with_its_seed(client):
    first = found(client.post("/encode?model=digits&sample=true", content=as_file(GREY)))
    again = found(client.post(f"/encode?model=digits&sample=true&seed={first['seed']}", content=as_file(GREY)))
    assert first == again
    assert len(first["examples"][0]["z"]) == 2


def test_images_of_other_sizes_forms_and_colours_are_brought_to_the_runs(client):
    large = np.kron(GREY, np.ones((3, 3), np.uint8))
    coloured = np.repeat(large[:, :, None], 3, axis=2)
    for content in (as_file(large), as_file(coloured), as_file(large, "TIFF"), as_file(large, "WEBP", lossless=True)):
        shown = pixels_of(client.post("/reconstruct?model=digits", content=content))
        assert shown.shape == (SIDE, SIDE, 3)
    wide = found(client.post("/encode?model=icons", content=as_file(coloured, "JPEG")))
    assert len(wide["examples"][0]["mean"]) == 3


def test_a_reconstruction_is_a_picture_or_json_by_what_is_accepted(client):
    x = tensor(GREY[None, None] / np.float32(255))
    expected = MODELS["digits"].reconstruct(x)
    shown = pixels_of(client.post("/reconstruct?model=digits", content=as_file(GREY)))
    levels = displayable(expected.numpy().transpose(0, 2, 3, 1))[0]
    assert np.abs(shown.astype(int) - levels).max() <= 1
    wanted = {"accept": "application/json"}
    answer = found(client.post("/reconstruct?model=digits", content=as_file(GREY), headers=wanted))
    np.testing.assert_allclose([answer["examples"][0]["reconstruction"]], stored(expected), **CLOSE)


def stored(x):
    """Images as they are stored: bytes, channels last."""
    return 255 * x.permute(0, 2, 3, 1).numpy()


def test_a_score_says_how_it_came_about(client):
    answer = found(client.post("/score?model=digits&num_draws=64&seed=1", content=as_file(GREY)))
    (example,) = answer["examples"]
    assert example["elbo"] == pytest.approx(-(example["rate"] + example["distortion"]), rel=1e-5)
    assert example["standard_error"] > 0
    about = {key: answer[key] for key in ("unit", "convention", "num_draws", "seed", "notes")}
    assert about == {"unit": "nats", "convention": "grey", "num_draws": 64, "seed": 1, "notes": []}
    # The convention is the run's: a black image in a run of grey ones is no image of another kind.
    black = found(client.post("/score?model=digits", content=as_file(np.zeros_like(GREY))))
    assert black["convention"] == "grey"


def test_generated_pictures_are_the_models_means_and_tell_their_seed(client):
    response = client.get("/generate.png?model=digits&num=1&seed=1")
    assert response.headers["lowerbound-seed"] == "1"
    image = displayable(MODELS["digits"].generate(1, generator(1, "samples")).numpy().transpose(0, 2, 3, 1))[0]
    enlarged = image.repeat(7, axis=0).repeat(7, axis=1)
    assert np.abs(pixels_of(response).astype(int) - enlarged).max() <= 1
    unseeded = client.get("/generate.png?model=digits&num=16")
    again = client.get(f"/generate.png?model=digits&num=16&seed={unseeded.headers['lowerbound-seed']}")
    assert unseeded.content == again.content


def test_a_point_is_decoded_to_a_picture_or_numbers(client):
    assert pixels_of(client.get("/decode.png?model=digits&z=0.5,-1&z=0,0")).shape == (56, 2 * 56 + 2, 3)
    answer = found(client.get("/decode?model=digits&z=0.5,-1"))
    expected = MODELS["digits"].decode(tensor(np.array([[0.5, -1]], np.float32))).mean
    np.testing.assert_allclose([answer["examples"][0]["mean"]], stored(expected), **CLOSE)


def test_rows_come_and_go_by_the_names_of_their_columns(client):
    answer = found(client.post("/encode?model=people", json=ROWS))
    expected = MODELS["people"].encode(tensor(CELLS)).mean
    np.testing.assert_allclose([example["mean"] for example in answer["examples"]], expected, **CLOSE)
    guessed = found(client.post("/reconstruct?model=people", json=ROWS))["examples"]
    assert [list(example["reconstruction"]) for example in guessed] == [["height", "visits", "colour"]] * 2
    assert {example["reconstruction"]["colour"] for example in guessed} <= {"blue", "green", "red"}
    drawn = found(client.get("/generate?model=people&num=3&seed=1"))
    assert [len(example["z"]) for example in drawn["examples"]] == [2, 2, 2]
    one = found(client.post("/score?model=people", json=ROWS[0]))
    assert one["convention"] == "table"


def test_arrays_come_as_lists(client):
    x = np.random.default_rng(3).standard_normal((2, 5)).astype(np.float32)
    answer = found(client.post("/encode?model=spectra", json=x.tolist()))
    expected = MODELS["spectra"].encode(tensor(x)).mean
    np.testing.assert_allclose([example["mean"] for example in answer["examples"]], expected, **CLOSE)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"hight": 1}], "did you mean 'height'?"),
        ([{"colour": "mauve"}], "row 0, column 'colour' is 'mauve'; accepted: 'blue', 'green', 'red'"),
        ([{"height": 1}, {"height": "tall"}], "row 1, column 'height' is 'tall'; accepted: numbers"),
        ([{"height": True}], "column 'height' cannot be true; accepted: a number"),
        ([{"visits": False}], "column 'visits' cannot be false; accepted: a number"),
        ([{"colour": True}], "column 'colour' cannot be true; accepted: one of blue, green, red"),
        ([{"colour": 1}], "column 'colour' is '1'; accepted: 'blue', 'green', 'red'"),
        ([{"height": 10**400}], "accepted: a number"),
        ([{"height": 1e300}], "column 'height' cannot be 1e+300; accepted: a number"),
        ([{"height": [1]}], "column 'height' is '[1]'; accepted: numbers"),
        ([{"visits": -1}], "column 'visits' is '-1'; counts are whole numbers from 0"),
        ([{"visits": 1.5}], "column 'visits' is '1.5'; counts are whole numbers from 0"),
        ([3], "the body[0] is 3; accepted: an object"),
        ([], "at least 1"),
    ],
)
def test_rows_that_cannot_be_are_refused_with_the_reason(client, rows, reason):
    assert reason in refused(client.post("/encode?model=people", json=rows), 400)


def test_infinity_is_refused_and_not_taken_as_missing(client):
    assert "accepted: a number" in refused(client.post("/encode?model=people", content=b'[{"height": 1e999}]'), 400)


def test_what_is_no_image_is_refused_without_a_word_of_the_decoder(client):
    good = as_file(GREY)
    for content in (b"", b"GIF89a", b"hello", good[:50], good[:30] + b"\0" * 40 + good[70:]):
        reason = refused(client.post("/encode?model=digits", content=content), 422)
        assert reason.startswith("the body is not a PNG, JPEG, WebP, TIFF, BMP or GIF image")
        assert " object at 0x" not in reason
    reason = refused(client.post("/encode?model=digits", files={"file": good}), 415)
    assert "curl --data-binary" in reason
    compressed = {"content-encoding": "gzip"}
    assert "compressed" in refused(client.post("/encode?model=digits", content=good, headers=compressed), 415)


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/generate.png", 400, "?model=, one of digits, icons"),
        ("/generate.png?model=digit", 404, "did you mean 'digits'?"),
        ("/generate.png?model=people", 400, "use /generate"),
        ("/generate.png?model=code", 400, "deterministic"),
        ("/generate.png?model=digits&num=0", 422, "num: "),
        ("/generate.png?model=digits&num=257", 422, "num: "),
        ("/generate.png?model=digits&temperature=nan", 422, "temperature: "),
        ("/generate.png?model=digits&seed=-1", 422, "seed: "),
        ("/decode.png?model=digits&z=1", 400, "2 numbers"),
        ("/decode.png?model=digits&z=1,x", 400, "2 numbers"),
        ("/decode.png?model=digits&z=1,inf", 400, "not numbers between"),
        ("/decode.png?model=digits", 422, "z: "),
        ("/nowhere", 404, "GET /"),
        ("/docs/", 404, "no such endpoint: GET '/docs/'; did you mean '/docs'? GET /docs lists all endpoints."),
        ("/generate.pgn", 404, "did you mean '/generate.png'?"),
        ("/v2/models/digits.encode/infr", 404, "did you mean '/v2/models/digits.encode/infer'?"),
        ("/a%0ab", 404, "GET '/a\\nb'"),
        ("/encode", 405, "GET is not accepted by '/encode'; accepted: POST."),
    ],
)
def test_refusals_say_what_is_accepted(client, path, status, reason):
    assert reason in refused(client.get(path), status)


def test_the_only_run_needs_no_name():
    with running(application(digits())) as url:
        assert httpx.get(f"{url}/generate.png?num=1").status_code == 200
