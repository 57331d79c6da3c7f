"""Style of the commands' help: a flag shows no value, because it takes none; the usage line has arguments by name."""

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from lowerbound.commands.given import invoked
from lowerbound.commands.ranks import check_runs_on_ranks


class Command(TyperCommand):
    """A command with help in this style, which is refused where several processes would run it over one another."""

    def invoke(self, ctx: Any) -> Any:
        check_runs_on_ranks(self.name or "")
        invoked.set(ctx)
        return super().invoke(ctx)

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_values_of_flags(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [parameter for parameter in self.params if isinstance(parameter, TyperArgument)]
        return [self.options_metavar or "", *map(_usage_of, arguments)]


class Group(TyperGroup):
    """The application, with help in this style."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_values_of_flags(super().get_params(ctx))


def _without_values_of_flags(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if isinstance(parameter, TyperOption) and parameter.is_flag:
            parameter.metavar = ""
    return parameters


def _usage_of(argument: TyperArgument) -> str:
    """The argument's name, in brackets if it may be missing, with dots if it may be repeated."""
    name = str(argument.name).upper() if argument.metavar is None else argument.metavar
    name = name if argument.required or name.startswith("[") else f"[{name}]"
    return name if argument.nargs == 1 or name.endswith("...") else f"{name}..."
