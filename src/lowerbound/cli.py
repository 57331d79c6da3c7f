"""The command `lowerbound`: one command, one function, a thin face on the Python interface.

Names are checked inside the commands, where torch and matplotlib are imported: help appears without them.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lowerbound import __version__
from lowerbound.commands import console, exploring, exporting, serving, terminal, training
from lowerbound.commands import inference as using
from lowerbound.commands import inspect as looking
from lowerbound.commands.options import PANELS, app
from lowerbound.foundation.errors import Interrupted, LowerboundError, UsageError

COMMANDS = (training, using, exploring, serving, exporting, looking)
"""Modules whose import adds their commands to the application."""

# Help shows the panels in the order of their first commands.
app.registered_commands.sort(key=lambda command: PANELS.index(command.rich_help_panel))


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if show:
        console.out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point: every error is one line; the exit status is 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    with terminal.forgiving_streams() as streams:
        status = _status_of_command()
        if streams.lost:
            console.fail(f"standard output cannot be written ({streams.lost}); the rest was done.")
    sys.exit(status or (1 if streams.lost else 0))


def _status_of_command() -> int:
    """Carry out the command that was typed; the exit status, once errors were told."""
    try:
        _check_working_directory()
        status = int(app(prog_name="lowerbound", standalone_mode=False) or 0)
        if status == Interrupted.exit_status:  # to which typer turns Ctrl-C, without a word
            console.fail("interrupted.")
        return status
    except typer.TyperException as error:
        console.fail(f"{error.format_message()} See lowerbound --help.")
        return UsageError.exit_status
    except LowerboundError as error:
        console.fail(error)
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        console.fail("interrupted.")
        return Interrupted.exit_status
    except OSError as error:
        console.fail(f"{error.filename or 'the system'}: {error.strerror or error}.")
        return 1


def _check_working_directory() -> None:
    """UsageError where it was deleted: libraries that look for it end the process without a word of use."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the working directory has been deleted; go to one that exists.") from error
