"""Which runs are served, and under which names."""

import pytest

from lowerbound.foundation.errors import UsageError
from lowerbound.serving.service.models import load_runs
from served_models import images_of, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "first")


def test_runs_are_named_by_their_folders_or_as_one_likes(run, tmp_path):
    other = write_run(tmp_path / "first", latent_dim=3)
    with pytest.raises(UsageError, match=r"would both be served as 'first'; give one as NAME="):
        load_runs([str(run), str(other)], "cpu")
    first, second = load_runs([str(run), f"second={other}"], "cpu")
    assert (first.name, second.name) == ("first", "second")
    assert first.version != second.version
    assert second.schema == images_of((28, 28, 1))
    for name in ("a name", "a/b", "", "x" * 65):
        with pytest.raises(UsageError, match="cannot be served as"):
            load_runs([f"{name}={run}"], "cpu")
