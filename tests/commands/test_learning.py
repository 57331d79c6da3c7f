"""`lowerbound learn`: it writes a page, and opens it where there is a browser."""

import webbrowser
from types import SimpleNamespace

import pytest

from command_line import in_process, one_line
from lowerbound.inference import learning


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the command asks the library for, in place of measuring."""
    found = {}

    def learn(run, out, **options):
        found.update(options, run=run, out=out)
        return tmp_path / "learn.html"

    monkeypatch.setattr(learning, "learn", learn)
    monkeypatch.setattr(learning, "lesson_run", lambda callbacks: SimpleNamespace(path=tmp_path / "first"))
    return found


@pytest.fixture
def opened(monkeypatch):
    addresses = []

    class Browser:
        name = "firefox"

        def open(self, address):
            addresses.append(address)

    monkeypatch.setattr(webbrowser, "get", Browser)
    return addresses


def test_the_page_is_printed_and_opened(capsys, asked, opened, tmp_path):
    printed = in_process(capsys, "learn", tmp_path / "run", "--example", 3)
    assert one_line(printed.out) == str(tmp_path / "learn.html")
    assert opened == [(tmp_path / "learn.html").as_uri()]
    assert (asked["run"], asked["example"]) == (tmp_path / "run", 3)


def test_without_a_run_the_first_one_is_trained_or_kept(capsys, asked, opened, tmp_path):
    in_process(capsys, "learn", "--no-browser")
    assert asked["run"] == tmp_path / "first"
    assert opened == []
