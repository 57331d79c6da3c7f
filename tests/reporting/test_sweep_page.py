"""The page of a sweep, with its table in other formats."""

import csv
import json

import pytest
from PIL import Image

from lowerbound.reporting.sweep_page import write_sweep
from parsed_pages import Page
from sweep_points import point, results_of, sweep_of, without

pytestmark = pytest.mark.usefixtures("coarse_figures")
BETA = "objective.rate_weight"


@pytest.fixture
def sweep(tmp_path):
    points = [
        point(tmp_path, {BETA: 0.1}, results_of(5, 20, grey_evidence=-24), results_of(4, 21, grey_evidence=-24.5)),
        point(tmp_path, {BETA: 10}, results_of(1, 23), "the loss became nan: <b>"),
    ]
    for one in points:
        for run in one.runs:
            (run.path / "figures").mkdir(parents=True)
            Image.new("L", (30, 30)).save(run.path / "figures" / "manifold_15.png")
    return sweep_of(tmp_path, *points)


def test_the_page_has_a_row_for_each_point_with_means_over_seeds_and_links_to_reports(sweep):
    page = Page(write_sweep(sweep))
    assert "0.1 0 , 1 −25.00 4.50 ± 0.50 20.50 ± 0.50 −24.25 ± 0.25" in page.text
    assert "10 0 failed" in page.text
    assert "1 failed. rate_weight=10, seed 1: the loss became nan: <b>" in page.text
    links = [attributes["href"] for attributes in page.all("a")]
    assert "rate_weight-0.1%2Cseed-1/report.html" in links
    assert "rate_weight-10%2Cseed-1/report.html" not in links
    for attributes in page.all("img"):
        assert attributes["src"].startswith("data:")
    assert len([one for one in page.all("img") if one["alt"].startswith("Latent manifold of")]) == 2


def test_the_csv_has_a_row_for_each_run_and_the_json_each_point(sweep):
    write_sweep(sweep)
    rows = list(csv.DictReader((sweep.path / "sweep.csv").open(encoding="utf-8")))
    assert [(row[BETA], row["seed"], row["elbo"]) for row in rows] == [
        ("0.1", "0", "-25"), ("0.1", "1", "-25"), ("10", "0", "-24"), ("10", "1", "")
    ]  # fmt: skip
    assert rows[3]["failure"] == "the loss became nan: <b>"
    assert rows[0]["run"] == "rate_weight-0.1,seed-0"
    assert json.loads((sweep.path / "sweep.json").read_text()) == json.loads(json.dumps(sweep.as_json()))


def test_samples_stand_in_for_manifolds_where_a_run_has_none_and_reasons_for_missing_ones(sweep):
    other = sweep.points[1].runs[0].path / "figures"
    (other / "manifold_15.png").rename(other / "samples.png")
    page = Page(write_sweep(sweep))
    shown = [one["alt"] for one in page.all("img") if " of rate_weight" in one["alt"]]
    assert shown == ["Samples from the prior of rate_weight=10"]
    assert "none: not computed for this run" in page.text


def test_a_sweep_of_which_nothing_can_be_plotted_is_a_page(tmp_path):
    bare = without(results_of(1, 20), "elbo", "rate", "distortion")
    assert "2 runs" in Page(write_sweep(sweep_of(tmp_path, *(point(tmp_path, {"a.k": k}, bare) for k in (1, 2))))).text
    (tmp_path / "failed").mkdir()
    failed = sweep_of(tmp_path / "failed", *(point(tmp_path / "failed", {"a.k": k}, "NaN") for k in (1, 2)))
    assert "2 failed" in Page(write_sweep(failed)).text
