"""What every route of the service checks of a request: its query, its method, its host."""

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from lowerbound.serving.http.access import Access
from served_models import application, digits, people, running

GETS = ("/", "/docs", "/openapi.json", "/metrics", "/v2", "/v2/models", "/v2/models/digits.encode", "/v2/health/live")
DRAWN = ("/generate.png?model=digits&num=1&seed=1", "/generate?model=people&seed=1", "/decode?model=digits&z=0,0&z=1,1")


@pytest.fixture(scope="module")
def app():
    return application(digits(), people())


@pytest.fixture(scope="module")
def client(app):
    with running(app) as url, httpx.Client(base_url=url) as client:
        yield client


def refused(response, status=400):
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert "\n" not in response.json()["error"]
    return response.json()["error"]


def sent(client, head):
    """The answer to a request that is written by hand."""
    address = urlsplit(str(client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head)
        answer = b""
        while part := connection.recv(2**16):
            answer += part
    return answer


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (
            "/generate?model=people&nmu=3",
            "unknown query parameter 'nmu'; did you mean 'num'? accepted: given, model, num,",
        ),
        ("/generate?model=people&temprature=0", "did you mean 'temperature'?"),
        ("/generate?model=people&sede=1", "did you mean 'seed'?"),
        ("/decode.png?model=digits&z=0,0&sed=1", "accepted: given, model, z."),
        ("/generate?seed=1&seed=2", "query parameter 'seed' is given 2 times; give it once."),
        ("/generate?seed=1&s%65ed=1&seed=1", "given 3 times"),
        ("/generate?=3", "unknown query parameter ''; accepted"),
        ("/generate?nmu", "did you mean 'num'?"),
        ("/generate?%0a=3", r"unknown query parameter '\n'"),
        ("/generate?%ff=3", "unknown query parameter"),
        (f"/generate?{'n' * 5000}=3", "nnn...'; accepted"),
        ("/v2/models/digits.encode?verbose=1", "unknown query parameter 'verbose'; this endpoint takes none."),
        *((f"{path}?x=1", "this endpoint takes none") for path in GETS),
    ],
)
def test_a_query_parameter_that_no_endpoint_reads_is_refused(client, path, reason):
    assert reason in refused(client.get(path))


@pytest.mark.parametrize("path", ["/encode", "/reconstruct", "/score"])
def test_a_misspelt_parameter_beside_a_body_is_refused(client, path):
    assert "did you mean 'model'?" in refused(client.post(f"{path}?modle=people", json=[{"height": 1}]))


def test_every_route_that_is_documented_refuses_unknown_parameters(client):
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            response = client.request(method, path.replace("{name}", "digits.encode"), params={"no such name": 1})
            assert "unknown query parameter 'no such name'" in refused(response), path


@pytest.mark.parametrize("path", ["/generate?model=people&%6eum=2", "/generate?&model=people&&", *DRAWN, *GETS])
def test_parameters_that_are_declared_are_taken(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", [*GETS, *DRAWN, "/nowhere", "/generate?nmu=1", "/encode"])
def test_head_has_the_status_and_headers_of_get_and_no_body(client, path):
    head, get = client.head(path), client.get(path)
    assert head.content == b""
    assert head.status_code == get.status_code
    changes = {"date"} | ({"content-length"} if path == "/metrics" else set())
    kept = [{name: value for name, value in answer.headers.items() if name not in changes} for answer in (head, get)]
    assert kept[0] == kept[1]
    assert int(head.headers["content-length"]) > 0


def test_after_a_head_the_connection_goes_on(client):
    two = b"HEAD /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n"
    answer = sent(client, two + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b'{"live":true}') == 1


def test_head_asks_for_the_token_too():
    with running(application(digits(), access=Access(frozenset(), "a-token-of-length"))) as url:
        assert httpx.head(f"{url}/v2").status_code == 401


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_with_those_that_are_accepted(client, method):
    for path, allow in (("/encode", "POST"), ("/generate", "GET, HEAD")):
        response = client.request(method, path)
        assert refused(response, 405) == f"{method} is not accepted by '{path}'; accepted: {allow}."
        assert response.headers["allow"] == allow
        assert "access-control-allow-origin" not in response.headers


def test_a_form_is_refused_by_the_protocol_too(client):
    response = client.post("/v2/models/digits.encode/infer", files={"file": b"x"})
    assert "curl --data-binary" in refused(response, 415)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /v2/health/live HTTP/1.0\r\n\r\n", b"200"),
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /v2/health/live HTTP/1.0\r\nHost: localhost\r\n\r\n", b"200"),
        (b"GET /v2/health/live HTTP/1.0\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET /v2/health/live HTTP/1.0\r\nHost:\r\n\r\n", b"421"),
        (b"GET /v2/health/live HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n", b"400"),
    ],
)
def test_only_http_1_0_needs_no_host(client, head, status):
    answer = sent(client, head)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert status == b"200" or b'{"error": "' in answer
