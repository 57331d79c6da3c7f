"""The help of commands: flags without values, arguments by their names."""

import pytest

from command_line import COMMANDS, in_process


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_no_value_for_a_flag(capsys, command):
    assert "<bool>" not in in_process(capsys, *command.split(), "--help").out


@pytest.mark.parametrize(
    ("command", "arguments"), [("compare", "RUN RUN..."), ("serve", "RUN..."), ("encode", "RUN [DATA|FILES]...")]
)
def test_the_usage_line_names_arguments_without_braces(capsys, command, arguments):
    usage = next(line for line in in_process(capsys, command, "--help").out.splitlines() if "Usage:" in line)
    assert usage.strip() == f"Usage: lowerbound {command} [OPTIONS] {arguments}"
