"""What a table holds is shown before anything is trained on it."""

import json

from lowerbound.commands.printed_data import print_inspection
from lowerbound.data.sources import DataConfig
from lowerbound.runs.inspection import inspect


def table(path, rows):
    path.write_text("age,x\x1b[31m\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return DataConfig(source=str(path), skip_broken=True)


def test_a_skipped_row_is_not_an_example_and_has_no_missing_cells(tmp_path):
    found = inspect(table(tmp_path / "x.csv", [f"{41.5 + row},{row % 3}" for row in range(60)] + ["1,2,3"]))
    assert (found.num_examples, found.num_missing, len(found.skipped)) == (60, 0, 1)
    assert not any("missing_markers" in setting for setting in found.settings)


def test_missing_markers_are_among_what_was_found_where_cells_are_missing(tmp_path):
    found = inspect(table(tmp_path / "x.csv", ["NA,0", *(f"{41.1 + row},{row % 3}" for row in range(60))]))
    setting = next(setting for setting in found.settings if setting.startswith("data.missing_markers="))
    assert "na" in json.loads(setting.partition("=")[2])
    assert (found.columns[0].low, found.columns[0].high) == (41.1, 100.1)


def test_escapes_in_names_and_levels_do_not_reach_the_terminal(tmp_path, capsys):
    config = table(tmp_path / "x.csv", [f"{row / 7},{'abc'[row % 3]}\x1b[0m" for row in range(60)] + [",a\x1b[0m"])
    print_inspection("x\x1b.csv", inspect(config))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "1 cell missing" in shown and "\\x1b[31m" in shown
