"""The command `lowerbound`: one command, one function, a thin face on the Python interface.

Names are checked inside the commands, where torch and matplotlib are imported: help appears without them.
"""

import sys
from typing import Annotated

import typer

from lowerbound import __version__, console
from lowerbound.commands import exploring, exporting, looking, serving, training, using
from lowerbound.commands.options import PANELS, app
from lowerbound.errors import Interrupted, LowerboundError, UsageError

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
    try:
        sys.exit(app(prog_name="lowerbound", standalone_mode=False))
    except typer.TyperException as error:
        console.fail(f"{error.format_message()} See lowerbound --help.")
        sys.exit(UsageError.exit_status)
    except LowerboundError as error:
        console.fail(error)
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, typer.Abort):
        console.fail("interrupted.")
        sys.exit(Interrupted.exit_status)
    except OSError as error:
        console.fail(f"{error.filename or 'the system'}: {error.strerror or error}.")
        sys.exit(1)
