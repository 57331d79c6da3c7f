"""lb.explore: inline in a notebook, and in the browser elsewhere."""

import sys
from html import unescape
from types import SimpleNamespace

import pytest

from browsers import monitored
from explorer_runs import trained
from lowerbound.serving.explorer import showing
from lowerbound.serving.explorer.offline import offline_page
from lowerbound.serving.explorer.showing import InlineExplorer, explore, is_in_notebook


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory, "digits")


@pytest.fixture(scope="module")
def inline(run):
    pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")
    return explore(run, inline=True, height=640)


def shell(monkeypatch, **attributes):
    """IPython as imported, with such a shell."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(**attributes)))


def test_a_kernel_is_a_notebook_and_a_terminal_or_a_script_is_none(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not is_in_notebook()
    shell(monkeypatch, colors="linux")
    assert not is_in_notebook()
    shell(monkeypatch, kernel=object())
    assert is_in_notebook()


def test_inside_a_notebook_the_page_is_an_output_and_elsewhere_it_is_served(monkeypatch, run):
    served = []
    monkeypatch.setattr(showing, "host_explorer", lambda path, **options: served.append((path, options)))
    monkeypatch.setattr(showing, "offline_page", lambda path, *options: "<p>page</p>")
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert explore(run, data="moved") is None
    assert served == [(run, {"data": "moved", "data_dir": "", "device": "auto"})]
    shell(monkeypatch, kernel=object())
    assert explore(str(run)) == InlineExplorer("<p>page</p>", f"Explorer of {run.name}")
    assert len(served) == 1


def test_the_output_is_the_offline_page_as_it_is(inline, run):
    before, _, after = inline._repr_html_().partition(' srcdoc="')
    page, _, attributes = after.partition('" title=')
    assert before == "<iframe" and "height: 640px" in attributes
    assert unescape(page) == offline_page(run)
    assert len(repr(inline)) < 100


def test_the_page_runs_inside_another_one_without_access_to_it(browser, inline, tmp_path):
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>notebook</title>{inline._repr_html_()}")
    page = browser.new_context(offline=True).new_page()
    heard = monitored(page)
    page.goto((tmp_path / "notebook.html").as_uri())
    frame = page.frames[1]
    frame.wait_for_selector("canvas")
    assert "Explorer" in frame.title()
    assert frame.evaluate("() => { try { return parent.document.title } catch (error) { return error.name } }") == (
        "SecurityError"
    )
    assert heard == []
