"""The pages of the service."""

from html.parser import HTMLParser

import httpx
import pytest

from served_models import RUNS, application, code, running


@pytest.fixture(scope="module")
def client():
    with running(application(*RUNS, code())) as url, httpx.Client(base_url=url) as client:
        yield client


class References(HTMLParser):
    """What a page loads, and what it leads to."""

    def __init__(self, page):
        super().__init__()
        self.loaded, self.links = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.loaded += [given[name] for name in ("src", "srcset", "data") if name in given]
        self.links += [given["href"]] if tag == "a" else []
        if tag == "link":
            self.loaded.append(given["href"])


def test_the_pages_load_nothing_from_elsewhere_and_lead_nowhere_that_is_not(client):
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        seen = References(page.text)
        assert all(reference.startswith(("/", "data:")) for reference in seen.loaded)
        assert seen.links
        for link in {*seen.links, *(loaded for loaded in seen.loaded if loaded.startswith("/"))}:
            assert client.get(link).status_code == 200, link
    first = client.get("/").text
    assert "0123456789ab" in first
    assert f"{client.base_url.join('/encode')}?model=digits" in first


def test_every_endpoint_of_the_document_stands_on_its_page(client):
    document, page = client.get("/openapi.json").json(), client.get("/docs").text
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}<" in page
