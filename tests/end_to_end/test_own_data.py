"""From one's own files to a model that is of use: images in a folder, arrays and tables, by the same commands."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from data_files import written
from lowerbound.data.sources import DataConfig
from lowerbound.evaluation.results import read_results
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.inference import anomaly, imputation, tasks
from lowerbound.reporting.plots import PLOTS
from lowerbound.runs import inspection
from lowerbound.runs.experiment import resolve
from lowerbound.runs.inputs import InputOptions, read_inputs
from lowerbound.runs.preparation import default_path
from lowerbound.runs.run import Callbacks, train
from lowerbound.runs.trained_model import load
from lowerbound.training.checkpoint import load_model

RNG = np.random.default_rng(0)
SHORT = {"training": {"num_epochs": 2, "min_steps": 0}, "evaluation": {"num_draws": 2, "num_exact": 4}}


def stripes(number: int, size=(24, 16)) -> Image.Image:
    """Colour stripes of their own width and phase."""
    wave = np.sin(np.arange(size[0]) / (1 + number % 3) + number)
    rows = np.stack([127 + 120 * wave * shade for shade in (1.0, 0.5, -0.7)], axis=-1)
    return Image.fromarray(np.repeat(rows[np.newaxis], size[1], axis=0).clip(0, 255).astype(np.uint8))


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(40):
        label = "wide" if number % 2 else "narrow"
        (folder / label).mkdir(exist_ok=True)
        size = (24, 16) if number % 4 else (30, 30)
        stripes(number, size).save(folder / label / f"{number:02d}.png")
    written(folder / "narrow" / "broken.png", b"no image")
    return folder


@pytest.fixture(scope="module")
def photo_run(photos, tmp_path_factory):
    heard = []
    path = tmp_path_factory.mktemp("photo-run") / "run"
    settings = {**SHORT, "data": {"size": "24x16", "skip_broken": True}}
    train(str(photos), out=path, settings=settings, callbacks=Callbacks(message=heard.append))
    return path, heard


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Rows in which everything follows from one hidden number, some cells missing."""
    hidden = RNG.normal(size=400)
    lines = ["length,visits,city,is_new"]
    for z in hidden:
        cells = [
            f"{10 + 3 * z + 0.1 * RNG.normal():.3f}",
            str(RNG.poisson(np.exp(1 + z))),
            ("Bonn", "Lyon", "Oslo")[int(np.digitize(z, [-0.5, 0.5]))],
            "yes" if z > 0 else "no",
        ]
        if RNG.random() < 0.3:
            cells[RNG.integers(4)] = ""
        lines.append(",".join(cells))
    return written(tmp_path_factory.mktemp("table") / "rows.csv", "\n".join(lines).encode())


