"""The generated pages of the reference: Python API, settings and command line."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_group

import lowerbound
from lowerbound.cli import app
from lowerbound.runs.experiment import SECTIONS
from lowerbound.runs.setting_table import OPTIONS_OF, SettingRecord, setting_table

GROUPS = {
    "Train": ("train", "resume", "sweep", "fit_prior", "Run", "Callbacks", "Experiment"),
    "Use a trained model": (
        "load",
        "load_run",
        "save",
        "TrainedModel",
        "score",
        "bound_terms",
        "impute",
        "compress",
        "decompress",
        "explore",
        "animate",
        "export",
        "learn",
        "lesson_run",
    ),
    "Evaluate": ("evaluate", "diagnose", "compare", "gradients", "Results", "Score"),
    "Data": ("load_data", "split_array", "pack", "Splits", "DataConfig"),
    "Configuration": ("ModelConfig", "Objective", "TrainingConfig", "EvaluationConfig"),
    "Build and train by hand": ("VAE", "build_model", "fit", "training_steps"),
    "Parts of your own": (
        "register_likelihood",
        "register_posterior",
        "register_prior",
        "register_kl",
        "register_penalty",
        "likelihoods",
        "posteriors",
        "priors",
    ),
}


def write_reference(folder: Path) -> None:
    """Write all pages into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "api.md").write_text(api_page(), encoding="utf-8")
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")
    (folder / "command-line.md").write_text(command_page(), encoding="utf-8")


def api_page() -> str:
    """A heading for each group of public names, whose documentation mkdocstrings takes from the source."""
    listed = {name for names in GROUPS.values() for name in names}
    assert listed == set(lowerbound.__all__), (
        f"not in GROUPS of docs/site/reference.py: {listed ^ {*lowerbound.__all__}}"
    )
    parts = ["# Python\n\n```python\nimport lowerbound as lb\n```\n"]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [f"::: lowerbound.{name}\n" for name in names]
    return "\n".join(parts)


def settings_page() -> str:
    """A table for each section of the configuration, and the names that settings accept with their options."""
    parts = [
        "# Settings\n\nA recipe is a TOML file with these five sections; `--set section.key=value` on the command "
        'line, and `settings={"section": {"key": value}}` in Python, change single keys. `lowerbound settings KEY` '
        "prints the same.\n"
    ]
    table = setting_table()
    for section, config in SECTIONS.items():
        about = (inspect.getdoc(config) or "").splitlines()[0]
        columns = "| key | type | default | meaning |\n|---|---|---|---|"
        parts.append(f'## {section}\n\n{about}\n\n<div class="settings" markdown>\n\n{columns}')
        records = [record for record in table if record.key.partition(".")[0] == section]
        parts += [_row(record) for record in records if not record.of]
        parts.append("\n</div>\n")
        for record in records:
            if record.names:
                parts += _names(record, [one for one in records if one.of in {name.name for name in record.names}])
    return "\n".join(parts)


def _row(record: SettingRecord) -> str:
    default = f"`{record.default}`" if record.default else "none"
    accepted = f"{record.type}: {record.accepted}" if record.accepted else record.type
    cells = (f"`{record.key}`", accepted, default, record.meaning)
    return f"| {' | '.join(map(_cell, cells))} |"


def _names(record: SettingRecord, options: list[SettingRecord]) -> Iterator[str]:
    """The names that a setting accepts, each with its options."""
    of_setting = OPTIONS_OF.get(record.key, "")
    yield f"### Names of {record.key}\n\n| name | meaning | options |\n|---|---|---|"
    for name in record.names:
        own = [one for one in options if one.of == name.name and one.key.startswith(f"{of_setting}.")]
        listed = " ".join(f"`{_last(one)}` (default {one.default or 'none'}): {one.meaning}" for one in own)
        yield f"| {_cell(f'`{name.name}`')} | {_cell(name.meaning)} | {_cell(listed)} |"
    yield ""


def _last(record: SettingRecord) -> str:
    return record.key.rpartition(".")[2]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def command_page() -> str:
    """The help of every command."""
    group = get_group(app)
    parts = ["# Command line\n", f"{_plain(group.help)}\n", "`lowerbound COMMAND --help` prints the same.\n"]
    for name, command in sorted(group.commands.items()):
        parts.append(f"## lowerbound {name}\n\n{_plain(command.help)}\n\n```text\n{_usage(name, command)}\n```\n")
        parts.append("| option | meaning |\n|---|---|")
        parts += [f"| {_cell(one)} | {_cell(meaning)} |" for one, meaning in _parameters(command)]
        if command.epilog:
            example = _plain(command.epilog).removeprefix("Example: ")
            parts.append(f"\n<!-- no-run: an example of the help -->\n```sh\n{example}\n```\n")
    return "\n".join(parts)


def _usage(name: str, command: Any) -> str:
    words = [_metavar(parameter) for parameter in command.params if _is_argument(parameter)]
    return " ".join(["lowerbound", name, *words, "[OPTIONS]"])


def _parameters(command: Any) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        about = _plain(getattr(parameter, "help", "") or "")
        if _is_argument(parameter):
            yield f"`{_metavar(parameter)}`", about
        else:
            metavar = "" if getattr(parameter, "is_flag", False) else f" {_metavar(parameter)}"
            yield ", ".join(f"`{name}{metavar}`" for name in parameter.opts), f"{about}{_shown_default(parameter)}"


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    annotation = parameter.type_descriptor.annotation
    kinds = [kind for kind in getattr(annotation, "__args__", (annotation,)) if kind is not type(None)]
    return " ".join(kind.__name__.upper() for kind in kinds)


def _is_argument(parameter: Any) -> bool:
    return parameter.param_type_name == "argument"


def _shown_default(parameter: Any) -> str:
    value = parameter.default
    is_shown = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    return f" Default: `{value}`." if is_shown else ""


def _plain(text: str | None) -> str:
    return re.sub(r"\[/?[a-z ]+\]", "", text or "").strip()
