"""The decoder in the page of a served run: its outputs are those of the server, and the pointer needs no request."""

import shutil

import numpy as np
import pooch
import pytest
from starlette.testclient import TestClient

from browsers import served
from explorer_pages import at, pages, pixels_of
from explorer_runs import trained
from lowerbound.networks.onnx_network import session_of
from lowerbound.serving.explorer import page_decoder
from lowerbound.serving.explorer.application import application
from lowerbound.serving.explorer.loaded_run import decode, load_run
from lowerbound.serving.explorer.page_decoder import can_decode, decoder_program

pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")

Z = np.array([[0.3, -1.2], [2.0, 0.1]], np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return shutil.copytree(trained(tmp_path_factory, "digits"), tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of these tests, also for the process that exports."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        assert pooch.os_cache("lowerbound").is_relative_to(folder)
        yield folder


@pytest.fixture(scope="module")
def program(run):
    return decoder_program(load_run(run, "cpu"))


def test_the_program_decodes_as_the_model_does_and_gives_the_density_of_the_prior(run, program):
    expected = decode(load_run(run, "cpu"), Z)
    session = session_of(program)
    assert [output.name for output in session.get_outputs()] == ["mean", "log_prior"]
    mean, log_prior = session.run(None, {"z": Z})
    np.testing.assert_allclose(log_prior, -np.log(2 * np.pi) - (Z**2).sum(1) / 2, rtol=1e-5)
    pixels = np.round(255 * mean.clip(0, 1)).transpose(0, 2, 3, 1)
    assert np.abs(pixels - expected["images"][..., :1]).max() <= 1


def test_it_is_exported_once(run, program, monkeypatch):
    monkeypatch.setattr(page_decoder.subprocess, "run", lambda *args, **options: pytest.fail("exported again"))
    assert decoder_program(load_run(run, "cpu")) == program


@pytest.mark.parametrize(
    "prevented",
    [
        lambda patch: patch.setattr(page_decoder, "PACKAGES", ("onnx", "no_such_package")),
        lambda patch: patch.setattr(page_decoder, "MAX_PARAMETERS", 10),
        lambda patch: patch.setattr(page_decoder, "load_run", lambda run, device: load_run(run, device, "torch")),
    ],
    ids=["no packages", "too large", "engine torch"],
)
def test_without_what_it_needs_the_server_decodes(run, prevented, monkeypatch):
    prevented(monkeypatch)
    loaded = page_decoder.load_run(run, "cpu")
    assert not can_decode(loaded) and decoder_program(loaded) == b""


def test_a_decoder_that_cannot_be_exported_is_an_empty_answer(run, monkeypatch):
    monkeypatch.setattr(page_decoder, "NAME", "never-exported")
    monkeypatch.setattr(page_decoder.subprocess, "run", lambda *args, **options: None)
    with TestClient(application(run, device="cpu")) as client:
        answer = client.get("/api/runs/digits/decoder")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_page_follows_the_pointer_without_requests_and_draws_what_the_server_decodes(browser, run, program):
    with served(application(run, device="cpu")) as url, pages(browser, url) as open_page:
        page = open_page("digits")
        while not page.evaluate("performance.getEntriesByName('decoder-in-page').length"):
            page.wait_for_timeout(20)
        page.mouse.move(*at(page, 0.4, 0.4))
        page.traffic.settle()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.mouse.move(*at(page, 0.6, 0.55))
        page.wait_for_timeout(300)
        assert not [address for address in asked if address.endswith("/decode")]
        z = np.array([list(page.evaluate("Array.from(explorer.views[0].cursor.z)"))], np.float32)
        drawn = pixels_of(page, ".drawn canvas")
    expected = decode(load_run(run, "cpu"), z)["images"][0, ..., 0].reshape(-1)
    assert np.abs(drawn.astype(int) - expected).max() <= 1
