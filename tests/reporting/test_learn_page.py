"""The page of lessons: its formulas, and what it must not contain."""

import json
from base64 import b64decode
from importlib.resources import files
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from lowerbound.reporting.learn_page import formula_font, formulas, term, vector

STORED = json.loads(files("lowerbound.reporting").joinpath("formulas.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", STORED)
def test_every_formula_is_mathml_without_remnants_of_tex(name):
    root = ElementTree.fromstring(STORED[name]["mathml"])
    assert root.tag == "{http://www.w3.org/1998/Math/MathML}math"
    text = "".join(root.itertext())
    assert "\\" not in text
    assert "@" not in text
    assert ("½" in text or "2" in text) == ("2" in STORED[name]["tex"])


def test_the_font_has_every_character_of_the_formulas_and_the_measures_that_browsers_set_them_by():
    pytest.importorskip("brotli", reason="it unpacks the font")
    font = TTFont(BytesIO(b64decode(formula_font().partition(",")[2])))
    written = {
        character
        for formula in STORED.values()
        for character in "".join(ElementTree.fromstring(formula["mathml"]).itertext())
    }
    assert {character for character in written if not character.isspace()} <= set(map(chr, font.getBestCmap()))
    assert "MATH" in font


def test_the_template_uses_every_formula_and_no_other():
    template = files("lowerbound.reporting").joinpath("learn.html.j2").read_text(encoding="utf-8")
    assert {name for name in STORED if f'equation("{name}"' in template} == set(STORED) == set(formulas())
    assert template.count('equation("') == len(STORED)


def test_long_vectors_are_cut_and_negative_terms_bracketed():
    assert vector(np.array([1.0, -2.0])) == "(1.00, −2.00)"
    assert vector(np.arange(9.0)) == "(0.00, 1.00, 2.00, 3.00, …)"
    assert (term(-1.0), term(1.0)) == ("(−1.00)", "1.00")
