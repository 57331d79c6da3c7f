"""Numbers in and out are the run's stored ones, but for FP32 tensors; every door checks them by the same rule."""

import math
import re
from io import BytesIO

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from lowerbound.data.binarisation import binarise_by_content
from lowerbound.data.examples import Examples
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.schema import Column
from lowerbound.serving.service.formats import examples_as_json
from served_models import SIDE, application, digits, drawings, images_of, people, running, sixteens, spectra

GREY = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
COUNTS = np.random.default_rng(1).integers(0, 17, (3, 1, SIDE, SIDE), np.uint8)
FAR = (1e9, -1e9, 0.0, 2e12, 5.0)
YEARS = (Column(name="year", kind="numeric", offset=2e9), Column(name="visits", kind="count"))
RUNS = (
    digits(),
    sixteens(),
    drawings(),
    drawings("drawn", "static"),
    digits("deep", images_of((SIDE, SIDE, 1), range=(0.0, 65535.0), dtype="uint16")),
    spectra(),
    spectra("far", offset=FAR),
    spectra("signed", dtype="int16"),
    people(YEARS),
)
MODELS = {run.name: run.model for run in RUNS}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def client():
    with running(application(*RUNS)) as url, httpx.Client(base_url=url) as client:
        yield client


def infer(client, name, x, datatype, **parameters):
    """The response of the protocol to one tensor in JSON."""
    entry = {"name": "x", "shape": list(x.shape), "datatype": datatype, "data": x.tolist()}
    return client.post(f"/v2/models/{name}/infer", json={"inputs": [entry], "parameters": parameters})


def outputs(response):
    assert response.status_code == 200, response.text
    return {output["name"]: np.array(output["data"]) for output in response.json()["outputs"]}


def refused(response, status=400):
    assert response.status_code == status, response.text
    assert "\n" not in response.json()["error"]
    return response.json()["error"]


def found(response):
    assert response.status_code == 200, response.text
    return response.json()


def as_file(pixels):
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("datatype", ["UINT8", "INT32"])
@pytest.mark.parametrize("operation", ["encode", "reconstruct", "score"])
def test_integers_are_stored_numbers_and_floats_what_the_module_takes(client, operation, datatype):
    name = f"sixteens.{operation}"
    parameters = {"seed": 3} if operation == "score" else {}
    stored = outputs(infer(client, name, COUNTS, datatype, **parameters))
    seen = outputs(infer(client, name, COUNTS / np.float32(16), "FP32", **parameters))
    for key, values in seen.items():
        np.testing.assert_array_equal(stored[key], values)
    if operation == "encode":
        expected = MODELS["sixteens"].encode(torch.from_numpy(COUNTS / np.float32(16))).mean
        np.testing.assert_allclose(stored["mean"].reshape(3, 2), expected, **CLOSE)


@pytest.mark.parametrize(("datatype", "value"), [("UINT8", 17), ("INT32", 17), ("INT32", -1), ("INT32", 272)])
def test_integers_out_of_range_are_refused_with_their_place(client, datatype, value):
    x = COUNTS.astype(np.int64)
    x[2, 0, 3, 4] = value
    reason = refused(infer(client, "sixteens.encode", x, datatype))
    assert reason.startswith(f"input 'x': example 2, element 3,4,0 is {value}; the model was trained on uint8 from 0")


def test_integers_are_refused_where_stored_numbers_are_floats(client):
    x = np.ones((1, 5), np.uint8)
    assert "unknown datatype of 'x' 'UINT8'" in refused(infer(client, "spectra.encode", x, "UINT8"))
    assert outputs(infer(client, "signed.encode", -300 * x.astype(np.int64), "INT32"))["mean"].shape == (2,)


def test_pixels_of_sixteen_bits_come_as_they_are_stored(client):
    deep = np.random.default_rng(2).integers(0, 65536, (2, 1, SIDE, SIDE))
    expected = MODELS["deep"].encode(torch.from_numpy((deep / np.float32(65535)).astype(np.float32))).mean
    np.testing.assert_allclose(
        outputs(infer(client, "deep.encode", deep, "INT32"))["mean"].reshape(2, 2), expected, **CLOSE
    )


