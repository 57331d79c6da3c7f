"""Part, LatentPart: bases of likelihoods, priors and posteriors; checks of options, and registration under a name.

A part is built from a shape and options: constructor arguments with a default, each a number, Boolean or string. The
annotation may contain the option's meaning: `rank: Annotated[int, "Columns of V."] = 2`. A file stores a part's name
and options, from which loading builds the same part.
"""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from torch import Generator, nn

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.ranges import Range, check_number
from lowerbound.probability.spaces import REAL, Space

OWN = "own"
"""The name of an unregistered part: it works in memory, but a model that has one cannot be saved."""

AUTO = "auto"
"""The name that leaves a choice to the data or, for a prior, to the posterior; no part can have it."""

Option = bool | int | float | str
OptionCheck = Callable[[str, Any], None]


AnyPart = TypeVar("AnyPart", bound="Part")


class Part(nn.Module):
    """A family of distributions with options; base of likelihoods, priors and posteriors."""

    accepted_options: ClassVar[dict[str, Range]] = {}
    """The numbers that options accept; others are refused, never clamped."""

    def __new__(cls: type[AnyPart], *arguments: Any, **options: Any) -> AnyPart:
        check_is_complete(cls)
        part = object.__new__(cls)
        part.__dict__["_given"] = arguments, options
        return part

    @property
    def options(self) -> dict[str, Any]:
        """The options that this part was built with, including defaults."""
        arguments, options = self.__dict__["_given"]
        given = signature(type(self)).bind_partial(*arguments, **options)
        given.apply_defaults()
        return {name: given.arguments[name] for name in option_parameters(type(self))}


class LatentPart(Part):
    """A family of distributions over `latent_dim` latents, in a space: R^D unless a family says otherwise."""

    space: Space = REAL

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.space.check_size(latent_dim)

    @classmethod
    def space_with(cls, options: Mapping[str, Any]) -> Space:
        """The space of a part that is built with these options."""
        return cls.space

    def initialise(self, generator: Generator) -> None:
        """Draw the initial values of learned parameters, if any."""


def check_is_complete(part: type[Part]) -> None:
    """ConfigError for a class that lacks methods."""
    if missing := sorted(getattr(part, "__abstractmethods__", ())):
        raise ConfigError(f"{part.__name__} is not complete: it needs {', '.join(missing)}.")


def option_parameters(part: type[Part]) -> dict[str, Parameter]:
    """The constructor's arguments that have a default, except `columns`, which come from the data."""
    parameters = signature(part).parameters.values()
    return {
        option.name: option
        for option in parameters
        if option.default is not Parameter.empty and option.name != "columns"
    }


def plain_type(option: Parameter) -> Any:
    """The type of an option, without the meaning that its annotation may have."""
    return get_args(option.annotation)[0] if get_origin(option.annotation) is Annotated else option.annotation


def check_options(kind: str, name: str, part: type[Part], options: Mapping[str, Any]) -> None:
    """Refuse options that `part` does not have, and values that it does not accept.

    `kind` is "likelihood", "prior" or "posterior". Raises UnknownName or ConfigError.
    """
    accepted = option_checks(part)
    for option, value in options.items():
        if option not in accepted:
            raise UnknownName(f"option of {kind} {name!r}", option, accepted)
        accepted[option](f"model.{kind}_options.{option}", value)


def option_checks(part: type[Part]) -> dict[str, OptionCheck]:
    """Checks of the values of a part's options by name, derived from its constructor."""
    return {
        name: _value_check(option, part.accepted_options.get(name, Range()))
        for name, option in option_parameters(part).items()
    }


def name_of(table: Mapping[str, type[Part]], part: Part | str) -> str:
    """The name of a part in a table; OWN if its class is not registered."""
    if isinstance(part, str):
        return part
    # Not isinstance: a subclass of a registered class is another family.
    return next((name for name, kind in table.items() if type(part) is kind), OWN)


def plain_options(part: Part) -> dict[str, Option]:
    """The options of a part that can be stored in a file."""
    return {option: value for option, value in part.options.items() if isinstance(value, Option)}


def register(kind: str, table: dict[str, Any], base: type[Part], name: str, part: type[Part]) -> None:
    """Add a class to a table under `name`; ConfigError unless it is derived from `base` and the name is free.

    The same class may be registered again, also after its definition was re-run, as in a notebook.
    """
    if not (isinstance(part, type) and issubclass(part, base)):
        raise ConfigError(f"a {kind} must be a class derived from {base.__name__}, got {part!r}.")
    check_is_complete(part)
    add_row(kind, table, name, part)


def add_row(kind: str, table: dict[str, Any], name: str, row: Any) -> None:
    """Add a class or function to a table; ConfigError for a name that is taken or has a meaning, or is blank."""
    taken = table.get(name)
    if not isinstance(name, str):
        raise ConfigError(f"the name of a {kind} needs to be text, got {name!r}.")
    if name == AUTO:
        raise ConfigError(f"the {kind} cannot be called {name!r}, which leaves the choice to the data.")
    if name == OWN or (taken is not None and _place(taken) != _place(row)):
        raise ConfigError(f"the {kind} {name!r} already exists; choose another name.")
    if not name or name != name.strip():
        raise ConfigError(f"the name of a {kind} needs at least one character and no spaces around it, got {name!r}.")
    table[name] = row


def _place(row: Any) -> tuple[str, str]:
    return row.__module__, row.__qualname__


def _value_check(option: Parameter, accepted: Range) -> OptionCheck:
    choices = getattr(plain_type(option), "__args__", None)

    def check(key: str, value: Any) -> None:
        if choices is not None:
            if value not in choices:
                raise UnknownName(f"value of {key}", str(value), choices)
        elif isinstance(option.default, bool):
            if not isinstance(value, bool):
                raise ConfigError(f"{key} needs true or false, got {value!r}.")
        elif isinstance(option.default, str):
            if not isinstance(value, str):
                raise ConfigError(f"{key} needs a string, got {value!r}.")
        elif isinstance(value, bool) or not isinstance(value, int if isinstance(option.default, int) else int | float):
            what = "a whole number" if isinstance(option.default, int) else "a number"
            raise ConfigError(f"{key} needs {what}, got {value!r}.")
        else:
            check_number(key, value, accepted)

    return check
