"""save_pretrained: a folder in Hugging Face's layout, whose model is that of the run to the last bit."""

import json
import shutil

import numpy as np
import pytest
import torch

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.data.sources import DataConfig
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.runs.pretrained import FILES, save_pretrained
from lowerbound.runs.trained_model import CALIBRATION


@pytest.fixture
def saved(finished, tmp_path):
    return finished.save_pretrained(tmp_path / "digits-vae")


@pytest.fixture(scope="module")
def images():
    return lb.load_data(DataConfig(source="digits")).test.stored[:20]


def test_the_model_encodes_decodes_scores_and_generates_as_the_run_does(finished, saved, images):
    model, own = lb.load(saved), finished.model
    assert {path.name for path in saved.iterdir()} == set(FILES)
    q, expected = model.encode(images), own.encode(images)
    assert torch.equal(q.mean, expected.mean) and torch.equal(q.log_variance, expected.log_variance)
    assert torch.equal(model.decode(q.mean).mean, own.decode(q.mean).mean)
    np.testing.assert_array_equal(model.score(images), own.score(images))
    np.testing.assert_array_equal(model.generate(3), own.generate(3))
    assert model.schema == own.schema


def test_config_json_says_what_the_model_is_in_strict_json(finished, saved):
    config = json.loads((saved / "config.json").read_text(), parse_constant=lambda constant: pytest.fail(constant))
    assert config["model_type"] == "lowerbound"
    assert config["model"]["latent_dim"] == finished.model.vae.latent_dim
    assert config["schema"]["range"] == [0, 16]


def edited(key, value):
    def edit(path):
        config = json.loads(path.read_text())
        place = config
        *parents, last = key.split(".")
        for name in parents:
            place = place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
        path.write_text(json.dumps(config))

    return edit


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (edited("model_type", "bert"), "a model of another library (it names the type 'bert'); accepted: model_type"),
        (edited("model_type", None), "a model of another library (it does not name its type)"),
        (edited("format_version", 99), "has format version 99"),
        (edited("checksum", "0"), "belongs to another model"),
        (edited("lowerbound_version", 1), "lowerbound_version is 1, not a text"),
        (edited("model.latent_dim", 3), "model.latent_dim differs from model.safetensors"),
        (edited("model.latent_dim", 2.0), "model.latent_dim differs"),
        (edited("model.extra", 1), "model.extra differs"),
        (edited("schema.range", None), "schema.range differs"),
        (edited("schema", []), "schema differs"),
        (lambda path: path.write_text("{"), "is not valid JSON"),
        (lambda path: path.write_text("[]"), "contains a list, not an object"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not valid JSON"),
        (lambda path: (path.parent / "model.safetensors").unlink(), "model.safetensors does not exist"),
        (lambda path: (path.parent / "model.safetensors").write_bytes(b"no"), "model.safetensors is damaged"),
    ],
)
def test_damaged_foreign_and_edited_files_are_refused_in_one_line(saved, damage, reason):
    damage(saved / "config.json")
    with pytest.raises(RunError) as refused:
        lb.load(saved)
    assert reason in str(refused.value) and str(saved) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_config_belongs_to_its_model_and_scores_to_theirs(finished, saved, tmp_path):
    other = lb.load(saved)
    with torch.no_grad():
        next(other.vae.parameters()).add_(1)
    lb.save(other, tmp_path / "model.safetensors")
    shutil.copy(tmp_path / "model.safetensors", saved / "model.safetensors")
    with pytest.raises(RunError, match="belongs to another model"):
        lb.load(saved)


def test_an_earlier_save_is_replaced_and_any_other_folder_is_refused(finished, saved):
    (saved / ".gitattributes").write_text("*.safetensors filter=lfs")
    (saved / "config.json").write_text("{}")
    assert lb.load(save_pretrained(finished.path, saved)).schema == finished.model.schema
    assert (saved / ".gitattributes").exists()
    (saved / "thesis.tex").write_text("")
    before = (saved / "README.md").stat().st_mtime_ns
    with pytest.raises(UsageError, match=r"files that are not from an earlier save \(thesis.tex\)"):
        finished.save_pretrained(saved)
    assert (saved / "README.md").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="not from an earlier save"):
        finished.save_pretrained(finished.path)


def test_without_thresholds_in_the_run_none_are_saved_and_the_reason_is_given(finished, saved, tmp_path, images):
    run = finished.save(tmp_path / "run")
    (run.path / CALIBRATION).unlink()
    run.save_pretrained(saved)
    assert not (saved / CALIBRATION).exists() and "model.score" not in (saved / "README.md").read_text()
    with pytest.raises(UsageError, match="no thresholds for anomaly scores: none were saved with it"):
        lb.load(saved).score(images)


def test_a_damaged_run_is_refused_and_nothing_is_written(finished, tmp_path):
    run = finished.save(tmp_path / "run")
    content = (run.path / "model.safetensors").read_bytes()
    (run.path / "model.safetensors").write_bytes(content[:-1])
    with pytest.raises(RunError, match="damaged"):
        run.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="not a run directory"):
        save_pretrained(tmp_path, tmp_path / "out")


def test_the_command_writes_the_same_folder(finished, saved, capsys, tmp_path):
    printed = in_process(capsys, "export", finished.path, "--format", "huggingface", "--out", tmp_path / "out")
    assert one_line(printed.out) == str(tmp_path / "out")
    for name in set(FILES) - {"README.md"}:  # which names the folder
        assert (tmp_path / "out" / name).read_bytes() == (saved / name).read_bytes()
    words = ("export", finished.path, "--format", "huggingface", "--data", "x", "--out", tmp_path / "out")
    assert "needs no data" in in_process(capsys, *words, expect=2).err
    words = ("export", finished.path, "--format", "hugingface")
    assert "huggingface" in in_process(capsys, *words, expect=2).err
