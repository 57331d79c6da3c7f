"""The scripts of benchmarks/ import one another by their bare names."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the scripts, from which they can be imported."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return BENCHMARKS
