"""The imports keep to the layers: a module knows what lies below it, or before it in its own folder.

Imports for type checking alone count as well: they are knowledge, too.
"""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lowerbound

ROOT = Path(lowerbound.__file__).parent

LAYERS = [
    ["foundation"],
    ["probability", "networks", "data"],
    ["models"],
    ["objectives", "coding"],
    ["training", "evaluation"],
    ["reporting"],
    ["runs", "inference", "compression", "serving"],
    ["estimator", "commands", "cli", "ranks", "__main__"],
]
"""From the foundation to the entrances: folders and modules. Those of one layer import none of the others."""

IN_ORDER = (LAYERS[-2], LAYERS[-1])
"""Layers whose parts may import those that stand before them in the layer."""

MAX_LINES = 400

PATHS = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = [name for name in PATHS if not name.endswith("__init__")]


def part(module: str) -> str:
    """The folder that a module stands in, or the module itself at the root."""
    return module.split(".")[0]


def layer(module: str) -> int:
    (found,) = (number for number, parts in enumerate(LAYERS) if part(module) in parts)
    return found


def resolved(package: list[str], node: ast.AST) -> Iterator[str]:
    """The modules of this package that one import statement names, without the package's own name."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        # What is imported from a package may be a module of it.
        yield from (f"{source}.{alias.name}" for alias in node.names)


def imports(module: str) -> set[str]:
    """The modules that a module imports, anywhere in it."""
    package = ["lowerbound", *module.split(".")[:-1]]
    found = set()
    for node in ast.walk(ast.parse(PATHS[module].read_text(encoding="utf-8"))):
        for name in resolved(package, node):
            top, _, inside = name.partition(".")
            if top == "lowerbound":
                # A name from a module, a module, or a name of the package itself.
                candidates = (inside, inside.rpartition(".")[0])
                found.add(next((candidate for candidate in candidates if candidate in PATHS), "__init__"))
    return found - {module}


@cache
def all_imports() -> dict[str, set[str]]:
    """Those of every module; not at import, which each test process would pay for."""
    return {module: imports(module) for module in PATHS}


def allowed(importer: str, imported: str) -> bool:
    """Whether a module may import another one of another part."""
    if part(importer) == part(imported):
        return True
    here, there = layer(importer), layer(imported)
    if here == there:
        order = LAYERS[here]
        return order in IN_ORDER and order.index(part(imported)) < order.index(part(importer))
    return there < here


def cycle(modules: set[str]) -> list[str]:
    """Modules that import one another in a circle; empty where there is none."""
    try:
        TopologicalSorter({module: all_imports()[module] & modules for module in modules}).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_every_module_stands_in_exactly_one_layer():
    parts = [name for names in LAYERS for name in names]
    assert len(parts) == len(set(parts))
    assert {part(module) for module in MODULES} == set(parts)


def test_the_parser_sees_imports_of_every_form():
    assert all_imports()["models.vae"] >= {"foundation.errors", "probability.samples"}
    assert "reporting.wording" in all_imports()["reporting.report"]  # from lowerbound.reporting import wording
    assert "foundation.progress" in all_imports()["commands.progress"]  # for type checking alone
    assert {"commands.console", "__init__"} <= all_imports()["cli"]  # the package's version
    assert "runs.run" in all_imports()["commands.training"]  # inside functions


@pytest.mark.parametrize(
    ("importer", "imported", "right"),
    [
        ("models.vae", "networks.dense", True),
        ("serving.loaded_model", "runs.trained_model", True),
        ("networks.dense", "models.vae", False),
        ("networks.dense", "probability.samples", False),
        ("evaluation.quick_evaluation", "training.loop", False),
        ("runs.experiment", "serving.loaded_model", False),
    ],
)
def test_the_rule_tells_right_from_wrong(importer, imported, right):
    assert allowed(importer, imported) is right


def test_modules_import_only_from_lower_layers_or_their_own_folder():
    wrong = {
        module: [name for name in all_imports()[module] if name != "__init__" and not allowed(module, name)]
        for module in MODULES
    }
    assert {module: names for module, names in wrong.items() if names} == {}


def test_no_modules_import_one_another_in_a_circle():
    assert cycle(set(MODULES)) == []


def test_the_init_of_a_folder_holds_a_docstring_and_no_work():
    for package in (name for name in PATHS if name.endswith(".__init__")):
        (statement,) = ast.parse(PATHS[package].read_text(encoding="utf-8")).body
        assert isinstance(statement, ast.Expr), package


def test_only_entrances_know_the_package_itself_and_importing_it_imports_nothing_of_it():
    assert {part(module) for module in MODULES if "__init__" in all_imports()[module]} <= {*LAYERS[-2], *LAYERS[-1]}
    run_on_import = ast.parse(PATHS["__init__"].read_text(encoding="utf-8")).body
    assert not any(name.startswith("lowerbound") for node in run_on_import for name in resolved([], node))


def test_no_file_is_longer_than_400_lines():
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in PATHS.items()}
    assert {module: length for module, length in lengths.items() if length > MAX_LINES} == {}


def test_the_map_in_the_documents_is_that_of_the_source(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "docs")
    write_map = importlib.import_module("write_map")
    text = write_map.DOCUMENT.read_text(encoding="utf-8")
    assert text == write_map.with_map(text), "run `python docs/write_map.py`"
    named = {line.split()[0] for line in write_map.source_map().splitlines() if line.startswith("    ")}
    assert named == {PATHS[module].name for module in MODULES}


WITHOUT_OWN_TESTS = {
    "__main__": "runs the command line",
    "commands.console": "what is printed on it, in test_printed_scores.py, and what it may not be, in test_terminal.py",
    "commands.inference": "its commands share one run with the others, in test_cli.py",
    "commands.printed_anomalies": "printed by `score`, in test_cli.py and end_to_end",
    "commands.printed_data": "printed by `inspect`, in test_inspect.py and runs/test_inspection.py",
    "data.array_summary": "what it finds decides schemas, in test_array_schema.py and runs/test_packing.py",
    "data.factor_columns": "where factors come from, in test_factors.py",
    "data.file_rows": "tested by what is packed, in runs/test_packing.py, like the others marked so",
    "data.image_rows": "packed",
    "data.packing": "packed",
    "data.packing_input": "packed",
    "data.raw_array": "a dataclass, which every reader returns",
    "data.row_files": "packed",
    "data.rows": "packed",
    "data.sequences": "packed",
    "data.survey": "packed",
    "evaluation.factor_codes": "what the metrics are of, in test_disentanglement.py",
    "evaluation.factor_votes": "one of three scores in test_factor_prediction.py",
    "evaluation.health": "a dataclass, whose numbers test_health_metrics.py measures and test_diagnosis.py judges",
    "evaluation.run_context": "dataclasses, which test_report.py and test_results.py read and write",
    "evaluation.thresholds": "test_diagnosis.py and test_checklist.py try each on both of its sides",
    "foundation.progress": "dataclasses",
    "inference.task_outputs": "what `sample` and `reconstruct` write, in test_tasks.py and test_cli.py",
    "objectives.combinations": "what it refuses is refused by an Objective, in test_objective.py",
    "objectives.presets": "the parametrised tests of test_objective.py and test_gradients.py run all of them",
    "objectives.state": "its parts are tested in test_discriminator.py, and resuming in training/test_loop.py",
    "reporting.bit_plot": "figures of reporting/test_plots.py and compression/test_bit_picture.py",
    "reporting.diagnostics": "a section of the report, in test_report.py",
    "reporting.factor_plots": "a figure, drawn by test_plots.py",
    "reporting.learn_plots": "figures of the page that inference/test_learning.py writes",
    "serving.explorer.hosted": "what `lowerbound explore` serves and opens, in commands/test_sharing.py",
    "serving.explorer.offline_models": "its models are those of the page, in explorer/test_offline.py",
    "serving.http.browsers": "opened by explore and by learn, in commands/test_sharing.py and test_learning.py",
    "serving.http.errors": "the exception of every refusal",
    "serving.loaded_model": "the base class of two dataclasses",
    "serving.portable.decoder_outputs": "tested by the models that it exports, in portable/test_onnx_form.py",
    "serving.portable.latent_outputs": "tested by the models that it exports, in portable/test_onnx_form.py",
    "serving.portable.parts": "tested by the models that it exports, in portable/test_onnx_form.py",
    "serving.service.schemas": "types, which service/test_protocol.py and test_openapi.py compare with what is sent",
    "training.pretrained_config": "what `load` refuses, in runs/test_pretrained.py",
}
"""Modules without a file of tests named after them, and where they are tested."""


def test_every_module_has_tests_named_after_it_or_a_reason():
    tests = Path(__file__).parent
    missing = [
        module
        for module in MODULES
        for name in [PATHS[module].stem.lstrip("_")]
        if not (tests / PATHS[module].relative_to(ROOT).parent / f"test_{name}.py").exists()
    ]
    assert missing == [*WITHOUT_OWN_TESTS]
