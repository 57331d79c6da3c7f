"""What tests of serving share: a browser, a service with limits, and the explorer of small runs of every kind."""

from functools import cache

import httpx
import pytest
from starlette.testclient import TestClient

from browsers import chromium
from explorer_runs import folder_of_runs
from lowerbound.serving.explorer.application import application
from lowerbound.serving.service.batching import compute_batch
from lowerbound.serving.service.limits import Limits
from served_models import application as service
from served_models import digits, running


@pytest.fixture(scope="session", autouse=True)
def operators_of_onnx():
    """torch makes its table of ONNX operators in every export, which takes half the time of a small one: here, once."""
    registry = pytest.importorskip("torch.onnx._internal.exporter._registration").ONNXRegistry
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "from_torchlib", staticmethod(cache(registry.from_torchlib)))
        yield


# Playwright's loop runs in this thread for as long as the browser is open: other files have loops of their own.
@pytest.fixture(scope="module")
def browser():
    """For the pages of one file of tests: starting it takes longer than most of them."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of each kind, for one file of tests to do with as it likes."""
    return folder_of_runs(tmp_path_factory)


@pytest.fixture(scope="module")
def client(folder):
    """Who asks the explorer of that folder."""
    with TestClient(application(folder, device="cpu"), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def serve():
    """A client of the service with these limits."""
    opened = []

    def start(compute=compute_batch, access=None, log=lambda line: None, **limits):
        server = running(service(digits(), limits=Limits(**limits), compute=compute, access=access, log=log))
        url = server.__enter__()
        client = httpx.Client(base_url=url, timeout=20)
        opened.extend([client, server])
        return client

    yield start
    for entered in reversed(opened):
        entered.__exit__(None, None, None)
