"""The OpenAPI document, tried out by Schemathesis: whatever it allows, the service answers as it says."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from PIL import Image

from lowerbound.serving.http.access import Access
from served_models import application, digits, people

pytest.importorskip("schemathesis")
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import get_client
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# In-process, the server has the name of Starlette's test client.
APP = application(digits(), people(), access=Access(frozenset()))
schema = schemathesis.openapi.from_asgi("/openapi.json", APP)


@pytest.fixture(scope="module")
def session():
    """One client for all requests: without it the service would begin and end with each."""
    with get_client(APP) as client:
        yield client


@schema.parametrize()
@settings(max_examples=12, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
def test_whatever_the_document_allows_is_answered_as_it_says(case, session):
    case.call_and_validate(checks=CHECKS, session=session)


def png():
    buffer = BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


INFER = "/v2/models/{name}/infer"
INFERENCE = {"id": "a", "inputs": [{"name": "z", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}
GOOD = [
    ("GET", "/", "", {}),
    ("GET", "/docs", "", {}),
    ("GET", "/metrics", "", {}),
    ("GET", "/v2", "", {}),
    ("GET", "/v2/models", "", {}),
    ("GET", "/v2/models/{name}", "", {}),
    ("GET", "/v2/models/{name}/ready", "", {}),
    ("POST", "/v2/repository/index", "", {}),
    ("POST", INFER, "", {"json": INFERENCE}),
    ("POST", INFER, "", {"json": {**INFERENCE, "parameters": {"binary_data_output": True}}}),
    ("POST", "/encode", "?model=digits&sample=true", {"data": png()}),
    ("POST", "/encode", "?model=people", {"json": [{"height": 1}]}),
    ("POST", "/reconstruct", "?model=digits", {"data": png()}),
    ("POST", "/reconstruct", "?model=people", {"json": [{"height": 1}]}),
    ("POST", "/score", "?model=digits", {"data": png()}),
    ("GET", "/generate.png", "?model=digits", {}),
    ("GET", "/generate", "?model=people", {}),
    ("GET", "/decode.png", "?model=digits&z=0,0", {}),
    ("GET", "/decode", "?model=digits&z=0,0", {}),
]


@pytest.mark.parametrize(("method", "path", "query", "request_with"), GOOD)
def test_what_is_answered_to_good_requests_is_what_the_document_says(session, method, path, query, request_with):
    response = session.request(method, path.replace("{name}", "digits.decode") + query, **request_with)
    assert response.status_code == 200, response.text
    schema[path][method].validate_response(response)
