"""refuse_given: parameters of a command that were given, though nothing would read them, are refused in one line."""

from contextvars import ContextVar
from typing import Any

from lowerbound.foundation.errors import UsageError

invoked: ContextVar[Any] = ContextVar("invoked")
"""The context of the command that runs; typer has its own copy of click, or not, depending on its version."""


def refuse_given(reason: str, *names: str) -> None:
    """UsageError if any of some parameters of the command was given; `reason` says why nothing would read it."""
    context = invoked.get()
    by_name = {parameter.name: parameter for parameter in context.command.params}
    given = [
        name.upper() if by_name[name].param_type_name == "argument" else max(by_name[name].opts, key=len)
        for name in names
        if context.get_parameter_source(name).name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(f"{reason}; leave out {', '.join(given)}.")
