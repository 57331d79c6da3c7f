"""The page in one file: what is in it, and what is not."""

import gzip
import hashlib
import json
import re
import shutil
import sys
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest

from explorer_runs import copied as copied_run
from explorer_runs import trained as of_kind
from lowerbound.data.sources import DataConfig, load
from lowerbound.evaluation.expected_terms import expected_terms
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.serving.explorer import offline_payload
from lowerbound.serving.explorer.offline import PAGE, page_of, write_offline
from lowerbound.serving.explorer.run_folder import RunFolder
from pages_from_disk import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def splits():
    return load(DataConfig(source="digits"))


class Structure(HTMLParser):
    """Tags with their attributes, and the text in scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.is_within = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.is_within = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.is_within = False

    def handle_data(self, data):
        if self.is_within:
            self.texts.append((self.tags[-1], data))


def test_nothing_in_it_is_elsewhere():
    html = page_of({"info": offline_payload.compressed(b"{}")})
    assert re.findall(r"(?:https?|wss?)://|[\"'(]//", html) == []
    structure = Structure(html)
    for _, attributes in structure.tags:
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "data:,").startswith(("data:", "#")), attributes
    assert not any("url(" in text or "@import" in text for (tag, _), text in structure.texts if tag == "style")
    ((_, maps),) = [one for one in structure.texts if one[0][1].get("type") == "importmap"]
    imports = json.loads(maps)["imports"]
    assert {"explorer/main.js", "explorer/source.js", "explorer/engine.js"} <= set(imports)
    source = b64decode(imports["explorer/source.js"].split(",")[1])
    assert source == (PAGE / "offline_source.js").read_bytes()
    assert all(url.startswith("data:text/javascript;base64,") for url in imports.values())


def test_whatever_a_label_is_called_no_script_of_it_runs():
    blocks = {"info": offline_payload.compressed(b"</script><script>alert(1)</script>")}
    structure = Structure(page_of(blocks))
    assert not any("alert" in text for _, text in structure.texts)
    ids = [attributes.get("id") for tag, attributes in structure.tags if tag == "script"]
    assert [name for name in ids if name and name.startswith("block")] == [
        "block-info",
        "block-wasm",
        "block-notices",
    ]


def test_every_work_of_others_in_it_comes_with_its_licence():
    structure = Structure(page_of({}))
    licences = {attributes["id"]: text for (_, attributes), text in structure.texts if "licence" in str(attributes)}
    assert set(licences) == {
        f"licence-{path.name.removesuffix('.LICENSE.txt')}" for path in (PAGE / "vendor").glob("*LICENSE*")
    }
    assert "Microsoft" in licences["licence-onnxruntime"]


@pytest.mark.parametrize("missing", ['<meta charset="utf-8">', "importmap", 'import "explorer/main.js"'])
def test_a_page_without_one_of_its_marks_is_refused(tmp_path, missing):
    changed = copied(tmp_path, lambda html: html.replace(missing, ""))
    with pytest.raises(RunError, match="0 times instead of once"):
        page_of({}, changed)


@pytest.mark.parametrize("added", ['<img src="https://example.org/a.png">', '<script src="/assets/a.js"></script>'])
def test_a_page_that_asks_for_something_elsewhere_is_refused(tmp_path, added):
    changed = copied(tmp_path, lambda html: html.replace("</body>", f"{added}</body>"))
    with pytest.raises(RunError, match="which is not in the file"):
        page_of({}, changed)


def test_a_module_that_is_not_there_is_noticed(tmp_path):
    changed = copied(tmp_path, lambda html: html)
    (changed / "engine.js").unlink()
    with pytest.raises(RunError, match=r"offline_models\.js imports explorer/engine\.js, which is missing"):
        page_of({}, changed)


def copied(folder, change):
    page = folder / "page"
    shutil.copytree(PAGE, page, ignore=shutil.ignore_patterns("*.gz"))
    (page / "index.html").write_text(change((page / "index.html").read_text()))
    return page


def test_every_file_of_others_is_the_one_that_its_table_states():
    folder = PAGE / "vendor"
    rows = re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", (folder / "VENDOR.md").read_text(), re.MULTILINE)
    stated = dict(rows)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    del found["VENDOR.md"]
    assert stated == found
    assert len(rows) == len(stated)


def test_without_the_packages_of_an_export_it_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'lowerbound[onnx]'")):
        write_offline(run, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_file_to_write_and_several_runs_are_no_run(run, tmp_path):
    pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")
    with pytest.raises(UsageError, match="is a folder; give a file, such as"):
        write_offline(run, tmp_path)
    with pytest.raises(UsageError, match="contains several runs"):
        write_offline(run.parent, tmp_path / "page.html")


def test_a_run_in_training_has_no_page_yet(run, tmp_path):
    pytest.importorskip("onnxscript", reason="an ONNX export takes the packages of 'lowerbound[onnx]'")
    unfinished = tmp_path / "run"
    shutil.copytree(run, unfinished)
    (unfinished / "model.safetensors").unlink()
    with pytest.raises(RunError, match="has no model yet"):
        write_offline(unfinished, tmp_path / "page.html")


def test_where_there_is_little_room_the_last_pictures_are_carried(run, splits):
    loaded = offline_payload.load_run(run)
    points, problem = offline_payload._points(loaded)
    assert problem == ""
    whole = offline_payload._examples(points, 10**9)
    some = offline_payload._examples(points, 20_000)
    assert whole.shape == (1797, 8, 8, 1)
    assert 0 < len(some) < 1797
    assert (some == whole[-len(some) :]).all()
    assert len(gzip.compress(some.tobytes(), 9)) == pytest.approx(20_000, rel=0.1)
    assert offline_payload._examples(points, 0) is None


def test_of_many_examples_those_of_the_test_split_come_first(run, splits):
    points, _ = offline_payload._points(offline_payload.load_run(run))
    fewer = offline_payload._at_most(points, 400)
    assert fewer.names == ("validation", "test")
    assert [len(part) for part in fewer.parts] == [40, 360]
    assert (fewer.parts[0].values == splits.validation.values[:40]).all()


def facts_of(factory, kind):
    return offline_payload._facts(offline_payload.load_run(of_kind(factory, kind), "cpu"), None, 0)


def test_the_page_reads_image_files_on_the_levels_that_the_run_stores(tmp_path_factory):
    for kind, num_steps, num_notes in (("digits", 16, 0), ("ink", 255, 0), ("deep", 65535, 1)):
        facts = facts_of(tmp_path_factory, kind)
        assert (facts["num_steps"], len(facts["encode_notes"]), facts["resize"]) == (num_steps, num_notes, "crop")
    assert "num_steps" not in facts_of(tmp_path_factory, "array")


@pytest.mark.parametrize(
    ("kind", "conventions", "accepted"),
    [
        ("digits", {"grey": "grey", "binary": "grey"}, "numbers from 0 to 16"),
        ("levels", {"grey": "levels", "binary": "levels"}, "17 levels from 0 to 16"),
        ("ink", {"binary": "binary"}, "only 0 and 255"),
        (
            "dynamic",
            {"binary": "dynamic binarisation, seed 0"},
            "only 0 and 16 (dynamic binarisation, seed 0), and this",
        ),
    ],
)
def test_the_page_scores_what_the_model_accepts_and_says_why_it_does_not(tmp_path_factory, kind, conventions, accepted):
    facts = facts_of(tmp_path_factory, kind)
    assert facts["conventions"] == conventions
    assert facts["no_bound"].startswith(f"no bound: the model accepts {accepted}")


@pytest.mark.parametrize("kind", ["digits", "table"])
def test_carried_bounds_are_those_of_an_evaluation_whatever_stands_beside_them(tmp_path_factory, kind):
    loaded = offline_payload.load_run(of_kind(tmp_path_factory, kind), "cpu")
    points, _ = offline_payload._points(loaded)
    bounds = offline_payload._bounds(loaded, points)
    terms = expected_terms(loaded.model, points.parts[-1], offline_payload.NUM_DRAWS, 0)
    num = len(points.parts[-1])
    np.testing.assert_allclose(bounds["elbo"][-num:], terms.elbo, rtol=1e-4)
    np.testing.assert_allclose(bounds["rate"][-num:], terms.rate, rtol=1e-4)


def test_no_path_of_this_machine_is_carried(tmp_path_factory, tmp_path):
    source = of_kind(tmp_path_factory, "array")
    gone = str(tmp_path / "no where" / "vectors.npy")
    for run in (source, copied_run(source, tmp_path / "gone", source=gone, data_path=gone)):
        loaded = offline_payload.load_run(run, "cpu")
        points, problem = offline_payload._points(loaded)
        (found,) = RunFolder(run).runs()
        text = json.dumps([offline_payload._contents(found, loaded, 10**9, points, problem).info, problem])
        assert str(tmp_path_factory.getbasetemp()) not in text
        assert "no where" not in text
