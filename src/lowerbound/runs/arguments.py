"""Names of arguments: an unknown one of a public function is refused with the nearest name, or as the setting it is."""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from lowerbound.foundation.errors import UnknownName, UsageError


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
    parameters = signature(function).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    accepted = [key for key, parameter in parameters.items() if parameter.kind is not Parameter.POSITIONAL_ONLY]
    for keyword in keywords:
        if keyword in accepted:
            continue
        unknown = UnknownName(f"argument of {name}", keyword, accepted)
        if "settings" in accepted and (key := _setting_called(keyword)):
            section, _, last = key.partition(".")
            raise UsageError(
                f"{name} has no argument {keyword!r}, which is the setting {key}: pass "
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
