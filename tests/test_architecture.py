"""The imports keep to the layers: a module knows what lies below it, or before it in its own folder.

Imports for type checking alone count as well: they are knowledge, too.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import lowerbound

ROOT = Path(lowerbound.__file__).parent

LAYERS = [
    [
        "interrupts",
        "text",
        "errors",
        "allocator",
        "numerics",
        "seeding",
        "storage",
        "strict",
        "progress",
        "run_identity",
        "run_lock",
        "run_log",
        "schedules",
        "schema",
    ],
    ["probability", "networks", "data"],
    ["model", "support"],
    ["objectives"],
    ["training", "evaluation"],
    ["reporting"],
    [
        "columns",
        "plain_settings",
        "experiment",
        "choices",
        "run_data",
        "provenance",
        "stored_units",
        "trained_model",
        "preparation",
        "run",
        "repeats",
        "inputs",
        "inspection",
        "anomalies",
        "imputation",
        "terminal",
        "serving",
        "estimator_input",
        "estimator",
        "use",
        "console",
        "commands",
        "cli",
        "__main__",
    ],
]
"""From the foundation to the entrances: modules, and folders that never import one another."""

IN_ORDER = (LAYERS[0], LAYERS[-1])
"""Layers whose modules may import those that stand before them in the layer."""

MAX_LINES = 400

PATHS = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = [name for name in PATHS if not name.endswith("__init__")]


def part(module: str) -> str:
    """The folder that a module stands in, or the module itself where it stands in none."""
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


IMPORTS = {module: imports(module) for module in PATHS}


def allowed(importer: str, imported: str) -> bool:
    """Whether a module may know another one of another part."""
    if part(importer) == part(imported):
        return True
    here, there = layer(importer), layer(imported)
    if here == there:
        order = LAYERS[here]
        return order in IN_ORDER and order.index(part(imported)) < order.index(part(importer))
    return there < here


def test_every_module_stands_in_exactly_one_layer():
    parts = [name for names in LAYERS for name in names]
    assert len(parts) == len(set(parts))
    assert {part(module) for module in MODULES} <= set(parts)


def test_the_parser_sees_imports_of_every_form():
    assert IMPORTS["model"] >= {"errors", "networks.dense", "probability.samples"}
    assert "evaluation.pictures" in IMPORTS["evaluation.evaluate"]  # from lowerbound.evaluation import pictures
    assert "progress" in IMPORTS["console"]  # for type checking alone
    assert {"console", "__init__"} <= IMPORTS["cli"]  # the package's version
    assert "run" in IMPORTS["commands.training"]  # inside functions


def test_the_rule_tells_right_from_wrong():
    assert allowed("model", "networks.dense")
    assert allowed("run", "experiment")
    assert not allowed("networks.dense", "model")
    assert not allowed("networks.dense", "probability.samples")
    assert not allowed("evaluation.evaluate", "training.loop")
    assert not allowed("experiment", "run")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_lower_layers_or_its_own_folder(module):
    assert [name for name in IMPORTS[module] if name != "__init__" and not allowed(module, name)] == []


@pytest.mark.parametrize("folder", sorted({part(module) for module in MODULES if "." in module}))
def test_within_a_folder_no_module_imports_itself_by_a_detour(folder):
    graph = {module: IMPORTS[module] & set(MODULES) for module in MODULES if part(module) == folder}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("package", [name for name in PATHS if name.endswith(".__init__")])
def test_a_folders_init_holds_a_docstring_and_no_work(package):
    (statement,) = ast.parse(PATHS[package].read_text(encoding="utf-8")).body
    assert isinstance(statement, ast.Expr)


def test_only_entrances_know_the_package_itself_and_importing_it_imports_nothing_of_it():
    assert {part(module) for module in MODULES if "__init__" in IMPORTS[module]} <= set(LAYERS[-1])
    run_on_import = ast.parse(PATHS["__init__"].read_text(encoding="utf-8")).body
    assert not any(name.startswith("lowerbound") for node in run_on_import for name in resolved([], node))


@pytest.mark.parametrize("module", PATHS)
def test_no_file_is_longer_than_can_be_held_in_the_head(module):
    assert len(PATHS[module].read_text(encoding="utf-8").splitlines()) <= MAX_LINES
