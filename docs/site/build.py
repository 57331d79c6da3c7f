"""Build the documentation site: `make docs`.

    python -m docs.site.build [--fast]

1. Pages: docs/*.md, formulas as MathML; the reference is generated; lessons are executed.
2. Code blocks of all pages and examples in docstrings are run; blocks that cannot be are listed with the reason.
3. zensical writes site/, whose links are checked.

With --fast lessons and blocks are not run, for work on texts.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from docs.site.blocks import blocks_of, run_page
from docs.site.checks import problems_of
from docs.site.examples import failures_in
from docs.site.lessons import build_lessons
from docs.site.mathml import with_mathml
from docs.site.reference import write_reference

ROOT = Path(__file__).parents[2]
DOCS, PAGES, SITE = ROOT / "docs", ROOT / "build" / "pages", ROOT / "site"
WORKING = ROOT / "build" / "working"
EXPLORER = "explorer-of-digits.html"
ASSETS = (
    DOCS / "site" / "site.css",
    DOCS / "site" / "site.js",
    DOCS / "site" / "vendor" / "iframe-worker.js",  # https://www.npmjs.com/package/iframe-worker, 1.0.4
    ROOT / "src" / "lowerbound" / "reporting" / "formulas.woff2",
)
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What zensical's plugin `offline` loads so that pages opened from disk can be searched; the same file is in ASSETS."""

EMPTY_HEADING = re.compile(r"<th(?: style=\"[^\"]*\")?></th>")
REPOSITORY_FILE = re.compile(r"\]\((?:\.\./)?((?:benchmarks|examples|src|tests)/[^)#]+|CHANGELOG\.md|LICENSE)\)")


def main(is_fast: bool) -> int:
    """Build everything; the status is 1 if anything failed."""
    begin = time.perf_counter()
    for folder in (PAGES, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    WORKING.mkdir(parents=True, exist_ok=True)
    assemble()
    failures = [] if is_fast else run_everything()
    if is_fast:
        placeholders()
    convert_formulas()
    build = subprocess.run([_script("zensical"), "build", "--clean"], cwd=ROOT, check=False)
    complete_pages()
    failures += ["zensical failed"] if build.returncode else problems_of(SITE, {EXPLORER})
    for failure in failures:
        print(f"FAILED  {failure}")
    print(f"{'failed' if failures else 'built'} {SITE} in {time.perf_counter() - begin:.0f} s")
    return 1 if failures else 0


def assemble() -> None:
    """Copy the written pages, and generate the reference."""
    PAGES.mkdir(parents=True)
    for page in _written_pages():
        target = PAGES / page.relative_to(DOCS)
        target.parent.mkdir(exist_ok=True)
        # What is in the repository and not on the site is named, not linked.
        target.write_text(REPOSITORY_FILE.sub(r"](#) `\1`", page.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copytree(DOCS / "images", PAGES / "images")
    (PAGES / "assets").mkdir()
    for asset in ASSETS:
        shutil.copy(asset, PAGES / "assets")
    write_reference(PAGES / "reference")


def run_everything() -> list[str]:
    """Execute lessons and code blocks, and write the offline explorer; what failed, one line each."""
    print("lessons", flush=True)
    build_lessons(_lessons(), PAGES / "learn", _fresh("lessons"))
    explorer = PAGES / EXPLORER
    command = [_script("lowerbound"), "explore", "runs/learn", "--offline", str(explorer)]
    subprocess.run(command, cwd=WORKING / "lessons", check=True, env=_environment())
    print("code blocks", flush=True)
    examples = _workplace("examples")  # trains the runs, before two pages at a time ask for them
    return run_blocks() + failures_in(examples)


def run_blocks() -> list[str]:
    """Run the blocks of all pages, two pages at a time; what failed, one line each. Prints what is not run."""
    pages = [*_written_pages(), ROOT / "README.md"]
    with ThreadPoolExecutor(2) as pool:
        failures = [failure for found in pool.map(_failures_of, pages) for failure in found]
    print("not run:")
    for block in (block for page in pages for block in blocks_of(page) if block.reason):
        print(f"  {block.page}:{block.line}: {block.reason}")
    return failures


def _failures_of(page: Path) -> list[str]:
    if all(block.reason for block in blocks_of(page)):
        return []
    outcomes = run_page(page, _workplace(f"{page.parent.name}-{page.stem}"))
    seconds = sum(one.seconds for one in outcomes)
    print(f"  {page.name}: {len(outcomes)} run in {seconds:.0f} s", flush=True)
    return [f"{one.block.page}:{one.block.line}: {one.error}" for one in outcomes if one.error]


def _workplace(name: str) -> Path:
    """A folder with what the pages speak of: photos, a table, and runs, which are those of the lessons."""
    folder = _fresh(name)
    subprocess.run([sys.executable, str(DOCS / "site" / "workplace.py"), str(folder)], check=True, env=_environment())
    return folder


def _fresh(name: str) -> Path:
    folder = WORKING / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def placeholders() -> None:
    """Pages in place of the lessons, so that links lead somewhere."""
    for source in _lessons():
        title = source.read_text(encoding="utf-8").splitlines()[1].removeprefix("# ")
        (PAGES / "learn").mkdir(exist_ok=True)
        (PAGES / "learn" / f"{source.stem}.md").write_text(f"{title}\n\nNot built.\n", encoding="utf-8")
    (PAGES / EXPLORER).write_text("<!doctype html><title>Not built</title>", encoding="utf-8")


def convert_formulas() -> None:
    for page in PAGES.rglob("*.md"):
        page.write_text(with_mathml(page.read_text(encoding="utf-8")), encoding="utf-8")


def complete_pages() -> None:
    """Load the shim of the search from the site itself; an empty heading of a column is an ordinary cell."""
    for page in SITE.rglob("*.html"):
        if page.name != EXPLORER:
            shim = os.path.relpath(SITE / "assets" / "iframe-worker.js", page.parent)
            text = page.read_text(encoding="utf-8").replace(SHIM, shim)
            page.write_text(EMPTY_HEADING.sub("<td></td>", text), encoding="utf-8")


def _written_pages() -> list[Path]:
    return sorted([*DOCS.glob("*.md"), *DOCS.glob("learn/*.md")])


def _lessons() -> list[Path]:
    return sorted(DOCS.glob("learn/[0-9]*.py"))


def _script(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    sys.exit(main("--fast" in sys.argv[1:]))
