"""Text in the words of a run's data and model."""

import dataclasses
import re

import pytest

from lowerbound.reporting import wording
from lowerbound.reporting.plots import PLOTS, plots_for
from lowerbound.reporting.report import write_report
from lowerbound.reporting.terms import adapted_wording
from parsed_pages import Page

OF_OTHERS = re.compile(r"\b(ELBO|posteriors?|priors?|KL|evidence|rate|log p\(x\))\b")


@pytest.fixture(scope="module")
def autoencoder(make_results):
    return make_results(variational=False)


def test_text_about_data_other_than_images_speaks_of_examples(make_results):
    text = "Images, test images and each image of grey pixels; not what is imagined."
    assert adapted_wording(make_results(), text) == text
    adapted = "Examples, test examples and each example of grey values; not what is imagined."
    assert adapted_wording(make_results(rows=True), text) == adapted
    assert "trained on 1,257 rows of 4 columns" in wording.lead(make_results(rows=True))


def test_captions_of_an_autoencoder_speak_of_its_codes_and_of_nothing_that_it_does_not_have(autoencoder):
    for plot in plots_for(autoencoder).values():
        caption = adapted_wording(autoencoder, plot.caption)
        assert not OF_OTHERS.search(caption)
        assert len(caption) > 100 and caption.endswith(".")
    assert "each dot is a test image at its code," in adapted_wording(autoencoder, PLOTS["latent_space"].caption)


@pytest.mark.parametrize("rows", [False, True])
def test_an_autoencoders_report_is_in_an_autoencoders_words(make_results, tmp_path, rows):
    results = make_results(variational=False, rows=rows)
    results.arrays.pop("elements_drawn", None)  # there is no prior to draw from
    for metric in ("rate per latent", "samples", "manifold", "traversals", "features"):
        results.left_out[metric] = "a deterministic autoencoder has no log p(x) and no rate"
    context = {**results.context, "config": {"model": {"posterior": "point-mass", "latent_dim": 2}}}
    results = dataclasses.replace(results, context=context)
    text = Page(write_report(results, tmp_path)).text
    text = text.replace('posterior = "point-mass"', "")  # of the configuration
    assert not OF_OTHERS.search(text)
    assert "bound" not in text.replace("lowerbound", "")


def test_an_autoencoder_with_a_fitted_prior_has_captions_on_it(make_results):
    results = make_results(variational=False)
    results.arrays["samples"] = results.arrays["originals"]
    assert "draw from the prior" in adapted_wording(results, PLOTS["samples"].caption)


def test_a_text_is_never_left_empty(autoencoder):
    text = "lower bound on the distortion of grey pixels"
    assert adapted_wording(autoencoder, text) == text
