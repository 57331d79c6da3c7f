"""Views for notebooks: what they show, and that they contain only what was put in."""

import pytest

from lowerbound.foundation import html_view
from parsed_pages import Page

HOSTILE = '"><script>alert(1)</script><img src=http://x onerror=alert(1)>'


def test_every_text_is_escaped_wherever_it_stands():
    page = Page(
        html_view.view(
            HOSTILE,
            HOSTILE,
            html_view.paragraph(HOSTILE, "key"),
            html_view.table((HOSTILE,), [(HOSTILE,)]),
            html_view.facts({HOSTILE: HOSTILE}),
            html_view.folded(HOSTILE, HOSTILE),
            html_view.figure(html_view.image("data:image/png;base64,", HOSTILE, 10), HOSTILE),
        )
    )
    assert page.all("script") == []
    (image,) = page.all("img")
    assert image == {"src": "data:image/png;base64,", "alt": HOSTILE, "width": "10"}
    assert page.text.count("alert(1)</script>") == 10


def test_numbers_are_aligned_and_everything_is_in_its_order():
    page = Page(html_view.view("title", html_view.table(("name", "value"), [("elbo", "-24.1")], right=(1,))))
    assert page.text == "title name value elbo -24.1"
    assert [cell.get("class") for cell in page.all("td")] == [None, "number"]


def test_what_is_empty_is_left_out():
    page = Page(html_view.view("title", "", html_view.paragraph(""), html_view.facts({"a": ""}), html_view.in_row()))
    assert page.text == "title"


def test_an_image_of_another_place_is_never_shown():
    with pytest.raises(AssertionError):
        html_view.image("https://example.org/x.png", "", 10)
