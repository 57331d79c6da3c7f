"""The protocol, asked by a client that somebody else wrote."""

import numpy as np
import pytest
import torch

from lowerbound import __version__
from lowerbound.data.examples import Examples
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.seeding import content_noise, generator
from served_models import application, code, correlated, digits, icons, images, people, running, spectra, tensor

pytest.importorskip("tritonclient.http")
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

RUNS = (digits(), icons(), people(), spectra(), code(), correlated())
MODELS = {run.name: run.model for run in RUNS}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # other batch sizes, other orders of summation


@pytest.fixture(scope="module")
def client():
    with running(application(*RUNS)) as url, InferenceServerClient(url.removeprefix("http://")) as client:
        yield client


def ask(client, name, outputs=(), binary=True, parameters=None, datatype="FP32", **inputs):
    """The answer to one request: tensors by their names, and the response's own fields."""
    tensors = []
    for key, values in inputs.items():
        tensors.append(InferInput(key, values.shape, datatype))
        tensors[-1].set_data_from_numpy(values, binary_data=binary)
    wanted = [InferRequestedOutput(output, binary_data=binary) for output in outputs] or None
    result = client.infer(name, tensors, outputs=wanted, parameters=parameters)
    response = result.get_response()
    return {output["name"]: result.as_numpy(output["name"]) for output in response["outputs"]}, response


