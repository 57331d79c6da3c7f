"""lb.learn: a page for runs on every kind of data, with the numbers of the run."""

import re

import pytest

import lowerbound as lb
from explorer_runs import trained
from lowerbound.evaluation import gradient_bench, worked_example
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.number_format import format_number
from lowerbound.inference import learning


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(gradient_bench, "TIMING", 0.0)
    monkeypatch.setattr(learning, "NUM_AVERAGED", 4)
    monkeypatch.setattr(learning, "NUM_DRAWS", 20)
    monkeypatch.setattr(learning, "NUM_COMPARED", 1)
    monkeypatch.setattr(learning, "NUM_ESTIMATES", 100)
    monkeypatch.setattr(worked_example, "CHECKING_DRAWS", 20)


def test_the_page_has_the_numbers_of_the_run_and_loads_nothing(tmp_path_factory, tmp_path):
    run = trained(tmp_path_factory, "digits")
    page = lb.learn(run, tmp_path / "lessons.html", example=5)
    text = page.read_text(encoding="utf-8")
    assert "test example 5, labelled" in text
    images = lb.load_data(lb.DataConfig(source="digits")).test.values[5]
    terms = lb.bound_terms(run, images, num_draws=20)
    for number in (terms.log_evidence[0], terms.elbo[0], terms.kl_to_posterior[0], terms.rate[0]):
        assert format_number(float(number), 2) in text
    assert text.count("<math") == 13
    assert "<script" not in text
    assert not re.search(r"(src|<link[^>]*href)=[\"']?(https?:)?//", text)


@pytest.mark.parametrize("kind", ["table", "array", "line"])
def test_runs_on_other_data_and_with_other_parts_have_a_page(tmp_path_factory, tmp_path, kind):
    page = lb.learn(trained(tmp_path_factory, kind), tmp_path / "lessons.html")
    text = page.read_text(encoding="utf-8")
    assert "log p(x) = " in text
    assert "nan" not in text
    assert "None" not in text


def test_an_autoencoder_is_told_why_two_lessons_are_missing(tmp_path_factory, tmp_path):
    text = lb.learn(trained(tmp_path_factory, "plain"), tmp_path / "lessons.html").read_text(encoding="utf-8")
    assert "its posterior is a single point" in text


def test_an_example_beyond_the_test_split_is_refused(tmp_path_factory, tmp_path):
    with pytest.raises(UsageError, match="accepted: 0 to 359"):
        lb.learn(trained(tmp_path_factory, "digits"), tmp_path / "lessons.html", example=360)
    assert not (tmp_path / "lessons.html").exists()
