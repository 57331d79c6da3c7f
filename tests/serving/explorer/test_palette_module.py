"""The colours of the page."""

import json
import re

from lowerbound.reporting.theme import CATEGORIES
from lowerbound.serving.explorer.application import PAGE


def test_labels_have_the_colours_of_the_reports_figures(client):
    answer = client.get("/assets/palette.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    palette = json.loads(answer.text.removeprefix("export const PALETTE = ").rstrip(";\n"))
    assert tuple(palette["light"]["categories"]) == CATEGORIES
    assert not re.search(r"#[0-9a-f]{6}", (PAGE / "colours.js").read_text())