@pytest.fixture(scope="module")
def table_run(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("table-run") / "run"
    training = {"num_epochs": 40, "min_steps": 0, "batch_size": 40, "learning_rate": 4e-3}
    settings = {"training": training, "model": {"latent_dim": 1}, "evaluation": SHORT["evaluation"]}
    train(str(table), out=path, settings=settings)
    return path


# ---- images


def test_a_run_says_what_was_found_chosen_and_skipped(photo_run):
    path, heard = photo_run
    told = "\n".join(heard)
    assert "40 examples of 24×16 pixels with 3 channels; colour: images of several channels" in told
    assert "likelihood: discretized-logistic" in told and ", because values are on discrete levels" in told
    assert "resized to 24×16 pixels, cropped" in told and "broken.png" in told
    context = json.loads((path / "results.json").read_text())["context"]
    assert context["config"]["data"]["size"] == "24x16"
    assert "broken.png" in context["data"]["skipped"][0]
    report = (path / "report.html").read_text()
    assert "1 broken file" in report and "cropped" in report


def test_codes_carry_the_names_of_their_files_and_their_labels(photo_run, photos, tmp_path):
    path = tasks.encode(photo_run[0], [str(photos / "wide")], out=tmp_path / "codes.csv").path
    rows = read_rows(path)
    assert [row["id"] for row in rows] == [f"{number:02d}.png" for number in range(1, 40, 2)]
    latents = load_model(photo_run[0]).latent_dim
    assert {f"mean_{latents}", f"log_variance_{latents}"} <= set(rows[0])


def test_new_images_of_any_size_and_mode_are_brought_to_the_models(photo_run, tmp_path):
    new = tmp_path / "new.png"
    stripes(3, (300, 100)).convert("L").save(new)
    found = tasks.reconstruct(photo_run[0], [str(new)], out=tmp_path / "out.png")
    assert found.path.is_file() and found.scores[0].num_examples == 1


@pytest.mark.usefixtures("without_figures")
def test_new_images_are_brought_to_the_size_of_a_run_whose_own_were_of_one(tmp_path):
    for number in range(6):
        stripes(number, (12, 8)).save(tmp_path / f"{number}.png")
    train(str(tmp_path), out=tmp_path / "run", settings=SHORT)
    stripes(1, (90, 70)).save(tmp_path / "large.png")
    found = tasks.reconstruct(tmp_path / "run", [str(tmp_path / "large.png")], out=tmp_path / "run" / "out.png")
    assert found.scores[0].num_examples == 1


def test_broken_files_among_new_ones_are_named_and_skipped_where_that_was_chosen(photo_run, tmp_path):
    written(tmp_path / "new" / "0.png", b"broken")
    for number in (1, 2):
        stripes(number).save(tmp_path / "new" / f"{number}.png")
    new, out = [str(tmp_path / "new")], tmp_path / "out.csv"
    for use_them in (tasks.encode, anomaly.score):
        with pytest.raises(DataError, match=r"0\.png is not .* skip broken files with data.skip_broken"):
            use_them(photo_run[0], new, out=out)
        assert not out.exists()
    skipping = InputOptions(skip_broken=True)
    encoded = tasks.encode(photo_run[0], new, skipping, out=out)
    assert [row["id"] for row in read_rows(out)] == ["1.png", "2.png"] and "0.png" in encoded.skipped[0]
    scored = anomaly.score(photo_run[0], new, options=skipping)
    assert scored.ids == ("1.png", "2.png") and scored.skipped == encoded.skipped
    # Of four held-out examples two are what the score is fitted to.
    assert (scored.judged.threshold.num_examples, scored.judged.threshold.rate) == (2, 1 / 3)
    assert scored.judged.by == "complexity-residual" and "importance" not in scored.scores
    reconstructed = tasks.reconstruct(photo_run[0], new, options=skipping, out=tmp_path / "out.png")
    assert reconstructed.scores[0].num_examples == 2 and reconstructed.skipped == encoded.skipped


def test_where_there_is_one_file_alone_nothing_is_said_of_passing_over(photo_run, tmp_path):
    broken = written(tmp_path / "broken.png", b"broken")
    with pytest.raises(DataError) as caught:
        tasks.interpolate(photo_run[0], "0", str(broken))
    assert "skip_broken" not in str(caught.value)


def test_parquet_and_json_hold_what_the_csv_holds(photo_run, photos, tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    inputs = [str(photos / "wide")]
    rows = read_rows(tasks.encode(photo_run[0], inputs, out=tmp_path / "a.csv").path)
    columns = parquet.read_table(tasks.encode(photo_run[0], inputs, out=tmp_path / "a.parquet").path).to_pydict()
    records = json.loads(tasks.encode(photo_run[0], inputs, out=tmp_path / "a.json").path.read_text())
    for index, row in enumerate(rows):
        assert list(row) == list(columns) == list(records[index])
        assert row["id"] == columns["id"][index] == records[index]["id"]
        assert (
            float(row["mean_1"]) == pytest.approx(columns["mean_1"][index]) == pytest.approx(records[index]["mean_1"])
        )


def test_samples_can_be_written_one_by_one(photo_run, tmp_path):
    folder = tasks.sample(photo_run[0], 12, folder=tmp_path / "samples")
    paths = sorted(folder.iterdir())
    assert [path.name for path in paths] == [f"{index:02d}.png" for index in range(12)]
    assert Image.open(paths[0]).size == (24, 16)
    rows = Image.open(tasks.sample(photo_run[0], 6, out=tmp_path / "grid.png", num_columns=2))
    columns = Image.open(tasks.sample(photo_run[0], 6, out=tmp_path / "grid.png", num_columns=6))
    assert rows.height > rows.width and columns.width > columns.height
    assert tasks.read_grid("6x1") == (6, 1)
    for wrong in ("6", "0x3", "101x100"):
        with pytest.raises(UsageError, match="is not COLUMNSxROWS of at most 10,000 images"):
            tasks.read_grid(wrong)
    with pytest.raises(UsageError, match="is not empty; choose another folder"):
        tasks.sample(photo_run[0], 12, folder=folder)


def test_inspecting_writes_a_sheet_and_finds_duplicates_and_broken_files(photos, tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        stripes(1 if name != "c.png" else 2).save(tmp_path / "more" / name)
    found = inspection.inspect(DataConfig(source=str(tmp_path / "more")), tmp_path / "sheet.png")
    assert (found.num_examples, found.num_duplicates, found.kind) == (3, 1, "colour")
    assert found.shape == (3, 16, 24) and sum(found.histogram) == 3 * 3 * 16 * 24
    assert Image.open(found.sheet).size[0] > 72
    skipping = inspection.inspect(DataConfig(source=str(photos), skip_broken=True))
    assert len(skipping.skipped) == 1 and skipping.labels == {"narrow": 20, "wide": 20} and not skipping.sheet


@pytest.mark.usefixtures("without_figures")
def test_16_bit_images_are_read_by_a_trained_model_as_they_were_in_training(tmp_path):
    (tmp_path / "depth").mkdir()
    for number in range(20):
        pixels = np.full((8, 10), 3000 * number, np.uint16)
        pixels[number % 8] = 60_000
        Image.fromarray(pixels).save(tmp_path / "depth" / f"{number:02d}.png")
    train(str(tmp_path / "depth"), out=tmp_path / "run", settings=SHORT)
    examples = read_inputs(load(tmp_path / "run"), [str(tmp_path / "depth")]).examples
    assert examples.max_value == 65_535 and examples.support.high == pytest.approx(60_000 / 65_535)
    assert examples.values[1, 0, 0] == 3000


# ---- what is strange


@pytest.mark.usefixtures("without_figures")
def test_scores_flag_the_stated_share_of_normal_examples_and_what_is_strange(tmp_path):
    # Rows on a line, as the model learns; strange ones lie off it, where each column alone is usual.
    z = RNG.normal(size=(2000, 1))
    np.save(
        tmp_path / "x.npy", (z @ np.array([[1.0, -1.0, 2.0]]) + 0.05 * RNG.normal(size=(2000, 3))).astype(np.float32)
    )
    training = {"num_epochs": 20, "min_steps": 0, "batch_size": 128, "learning_rate": 4e-3}
    settings = {"training": training, "model": {"latent_dim": 1}, "evaluation": SHORT["evaluation"]}
    train(str(tmp_path / "x.npy"), out=tmp_path / "run", settings=settings)
    normal = anomaly.score(tmp_path / "run", [], false_alarm_rate=0.1)
    assert 0.03 < normal.is_anomalous.mean() < 0.2
    np.save(tmp_path / "odd.npy", np.array([[1.0, 1.0, 1.0], [0.5, -0.5, 1.0]], np.float32))
    out = tmp_path / "scores.csv"
    odd = anomaly.score(tmp_path / "run", [str(tmp_path / "odd.npy")], by="negative-elbo", out=out)
    assert odd.is_anomalous.tolist() == [True, False]
    rows = read_rows(out)
    assert [row["anomalous"] for row in rows] == ["1", "0"] and float(rows[0]["negative-elbo"]) > 0


@pytest.mark.usefixtures("without_figures")
def test_a_score_that_is_unknown_or_a_run_without_held_out_examples_is_refused(tmp_path, photo_run):
    with pytest.raises(UsageError, match=r"unknown score 'elbo'; .*accepted: .*negative-elbo"):
        anomaly.score(photo_run[0], [], by="elbo")
    settings = {**SHORT, "data": {"validation": "test"}}
    train("digits", recipe="dense", out=tmp_path / "run", settings=settings)
    with pytest.raises(UsageError, match="has no thresholds for anomaly scores: training held out no examples"):
        anomaly.score(tmp_path / "run", [])


# ---- tables


def test_missing_cells_are_filled_with_what_the_others_tell_of_them(table_run, tmp_path):
    new = written(tmp_path / "new.csv", b"length,visits,city,is_new\n14.5,,,\n,0,Bonn,no\n5.5,,,\n10.0,3,Lyon,yes\n")
    found = imputation.impute(table_run, new, out=tmp_path / "filled.csv")
    rows = read_rows(found.path)
    assert found.num_filled == 7 == len(read_rows(found.fills_path))
    assert (rows[0]["city"], rows[0]["is_new"]) == ("Oslo", "yes") and float(rows[0]["visits"]) > 5
    assert (rows[2]["city"], rows[2]["is_new"]) == ("Bonn", "no") and float(rows[2]["visits"]) < 3
    assert float(rows[1]["length"]) < 9
    assert [rows[3][name] for name in ("length", "visits", "city", "is_new")] == ["10.0", "3", "Lyon", "yes"]


def test_rows_are_drawn_in_the_words_of_the_table(table_run, tmp_path):
    rows = read_rows(tasks.sample(table_run, 300, out=tmp_path / "rows.csv"))
    assert {row["city"] for row in rows} == {"Bonn", "Lyon", "Oslo"} and {row["is_new"] for row in rows} == {
        "yes",
        "no",
    }
    assert all(float(row["visits"]) >= 0 and float(row["visits"]).is_integer() for row in rows)
    lengths = {
        city: np.mean([float(row["length"]) for row in rows if row["city"] == city]) for city in ("Bonn", "Oslo")
    }
    assert lengths["Oslo"] > lengths["Bonn"] + 2


def test_a_tables_report_calls_its_columns_by_their_names(table_run):
    context = json.loads((table_run / "results.json").read_text())["context"]
    assert [column["name"] for column in context["data"]["columns"]] == ["length", "visits", "city", "is_new"]
    assert re.search(r"rows of 4\scolumns", (table_run / "report.html").read_text())
    figure = PLOTS["sampled_features"].draw(read_results(table_run))
    texts = {text.get_text() for text in figure.findobj(Text)}
    assert {"length", "visits", "city", "is_new", "Oslo", "yes"} <= texts


def test_a_table_has_figures_of_its_columns_and_no_pictures(table_run):
    figures = {path.stem for path in (table_run / "figures").iterdir()}
    assert {"sampled_features", "reconstructed_features", "rates"} <= figures
    assert not {"samples", "reconstructions", "traversals"} & figures


def test_rows_are_reconstructed_and_interpolated_as_rows(table_run, tmp_path):
    new = written(
        tmp_path / "new.csv", b"length,visits,city,is_new\n14.5,12,Oslo,yes\n5.5,0,Bonn,no\n10.0,3,Lyon,yes\n"
    )
    found = tasks.reconstruct(table_run, [str(new)], out=tmp_path / "rows.csv")
    rows = read_rows(found.path)
    assert [row["city"] for row in rows] == ["Oslo", "Bonn", "Lyon"]
    np.testing.assert_allclose([float(row["length"]) for row in rows], [14.5, 5.5, 10.0], atol=1.5)
    assert found.scores[0].num_examples == 3
    line = read_rows(tasks.interpolate(table_run, str(new), "1", 5, out=tmp_path / "line.csv"))
    assert len(line) == 5 and line[0]["city"] == "Oslo"
    with pytest.raises(UsageError, match=r"ends in '\.png'; accepted: \.csv"):
        tasks.reconstruct(table_run, [], out=tmp_path / "rows.png")


def test_a_table_without_the_models_columns_is_refused(table_run, tmp_path):
    new = written(tmp_path / "new.csv", b"length,visits\n14.5,1\n")
    with pytest.raises(DataError, match="lacks 'city', 'is_new'"):
        tasks.encode(table_run, [str(new)], out=tmp_path / "codes.csv")


def test_a_run_of_data_alone_is_named_by_them():
    assert default_path(resolve("", {"data": {"source": "some/photos.zip"}})) == Path("runs/photos")
    assert default_path(resolve("")) == Path("runs/digits")
    assert default_path(resolve("conv", {"data": {"source": "mnist"}})) == Path("runs/conv-mnist")
