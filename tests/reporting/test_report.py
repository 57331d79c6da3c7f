import dataclasses
import re
from importlib import resources
from urllib.parse import unquote

import pytest
from matplotlib.figure import Figure
from PIL import Image

from lowerbound.evaluation import metrics
from lowerbound.evaluation.results import NOTE, SERIOUS, WARNING, Checked, Finding, Results
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.number_format import format_estimate
from lowerbound.reporting import plots
from lowerbound.reporting.plots import PLOTS, Plot, plots_for
from lowerbound.reporting.report import write_index, write_report
from parsed_pages import Page

MEBIBYTE = 2**20
SECTIONS = ["overview", "numbers", "diagnostics", "bound", "figures", "layers", "run", "not-shown"]

FINDING = Finding(
    name="holes in the latent space",
    severity=WARNING,
    sentence="The codes fill a third of it.",
    number=1.23456,
    threshold=1.0,
    unit="nats from the aggregate posterior to the prior",
    remedy="a higher --set objective.rate_weight=2 (at least 1), or `conv`",
    source="Hoffman and Johnson, 2016",
)


@pytest.fixture(scope="module")
def results(make_results):
    return make_results(manifold_sizes=(3,))


@pytest.fixture(scope="module")
def run(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "a run"
    results.write(path)
    write_report(results, path)
    return path


@pytest.fixture(scope="module")
def page(run):
    return Page(run / "report.html")


@pytest.fixture(scope="module")
def autoencoder(make_results):
    model = {"posterior": "point-mass", "latent_dim": 2}
    return make_results(variational=False, context={"config": {"model": model}})


@pytest.fixture(scope="module")
def autoencoder_run(autoencoder, tmp_path_factory):
    """A report over an older one, in a folder that holds files of others, too."""
    path = tmp_path_factory.mktemp("runs") / "b & c"
    (path / "figures").mkdir(parents=True)
    for name in ("samples.png", "manifold_7.png", "holiday.png", "manifold_7.txt"):
        (path / "figures" / name).write_bytes(b"")
    autoencoder.write(path)
    write_report(autoencoder, path)
    return path


def without_figures(results: Results) -> Results:
    return dataclasses.replace(results, arrays={}, history=())


@pytest.mark.parametrize(
    "row",
    [
        "ELBO what elbo means −24.70 ± 0.15 nats test grey 360 16",
        "ELBO what elbo means −23.900 ± 0.020 nats train grey 360 16",
        "Rate what rate means 2.178 ± 0.040 nats test grey 360 16",
        "Squared error what squared-error means 0.04085 ± 0.00097 per pixel test grey 360 –",
        "Floor of grey pixels what grey-floor means 13.50 ± 0.13 nats test grey 360 –",
    ],
)
def test_every_score_stands_in_the_report_with_error_unit_split_and_convention(page, row):
    assert row in page.text


def test_the_headline_is_minus_the_elbo_of_the_test_split(page):
    assert "−ELBO per image, test split, grey pixels; lower is better 24.70 ± 0.15 nats" in page.text


def test_the_page_loads_nothing(page):
    for tag in ("img", "link", "a", "script", "iframe"):
        for attributes in page.all(tag):
            target = attributes.get("src") or attributes.get("href") or ""
            assert target.startswith(("data:", "#"))
    assert set(re.findall(r"url\((.)", page.source)) <= {"#"}
    assert all(attributes["href"].startswith(("data:", "#")) for attributes in page.all("image") + page.all("use"))
    assert "@import" not in page.source


def test_headings_identifiers_and_contents_are_in_order(page):
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert len(page.all("h1")) == 1
    assert {attributes["href"] for attributes in page.all("a")} == {
        "#overview",
        "#numbers",
        "#diagnostics",
        "#bound",
        "#figures",
        "#layers",
        "#run",
        "#not-shown",
    }
    assert [name for name in identifiers if name in SECTIONS] == SECTIONS


def test_every_figure_has_a_description_and_its_caption(page, results):
    plots = plots_for(results)
    described = {figure["aria-label"] for figure in page.figures}
    assert len(page.figures) == len(plots)
    for plot in plots.values():
        first, _, rest = plot.caption.partition(". ")
        assert f"{plot.title}. {first.rstrip('.')}." in described
        assert first in page.text and rest in page.text


def test_every_figure_is_written_as_a_png_at_twice_the_resolution_of_the_page(run, page, results):
    paths = sorted((run / "figures").iterdir())
    assert {path.name for path in paths} == {f"{name}.png" for name in plots_for(results)}
    drawn = {figure["aria-label"]: figure for figure in page.figures}
    for name, plot in plots_for(results).items():
        (figure,) = (figure for label, figure in drawn.items() if label.startswith(f"{plot.title}. "))
        with Image.open(run / "figures" / f"{name}.png") as image:
            assert image.width / int(figure["width"]) == pytest.approx(200 / 96, rel=0.01)


def test_the_first_screen_has_the_key_number_and_the_figures_that_show_most(page):
    first = page.source[page.source.index('<section id="overview"') : page.source.index('<section id="numbers"')]
    assert "24.70 ± 0.15" in first
    assert re.findall(r'<h3 id="(\w+)"', first) == ["reconstructions", "manifold_3", "latent_space"]


def test_the_short_table_has_at_most_five_rows_with_both_splits_and_the_rest_is_folded(page):
    short, _, rest = page.source[page.source.index('<section id="numbers"') :].partition("<details")
    assert short.count("<tr>") == 1 + 3  # what these results have of the scores that count most
    assert "−24.70 ± 0.15" in short and "−23.900 ± 0.020" in short
    assert rest.index("All 6 numbers") < rest.index("</details>")


def test_the_short_table_says_over_how_many_examples_its_numbers_are(results, tmp_path):
    few = [dataclasses.replace(score, num_examples=7) if score.name == "rate" else score for score in results.scores]
    write_report(dataclasses.replace(results, scores=tuple(few)), tmp_path)
    source = (tmp_path / "report.html").read_text()
    short = source[source.index('<section id="numbers"') :].partition("<details")[0]
    assert re.search(r"; test: over 7 (of [\d,]+ )?examples", short)
    assert re.search(r'Test<span class="meaning">[\d,]+ (of [\d,]+ )?examples', short)


def test_what_is_not_shown_is_named_with_its_reason(make_results, tmp_path):
    reasons = {"traversals": "needs more than 2 latents, but the model has 2", "diagnosis": "failed: ValueError: x"}
    page = Page(write_report(dataclasses.replace(without_figures(make_results()), left_out=reasons), tmp_path))
    assert "Latent traversals: needs more than 2 latents, but the model has 2" in page.text
    names = "Importance-weighted bounds, Inference gaps, True posterior and encoder, Where the bits go"
    assert f"{names}: not measured yet: lowerbound evaluate RUN" in page.text
    assert "diagnosis: failed: ValueError: x" in page.text


def raises(results):
    raise ValueError("no such\ncolumn")


def returns_axes(results):
    return Figure().subplots()


BROKEN = {
    "raises": (Plot(raises, lambda results: "", "Mine"), "Mine: failed: ValueError: no such column"),
    "returns no figure": (
        Plot(returns_axes, lambda results: "", "Mine"),
        "Mine: failed: TypeError: it returned a Axes instead of a matplotlib Figure",
    ),
    "condition raises": (Plot(returns_axes, raises, "Mine"), "Mine: failed: ValueError: no such column"),
    "condition is a bool": (
        Plot(returns_axes, lambda results: True, "Mine"),
        "Mine: failed: TypeError: its condition returned a bool instead of a text",
    ),
    "no row": (returns_axes, "mine: failed: PLOTS['mine'] is a function instead of a Plot"),
}


@pytest.mark.parametrize(("row", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_plot_that_fails_is_named_and_the_others_are_drawn(make_results, tmp_path, monkeypatch, row, reason):
    monkeypatch.setattr(metrics, "CAUGHT", (Exception,))
    monkeypatch.setattr(plots, "PLOTS", {"samples": PLOTS["samples"], "mine": row})
    (tmp_path / "figures").mkdir()
    messages = []
    page = Page(write_report(make_results(manifold_sizes=()), tmp_path, messages.append))
    assert reason in page.text
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["samples.png"]
    title, _, why = reason.partition(": ")
    assert messages == [f"not drawn: {title} ({why})"]


def test_the_report_is_of_modest_size(run):
    assert (run / "report.html").stat().st_size < MEBIBYTE


def test_the_same_results_give_the_same_page(autoencoder, autoencoder_run, tmp_path):
    assert write_report(autoencoder, tmp_path).read_bytes() == (autoencoder_run / "report.html").read_bytes()


def test_nothing_unfinished_is_left_behind(run):
    assert [path for path in run.rglob("*") if ".part" in path.name] == []


def test_the_bound_has_a_section_with_its_own_figures_before_the_others(make_results, tmp_path):
    page = Page(write_report(make_results(full=True, manifold_sizes=(3,)), tmp_path))
    bound, figures = (page.source.index(f'<section id="{name}">') for name in ("bound", "figures"))
    for name, plot in plots_for(make_results(full=True, manifold_sizes=(3,))).items():
        place = page.source.index(f'<h3 id="{name}">')
        assert (bound < place < figures) == (plot.section == "bound")
    assert "Tightness of the bound" in page.text


def test_without_a_measurement_the_section_says_how_to_make_one(page):
    assert "The gap to log p(x) has not been measured yet: lowerbound evaluate RUN" in page.text


def test_diagnostics_that_were_not_run_name_their_command(page):
    assert "Diagnostics not run yet: lowerbound diagnose RUN" in page.text


def test_a_model_without_findings_has_no_problems(results, tmp_path):
    page = Page(write_report(dataclasses.replace(without_figures(results), findings=()), tmp_path))
    assert "No problems found." in page.text
    assert page.all("article") == []


def test_a_finding_is_shown_with_severity_number_unit_threshold_basis_and_remedy(results, tmp_path):
    serious = dataclasses.replace(FINDING, name="decoder ignores z", severity=SERIOUS, number=-0.04, unit="<nats>")
    findings = (serious, FINDING, dataclasses.replace(FINDING, severity=NOTE))
    page = Page(write_report(dataclasses.replace(without_figures(results), findings=findings), tmp_path))
    assert len(page.all("article")) == 3
    assert "Serious decoder ignores z The codes fill a third of it. Measured −0.04 <nats>; threshold 1" in page.text
    assert (
        "Warning holes in the latent space The codes fill a third of it. Measured 1.23 nats from the aggregate "
        "posterior to the prior; threshold 1 Remedy a higher --set objective.rate_weight=2 (at least 1), or "
        "conv Basis Hoffman "
        "and Johnson, 2016" in page.text
    )
    assert "<code>--set objective.rate_weight=2</code> (at least 1), or <code>conv</code>" in page.source


def test_checks_are_listed_with_outcome_value_and_threshold(results, tmp_path):
    passed = Checked(name="a", passes="all is well", number=90.0, standard_error=2.0, threshold=0.1, unit="nats")
    failed = dataclasses.replace(
        passed, name="b", passes="the prior is filled", number=2.0, is_lower_bound=False, finding=FINDING
    )
    unmade = Checked(name="c", passes="weights are reliable")
    checks = (passed, failed, unmade, dataclasses.replace(unmade, passes="it is used", reason="not yet trained"))
    page = Page(write_report(dataclasses.replace(without_figures(results), checks=checks), tmp_path))
    for row in (
        f"✓ passed all is well {format_estimate(90.0, 2.0, 'nats')} nats at least 0.1",
        f"✗ failed the prior is filled {format_estimate(2.0, 2.0, 'nats')} nats at most 0.1",
        "– not checked weights are reliable not measured yet: lowerbound evaluate RUN –",
        "– not checked it is used not yet trained –",
        "1 of 2 checks passed.",
        "Warning holes in the latent space The codes fill a third of it.",
    ):
        assert row in page.text
    assert len(page.all("article")) == 1
    whole = dataclasses.replace(without_figures(results), checks=checks, findings=())
    assert "weights are reliable does not apply –" in Page(write_report(whole, tmp_path)).text


def test_weights_are_reported_with_their_effective_size_and_the_shape_of_their_tail(make_results, tmp_path):
    changes = {"num_draws": 5000, "effective_sample_size": 164.2, "pareto_k": 0.656}
    results = without_figures(make_results())
    weighted = dataclasses.replace(results.scores[0], name="importance-bound", **changes)
    page = Page(write_report(dataclasses.replace(results, scores=(*results.scores, weighted)), tmp_path))
    assert (
        "what elbo means; effective sample size 164 of 5,000, median over images; Pareto-k 0.66, median over images "
        "(above 0.7 the weights are unreliable) −24.70 ± 0.15 nats test grey 360 5,000" in page.text
    )


def test_what_was_run_is_listed(page):
    for text in (
        "lowerbound train digits --out runs/a",
        "Seed 7",
        "somebody's digits",
        "CC BY 4.0",
        "c0ffee",
        "1,257 train, 180 validation, 360 test",
        "3 epochs, stopped early, weights of epoch 2 kept, 1 min 21 s",
        "lowerbound 0.1.0, torch 2.13.0",
        "a processor, Linux, 2 threads, on cpu",
        'likelihood = "bernoulli"',
    ):
        assert text in page.text


def test_layers_are_listed_with_their_shapes_and_summed(page):
    assert "heads Linear 4 2,052 Total 35,332" in page.text
    assert "output Linear 64 × 2 × 2 32,832 Total 32,832" in page.text
    assert "68,165 parameters in total, including 1 of the likelihood." in page.text


@pytest.mark.parametrize("monitored", ["test", "validation", None])
def test_the_warning_about_monitored_test_images_appears_exactly_when_they_were(make_results, tmp_path, monitored):
    results = without_figures(make_results(variational=False, context={"data": {"monitored": monitored}}))
    page = Page(write_report(results, tmp_path))
    assert ("not held out" in page.text) == (monitored == "test")
    assert bool(page.all("aside")) == (monitored == "test")


def test_special_characters_are_shown_and_not_obeyed(make_results, tmp_path):
    evil = "<script>alert('x')</script> & \"quotes\""
    context = {"command": evil, "recipe": evil, "data": {"name": evil, "label_names": [evil], "source": evil}}
    page = Page(write_report(make_results(num_labels=1, context=context, variational=False), tmp_path))
    assert page.all("script") == []
    assert page.text.count(evil) >= 4


def test_figures_that_no_longer_apply_are_removed_and_files_of_others_stay(autoencoder_run):
    drawn = {"reconstruction_error.png", "reconstructions.png", "latent_space.png"}
    of_others = {"holiday.png", "manifold_7.txt"}
    assert {path.name for path in (autoencoder_run / "figures").iterdir()} == drawn | of_others


def test_a_deterministic_autoencoder_is_reported_without_an_elbo(autoencoder_run):
    page = Page(autoencoder_run / "report.html")
    assert "reconstruction error per image, test split, grey pixels; lower is better 21.57 ± 0.20 nats" in page.text
    assert "A plain autoencoder with 2 latent dimensions" in page.text
    assert "ELBO" not in page.text
    assert "bound?" not in page.text
    assert "Diagnostics" in page.text
    assert PLOTS["reconstruction_error"].caption in page.text


def test_results_with_nothing_in_them_still_make_a_page(tmp_path):
    page = Page(write_report(Results((), {}, {}), tmp_path))
    assert page.all("h1")


@pytest.mark.parametrize(
    "missing", ["recipe", "command", "seed", "data", "config", "layers", "training", "versions", "machine"]
)
def test_a_missing_part_of_the_context_leaves_a_line_out(make_results, tmp_path, missing):
    results = without_figures(make_results(variational=False))
    context = {key: value for key, value in results.context.items() if key != missing}
    page = Page(write_report(dataclasses.replace(results, context=context), tmp_path))
    assert "21.57 ± 0.20" in page.text
    assert "None" not in page.text


def test_the_key_number_is_placed_between_the_floor_and_the_level_without_z(page):
    # (27.08 - 24.7012) / (27.08 - 13.5) = 0.175
    assert "between 13.50 nats" in page.text
    assert "27.08 nats" in page.text
    assert "covers 18 %" in page.text
    assert "expectation over random binarisations" in page.text


def test_the_index_links_to_every_report_by_a_relative_path(run, autoencoder_run, tmp_path):
    folder = tmp_path / "elsewhere"
    index = Page(write_index([run, autoencoder_run], folder / "index.html"))
    links = [unquote(attributes["href"]) for attributes in index.all("a")]
    assert [(folder / link).resolve() for link in links] == [run / "report.html", autoencoder_run / "report.html"]
    assert not any(link.startswith("/") for link in links)
    assert "24.70 ± 0.15 nats" in index.text
    assert "21.57 ± 0.20 nats" in index.text
    pictures = [attributes["src"] for attributes in index.all("img")]
    assert len(pictures) == 4
    assert all(picture.startswith("data:image/png;base64,") for picture in pictures)


def test_the_index_shows_a_run_without_figures_and_refuses_a_folder_without_results(make_results, tmp_path):
    make_results().write(tmp_path / "bare")
    index = Page(write_index([tmp_path / "bare"], tmp_path / "index.html"))
    assert index.all("img") == []
    assert "dense on digits" in index.text
    with pytest.raises(RunError, match="does not exist"):
        write_index([tmp_path], tmp_path / "index.html")


def test_an_index_of_no_runs_is_a_page(tmp_path):
    assert "0 runs" in Page(write_index([], tmp_path / "index.html")).text


def test_the_templates_lie_beside_the_module_and_carry_no_address_of_the_network():
    folder = resources.files("lowerbound.reporting")
    for name in ("page.html.j2", "report.html.j2", "index.html.j2"):
        assert not re.search(r"https?://", (folder / name).read_text(encoding="utf-8"))
