"""The help of commands: flags without values, arguments by their names."""

import pytest

from command_line import COMMANDS, in_process


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_shows_no_value_for_a_flag(capsys, command):
    assert "<bool>" not in in_process(capsys, *command.split(), "--help").out


def test_the_command_alone_prints_its_help_and_is_no_error(capsys):
    assert in_process(capsys).out.strip() == in_process(capsys, "--help").out.strip() != ""


def test_help_lists_the_commands_in_the_order_of_their_use(capsys):
    shown = in_process(capsys, "--help").out
    places = [shown.index(f"\u2502 {name} ") for name in ("train", "evaluate", "sweep", "pack", "sample", "settings")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("command", "arguments"), [("compare", "RUN RUN..."), ("serve", "RUN..."), ("encode", "RUN [DATA|FILES]...")]
)
def test_the_usage_line_names_arguments_without_braces(capsys, command, arguments):
    usage = next(line for line in in_process(capsys, command, "--help").out.splitlines() if "Usage:" in line)
    assert usage.strip() == f"Usage: lowerbound {command} [OPTIONS] {arguments}"
