"""The command `settings`, of the panel "Inspect and list"; and the setting that an unknown option stands for."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from lowerbound.commands.console import out
from lowerbound.commands.options import LOOK, JsonOption, app, print_json
from lowerbound.foundation.keywords import KEYWORDS, option

if TYPE_CHECKING:
    from lowerbound.runs.setting_table import SettingRecord

OPTIONS = {keyword.setting: option(name) for name, keyword in KEYWORDS.items() if name != "data"}
"""Options of `train` by the setting that they give."""

SYNONYMS = {
    "lr": "training.learning_rate",
    "l2": "objective.penalties.decoder-l2",
    "optimizer": "training.optimiser",
    "kl_weight": "objective.rate_weight",
    "z_dim": "model.latent_dim",
    "latent_size": "model.latent_dim",
    "filters": "model.channels",
    "early_stopping": "training.patience",
    "grad_clip": "training.max_gradient_norm",
    "num_latents": "model.latent_dim",
}
"""Names that other programs give to settings."""

RESEMBLANCE = 0.7
"""From this similarity of an unknown option and a setting's name, in [0, 1], the setting is suggested."""


@app.command(rich_help_panel=LOOK, epilog="Example: lowerbound settings model.prior")
def settings(
    key: Annotated[str, typer.Argument(metavar="[KEY]", help="A section, a setting, or the start of its name.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List the settings of --set and of recipes: type, default, range and meaning, and the names that they accept."""
    from lowerbound.runs.setting_table import find_settings

    found = find_settings(key.strip())
    if as_json:
        print_json({"settings": [{**asdict(record), "option": OPTIONS.get(record.key)} for record in found]})
        return
    for record in found:
        _print(record)


def _print(record: "SettingRecord") -> None:
    owner = f" of {record.of}" if record.of else ""
    values = ", ".join(filter(None, [record.type, record.accepted]))
    default = f"default {record.default}" if record.default else "no default"
    also = f"; option {OPTIONS[record.key]}" if record.key in OPTIONS else ""
    out.print(f"{record.key}{owner}: {values}; {default}{also}", markup=False)
    out.print(f"    {record.meaning}", markup=False)
    width = max((len(name.name) for name in record.names), default=0)
    for name in record.names:
        out.print(f"    {name.name.ljust(width)}  {name.meaning}", markup=False)


def setting_for(unknown: str, arguments: Sequence[str] | None = None) -> str:
    """The option --set, with the value that was given, for an unknown option that resembles a setting; else empty.

    Where sections have keys of the same name, one for each.
    """
    from lowerbound.runs.setting_table import keys_called, nearest_keys, setting_table

    words = list(sys.argv[1:] if arguments is None else arguments)
    name, _, value = unknown.lstrip("-").partition("=")
    name = name.replace("-", "_").lower()
    kinds = {record.key: record.type for record in setting_table()}
    keys = [SYNONYMS[name]] if name in SYNONYMS else keys_called(name) or nearest_keys(name, num=1, least=RESEMBLANCE)
    typed = value or _following(unknown, words)
    return " or ".join(f"--set {key}={_quoted(typed, kinds.get(key, ''))}" for key in keys)


def _following(unknown: str, words: Sequence[str]) -> str:
    """The value that was typed after an option, or with it."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == unknown:
            return "" if after.startswith("-") else after
        if word.startswith(f"{unknown}="):
            return word.partition("=")[2]
    return ""


def _quoted(value: str, kind: str) -> str:
    if not value:
        return "VALUE"
    return shlex.quote(f"[{value}]" if kind.startswith("list") and not value.startswith("[") else value)
