"""Tokens: where they are needed, which are accepted, and in which files they lie."""

import base64
import os

import pytest

from command_line import in_process, one_line
from limited_service import refused
from lowerbound.foundation.errors import UsageError
from lowerbound.serving.http.access import Access, access_for
from lowerbound.serving.http.tokens import redirect_file
from served_models import TOKEN


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666])
@pytest.mark.parametrize("command", ["serve", "explore"])
def test_a_token_file_that_others_may_read_is_refused_with_the_remedy(capsys, tmp_path, command, mode):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(mode)
    printed = in_process(capsys, command, tmp_path, "--token-file", tmp_path / "token", expect=2)
    assert f"(mode {mode:o}); run: chmod 600 {tmp_path / 'token'}" in one_line(printed.err)
    assert TOKEN not in printed.err


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_token_file_for_its_owner_alone_is_read_and_no_further_than_a_token_is_long(tmp_path, mode):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(mode)
    assert access_for("127.0.0.1", tmp_path / "token").token == TOKEN
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "token").write_bytes(b"\0" * 10_000_000)
    with pytest.raises(UsageError, match="is not a token of at least"):
        access_for("127.0.0.1", tmp_path / "token")
    with pytest.raises(UsageError, match="cannot be read"):
        access_for("127.0.0.1", tmp_path)


def test_a_browser_is_led_by_a_file_of_its_owner_alone_that_is_gone_afterwards(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with redirect_file("http://127.0.0.1:1/#token=a&b") as url:
        (path,) = tmp_path.iterdir()
        assert (url, path.stat().st_mode & 0o777, path.stat().st_uid) == (path.as_uri(), 0o600, os.getuid())
        assert "url=http://127.0.0.1:1/#token=a&amp;b" in path.read_text()
        assert not path.name.startswith(".")
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_needed_where_there_is_one_except_to_see_that_the_server_lives(serve):
    client = serve(access=Access(frozenset(), TOKEN))
    assert client.get("/v2/health/live").status_code == 200
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/v2", "/v2/models", "/generate.png"):
        response = refused(client.get(path), 401, "Bearer")
        assert response.headers["www-authenticate"].startswith("Bearer")
    for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", f"Token {TOKEN}", "Basic ####"):
        refused(client.get("/v2", headers={"Authorization": wrong}), 401)
    basic = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    for right in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        assert client.get("/v2", headers={"Authorization": right}).status_code == 200
    document = client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_beyond_loopback_there_is_always_a_token(tmp_path, monkeypatch):
    monkeypatch.delenv("LOWERBOUND_TOKEN", raising=False)
    assert access_for("127.0.0.1").token == ""
    assert access_for("::1").names == {"localhost", "127.0.0.1", "::1"}
    made = access_for("0.0.0.0")
    assert made.is_generated
    assert len(made.token) >= 32
    assert made.token != access_for("0.0.0.0").token
    assert made.names == frozenset()  # all that lead here are right
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    assert access_for("0.0.0.0", tmp_path / "token") == Access(frozenset(), TOKEN)
    assert access_for("192.168.1.5", tmp_path / "token").names == {"192.168.1.5"}
    monkeypatch.setenv("LOWERBOUND_TOKEN", TOKEN[::-1])
    assert access_for("127.0.0.1").token == TOKEN[::-1]
    assert access_for("127.0.0.1", tmp_path / "token").token == TOKEN


@pytest.mark.parametrize(
    "content", [b"", b"short", b"a token with spaces in it", b"\xff" * 20, "ünïcödé-ünïcödé-ünïcödé".encode()]
)
def test_a_token_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(UsageError, match="token file"):
        access_for("0.0.0.0", tmp_path / "token")
    with pytest.raises(UsageError, match="cannot be read"):
        access_for("0.0.0.0", tmp_path / "absent")
