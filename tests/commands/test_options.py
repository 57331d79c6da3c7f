"""Commands in their panels, and their help."""

import subprocess
import sys

import pytest

from command_line import COMMANDS, in_process


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
