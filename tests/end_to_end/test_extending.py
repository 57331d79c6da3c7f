"""Every example of docs/extending.md runs as it stands: one file, from an empty directory."""

import re
from pathlib import Path

import pytest

import lowerbound as lb
from lowerbound.data.sources import SOURCES
from lowerbound.foundation.errors import RunError
from lowerbound.objectives.penalties import PENALTIES
from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.probability.priors import PRIORS
from lowerbound.reporting.plots import PLOTS

TEXT = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^## (.+?)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))
TABLES = (LIKELIHOODS, PRIORS, POSTERIORS, SOURCES, PLOTS, PENALTIES)


pytestmark = pytest.mark.usefixtures("few_examples")


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    """A directory of its own, and tables that are afterwards as they were."""
    monkeypatch.chdir(tmp_path)
    before = [dict(table) for table in TABLES]
    yield
    for table, content in zip(TABLES, before, strict=True):
        table.clear()
        table.update(content)


def run(title):
    exec(compile(EXAMPLES[title], f"{title}.py", "exec"), {"__name__": "__main__"})


def test_there_is_an_example_of_each_kind():
    expected = {"likelihood", "prior", "posterior", "source", "plot", "penalty"}
    assert set(EXAMPLES) == {*(f"A {kind}" for kind in expected), "Networks"}


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_runs(title, request):
    if title != "A plot":
        request.getfixturevalue("without_figures")
    run(title)


@pytest.mark.usefixtures("without_figures")
def test_a_run_with_an_own_prior_names_it_where_it_is_not_registered():
    run("A prior")
    del PRIORS["two-peaks"]
    with pytest.raises(RunError, match=r"needs the prior 'two-peaks', which is not registered; call"):
        lb.load("two-peaks")
