"""Results of several machines become one block of a page."""

import importlib
import json
import sys

import pytest

BLOCK = "# Page\n\nBefore.\n\n<!-- table: thread_counts -->\n<!-- end -->\n\nAfter.\n"


class Page:
    """A page, results beside it, and the script that writes one into the other."""

    def __init__(self, folder, monkeypatch):
        self.document, self.results, self.patch = folder / "page.md", folder / "results", monkeypatch
        self.document.write_text(BLOCK)

    def measured(self, machine, processor, microseconds):
        path = self.results / machine / "thread_counts.json"
        path.parent.mkdir(parents=True)
        figures = {
            "command": "python benchmarks/thread_counts.py",
            "versions": {"torch": "2"},
            "machine": {"processor": processor, "threads": 2},
            "numbers": [1],
            "cases": {"dense, 32, idle": {"microseconds": {"1": microseconds}, "chosen": 1}},
        }
        path.write_text(json.dumps(figures))
        return path

    def written(self):
        self.patch.setattr(sys, "argv", ["tables.py", "--document", str(self.document), "--results", str(self.results)])
        importlib.import_module("tables").main()
        return self.document.read_text()


@pytest.fixture
def page(tmp_path, monkeypatch):
    # The name is also that of a library, which others may import.
    monkeypatch.delitem(sys.modules, "tables", raising=False)
    yield Page(tmp_path, monkeypatch)
    sys.modules.pop("tables", None)


def part(title, processor, cost):
    return (
        f"**{title}.** `python benchmarks/thread_counts.py`: {processor}, 2 thread(s); torch 2.\n\n"
        "| network, batch, machine | 1 threads | chosen |\n| --- | ---: | ---: |\n"
        f"| dense, 32, idle | {cost} | 1 |"
    )


def with_parts(*parts):
    return BLOCK.replace("-->\n<!-- end", "-->\n" + "\n\n".join(parts) + "\n<!-- end")


def test_a_result_of_one_machine_is_shown_under_its_title(page):
    page.measured("epyc", "AMD EPYC", 120)
    assert page.written() == with_parts(part("EPYC without AMX", "AMD EPYC", 120))


def test_the_machine_with_amx_comes_first_and_the_others_by_name(page, capsys):
    page.measured("xeon", "Old Xeon", 300)
    page.measured("epyc", "AMD EPYC", 120)
    page.measured("apple-m3", "Apple M3", 100)
    page.measured("xeon-amx", "Intel Xeon", 200)
    expected = with_parts(
        part("Xeon with AMX", "Intel Xeon", 200),
        part("apple-m3", "Apple M3", 100),
        part("EPYC without AMX", "AMD EPYC", 120),
        part("xeon", "Old Xeon", 300),
    )
    assert page.written() == expected
    assert capsys.readouterr().out.endswith("written\n")
    assert page.written() == expected
    assert capsys.readouterr().out.endswith("unchanged\n")


def test_a_machine_without_the_result_is_left_out(page):
    page.measured("xeon-amx", "Intel Xeon", 200)
    (page.results / "epyc").mkdir()
    assert page.written() == with_parts(part("Xeon with AMX", "Intel Xeon", 200))


def test_a_block_without_a_result_stays(page, capsys):
    assert page.written() == BLOCK
    assert "thread_counts: no " in capsys.readouterr().err


def test_a_result_that_lacks_something_is_named_and_its_block_stays(page, capsys):
    page.measured("xeon-amx", "Intel Xeon", 200)
    damaged = page.measured("epyc", "AMD EPYC", 120)
    damaged.write_text("{}")
    assert page.written() == BLOCK
    assert f"thread_counts: {damaged} has no 'numbers'; run the benchmark again." in capsys.readouterr().err


def test_a_result_without_a_block_is_named(page, capsys):
    page.document.write_text("# Page\n")
    page.measured("epyc", "AMD EPYC", 120)
    assert page.written() == "# Page\n"
    assert "thread_counts: there are 0 blocks" in capsys.readouterr().err


def test_the_last_paragraph_of_every_table_says_where_it_comes_from(page, scripts):
    tables = importlib.import_module("tables")
    paths = [path for name in tables.TABLES for path in scripts.glob(f"results/*/{name}.json")]
    assert paths
    for path in paths:
        figures = json.loads(path.read_text(encoding="utf-8"))
        last = tables.TABLES[path.stem](figures).split("\n\n")[-1]
        assert last.startswith(f"`{figures['command']}`: ") and figures["machine"]["processor"] in last
