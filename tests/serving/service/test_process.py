"""`lowerbound serve` as a process: started, asked, killed, started again, and asked to stop while it is at work."""

import re
import signal
import socket
import subprocess
import sys
import threading

import httpx
import numpy as np
import pytest

from command_line import in_process, one_line
from listening import Listening
from lowerbound.training.checkpoint import model_checksum
from served_models import write_run

pytest.importorskip("tritonclient.http")
from tritonclient.http import InferenceServerClient, InferInput


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "first")


def ask(url, number):
    """A request that takes a while: many draws for each example."""
    client = InferenceServerClient(url.removeprefix("http://"), network_timeout=60)
    x = InferInput("x", [number, 1, 28, 28], "FP32")
    x.set_data_from_numpy(np.random.default_rng(0).random((number, 1, 28, 28), np.float32))
    return client.infer("first.score", [x], parameters={"num_draws": 64}).as_numpy("elbo")


def test_a_server_that_was_killed_starts_again_at_its_port_and_finishes_what_it_took_when_asked_to_stop(run):
    with Listening("serve", run, "--port", 0, "--engine", "torch") as killed:
        assert httpx.get(f"{killed.url}/v2/health/ready").status_code == 200
        version = model_checksum(run)[:12]
        assert f"serves first ({version}); documentation: {killed.url}/docs" in killed.line
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(10)
        port = killed.url.rpartition(":")[2]
    with Listening("serve", run, "--port", port, "--engine", "torch") as server:
        assert server.url == killed.url
        answers = []
        asking = threading.Thread(target=lambda: answers.append(ask(server.url, 200)))
        asking.start()
        # This request for the numbers is one of the two.
        while "lowerbound_active_requests 2.0" not in httpx.get(f"{server.url}/metrics").text:
            assert asking.is_alive(), "the request was too fast to be interrupted"
        server.process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert len(answers[0]) == 200
        out, err = server.process.communicate(timeout=20)
        assert server.process.returncode == 0
        assert (out, one_line(err)) == ("", "stopped; all accepted requests have been answered.")
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url)


def test_beyond_loopback_a_token_is_made_told_once_and_asked_for_and_ctrl_c_stops(run):
    with Listening("serve", f"mine={run}", "--host", "0.0.0.0", "--port", 0, LOWERBOUND_TOKEN="") as server:
        assert httpx.get(f"{server.url}/v2/models").status_code == 401
        assert httpx.get(f"{server.url}/v2/health/live").status_code == 200
        server.process.send_signal(signal.SIGINT)
        _, err = server.process.communicate(timeout=20)
    assert server.process.returncode == 0
    assert re.search(r"access token: [\w-]{32,}\n", err)
    assert "not encrypted" in err
    assert "mine (" in server.line


def test_asked_a_second_time_to_stop_it_waits_for_nobody(run):
    with Listening("serve", run, "--port", 0, "--engine", "torch") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            head = b"POST /encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head)
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the request is at work
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.TransportError):
                while True:  # until it takes no more
                    httpx.get(f"{server.url}/v2/health/live")
            server.process.send_signal(signal.SIGTERM)
            _, err = server.process.communicate(timeout=20)
    assert (server.process.returncode, err) == (143, "lowerbound: interrupted.\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("serve", "nowhere"), "nowhere is not a run directory"),
        (("serve", "RUN", "--host", "192.0.2.1", "--port", 0), "not an address of this machine"),
        (("serve", "RUN", "--token-file", "absent"), "cannot be read"),
        (("serve", "RUN", "--port", 70000), "--port"),
        (("serve",), "RUN"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(capsys, run, words, reason):
    given = [run if word == "RUN" else word for word in words]
    assert reason in one_line(in_process(capsys, *given, expect=2).err)


def test_a_port_that_is_taken_is_refused_in_one_line(capsys, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "is in use" in one_line(in_process(capsys, "serve", run, "--port", port, expect=2).err)


def test_help_needs_no_torch_and_no_server():
    code = "import sys; from lowerbound import cli; print({'torch', 'fastapi', 'uvicorn'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True).stdout
    assert out.strip() == "set()"
