"""The package as it is installed: its commands, started outside a checkout, with the files that they need."""

import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import load

import lowerbound
from command_line import lowerbound as run_command
from listening import Listening

pytestmark = pytest.mark.slow
ASSETS = Path(lowerbound.__file__).parent / "serving/explorer/page"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The runs of the demonstration, written into the working directory of a process that knows no checkout."""
    folder = tmp_path_factory.mktemp("outside")
    finished = run_command("demo", cwd=folder, timeout=280)
    page = re.search(r"report: (\S+\.html)", finished.stdout)
    assert page and "conv/report.html" in (folder / page[1]).read_text(encoding="utf-8")
    return folder / "runs" / "demo"


def test_the_demonstration_writes_two_runs_with_reports(demo):
    reports = {path.parent.name: path.stat().st_size for path in demo.glob("*/report.html")}
    assert set(reports) == {"conv", "dense"} and min(reports.values()) > 100_000


def test_explore_serves_all_files_of_its_page_and_decodes(demo):
    with (
        Listening("explore", demo / "dense", "--no-browser") as explorer,
        httpx.Client(base_url=explorer.url) as client,
    ):
        (run,) = client.get("/api/runs").json()["runs"]
        z = np.zeros((3, 2), np.float32)
        assert load(client.post(f"/api/runs/{run['id']}/decode", content=z.tobytes()).content)["images"].shape[0] == 3
        addresses = re.findall(r'"(/assets/[^"]+\.\w+)"', client.get("/").text)
        addresses += [f"/assets/{path.relative_to(ASSETS)}" for path in ASSETS.rglob("*.js")]
        assert len(addresses) > 10
        assert {client.get(address).status_code for address in addresses} == {200}


def test_serve_draws_new_images_and_documents_itself(demo):
    with Listening("serve", f"demo={demo / 'dense'}", "--port", 0) as server:
        request = {"inputs": [], "parameters": {"num": 2, "seed": 1}}
        answer = httpx.post(f"{server.url}/v2/models/demo.generate/infer", json=request).json()
        assert answer["outputs"][0]["shape"][0] == 2
        assert httpx.get(f"{server.url}/docs").status_code == 200


def test_a_page_of_lessons_and_an_animation_are_written(demo):
    run_command("learn", demo / "dense", "--no-browser", "--out", demo / "learn.html")
    run_command("animate", demo / "dense", "--out", demo / "training.gif")
    assert "</html>" in (demo / "learn.html").read_text(encoding="utf-8")
    assert (demo / "training.gif").read_bytes()[:3] == b"GIF"
