"""What docs/serving.md shows works as it stands there."""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from served_models import application, images_of, model, people, running, served

TEXT = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:8000"


@pytest.fixture(scope="module")
def address():
    built = model((1, 28, 28), network="conv", hidden=(8,), channels=(4, 8))
    conv = served("conv", "0123456789ab", built, images_of((28, 28, 1)))
    with running(application(conv, replace(people(), name="wine"))) as url:
        yield url.removeprefix("http://")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_every_line_of_curl_is_answered(address, tmp_path):
    Image.fromarray(np.zeros((40, 30), np.uint8)).save(tmp_path / "image.png")
    (tmp_path / "rows.json").write_text('[{"height": 1.5, "colour": "red"}, {"visits": 2}]')
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 9
    for line in lines:
        words = shlex.split(line.replace(ADDRESS, address))
        done = subprocess.run([*words, "--silent", "--fail-with-body"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, (line, done.stdout)
    for name in ("reconstruction", "generated", "decoded"):
        with Image.open(tmp_path / f"{name}.png") as image:
            image.load()


def test_the_program_with_another_client_prints_what_it_was_asked_for(address, capsys):
    (program,) = blocks("python")
    exec(program.replace(ADDRESS, address), {})
    shapes = capsys.readouterr().out.splitlines()
    assert shapes == ["(64, 2) (64, 2)", "(64, 2) {'seed': 1}", "(16, 1, 28, 28)"]


def test_every_option_and_endpoint_it_names_is_there(address):
    help_text = subprocess.run(
        [sys.executable, "-m", "lowerbound", "serve", "--help"], capture_output=True, encoding="utf-8", check=True
    ).stdout
    assert set(re.findall(r"`(--[a-z-]+)", TEXT)) - {"--data-binary"} <= set(re.findall(r"--[a-z-]+", help_text))
    paths = httpx.get(f"http://{address}/openapi.json").json()["paths"]
    for method, path in re.findall(r"`(GET|POST) (/[\w./]*)", TEXT):
        known = path.replace("/v2/models/NAME", "/v2/models/{name}")
        assert method.lower() in paths[known], path
