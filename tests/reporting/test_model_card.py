"""The model card: YAML that the hub reads, Markdown that shows names as they are."""

from dataclasses import replace

import pytest

from lowerbound.reporting.model_card import model_card

yaml = pytest.importorskip("yaml", reason="PyYAML reads the card's metadata")


def front_matter(card):
    start, metadata, body = card.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(metadata), body


def card_of(results, **changes):
    options = {"folder": "digits-vae", "units": "N×8×8×1", "has_scores": True, "is_generative": True}
    return front_matter(model_card(results, **(options | changes)))


def test_every_score_is_in_the_metadata_and_in_the_table(make_results):
    results = make_results()
    metadata, body = card_of(results)
    (index,) = metadata["model-index"]
    found = {
        (metric["type"], part["dataset"]["split"]): metric["value"]
        for part in index["results"]
        for metric in part["metrics"]
    }
    assert found == {(score.name, score.split): score.value for score in results.scores}
    assert all(f"| {score.name} | {score.text} |" in body for score in results.scores)
    assert metadata["library_name"] == "lowerbound" and "variational-autoencoder" in metadata["tags"]


def test_the_hub_reads_its_evaluation_results(make_results, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="it reads model cards")
    results = make_results()
    (tmp_path / "README.md").write_text(model_card(results, "x", "N", True, True), encoding="utf-8")
    card = hub.ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "lowerbound"
    assert {result.metric_value for result in card.data.eval_results} == {score.value for score in results.scores}


def test_what_the_model_cannot_do_is_not_in_the_example(make_results):
    _, body = card_of(make_results(variational=False), has_scores=False, is_generative=False)
    assert "model.score" not in body and "model.generate" not in body and 'lb.load("digits-vae")' in body


@pytest.mark.parametrize("name", ['a"b: [c', "x\n---\ny", "<script>|`**", "#tag", "\ud800\x07\x9b", "null", "日本 😀"])
def test_names_of_data_break_neither_part(make_results, name):
    results = make_results()
    results = replace(results, context=results.context | {"data": results.context["data"] | {"name": name}})
    metadata, body = card_of(results, folder=name, units=name)
    shown = metadata["model-index"][0]["results"][0]["dataset"]["name"]
    assert isinstance(shown, str) and shown
    assert body.startswith("\n# ") and "<script>" not in body.replace("lb.load", "").split("```")[0]
    assert body.count("```") % 2 == 0


def test_numbers_that_are_none_are_left_out_of_the_metadata(make_results):
    results = make_results()
    first, *others = results.scores
    metadata, _ = card_of(replace(results, scores=(replace(first, value=float("nan")), *others)))
    assert first.name not in [metric["type"] for metric in metadata["model-index"][0]["results"][0]["metrics"]]
