"""Fixtures for tests of data: no cache, no mirrors."""

import pooch
import pytest

from data_files import as_archive, idx_contents
from lowerbound.data import sources


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no other folder to look in, and no mirror that answers."""
    monkeypatch.delenv("LOWERBOUND_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(sources, "MNIST_ARCHIVE", as_archive(idx_contents(), "http://127.0.0.1:9/"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "lowerbound"
