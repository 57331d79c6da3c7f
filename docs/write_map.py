"""Write the map of the source into docs/architecture.md: a line for each module, the first line of its docstring.

Run `python docs/write_map.py` after adding, moving or describing a module; a test compares the two.
"""

import ast
import re
from pathlib import Path

DOCUMENT = Path(__file__).parent / "architecture.md"
SOURCE = Path(__file__).parents[1] / "src" / "lowerbound"
MAP = re.compile(r"(?<=<!-- map -->\n```text\n).*?(?=```\n<!-- end -->)", re.DOTALL)

LAYERS = {
    "0 foundation": ["foundation"],
    "1 ingredients, three folders that do not import one another": ["probability", "networks", "data"],
    "2 models": ["models"],
    "3 objectives and coding, which do not import one another": ["objectives", "coding"],
    "4 training and evaluation, which do not import one another": ["training", "evaluation"],
    "5 reporting": ["reporting"],
    "6 runs, inference, compression, serving: each may import those before it": [
        "runs",
        "inference",
        "compression",
        "serving",
        "serving/*",
    ],
    "7 entry points": [".", "commands"],
}


def source_map() -> str:
    """Layers, folders and modules, with what each module holds."""
    return "\n".join("\n".join([title, *map(_folder, _expanded(names))]) + "\n" for title, names in LAYERS.items())


def _expanded(names: list[str]) -> list[str]:
    return [
        path.relative_to(SOURCE).as_posix()
        for name in names
        for path in sorted(SOURCE.glob(name) if name != "." else [SOURCE])
        if (path / "__init__.py").exists()
    ]


def _folder(name: str) -> str:
    modules = sorted(path for path in (SOURCE / name).glob("*.py") if path.stem != "__init__")
    width = max(len(path.name) for path in modules)
    lines = [f"    {path.name:<{width}}  {_first_line(path)}" for path in modules]
    return "\n".join([f"  {'lowerbound' if name == '.' else name}/", *lines])


def _first_line(path: Path) -> str:
    documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return documented.partition("\n")[0].rstrip(".")


def with_map(text: str) -> str:
    """The document with the map of today."""
    return MAP.sub(lambda _: source_map(), text)


if __name__ == "__main__":
    DOCUMENT.write_text(with_map(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
