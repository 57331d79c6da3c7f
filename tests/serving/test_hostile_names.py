"""Names that somebody else chose reach every page as text: none of them runs in a browser, nor a stranger's report.

The attacks set `window.attacked`; a page also may not complain, since a refused script would be one that was tried.
"""

import csv
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from browsers import complaints, monitored, served
from lowerbound.foundation.schema import Column
from lowerbound.reporting.plots import plots_for
from lowerbound.runs.run import train
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.offline import write_offline
from lowerbound.serving.http.access import Access
from served_models import application as service
from served_models import people

IMAGE = '<img src=x onerror="window.attacked=1">'
ATTACKS = [
    IMAGE,
    '"><svg onload=window.attacked=1>',
    "<script>window.attacked=1<\\script>",
    "{{7*7}}",
    "javascript:window.attacked=1",
    "a\u202egnp.exe",
    "'-window.attacked=1-'",
    "</script><script>window.attacked=1</script>",
]
IN_FILE_NAMES = [attack for attack in ATTACKS if "/" not in attack]
SMALL = {
    "model": {"hidden": [8], "latent_dim": 2},
    "training": {"num_epochs": 1, "min_steps": 0},
    "evaluation": {"num_draws": 2, "num_exact": 2, "manifold_sizes": [2]},
}
HOSTILE_REPORT = """<!doctype html><meta charset="utf-8"><title>unharmed</title>
<script>document.title = "attacked"</script><img src=x onerror="document.title = 'attacked'">
<p id="here">a stranger's report</p>"""
TOKEN = "a-token-that-nobody-guesses"


def table(folder):
    """Rows whose columns and levels are attacks, in a file whose name is one."""
    bits = np.random.default_rng(0)
    path = folder / f"{IMAGE}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*ATTACKS, "kind"])
        for number in range(60):
            rows.writerow([*bits.normal(size=len(ATTACKS)).round(3), ATTACKS[number % len(ATTACKS)]])
    return path


