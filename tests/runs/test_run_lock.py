"""A run directory is locked with its subfolders."""

from lowerbound.runs.run_lock import writing_into


def test_remains_of_killed_writers_are_removed_and_files_in_use_stay(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    remains = [tmp_path / ".report.html.abcd.lowerbound.part", tmp_path / "checkpoints" / ".step.x.lowerbound.part"]
    others = [tmp_path / ".hidden", tmp_path / "film.part"]
    for path in remains + others:
        path.write_text("half")
    with writing_into(tmp_path):
        assert not any(path.exists() for path in remains)
        assert all(path.exists() for path in others)
