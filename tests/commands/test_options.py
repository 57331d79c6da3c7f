"""Commands in their panels, and their help."""

import subprocess
import sys

import pytest

from command_line import in_process

COMMANDS = ["train", "demo", "evaluate", "report", "sample", "reconstruct", "encode", "interpolate", "summary"]
COMMANDS += ["recipes", "data", "compare", "diagnose", "inspect", "score", "impute"]


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


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_no_value_for_a_flag(capsys, command):
    assert "<bool>" not in in_process(capsys, *command.split(), "--help").out


@pytest.mark.parametrize(
    ("command", "arguments"), [("compare", "RUN RUN..."), ("serve", "RUN..."), ("encode", "RUN [DATA|FILES]...")]
)
def test_the_usage_line_names_arguments_without_braces(capsys, command, arguments):
    usage = next(line for line in in_process(capsys, command, "--help").out.splitlines() if "Usage:" in line)
    assert usage.strip() == f"Usage: lowerbound {command} [OPTIONS] {arguments}"
