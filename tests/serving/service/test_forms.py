"""The forms of the reference in a browser: each sends a request that is answered, and shows both."""

import pytest

from browsers import complaints, monitored
from served_models import RUNS, application, running


@pytest.fixture(scope="module")
def url():
    with running(application(*RUNS)) as address:
        yield address


@pytest.fixture
def page(browser, url):
    page = browser.new_page()
    page.set_default_timeout(10_000)
    heard = monitored(page)
    page.goto(f"{url}/docs")
    yield page
    page.close()
    assert complaints(heard) == []


def tried(page, endpoint):
    """The opened form of an endpoint."""
    section = page.get_by_role("region", name=endpoint, exact=True).locator(".try")
    section.locator("summary").click()
    section.locator("pre.command").filter(has_text="curl").wait_for()
    return section


def sent(section):
    """The status line of its response."""
    section.get_by_role("button", name="Send").click()
    return section.get_by_role("status").inner_text()


def test_every_form_sends_a_request_that_is_answered(page):
    # With the defaults; some endpoints have no form of a body, and none needs a choice.
    endpoints = page.locator("section.endpoint").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert len(endpoints) > 15
    for endpoint in endpoints:
        status = sent(tried(page, endpoint))
        assert status.startswith("200"), (endpoint, status)


def test_an_image_is_scored_and_its_command_downloads_the_example(page, url):
    section = tried(page, "POST /score")
    assert section.locator("pre.command").inner_text() == (
        f"curl '{url}/example?model=digits' -o image.png\ncurl --data-binary @image.png '{url}/score?model=digits'"
    )
    section.get_by_label("seed").fill("3")
    assert "score?model=digits&seed=3'" in section.locator("pre.command").inner_text()
    assert "application/json" in sent(section)
    assert '"elbo"' in section.locator("pre").last.inner_text()


def test_a_table_has_rows_that_can_be_changed(page):
    section = tried(page, "POST /encode")
    section.get_by_label("model").select_option("people")
    text = section.get_by_label("body")
    text.fill('[{"height": 1.5, "colour": "it\'s red"}]')
    assert r"it'\''s red" in section.locator("pre.command").inner_text()
    text.fill('[{"height": 1.5, "colour": "red"}]')
    assert sent(section).startswith("200")


def test_a_picture_is_shown_with_its_seed(page):
    section = tried(page, "GET /generate.png")
    section.get_by_label("seed").fill("5")
    assert "seed 5" in sent(section)
    assert (
        section.get_by_alt_text("The response").evaluate("image => image.decode().then(() => image.naturalWidth)") > 50
    )


def test_nothing_that_axe_knows_hinders_anybody(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core looks for barriers")
    for endpoint in ("POST /score", "GET /decode.png", "POST /v2/models/{name}/infer"):
        sent(tried(page, endpoint))
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
