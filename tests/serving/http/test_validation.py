"""Query parameters, paths and methods that no route has are refused with what is accepted."""

import pytest
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.validation import (
    MAX_PATH_LENGTH,
    HeadAsGet,
    allowed_methods,
    check_query,
    no_such_endpoint,
    wrong_method,
)

PATHS = ("/models", "/models/{name}/infer", "/score")


def test_known_parameters_are_taken_once_and_repeatable_ones_any_number_of_times():
    check_query(QueryParams("a=1&b=2&b=3"), ("a", "b"), repeatable=("b",))
    check_query(QueryParams(""), ())


@pytest.mark.parametrize(
    ("query", "accepted", "reason"),
    [
        ("nmu=3", ("num", "seed"), "unknown query parameter 'nmu'; did you mean 'num'? accepted: num, seed"),
        ("num=3", (), "unknown query parameter 'num'; this endpoint takes none."),
        ("num=3&num=3", ("num",), "query parameter 'num' is given 2 times; give it once."),
        ("x" * 1000, ("num",), f"unknown query parameter '{'x' * 57}...'"),
    ],
)
def test_other_parameters_are_refused(query, accepted, reason):
    with pytest.raises(RequestError) as caught:
        check_query(QueryParams(query), accepted)
    assert caught.value.status == 400 and caught.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/scor", "did you mean '/score'? "),
        ("/model/digits/infer", "did you mean '/models/digits/infer'? "),
        ("/models/digits/infer/", "did you mean '/models/digits/infer'? "),
        ("/nothing like it", ""),
    ],
)
def test_an_unknown_path_gets_the_nearest_with_its_own_names(path, hint):
    message = no_such_endpoint("GET", path, PATHS, "GET / lists them")
    assert message == f"no such endpoint: GET {path!r}; {hint}GET / lists them."


def test_a_path_is_shown_by_its_beginning_and_on_one_line():
    message = no_such_endpoint("GET", "/\n" + "x" * 10_000, PATHS, "see /")
    assert "\n" not in message and len(message) < MAX_PATH_LENGTH + 60
    assert wrong_method("PUT", "/score\n", "POST") == r"PUT is not accepted by '/score\n'; accepted: POST."


@pytest.mark.parametrize(
    ("allow", "accepted"), [("GET", "GET, HEAD"), ("POST", "POST"), ("POST, GET", "GET, HEAD, POST")]
)
def test_head_is_accepted_where_get_is(allow, accepted):
    assert allowed_methods({"Allow": allow}) == accepted


def test_head_has_the_status_and_headers_of_get_and_no_body():
    def page(request):
        return PlainTextResponse(request.method, 203, {"x-page": "yes"})

    client = TestClient(HeadAsGet(Starlette(routes=[Route("/", page)])))
    head, get = client.head("/"), client.get("/")
    assert get.text == "GET" and head.content == b""
    assert (head.status_code, head.headers) == (get.status_code, get.headers)