def test_the_client_finds_server_and_models_alive_ready_and_described(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    about = client.get_server_metadata()
    assert (about["name"], about["version"]) == ("lowerbound", __version__)
    assert "binary_tensor_data" in about["extensions"]
    index = {entry["name"]: entry["version"] for entry in client.get_model_repository_index()}
    assert index["digits.encode"] == "0123456789ab"
    assert {name.partition(".")[2] for name in index if name.startswith("digits.")} == {
        "encode",
        "decode",
        "reconstruct",
        "generate",
        "score",
    }
    assert all(client.is_model_ready(name, version) for name, version in index.items())


def test_metadata_name_every_tensor_with_type_and_shape(client):
    about = client.get_model_metadata("icons.encode")
    assert about["versions"] == ["ba9876543210"]
    assert about["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 6, 10]}]
    assert [(tensor["name"], tensor["shape"]) for tensor in about["outputs"]] == [
        ("mean", [-1, 3]),
        ("log_variance", [-1, 3]),
        ("z", [-1, 3]),
    ]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("number", [1, 64])
def test_encode_is_the_models_posterior(client, number, binary):
    x = images(number)
    found, response = ask(client, "digits.encode", binary=binary, outputs=("mean", "log_variance"), x=x)
    posterior = MODELS["digits"].encode(tensor(x))
    np.testing.assert_allclose(found["mean"], posterior.mean, **CLOSE)
    np.testing.assert_allclose(found["log_variance"], posterior.log_variance, **CLOSE)
    assert response["model_version"] == "0123456789ab"
    assert "parameters" not in response  # nothing was drawn


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("number", [1, 64])
def test_decode_and_reconstruct_are_the_models_means(client, number, binary):
    z = np.random.default_rng(1).standard_normal((number, 2)).astype(np.float32)
    found, _ = ask(client, "digits.decode", binary=binary, outputs=("mean",), z=z)
    np.testing.assert_allclose(found["mean"], MODELS["digits"].decode(tensor(z)).mean, **CLOSE)
    x = images(number)
    found, _ = ask(client, "digits.reconstruct", binary=binary, outputs=("reconstruction",), x=x)
    np.testing.assert_allclose(found["reconstruction"], MODELS["digits"].reconstruct(tensor(x)), **CLOSE)


def test_generate_is_the_models_prior_decoded_and_a_seed_repeats_it(client):
    number = np.array([5], np.int32)
    asked = {"seed": 7, "temperature": 0.5}
    found, response = ask(client, "digits.generate", parameters=asked, datatype="INT32", num=number)
    expected = MODELS["digits"].generate(5, generator(7, "samples"), temperature=0.5)
    np.testing.assert_allclose(found["mean"], expected, **CLOSE)
    assert response["parameters"] == {"seed": 7}
    again, _ = ask(client, "digits.generate", parameters={"num": 5, **asked})
    np.testing.assert_array_equal(again["z"], found["z"])


def test_a_seed_that_the_server_chose_is_told_and_repeats_the_draw(client):
    first, response = ask(client, "digits.generate", parameters={"num": 3})
    other, _ = ask(client, "digits.generate", parameters={"num": 3})
    again, _ = ask(client, "digits.generate", parameters={"num": 3, "seed": response["parameters"]["seed"]})
    np.testing.assert_array_equal(first["z"], again["z"])
    assert (first["z"] != other["z"]).all()


@pytest.mark.parametrize("number", [1, 64])
def test_score_is_the_elbo_within_the_error_it_states(client, number):
    x = images(number)
    found, _ = ask(client, "digits.score", parameters={"num_draws": 64, "seed": 3}, x=x)
    np.testing.assert_allclose(found["elbo"], -(found["rate"] + found["distortion"]), rtol=1e-5)
    terms = expected_terms(MODELS["digits"], Examples(x.transpose(0, 2, 3, 1), 1.0), num_draws=500, seed=1)
    np.testing.assert_allclose(found["rate"], terms.rate, **CLOSE)
    assert (found["standard_error"] > 0).all()
    # The reference has errors of its own, an eighth in squares.
    assert (np.abs(found["elbo"] - terms.elbo.numpy()) < 5 * 1.07 * found["standard_error"]).all()


def test_draws_come_where_they_are_asked_for_and_are_the_models_own(client):
    x = images(3)
    by_parameter, response = ask(client, "digits.encode", parameters={"sample": True, "seed": 5}, x=x)
    by_name, _ = ask(client, "digits.encode", outputs=("z",), parameters={"seed": 5}, x=x)
    posterior = MODELS["digits"].encode(tensor(x))
    expected = posterior.sample_by_row(content_noise(tensor(x), 5, "posterior"), 1)[0]
    np.testing.assert_allclose(by_parameter["z"], expected, **CLOSE)
    np.testing.assert_array_equal(by_parameter["z"], by_name["z"])
    assert response["parameters"] == {"seed": 5}
    drawn, _ = ask(client, "digits.decode", parameters={"sample": True, "seed": 1}, z=by_name["z"])
    assert set(np.unique(drawn["sample"])) == {0.0, 1.0}
    sampled, _ = ask(client, "digits.reconstruct", parameters={"sample": True, "seed": 5}, x=x)
    np.testing.assert_allclose(sampled["reconstruction"], MODELS["digits"].decode(expected).mean, **CLOSE)


def test_bytes_are_taken_for_images_and_divided_by_255(client):
    stored = np.random.default_rng(2).integers(0, 256, (4, 3, 6, 10), np.uint8)
    found, _ = ask(client, "icons.encode", datatype="UINT8", x=stored)
    expected = MODELS["icons"].encode(tensor(stored / np.float32(255)))
    np.testing.assert_allclose(found["mean"], expected.mean, **CLOSE)
    assert np.isfinite(ask(client, "icons.score", datatype="UINT8", x=stored)[0]["elbo"]).all()


def test_rows_with_missing_cells_are_asked_about_as_numbers(client):
    rows = np.array([[0.5, 3.0, 2.0], [np.nan, 1.0, np.nan]], np.float32)
    binary, _ = ask(client, "people.score", parameters={"seed": 0}, x=rows)
    as_json, _ = ask(client, "people.score", binary=False, outputs=("elbo",), parameters={"seed": 0}, x=rows)
    np.testing.assert_allclose(binary["elbo"], as_json["elbo"], rtol=1e-6)
    guessed = ask(client, "people.reconstruct", x=rows)[0]["reconstruction"]
    assert set(guessed[:, 2]) <= {0.0, 1.0, 2.0}


def test_a_deterministic_autoencoder_has_a_code_and_neither_prior_nor_elbo(client):
    x = images(2)
    found, _ = ask(client, "code.encode", x=x)
    assert list(found) == ["mean"]
    np.testing.assert_allclose(found["mean"], MODELS["code"].encode(tensor(x)).mean, **CLOSE)
    assert not client.is_model_ready("code.generate")
    assert not client.is_model_ready("code.score")


def test_a_full_covariance_and_a_mixture_prior_are_served(client):
    x, model = images(3), MODELS["correlated"]
    found, _ = ask(client, "correlated.encode", outputs=("mean", "covariance"), x=x)
    np.testing.assert_allclose(found["covariance"], model.encode(tensor(x)).covariance, **CLOSE)
    scored, _ = ask(client, "correlated.score", parameters={"num_draws": 64, "seed": 3}, x=x)
    # No closed form: the rate is a mean over draws, too.
    terms = expected_terms(model, Examples(x.transpose(0, 2, 3, 1), 1.0), num_draws=500, seed=1)
    assert (np.abs(scored["elbo"] - terms.elbo.numpy()) < 5 * 1.07 * scored["standard_error"]).all()
    drawn, _ = ask(client, "correlated.generate", parameters={"num": 5, "seed": 7, "temperature": 0.5})
    expected = model.generate(5, generator(7, "samples"), temperature=0.5)
    np.testing.assert_allclose(drawn["mean"], expected, **CLOSE)


def test_the_id_comes_back_and_requested_outputs_come_alone_each_in_its_form(client):
    x = InferInput("x", [2, 1, 8, 8], "FP32")
    x.set_data_from_numpy(images(2))
    wanted = [InferRequestedOutput("log_variance", binary_data=True), InferRequestedOutput("mean", binary_data=False)]
    result = client.infer("digits.encode", [x], outputs=wanted, request_id="mine")
    response = result.get_response()
    assert response["id"] == "mine"
    assert [output["name"] for output in response["outputs"]] == ["log_variance", "mean"]
    assert "binary_data_size" in response["outputs"][0]["parameters"]
    assert len(response["outputs"][1]["data"]) == 4
    np.testing.assert_allclose(result.as_numpy("log_variance").shape, (2, 2))


def wrong(client, message, name="digits.encode", status="400", version="", **inputs):
    """Ask, and see the refusal: one line with this in it."""
    tensors = []
    for key, (values, datatype) in inputs.items():
        tensors.append(InferInput(key, values.shape, datatype))
        tensors[-1].set_data_from_numpy(values)
    with pytest.raises(InferenceServerException) as error:
        client.infer(name, tensors, model_version=version)
    assert error.value.status() == status
    assert message in error.value.message()
    assert "\n" not in error.value.message()


def test_what_does_not_fit_is_refused_with_what_would(client):
    x = images(2)
    wrong(client, "did you mean 'digits.encode'?", "digit.encode", "404", x=(x, "FP32"))
    wrong(client, "the served version is 0123456789ab", "digits.encode", "404", version="1", x=(x, "FP32"))
    wrong(client, "accepted: x", y=(x, "FP32"))
    wrong(client, "[-1, 1, 8, 8]", x=(x[:, :, :4], "FP32"))
    wrong(client, "'FP64'", x=(x.astype(np.float64), "FP64"))
    wrong(client, "example 0, element 0,0,0 is 1.", x=(x + 1, "FP32"))
    beyond = x.copy()
    beyond[1, 0, 3, 5] = 2
    accepted = "the model accepts numbers from 0 to 1"
    wrong(client, f"input 'x': example 1, element 0,3,5 is 2; {accepted}", x=(beyond, "FP32"))
    beyond[1, 0, 3, 5] = np.nan
    wrong(client, f"example 1, element 0,3,5 is nan; {accepted}", x=(beyond, "FP32"))
    wrong(client, "accepts 256 levels from 0 to 1", "icons.encode", x=(images(2, (3, 6, 10)), "FP32"))
    wrong(client, "is inf; the model accepts finite", "spectra.encode", x=(np.full((1, 5), np.inf, np.float32), "FP32"))
    wrong(client, "column 'colour' is 3", "people.encode", x=(np.array([[0, 1, 3]], np.float32), "FP32"))
    wrong(client, "column 'visits' is -1", "people.encode", x=(np.array([[0, -1, 1]], np.float32), "FP32"))
    wrong(client, "not numbers between", "digits.decode", z=(np.array([[0, np.inf]], np.float32), "FP32"))
    wrong(client, "is missing")
    wrong(client, "the limit is 256", status="413", x=(images(257), "FP32"))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("digits.encode", {"seeds": 1}, "did you mean 'seed'?"),
        ("digits.encode", {"seed": -1}, "an integer from 0"),
        ("digits.encode", {"sample": 1}, "true or false"),
        ("digits.encode", {"temperature": 1.0}, "unknown parameter 'temperature'"),
        ("digits.score", {"num_draws": 65}, "from 2 to 64"),
        ("digits.score", {"num_draws": 1}, "from 2 to 64"),
    ],
)
def test_parameters_are_checked(client, name, parameters, message):
    with pytest.raises(InferenceServerException, match=message.replace("?", r"\?")):
        ask(client, name, parameters=parameters, x=images(1))


def test_generate_asks_for_its_number_once_and_within_the_limit(client):
    number = np.array([2], np.int32)
    with pytest.raises(InferenceServerException, match="given twice"):
        ask(client, "digits.generate", datatype="INT32", parameters={"num": 2}, num=number)
    with pytest.raises(InferenceServerException, match="the limit is 256"):
        ask(client, "digits.generate", datatype="INT32", num=np.array([1000], np.int32))
    with pytest.raises(InferenceServerException, match="at least 1"):
        ask(client, "digits.generate", datatype="INT32", num=np.array([0], np.int32))


def test_numbers_that_json_has_not_come_as_null(client):
    # So far from every mean that the density underflows to minus infinity.
    far = np.full((1, 5), 3e38, np.float32)
    found, response = ask(client, "spectra.score", binary=False, outputs=("elbo",), x=far)
    assert response["outputs"][0]["data"] == [None]
    assert np.isnan(found["elbo"]).all()
    assert torch.isinf(MODELS["spectra"].decode(torch.zeros(1, 2)).log_prob(tensor(far))).all()
