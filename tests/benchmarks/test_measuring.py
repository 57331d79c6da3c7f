"""Measurements are filed by machine."""

import importlib
import json

import pytest
import torch


@pytest.fixture
def measuring():
    return importlib.import_module("measuring")


@pytest.mark.parametrize(
    ("processor", "has_amx", "name"),
    [
        ("Intel(R) Xeon(R) Processor", True, "xeon-amx"),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", False, "xeon"),
        ("AMD EPYC", False, "epyc"),
        ("AMD EPYC 9B14", False, "epyc"),
        ("Intel(R) Core(TM) i7-1185G7", False, "intel-core-i7-1185g7"),
        ("../x86_64", False, "x86-64"),
        ("", False, "unknown"),
    ],
)
def test_a_machine_is_named_after_its_family_of_processors_and_amx(measuring, processor, has_amx, name):
    assert measuring.machine_name(processor, has_amx) == name


@pytest.mark.parametrize(
    ("capabilities", "name"), [({}, "xeon"), ({"amx_tile": True}, "xeon-amx"), ({"amx_bf16": True}, "xeon-amx")]
)
def test_figures_are_written_to_the_folder_of_the_machine(measuring, monkeypatch, tmp_path, capabilities, name):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    monkeypatch.setattr(measuring, "machine", lambda device: {"processor": "Intel(R) Xeon(R) Processor"})
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    path, figures = measuring.write_figures("limits", {"a": 1})
    assert path == tmp_path / name / "limits.json"
    assert json.loads(path.read_text()) == figures
    assert figures["a"] == 1


def test_a_file_that_is_asked_for_is_written_instead(measuring, monkeypatch, tmp_path):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path / "results")
    path, _ = measuring.write_figures("limits", {}, tmp_path / "trial.json")
    assert path == tmp_path / "trial.json" and path.exists()
    assert not (tmp_path / "results").exists()
