"""Examples of requests: every endpoint accepts its own."""

import shutil
from io import BytesIO

import httpx
import numpy as np
import pytest
from PIL import Image

from explorer_runs import trained
from lowerbound.evaluation.results import read_results
from lowerbound.serving.service.models import load_runs
from served_models import RUNS, application, code, correlated, drawings, on_sphere, running, sixteens

SERVED = (*RUNS, code(), correlated(), drawings(), on_sphere(), sixteens(), drawings("drawn", "dynamic"))


@pytest.fixture(scope="module")
def client():
    with running(application(*SERVED)) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.mark.parametrize("served", SERVED, ids=lambda served: served.name)
def test_every_endpoint_of_a_run_accepts_its_example(client, served):
    example = client.get("/example", params={"model": served.name}).raise_for_status()
    is_image = served.schema.has_pictures
    assert example.headers["content-type"].startswith("image/png" if is_image else "application/json")
    for operation in ("encode", "reconstruct", *(() if served.model.is_deterministic else ("score",))):
        client.post(f"/{operation}", params={"model": served.name}, content=example.content).raise_for_status()
    models = [one["name"] for one in client.get("/v2/models").json() if one["name"].startswith(f"{served.name}.")]
    assert models
    for model in models:
        body = client.get("/example.json", params={"model": model}).raise_for_status().content
        client.post(f"/v2/models/{model}/infer", content=body).raise_for_status()


def test_the_first_page_decodes_a_point_of_each_space(client):
    page = client.get("/").text
    lines = [line for line in page.splitlines() if line.startswith("curl") and "/decode" in line]
    assert len(lines) == len(SERVED)
    for line in lines:
        url = line.split("'")[1] if "'" in line else line.split("&#39;")[1]
        client.get(url.replace("&amp;", "&")).raise_for_status()


def test_the_example_of_a_trained_run_is_its_first_test_image(tmp_path_factory, tmp_path):
    run = shutil.copytree(trained(tmp_path_factory, "digits"), tmp_path / "digits")
    expected = read_results(run).arrays["originals"][0, ..., 0]
    with running(application(*load_runs([str(run)], "cpu"))) as url:
        content = httpx.get(f"{url}/example").raise_for_status().content
    with Image.open(BytesIO(content)) as image:
        np.testing.assert_allclose(np.asarray(image.convert("L")) / 255, expected, atol=1 / 255)


def test_an_unknown_name_is_refused(client):
    assert client.get("/example", params={"model": "nobody"}).status_code == 404
    assert client.get("/example.json", params={"model": "nobody"}).status_code == 404
    assert client.get("/example.json", params={"model": "digits.nothing"}).status_code == 404


def test_a_run_stands_for_its_encode_and_of_several_one_has_to_be_named(client):
    for served in SERVED[:2]:
        bodies = [
            client.get("/example.json", params={"model": name}) for name in (served.name, f"{served.name}.encode")
        ]
        assert bodies[0].raise_for_status().content == bodies[1].raise_for_status().content
    refused = client.get("/example.json")
    assert refused.status_code == 400 and "choose one with ?model=" in refused.json()["error"]
    with running(application(SERVED[0])) as url:
        assert httpx.get(f"{url}/example.json").raise_for_status().json()["inputs"]
