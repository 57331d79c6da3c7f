"""Commands in their panels, and their help."""

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import COMMANDS, in_process
from lowerbound.commands.options import given_table, given_values
from lowerbound.foundation.errors import UsageError


def test_help_is_grouped_has_examples_and_needs_no_torch():
    script = "import sys; sys.argv = ['lowerbound', '--help']\nfrom lowerbound.cli import main\ntry: main()\n"
    script += "finally: print([name for name in ('torch', 'sklearn', 'matplotlib', 'pydantic') if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    assert finished.stdout.strip().endswith("[]")
    for text in ("Train and evaluate", "Use a trained model", "Inspect and list", "lowerbound train digits", *COMMANDS):
        assert text in finished.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(capsys, command):
    assert "Usage: lowerbound" in in_process(capsys, command, "--help").out


def test_values_of_conditions_are_named_once_and_not_empty():
    assert given_values("3", ["site=B", "age = 4"]) == {"label": "3", "site": "B", "age": " 4"}
    assert given_values(None, None) == {}
    for label, given, message in (
        ("", None, "--label is empty"),
        (None, ["site"], "--given 'site' is neither NAME=VALUE"),
        (None, ["=B"], "is neither NAME=VALUE"),
        ("3", ["label=4"], "a value of 'label' is given twice"),
    ):
        with pytest.raises(UsageError, match=message):
            given_values(label, given)


def test_a_table_of_conditions_is_told_from_a_value(tmp_path):
    given = ["site=B", "doses.csv"]
    assert given_values(None, given) == {"site": "B"}
    assert given_table(given) == Path("doses.csv")
    assert given_table(["file=doses.csv"]) is None  # the value of a condition called "file"
    (tmp_path / "a=b.csv").touch()
    assert given_table([str(tmp_path / "a=b.csv")]) == tmp_path / "a=b.csv"
    with pytest.raises(UsageError, match=r"--given names two tables, a\.csv and b\.npy; give one"):
        given_table(["a.csv", "b.npy"])


@pytest.mark.parametrize("text", ["", "warm", "-1", "1,", "nan", "1,inf"])
def test_a_temperature_is_a_number_or_one_for_each_level(capsys, text):
    said = in_process(capsys, "sample", "run", f"--temperature={text}", expect=2).err
    assert f"--temperature is {text!r}; accepted: a finite number of at least 0, or one for each level" in said
