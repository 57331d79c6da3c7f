"""The generated pages of the reference: Python API, settings and command line."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from typer.main import get_group

import lowerbound
from lowerbound.cli import app
from lowerbound.runs.experiment import SECTIONS

GROUPS = {
    "Train": ("train", "resume", "sweep", "fit_prior", "Run", "Callbacks", "Experiment"),
    "Use a trained model": ("load", "save", "TrainedModel", "bound_terms", "impute", "export", "learn", "lesson_run"),
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

COMMENT = re.compile(r"#\s*(.*)$")


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
    """A table for each section of the configuration: key, type, default and meaning."""
    parts = [
        "# Settings\n\nA recipe is a TOML file with these five sections; `--set section.key=value` on the command "
        'line, and `settings={"section": {"key": value}}` in Python, change single keys.\n'
    ]
    for section, config in SECTIONS.items():
        about = (inspect.getdoc(config) or "").splitlines()[0]
        parts.append(f"## {section}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|")
        parts += [f"| {' | '.join(map(_cell, row))} |" for row in _rows(config, f"{section}.")]
        parts.append("")
    return "\n".join(parts)


def _rows(config: type, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    meanings = _meanings(config)
    for field in fields(config):
        nested = _nested(field)
        if nested is not None:
            yield from _rows(nested, f"{prefix}{field.name}.")
        else:
            yield f"`{prefix}{field.name}`", _type_of(field.type), _default(field), meanings.get(field.name, "")


def _nested(field: Any) -> type | None:
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    return type(value) if is_dataclass(value) else None


def _type_of(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    plain = text if text and "[" not in str(annotation) else str(annotation)
    return f"`{re.sub(r'(typing|collections[.]abc|lowerbound[.a-z_]*)[.]', '', plain)}`"


def _default(field: Any) -> str:
    if field.default_factory is not MISSING:
        return f"`{field.default_factory()!r}`"
    return "required" if field.default is MISSING else f"`{field.default!r}`"


def _meanings(config: type) -> dict[str, str]:
    """The comments of a dataclass's fields: behind a field, or above it where there is none."""
    source = inspect.getsource(config)
    lines, (node,) = source.splitlines(), ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            inside = " ".join(_comments(lines[statement.lineno - 1 : statement.end_lineno]))
            found[statement.target.id] = inside or _above(lines, statement.lineno - 1)
    return found


def _comments(lines: list[str]) -> list[str]:
    return [match[1].strip() for line in lines if (match := COMMENT.search(line))]


def _above(lines: list[str], index: int) -> str:
    found: list[str] = []
    while index > 0 and lines[index - 1].strip().startswith("#"):
        index -= 1
        found.insert(0, lines[index].strip().lstrip("# "))
    return " ".join(found)


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


if __name__ == "__main__":
    write_reference(Path(sys.argv[1]))
