"""Public functions: `lowerbound.NAME` refuses an unknown argument with the nearest name, or as the setting it is."""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from lowerbound.foundation.arguments import keywords_of, unknown_keyword
from lowerbound.foundation.errors import UsageError


def public_function(name: str, module: str, attribute: str) -> Callable[..., Any]:
    """The function of a module as `lowerbound.NAME`, which refuses unknown names of arguments with one line.

    The module's function is looked up at each call.
    """

    @wraps(getattr(import_module(module), attribute))
    def checked(*arguments: Any, **keywords: Any) -> Any:
        function = getattr(import_module(module), attribute)
        check_names(name, function, keywords)
        return function(*arguments, **keywords)

    # Pickled by this name, as for the processes of a pool.
    checked.__module__, checked.__qualname__ = "lowerbound", name
    return checked


def check_names(name: str, function: Callable[..., Any], keywords: dict[str, Any]) -> None:
    """UnknownName for a keyword argument that a function does not have; UsageError if it is the name of a setting."""
    accepted = keywords_of(function)
    unknown = None if accepted is None else unknown_keyword(name, accepted, keywords)
    if accepted is None or unknown is None:
        return
    if "settings" in accepted and (key := _setting_called(unknown.name)):
        section, _, last = key.partition(".")
        raise UsageError(
            f"{name} has no argument {unknown.name!r}, which is the setting {key}: pass "
            f"settings={{{section!r}: {{{last!r}: ...}}}}"
            + (f", or {unknown.nearest}=..." if unknown.nearest else "")
            + "."
        )
    raise unknown


def _setting_called(name: str) -> str:
    """The key of a section that has this name; empty if none has, or several have."""
    from lowerbound.runs.setting_table import keys_called

    keys = keys_called(name)
    return keys[0] if len(keys) == 1 else ""
