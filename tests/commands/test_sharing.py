"""`lowerbound explore`: it prints an address, opens it where there is a browser, and ends when it is asked to."""

import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import pytest
from starlette.testclient import TestClient

from command_line import in_process, one_line
from explorer_runs import trained
from listening import Listening
from lowerbound.serving.http import browsers


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory, "digits")


@pytest.fixture
def served(monkeypatch):
    """What the command asks to be served, in place of serving it."""
    asked = {}

    def host(app, *, ready, **options):
        asked.update(options, app=app)
        ready("http://127.0.0.1:1234")

    monkeypatch.setattr("lowerbound.serving.http.hosting.host", host)
    return asked


@pytest.fixture
def browser(monkeypatch):
    """A browser that notes what it is asked to open, and what it is called."""

    class Browser:
        name = "firefox"
        opened: list[str] = []  # noqa: RUF012

        def open(self, address):
            self.opened.append(address)

    monkeypatch.setattr(webbrowser, "get", Browser)
    monkeypatch.setattr(Browser, "opened", [])
    return Browser


def explored(capsys, *words):
    """What the command printed, once it has also opened what it opens."""
    printed = in_process(capsys, "explore", *words)
    for thread in threading.enumerate():
        if thread.name == browsers.BROWSER:
            thread.join(timeout=10)
    return printed


def test_the_address_is_all_that_is_printed_and_it_is_opened(capsys, run, served, browser):
    printed = explored(capsys, run)
    assert one_line(printed.out) == "http://127.0.0.1:1234/"
    assert printed.err == ""
    assert browser.opened == ["http://127.0.0.1:1234/"]
    assert (served["host"], served["port"]) == ("127.0.0.1", 0)


def test_a_browser_is_not_opened_where_none_is_wanted_and_none_that_takes_the_terminal(
    capsys, run, served, browser, monkeypatch
):
    explored(capsys, run, "--no-browser")
    for name in browsers.TEXT_BROWSERS:
        monkeypatch.setattr(browser, "name", f"/usr/bin/{name}")
        explored(capsys, run)
    assert browser.opened == []


def test_without_a_browser_the_address_is_printed_all_the_same(capsys, run, served, monkeypatch):
    def none():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    assert one_line(explored(capsys, run, "--port", 4321).out) == "http://127.0.0.1:1234/"
    assert served["port"] == 4321


def test_what_is_served_knows_the_run_and_answers_to_loopback_names_alone(capsys, run, served, browser):
    explored(capsys, run, "--no-browser")
    with TestClient(served["app"], base_url="http://localhost") as client:
        assert [each["id"] for each in client.get("/api/runs").json()["runs"]] == ["digits"]
        assert client.get("/api/runs", headers={"host": "evil.example"}).status_code == 421


def test_beyond_this_machine_a_token_is_needed_and_stands_in_the_address(capsys, run, served, browser, monkeypatch):
    monkeypatch.delenv("LOWERBOUND_TOKEN", raising=False)
    address, _, token = one_line(explored(capsys, run, "--host", "0.0.0.0").out).partition("#token=")
    assert address == "http://127.0.0.1:1234/"
    assert len(token) >= 16
    with TestClient(served["app"], base_url="http://192.168.0.7") as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/runs").status_code == 401
        assert client.get("/api/runs", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_a_token_is_on_no_command_line_but_in_a_file_that_leads_to_the_page(
    capsys, run, served, browser, monkeypatch, tmp_path
):
    """The browser's command line can be read by all users of a machine; the file, while it is there, by its owner."""
    read = []

    def open_and_read(self, address):
        path = Path(url2pathname(urlsplit(address).path))
        read.append((address, path.stat().st_mode & 0o777, path.read_text()))

    monkeypatch.setattr(browser, "open", open_and_read)
    monkeypatch.setattr("lowerbound.serving.http.hosting.host", until_opened)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOWERBOUND_TOKEN", "a-token-of-the-tests")
    explored(capsys, run)
    ((address, mode, content),) = read
    assert "a-token-of-the-tests" not in address
    assert (address[:8], mode) == ("file:///", 0o600)
    assert "url=http://127.0.0.1:1234/#token=a-token-of-the-tests" in content
    assert list(tmp_path.iterdir()) == []


def until_opened(app, *, ready, **options):
    """As a server that ends once the browser has opened what it was to open."""
    ready("http://127.0.0.1:1234")
    for thread in threading.enumerate():
        if thread.name == browsers.BROWSER:
            thread.join(timeout=10)


def test_a_page_without_a_server_is_written_and_nothing_is_served(capsys, run, served, monkeypatch, tmp_path):
    asked = []

    def write_offline(*arguments):
        asked.append(arguments)
        return arguments[1]

    monkeypatch.setattr("lowerbound.serving.explorer.offline.write_offline", write_offline)
    printed = explored(capsys, run, "--offline", tmp_path / "page.html", "--data-dir", "d", "--device", "cpu")
    assert one_line(printed.out) == str(tmp_path / "page.html")
    assert asked == [(run, tmp_path / "page.html", "d", "cpu", "")]
    assert served == {}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere"], "nowhere is not a folder; give a run"),
        (["."], "contains no run"),
        ([".", "--port", "70000"], "65535"),
    ],
)
def test_what_is_no_run_is_refused_before_anything_is_served(capsys, served, tmp_path, monkeypatch, words, reason):
    monkeypatch.chdir(tmp_path)
    assert reason in one_line(in_process(capsys, "explore", *words, expect=2).err)
    assert served == {}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_asked_to_end_and_then_ends_without_a_word(run, ending):
    with Listening("explore", run, "--no-browser") as explorer:
        assert explorer.line.strip() == explorer.url
        assert len(httpx.get(f"{explorer.url}api/runs", trust_env=False).json()["runs"]) == 1
        explorer.process.send_signal(ending)
        out, err = explorer.process.communicate(timeout=30)
        assert (explorer.process.returncode, out, err) == (0, "", "")


def test_a_second_ctrl_c_ends_it_in_the_midst_of_what_it_is_at(run):
    with Listening("explore", run, "--no-browser") as explorer:
        process, address = explorer.process, urlsplit(explorer.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            head = b"POST /api/runs/digits/decode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n"
            connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the request is at work
            process.send_signal(signal.SIGINT)
            until_it_takes_no_more(address)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (130, "", "lowerbound: interrupted.\n")


def until_it_takes_no_more(address):
    while True:
        try:
            socket.create_connection((address.hostname, address.port), timeout=10).close()
        except ConnectionError:
            return


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="/proc tells how far it is")
def test_ctrl_c_while_it_starts_ends_it_in_one_line(run):
    """In whatever it is: an import, most of the time."""
    command = [sys.executable, "-m", "lowerbound", "explore", str(run), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while b"libtorch" not in Path(f"/proc/{process.pid}/maps").read_bytes():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (130, "", "lowerbound: interrupted.\n")
