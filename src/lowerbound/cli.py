"""The entry point of the command line: runs the command that was typed, and turns errors into one line and a status.

The commands are in `commands/`, one module for each panel of the help. They import torch and matplotlib only when they
run, so that help appears at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lowerbound import __version__
from lowerbound.commands import (
    compression,
    console,
    inference,
    inspect,
    learning,
    packing,
    settings,
    sharing,
    sweep,
    terminal,
    training,
)
from lowerbound.commands.help_style import Command
from lowerbound.commands.hints import with_hint
from lowerbound.commands.options import PANELS, app
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import Interrupted, LowerboundError, UsageError

COMMANDS = (training, sweep, packing, inference, compression, learning, sharing, inspect, settings)
"""Modules that add their commands to the application when they are imported."""

# Help lists panels in the order of their first commands, and commands in the order of these modules.
MODULES = [module.__name__ for module in COMMANDS]
app.registered_commands.sort(
    key=lambda command: (PANELS.index(command.rich_help_panel), MODULES.index(command.callback.__module__))
)
for command in app.registered_commands:
    command.cls = Command


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if show:
        console.out.print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.get_help()  # which prints it
        raise typer.Exit


def main() -> None:
    """Entry point: every error is one line; the exit status is 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    with terminal.forgiving_streams() as streams:
        status = _status_of_command()
        if streams.lost:
            console.fail(f"standard output cannot be written ({streams.lost}); apart from that, the command completed.")
    sys.exit(status or (1 if streams.lost else 0))


def _status_of_command() -> int:
    """Run the command that was typed, print its error if there is one, and return the exit status."""
    is_first = True
    try:
        is_first = distributed.launched_rank() == 0
        _check_working_directory()
        status = int(app(prog_name="lowerbound", standalone_mode=False) or 0)
        if status == Interrupted.exit_status:  # typer turns Ctrl-C into this status without a message
            console.fail("interrupted.")
        return status
    except typer.TyperException as error:
        if is_first:  # every rank has the same command line
            console.fail(_usage_message(error))
        return UsageError.exit_status
    except LowerboundError as error:
        _fail_on_one_rank(error)
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        console.fail("interrupted.")
        return Interrupted.exit_status
    except OSError as error:
        _fail_on_one_rank(LowerboundError(f"{error.filename or 'the system'}: {error.strerror or error}."))
        return 1


def _usage_message(error: typer.TyperException) -> str:
    """What is wrong with the command line; an unknown option that is the name of a setting gets the one to type."""
    message, context = error.format_message().rstrip(" ."), getattr(error, "ctx", None)
    command = f"lowerbound {context.command.name}" if context is not None and context.parent else "lowerbound"
    takes_settings = context is not None and any("--set" in parameter.opts for parameter in context.command.params)
    unknown = getattr(error, "option_name", "") if "No such option" in message else ""
    if unknown and takes_settings and (assignment := settings.setting_for(unknown)):
        return f"no such option: {unknown}; settings without an option of their own are given as {assignment}"
    return f"{message}{'' if message.endswith('?') else '.'} See {command} --help."


def _fail_on_one_rank(error: LowerboundError) -> None:
    """Print an error, unless another of several ranks prints it."""
    if distributed.has_to_report(error):
        console.fail(distributed.with_rank(with_hint(error)))


def _check_working_directory() -> None:
    """UsageError if it was deleted, in which case libraries would fail with an unhelpful message."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the working directory no longer exists; change to one that does.") from error
