"""The examples in the docstrings of public names run, and print what they say."""

import shutil

import pytest
from docs.site.examples import examples, failures_in

from explorer_runs import trained


def test_the_functions_that_most_programs_use_have_examples():
    shown = {test.name.partition(".")[0] for test in examples()}
    assert shown >= {"train", "load", "load_run", "score", "evaluate", "compare", "bound_terms", "load_data", "fit"}


@pytest.mark.usefixtures("few_examples", "without_figures")
def test_every_example_prints_what_it_says(tmp_path_factory, tmp_path):
    for name in ("dense", "conv"):
        shutil.copytree(trained(tmp_path_factory, "digits"), tmp_path / "runs" / name)
        (tmp_path / "runs" / name / "report.html").touch()  # which a finished run has
    assert failures_in(tmp_path) == []
