"""Names of arguments: an unknown one of a public function or class is refused in one line, with the nearest name."""

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, isfunction, signature
from typing import Any, TypeVar

from lowerbound.foundation.errors import UnknownName

T = TypeVar("T")


def keywords_of(function: Callable[..., Any]) -> list[str] | None:
    """The keyword arguments that a function or class accepts; None if it accepts any."""
    parameters = signature(function).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return [key for key, parameter in parameters.items() if parameter.kind is not Parameter.POSITIONAL_ONLY]


def unknown_keyword(name: str, accepted: Iterable[str], given: Iterable[str]) -> UnknownName | None:
    """The error for the first of the `given` keyword arguments that `name` does not accept; None if there is none."""
    known = list(accepted)
    return next((UnknownName(f"argument of {name}", key, known) for key in given if key not in known), None)


def named_arguments(kind: type[T]) -> type[T]:
    """Decorator of a public class: its constructor raises UnknownName for an unknown keyword argument."""
    construct = kind.__init__
    accepted = keywords_of(kind)
    assert accepted is not None
    known = frozenset(accepted)

    @wraps(construct)
    def checked(self: T, *arguments: Any, **keywords: Any) -> None:
        # Only of this class: a subclass may have further arguments, and checks its own.
        if type(self) is kind and not keywords.keys() <= known:
            unknown = unknown_keyword(kind.__name__, accepted, keywords)
            assert unknown is not None
            raise unknown
        construct(self, *arguments, **keywords)

    kind.__init__ = checked  # type: ignore[method-assign, assignment]
    return kind


def named_methods(kind: type[T]) -> type[T]:
    """Decorator of a public class: its public methods raise UnknownName for an unknown keyword argument.

    Not for modules and estimators, whose methods other libraries trace and wrap.
    """
    for name, function in list(vars(kind).items()):
        if isfunction(function) and not name.startswith("_"):
            setattr(kind, name, _checked_method(f"{kind.__name__}.{name}", function))
    return kind


def _checked_method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    accepted = keywords_of(function)
    if accepted is None:
        return function
    known = frozenset(accepted)

    @wraps(function)
    def checked(*arguments: Any, **keywords: Any) -> Any:
        if not keywords.keys() <= known and (unknown := unknown_keyword(name, accepted[1:], keywords)):
            raise unknown
        return function(*arguments, **keywords)

    return checked
