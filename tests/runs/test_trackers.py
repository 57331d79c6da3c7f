"""Each tracker, by its own package: what was logged is read back with it. Skipped where the package is missing."""

import json

import pytest

import lowerbound as lb
from digits_runs import LOGGED
from lowerbound.foundation.errors import Interrupted
from lowerbound.runs.run import Callbacks
from lowerbound.runs.run_log import read_log
from lowerbound.runs.tracking import read_trackers


@pytest.fixture
def resumed(tmp_path, without_figures, monkeypatch):
    """A function that trains with a tracker, is interrupted, and resumes: the run's directory, and what was said."""
    monkeypatch.chdir(tmp_path)

    def train(name):
        path, steps, heard = tmp_path / "run", [], []

        def progress(record):
            steps.append(record.step)

        stopping = Callbacks(progress, heard.append, should_stop=lambda: len(steps) > 4)
        with pytest.raises(Interrupted):
            lb.train("digits", recipe="dense", settings=LOGGED, out=path, log=name, callbacks=stopping)
        lb.resume(path, callbacks=Callbacks(message=heard.append))
        assert [line for line in heard if "logged" in line] == []
        return path

    return train


def test_tensorboard_reads_one_curve_of_a_run_that_was_resumed(resumed):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = resumed("tensorboard")
    read = EventAccumulator(str(path / "tensorboard")).Reload()
    log = read_log(path)
    assert [event.step for event in read.Scalars("train/elbo")] == [record["step"] for record in log]
    values = [event.value for event in read.Scalars("validation/elbo")]
    assert values == pytest.approx([record["validation"]["elbo"] for record in log if record["validation"]])
    assert "| model.latent_dim | 2 |" in read.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert read_trackers(path) == {"tensorboard": "tensorboard"}


def records_in(file):
    """The records of a .wandb file: a header of 7 bytes, then the log format of LevelDB, in blocks of 32 KiB."""
    content = file.read_bytes()
    at, record = 7, b""
    while at + 7 <= len(content):
        room = 32768 - at % 32768
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        if room < 7 or kind == 0:  # padding at the end of a block
            at += room
            continue
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield record
            record = b""


def test_wandb_keeps_the_run_offline(resumed, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.setenv("WANDB_MODE", "offline")
    path = resumed("wandb")
    files = sorted(path.glob(f"wandb/offline-run-*/run-{read_trackers(path)['wandb']}.wandb"))
    assert len(files) == 2  # two sessions of one run
    records = [Record.FromString(content) for file in files for content in records_in(file)]
    history = [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    log = read_log(path)
    assert [(row["_step"], row["train/elbo"]) for row in history] == [
        (record["step"], record["train"]["elbo"]) for record in log
    ]
    config = {item.key: json.loads(item.value_json) for record in records for item in record.run.config.update}
    assert config["model"]["latent_dim"] == 2


def test_mlflow_has_one_run_with_all_metrics_and_parameters(resumed, monkeypatch, tmp_path):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    path = resumed("mlflow")
    client = MlflowClient()
    run = client.get_run(read_trackers(path)["mlflow"])
    found = client.get_metric_history(run.info.run_id, "train/elbo")
    log = read_log(path)
    assert [metric.step for metric in found] == [record["step"] for record in log]
    assert [metric.value for metric in found] == [record["train"]["elbo"] for record in log]
    assert run.data.params["model.latent_dim"] == "2"
    assert run.info.status == "FINISHED"
    experiment = client.get_experiment_by_name("lowerbound")
    assert [each.info.run_id for each in client.search_runs([experiment.experiment_id])] == [run.info.run_id]
