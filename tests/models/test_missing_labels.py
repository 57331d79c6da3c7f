"""Tests of labels that a classifier infers: training, resuming and new data where some or all labels are missing."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lowerbound as lb
from lowerbound.data.batches import Batches
from lowerbound.data.conditions import conditioned
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError, Interrupted, UsageError
from lowerbound.foundation.seeding import generator
from lowerbound.inference.input_parts import LoadedInputs
from lowerbound.inference.tasks import encoded_columns
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.missing_labels import log_prob_of_levels
from lowerbound.objectives.objective import Objective
from lowerbound.runs.inputs import read_inputs
from lowerbound.runs.inspection import inspect
from lowerbound.training.checkpoint import load_checkpoint
from lowerbound.training.config import TrainingConfig
from lowerbound.training.loop import training_steps

SETTINGS = {
    "model": {"condition_on": ["label"], "classifier": True, "hidden": [16], "network": "dense"},
    "training": {"num_epochs": 2, "min_steps": 0, "threads": 1},
    "evaluation": {"after_training": False},
}


def _clusters(num: int = 120) -> tuple[np.ndarray, list[str | None]]:
    chance = np.random.default_rng(0)
    kinds = chance.integers(2, size=num)
    x = (chance.normal(size=(num, 3)) + 4 * kinds[:, None]).astype(np.float32)
    return x, [None if index % 3 else "ab"[kind] for index, kind in enumerate(kinds)]


def test_a_resumed_training_is_that_of_an_uninterrupted_one_to_the_bit(tmp_path):
    splits = conditioned(load(DataConfig(source="digits")), ["label"], infers=True, num_labelled=20)
    config = TrainingConfig(num_epochs=2, batch_size=300, learning_rate=0.01, checkpoint_every=3)

    def new():
        model = ModelConfig(hidden=(8,), condition_on=("label",), classifier=True)
        return build_model(model, (1, 8, 8), generator(0, "weights"), conditions=splits.schema.conditions)

    whole, resumed = new(), new()
    list(training_steps(whole, splits, Objective(), config))
    stops = iter([False] * 4 + [True] * 9)
    with pytest.raises(Interrupted):
        list(
            training_steps(
                new(), splits, Objective(), config, checkpoints=tmp_path, should_stop=lambda: next(stops, True)
            )
        )
    list(training_steps(resumed, splits, Objective(), config, resume=load_checkpoint(tmp_path)))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_each_batch_comes_with_labelled_examples_of_its_own_stream():
    splits = conditioned(load(DataConfig(source="digits")), ["label"], infers=True, num_labelled=20)
    batches = Batches(splits.train, 300, num_labelled=7)
    first, again = (list(batches.shuffled(0, 1)) for _ in range(2))
    assert all(len(batch.labelled.x) == 7 and not batch.labelled.context.isnan().any() for batch in first)
    later = next(batches.shuffled(0, 1, start=2))
    assert torch.equal(later.labelled.x, again[2].labelled.x)
    assert not torch.equal(first[0].labelled.context, first[1].labelled.context)


def test_arrays_with_none_as_a_label_train_and_new_examples_need_no_label(tmp_path):
    x, labels = _clusters()
    run = lb.train(x, labels, settings=SETTINGS, out=tmp_path / "run")
    model = run.model
    assert model.schema.conditions[0].levels == ("a", "b")
    found = model.examples(x[:5])
    assert not found.examples.has_missing_context
    assert found.examples.inferred.all()
    assert any("label of 5 examples is inferred" in note for note in found.notes)
    expected = log_prob_of_levels(model.vae, torch.from_numpy(found.examples.values)).argmax(1)
    assert found.examples.context[:, 0].tolist() == expected.tolist()
    assert model.encode(x[:5]).mean.shape == (5, 2)
    assert model.reconstruct(x[:5], given={"label": "a"}).shape == (5, 3)
    with pytest.raises(DataError, match="accepted: 'a', 'b'"):
        model.encode(x[:5], given={"label": "c"})


def test_tables_with_empty_label_cells_train_and_are_read_again(tmp_path):
    x, labels = _clusters()
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["u", "v", "w", "kind"])
        rows.writerows([*row, label or ""] for row, label in zip(x.tolist(), labels, strict=True))
    settings = {**SETTINGS, "model": {**SETTINGS["model"], "condition_on": ["kind"]}}
    run = lb.train(path, settings=settings, out=tmp_path / "run")
    splits = run.splits()
    assert not splits.train.has_missing_context
    assert splits.train.inferred.any()
    assert not splits.train.inferred.all()


LAYOUTS = ("empty cells", "absent rows", "beside folders", "archive")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_folders_some_of_whose_images_have_no_label_train(tmp_path, layout):
    folder, chance = tmp_path / "images", np.random.default_rng(0)
    folder.mkdir()
    lines = ["file,label"]
    for index in range(40):
        pixels = chance.integers(0, 120, (8, 8), np.uint8) + np.uint8(120 * (index % 2))
        label = "ab"[index % 2] if index % 4 < 2 else ""
        place = folder / label if layout == "beside folders" else folder
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / f"{index}.png")
        if label or layout == "empty cells":
            lines.append(f"{index}.png,{label}")
    if layout != "beside folders":
        (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    if layout == "archive":
        folder = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    assert inspect(DataConfig(source=str(folder)), settings=SETTINGS).labels == {"a": 10, "b": 10, "(none)": 20}
    run = lb.train(folder, settings=SETTINGS, out=tmp_path / "run")
    assert run.model.schema.conditions[0].levels == ("a", "b")
    assert run.splits().train.inferred.any()  # read again
    assert not run.splits().train.inferred.all()
    found = read_inputs(run.model, [str(folder)])
    assert int(found.examples.inferred.sum()) == 20
    columns = encoded_columns(run.model.vae, LoadedInputs(found).part(0, 40))
    probabilities = run.model.classify(found.examples.values)
    assert columns["predicted_label"].tolist() == ["ab"[best] for best in probabilities.argmax(1)]
    np.testing.assert_allclose(columns["probability"], probabilities.max(1), rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_a_model_without_a_classifier_names_the_setting():
    x, labels = _clusters()
    model = lb.train(x, [label or "a" for label in labels], settings={**SETTINGS, "model": {"hidden": [4]}}).model
    with pytest.raises(UsageError, match=r"no classifier; one is trained with model\.classifier=true"):
        model.classify(x[:2])
