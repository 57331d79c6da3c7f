import pytest

from lowerbound.foundation.errors import UsageError
from lowerbound.runs.free_directory import CHECKPOINTS, check_is_free, check_repeats
from lowerbound.runs.run_lock import LOCK


def test_a_directory_that_is_missing_empty_or_only_locked_is_free(tmp_path):
    check_is_free(tmp_path / "new")
    check_is_free(tmp_path)
    (tmp_path / LOCK).touch()
    check_is_free(tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", CHECKPOINTS])
def test_a_directory_with_anything_else_is_not_free(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="is not empty; choose another directory"):
        check_is_free(tmp_path)


def test_a_directory_without_a_run_repeats_none(tmp_path):
    check_repeats(tmp_path, {"run": {"id": "0"}})
