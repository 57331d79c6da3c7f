"""A resumed run names the files of the model that it replaces; one whose model stays names none."""

from lowerbound.foundation.storage import copy_folder
from lowerbound.runs.resuming import resume
from lowerbound.runs.run import Callbacks


def messages_of_resuming(path, **settings):
    messages = []
    resume(path, settings={"training": settings}, callbacks=Callbacks(message=messages.append))
    return [message for message in messages if "made with the earlier model" in message]


def test_a_resumed_run_names_exports_pictures_and_pages_of_its_earlier_model(finished, tmp_path):
    path = tmp_path / "run"
    copy_folder(finished.path, path)
    (path / "onnx").mkdir()
    (path / "onnx" / "encoder.onnx").write_bytes(b"")
    for name in ("interpolation.png", "learn.html"):
        (path / name).write_bytes(b"")
    (tmp_path / "index.html").write_text('<a href="run/report.html">')
    (tmp_path / "sweep.html").write_text('<a href="another-run/report.html">')
    (message,) = messages_of_resuming(path, num_epochs=4)
    for file in (path / "onnx", path / "interpolation.png", path / "learn.html", tmp_path / "index.html"):
        assert str(file) in message
    assert "sweep.html" not in message
    assert str(path / "config.toml") not in message
    assert "model.safetensors" not in message
    assert messages_of_resuming(path, num_epochs=4) == []  # the same model again


def test_a_resumed_run_with_its_own_files_alone_names_none(finished, tmp_path):
    path = tmp_path / "run"
    copy_folder(finished.path, path)
    assert messages_of_resuming(path, num_epochs=4) == []
