"""Keywords of the Python interface and options of commands name settings that exist."""

from dataclasses import fields
from inspect import signature

import lowerbound as lb
from lowerbound.foundation.keywords import KEYWORDS, meaning
from lowerbound.foundation.settings import accepted_by
from lowerbound.runs.experiment import SECTIONS


def test_every_keyword_is_a_setting_and_has_its_meaning():
    for keyword, (section, key, text, _) in KEYWORDS.items():
        field = {one.name: one for one in fields(SECTIONS[section])}[key]
        assert accepted_by(field).meaning == text == meaning(keyword)
        assert KEYWORDS[keyword].setting == f"{section}.{key}"


def test_train_has_the_keywords_of_model_objective_and_training():
    sections = {"model", "objective", "training"}
    assert {name for name, keyword in KEYWORDS.items() if keyword.section in sections} <= set(
        signature(lb.train).parameters
    )