def test_white_is_the_full_scale_of_the_run_whatever_the_files_is(client):
    shallow = np.kron(GREY[:4, :4] // 64 * 85, np.ones((2, 2), np.uint8))  # levels that 8 and 16 bits share
    deep = shallow.astype(np.uint16) * 257
    for name in ("digits", "deep", "sixteens"):
        answers = [found(client.post(f"/encode?model={name}", content=as_file(pixels))) for pixels in (shallow, deep)]
        assert answers[0]["examples"] == answers[1]["examples"]
    (note,) = answers[1]["notes"]
    assert re.match(r"white, 65535\b.* 16\b.*rounded", note)
    x = np.rint(shallow / 255 * 16) / 16
    expected = MODELS["sixteens"].encode(torch.from_numpy(x[None, None].astype(np.float32))).mean
    np.testing.assert_allclose([answers[0]["examples"][0]["mean"]], expected, **CLOSE)


def test_images_come_as_lists_of_stored_numbers_too(client):
    as_list = found(client.post("/encode?model=digits", json=[GREY[..., None].tolist()]))
    flat = found(client.post("/encode?model=digits", json=[GREY.tolist()]))
    as_png = found(client.post("/encode?model=digits", content=as_file(GREY)))
    assert as_list["examples"] == flat["examples"] == as_png["examples"]
    reason = refused(client.post("/encode?model=digits", json=[(GREY / 255).tolist()]))
    assert "looks like pixels divided by 255" in reason


def test_lists_of_another_shape_are_refused(client):
    reason = refused(client.post("/encode?model=digits", json=[GREY[:4].tolist()]))
    assert "1×4×8" in reason
    assert "the model was trained on N×8×8×1 or N×8×8" in reason
    assert "lists of different lengths" in refused(client.post("/encode?model=spectra", json=[[1, 2], [3]]))


def test_a_grey_image_is_refused_by_a_run_of_black_and_white(client):
    grey = np.full((SIDE, SIDE), 90, np.uint8)
    accepted = "the model accepts only 0 and 255."
    reason = f"the body: example 0, element 0,0,0 is 90; {accepted}"
    assert refused(client.post("/score?model=drawings", content=as_file(grey)), 422) == reason
    assert refused(client.post("/score?model=drawings", json=[grey.tolist()])) == reason
    stored = np.full((1, 1, SIDE, SIDE), 90)
    assert accepted in refused(infer(client, "drawings.score", stored, "UINT8"))
    x = np.full((1, 1, SIDE, SIDE), 0.5, np.float32)
    assert "is 0.5; the model accepts only 0 and 1" in refused(infer(client, "drawings.score", x, "FP32"))
    assert outputs(infer(client, "drawings.score", np.rint(x), "FP32"))["elbo"].shape == (1,)


def test_grey_pixels_of_a_binarised_run_are_binarised_by_content_and_that_is_said(client):
    stored = np.moveaxis(COUNTS, 1, -1)
    drawn = binarise_by_content(Examples(stored, 16.0), 0)
    terms = expected_terms(MODELS["drawn"], drawn, num_draws=16, seed=5)
    answers = [
        found(client.post("/score?model=drawn&seed=5", json=stored.tolist())),
        found(client.post("/score?model=drawn&seed=5", json=stored[::-1].tolist())),
    ]
    elbo = np.array([example["elbo"] for example in answers[0]["examples"]])
    np.testing.assert_allclose(elbo, terms.elbo, rtol=1e-5)
    np.testing.assert_allclose([example["elbo"] for example in answers[1]["examples"]], elbo[::-1], rtol=1e-5)
    assert answers[0]["convention"] == "static binarisation, seed 0"
    assert answers[0]["notes"] == [
        "grey pixels are binarised at random, with a seed derived from the image's values (static binarisation, seed 0)"
    ]
    for x, datatype in ((COUNTS, "UINT8"), (COUNTS / np.float32(16), "FP32")):
        response = infer(client, "drawn.score", x, datatype, seed=5)
        np.testing.assert_allclose(outputs(response)["elbo"], elbo, rtol=1e-5)
        assert response.json()["parameters"] == {"seed": 5, "notes": answers[0]["notes"][0]}
    black = found(client.post("/score?model=drawn", json=np.zeros((1, SIDE, SIDE), int).tolist()))
    assert (black["convention"], black["notes"]) == ("static binarisation, seed 0", [])


@pytest.mark.parametrize("name", ["encode", "reconstruct", "score"])
def test_an_example_has_the_same_numbers_alone_or_among_others_in_any_order(client, name):
    sampled = {} if name == "score" else {"sample": True}
    order = [2, 0, 1]
    together = outputs(infer(client, f"sixteens.{name}", COUNTS, "UINT8", seed=7, **sampled))
    shuffled = outputs(infer(client, f"sixteens.{name}", COUNTS[order], "UINT8", seed=7, **sampled))
    for key, values in together.items():
        each = values.reshape(3, -1)
        np.testing.assert_allclose(shuffled[key].reshape(3, -1), each[order], **CLOSE)
        for index in range(3):
            alone = outputs(infer(client, f"sixteens.{name}", COUNTS[index : index + 1], "UINT8", seed=7, **sampled))
            np.testing.assert_allclose(alone[key].ravel(), each[index], **CLOSE)
    other = outputs(infer(client, f"sixteens.{name}", COUNTS, "UINT8", seed=8, **sampled))
    key = {"encode": "z", "reconstruct": "reconstruction", "score": "elbo"}[name]
    assert (other[key] != together[key]).any()


def test_a_score_is_that_of_an_evaluation_with_its_seed(client):
    terms = expected_terms(MODELS["sixteens"], Examples(np.moveaxis(COUNTS, 1, -1), 16.0), num_draws=16, seed=4)
    scored = outputs(infer(client, "sixteens.score", COUNTS, "UINT8", seed=4))
    np.testing.assert_allclose(scored["elbo"], terms.elbo, rtol=1e-5)


def test_an_offset_is_taken_off_in_double_precision_and_put_back(client):
    near = np.array([[0.25, -1.5, 0.5, 2.0, -0.75]])
    answer = found(client.post("/encode?model=far", json=(near + FAR).tolist()))
    expected = MODELS["far"].encode(torch.from_numpy(near.astype(np.float32))).mean
    # Of 1e12 and a fraction double precision keeps four digits behind the point, single precision none before it.
    np.testing.assert_allclose([answer["examples"][0]["mean"]], expected, rtol=1e-3, atol=1e-3)
    decoded = found(client.get("/decode?model=far&z=0.5,-1"))["examples"][0]["mean"]
    mean = MODELS["far"].decode(torch.tensor([[0.5, -1.0]])).mean[0].double()
    np.testing.assert_allclose(np.array(decoded) - FAR, mean, atol=1e-3)


def test_cells_of_rows_have_the_digits_of_their_columns(client):
    rows = [{"year": 2e9 + 0.25, "visits": 3}, {"visits": 1}]
    answer = found(client.post("/encode?model=people", json=rows))
    expected = MODELS["people"].encode(torch.tensor([[0.25, 3.0], [math.nan, 1.0]])).mean
    np.testing.assert_allclose([example["mean"] for example in answer["examples"]], expected, **CLOSE)
    guesses = found(client.get("/decode?model=people&z=0.5,-1"))["examples"][0]["mean"]
    mean = MODELS["people"].decode(torch.tensor([[0.5, -1.0]])).mean[0, 0]
    assert guesses["year"] - 2e9 == pytest.approx(float(mean), abs=1e-5)


def test_a_row_of_which_nothing_is_known_has_no_score(client):
    answer = found(client.post("/score?model=people", json=[{"visits": 3}, {}, {"year": None, "visits": None}]))
    known, *others = answer["examples"]
    assert all(isinstance(value, float) for value in known.values())
    assert all(value is None for example in others for value in example.values())


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_examples_are_written_as_python_writes_them(run):
    x = np.random.default_rng(0).random((2, *run.model.event_shape), np.float32)
    expected = run.trained.written(torch.from_numpy(x))
    if isinstance(expected, np.ndarray):
        np.testing.assert_allclose(examples_as_json(run, x), expected, rtol=1e-6)
    else:
        assert [row["year"] for row in examples_as_json(run, x)] == expected["year"].tolist()