def images(folder):
    """Small images in classes whose names are attacks."""
    bits = np.random.default_rng(0)
    for name in IN_FILE_NAMES:
        (folder / "images" / name).mkdir(parents=True)
        for number in range(10):
            pixels = bits.integers(0, 256, (6, 6)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{number}.png")
    return folder / "images"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of two runs whose names are attacks; the table's has a report."""
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        # Drawing them all takes longer than all the rest; tests of the report have the others.
        patch.setattr(
            "lowerbound.reporting.report.plots_for", lambda results: dict(islice(plots_for(results).items(), 3))
        )
        rows = {**SMALL, "model": {**SMALL["model"], "likelihood": "table"}}
        train(str(table(folder)), out=folder / "runs" / IN_FILE_NAMES[1], recipe="dense", settings=rows, device="cpu")
        patch.setattr("lowerbound.runs.run.write_report", lambda results, path, *messages: None)
        train(str(images(folder)), out=folder / "runs" / IN_FILE_NAMES[0], recipe="dense", settings=SMALL, device="cpu")
    return folder / "runs"


@pytest.fixture
def page(browser):
    """A page that must neither be attacked nor complain."""
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    opened.on("dialog", lambda dialog: pytest.fail(dialog.message))
    heard = monitored(opened)
    yield opened
    assert opened.evaluate("window.attacked") is None
    context.close()
    assert complaints(heard) == []


def test_the_explorer_shows_hostile_names_as_they_are(page, runs):
    images_run, table_run = IN_FILE_NAMES[0], IN_FILE_NAMES[1]
    with served(application(runs, engine="torch")) as url, TestClient(application(runs)) as client:
        listed = {run["id"] for run in client.get("/api/runs").json()["runs"]}
        assert listed == {images_run, table_run}
        page.goto(url)
        page.evaluate("names => location.search = new URLSearchParams({run: names[0], compare: names[1]})",
                      [images_run, table_run])  # fmt: skip
        page.wait_for_selector(".legend button >> nth=1")
        page.mouse.move(300, 400)
        page.wait_for_timeout(300)
        shown = page.locator("body").inner_text()
        page.goto("about:blank")  # lest the page ask a server that has ended
    assert IMAGE in shown
    assert "{{7*7}}" in shown


def test_the_explorer_in_one_file_shows_hostile_names_as_they_are(page, runs, tmp_path):
    pytest.importorskip("onnx", reason="the file contains an ONNX model")
    path = write_offline(runs / IN_FILE_NAMES[1], tmp_path / "page.html", device="cpu")
    page.goto(path.as_uri())
    page.wait_for_selector("canvas.plane")
    page.mouse.move(300, 400)
    page.wait_for_timeout(300)
    assert IMAGE in page.locator("body").inner_text()


def test_a_report_from_disk_shows_hostile_names_as_they_are(page, runs):
    page.goto((runs / IN_FILE_NAMES[1] / "report.html").as_uri())
    assert IMAGE in page.locator("body").inner_text()
    assert page.locator("meta[http-equiv=Content-Security-Policy]").count() == 1


def test_the_services_pages_show_hostile_names_as_they_are(page):
    columns = tuple(Column(name=attack, kind="numeric") for attack in ATTACKS)
    hostile = people(columns)
    with served(service(hostile)) as url:
        for path in ("/", "/docs"):
            page.goto(f"{url}{path}")
            # The only script is that of the forms.
            foreign = 'script:not([src="/try.js"]), svg[onload], img[onerror]'
            assert page.locator(foreign).count() == 0
            assert page.locator("script").count() == (path == "/docs")


REPORT_LOOK = """() => ({
    figures: [...document.querySelectorAll("figure svg")].map((figure) => figure.getBoundingClientRect().width > 0),
    width: getComputedStyle(document.querySelector(".report")).maxWidth,
})"""


@contextmanager
def opened_report(page, run, token):
    """The report of a run, opened by the link on the explorer's page."""
    with served(application(run, access=Access(token=token), engine="torch")) as url:
        page.goto(f"{url}/#token={token}" if token else url)
        page.wait_for_selector("#report[href]")
        with page.context.expect_page() as opening:
            page.locator("#report").click()
        opening.value.wait_for_load_state()
        yield opening.value
        page.goto("about:blank")  # lest the explorer's page ask a server that has ended


@pytest.mark.parametrize("token", ["", TOKEN])
def test_our_own_report_looks_the_same_through_the_explorer_as_from_disk(browser, page, runs, token):
    page.goto((runs / IN_FILE_NAMES[1] / "report.html").as_uri())
    from_disk = page.evaluate(REPORT_LOOK)
    assert any(from_disk["figures"])  # others are folded
    with opened_report(page, runs / IN_FILE_NAMES[1], token) as report:
        assert report.evaluate(REPORT_LOOK) == from_disk


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_strangers_report_runs_nothing_in_the_explorer(browser, runs, tmp_path, token):
    shutil.copytree(runs / IN_FILE_NAMES[1], tmp_path / "run")
    (tmp_path / "run" / "report.html").write_text(HOSTILE_REPORT)
    page = browser.new_context().new_page()
    with opened_report(page, tmp_path / "run", token) as report:
        assert report.locator("#here").inner_text() == "a stranger's report"
        assert report.title() == "unharmed"
    page.context.close()


def test_a_report_has_an_origin_of_its_own_and_the_right_kind(runs, tmp_path):
    (run := tmp_path / "run").mkdir()
    shutil.copytree(runs / IN_FILE_NAMES[1], run, dirs_exist_ok=True)
    with TestClient(application(run)) as client:
        headers = client.get("/api/runs/run/report").headers
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert {"sandbox", "script-src 'none'"} <= set(headers["content-security-policy"].split("; "))
        assert headers["x-content-type-options"] == "nosniff"
        (tmp_path / "secret.html").write_text("secret")
        (run / "report.html").unlink()
        (run / "report.html").symlink_to(tmp_path / "secret.html")
        answer = client.get("/api/runs/run/report")
        assert answer.status_code == 404
        assert "link" in answer.json()["error"]


def test_a_run_whose_name_is_no_text_is_listed_and_said_to_be_unusable(runs, tmp_path):
    shutil.copytree(runs / IN_FILE_NAMES[1], tmp_path / os.fsdecode(b"r\xff"))
    with TestClient(application(tmp_path)) as client:
        (run,) = client.get("/api/runs").json()["runs"]
        assert run["id"] == "r\\xff"
        assert run["state"] == "broken" and "is not UTF-8" in run["reason"]
        assert client.get("/api/runs/r%5Cxff/codes").status_code == 409


def test_a_column_of_the_service_is_named_in_errors_as_text():
    columns = (replace(people().schema.columns[0], name=IMAGE),)
    with TestClient(service(people(columns)), base_url="http://localhost") as client:
        answer = client.post("/score", json=[{IMAGE: "x"}])
        assert answer.headers["content-type"] == "application/json"
        assert answer.status_code in (400, 422)
