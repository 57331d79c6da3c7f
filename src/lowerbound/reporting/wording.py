"""Report text: names of scores and conventions, the headline and its placement, facts about a run, findings."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lowerbound.data.split_names import SPLITS
from lowerbound.evaluation.results import NOTE, SERIOUS, WARNING, Finding, Results, Score
from lowerbound.evaluation.thresholds import PARETO_K_BOUND
from lowerbound.foundation.number_format import (
    MINUS,
    format_duration,
    format_estimate,
    format_number,
    format_significant,
    format_sizes,
)
from lowerbound.foundation.text import pluralise
from lowerbound.reporting.terms import adapted_wording

TITLES = {
    "elbo": "ELBO",
    "z-free-distortion": "Distortion without z",
    "grey-floor": "Floor of grey pixels",
    "log-evidence": "Log-evidence",
    "grey-evidence": "Log-evidence (grey pixels)",
    "grey-evidence-not-converged": "Log-evidence (grey pixels, not converged)",
    "evidence-gap": "Log-evidence minus ELBO",
    "evidence-bits": "Log-evidence, bits per dimension",
    "importance-bound": "Importance-weighted bound",
    "importance-error": "Importance-weighting error",
    "coded-excess": "Coded rate minus −ELBO",
    "aggregate-kl": "Aggregate KL",
    "neighbour-probe": "Nearest-neighbour probe",
    "mig": "Mutual information gap (MIG)",
    "sap": "Separated attribute predictability (SAP)",
    "dci-disentanglement": "DCI, disentanglement",
    "dci-completeness": "DCI, completeness",
    "dci-informativeness": "DCI, informativeness",
    "factor-vae-score": "FactorVAE score",
}
"""Scores whose title is not simply their name in words."""

NOT_CONVERGED = "-not-converged"

CONVENTIONS = {
    "grey": (
        "Grey: pixels between 0 and 1 are treated as probabilities, so a Bernoulli log-likelihood is an expectation "
        "over random binarisations of each image. These numbers are not comparable with those of binarised images."
    ),
    "binary": "Binary: every pixel is 0 or 1, and log p(x|z) is a log-probability.",
    "density": (
        "Density: log p(x|z) is a log-density of values on the model's scale (pixels scaled to [0, 1], other numbers "
        "in their own unit), not a log-probability. It may be positive, and it is not comparable with numbers on "
        "another scale or of discrete values."
    ),
    "levels": (
        "Levels: log p(x|z) is the log-probability of the values as they are stored, such as 8-bit pixels; −log2 p is "
        "a number of bits."
    ),
    "counts": "Counts: log p(x|z) is the log-probability of non-negative integers.",
    "table": (
        "Table: log p(x|z) adds log-probabilities of categories and counts to log-densities of numbers in their own "
        "unit; missing cells are excluded. It is comparable only between models of the same columns, and is not a "
        "number of bits."
    ),
    "discrete table": (
        "Discrete table: every column contains categories or counts, and log p(x|z) is the log-probability of the "
        "cells that are present; bits are per known cell."
    ),
}


BINARISATIONS = {
    "static binarisation": (
        "Static binarisation: every grey pixel was set to 0 or 1 once, at random, with its grey value as the "
        "probability of 1; another seed gives other images and slightly different numbers."
    ),
    "dynamic binarisation": (
        "Dynamic binarisation: training images are binarised again on every pass, at random, with their grey values as "
        "the probabilities; validation and test images were drawn once."
    ),
}

SEVERITIES = {
    SERIOUS: ("Serious", "the model is not usable as it is"),
    WARNING: ("Warning", "the model has a problem"),
    NOTE: ("Note", "the model could be improved"),
}
"""Name and meaning of each severity."""

CODE = re.compile(r"`[^`]+`|--\w[\w-]*(?: [\w.]+=[^\s;)]*[^\s;),.])?|lowerbound \w+ RUN(?: --[\w-]+)*")
"""Parts of a remedy that can be typed on the command line."""

PIXELS = {
    "grey": "grey pixels",
    "binary": "binary values",
    "density": "values scored by a density",
    "levels": "values on levels",
    "counts": "counts",
    "table": "rows of a table",
    "discrete table": "rows of a table",
}


@dataclass(frozen=True)
class KeyNumber:
    """The headline number of a run; lower is better."""

    name: str
    score: Score
    value: float
    about: str  # quantity, split and convention

    @property
    def text(self) -> str:
        """Value ± standard error, without the unit."""
        return format_estimate(self.value, self.score.standard_error, self.score.unit)


@dataclass(frozen=True)
class Placement:
    """Where the key number lies between the floor set by the data and the level of a decoder that ignores z."""

    level: float
    z_free: float
    floor: float | None
    sentence: str

    @property
    def percent(self) -> float | None:
        """Position between the floor (0) and the z-free level (100); None without a floor below that level."""
        if self.floor is None or self.z_free <= self.floor:
            return None
        return 100 * min(1.0, max(0.0, (self.level - self.floor) / (self.z_free - self.floor)))


def key_number(results: Results) -> KeyNumber | None:
    """−ELBO on the test split or, for a plain autoencoder, its reconstruction error."""
    if elbo := results.score("elbo"):
        return _key_number(results, f"{MINUS}ELBO", elbo, -elbo.value)
    if error := results.score("reconstruction-error"):
        return _key_number(results, "reconstruction error", error, error.value)
    return None


def _key_number(results: Results, name: str, score: Score, value: float) -> KeyNumber:
    about = adapted_wording(results, f"{name} per image, {score.split} split, {describe_convention(score.convention)}")
    return KeyNumber(name, score, value, about)


def placement(results: Results) -> Placement | None:
    """The key number between its floor and the z-free level, or None where the latter was not measured."""
    key, z_free = key_number(results), results.score("z-free-distortion")
    if key is None or z_free is None:
        return None
    floor = results.score("grey-floor")
    floor_level = None if floor is None else floor.value
    return Placement(key.value, z_free.value, floor_level, _placed(key, z_free.value, floor_level))


def bound_quality(results: Results) -> str:
    """How far the ELBO lies below log p(x), as a sentence; empty where this was not measured."""
    gap = results.score("evidence-gap")
    evidence = results.score("log-evidence") or results.score("grey-evidence")
    if gap and evidence:
        error = "".join(f", {note}" for note in evidence.quadrature_notes)
        return (
            f"The ELBO lies {_stated(gap)} below log p(x), which is {_stated(evidence)} by exact integration: means ± "
            f"standard errors per image over {_examples(evidence)}{error}."
        )
    if not_converged := results.score("log-evidence-not-converged") or results.score("grey-evidence-not-converged"):
        number = f"{not_converged.num_not_converged:,} of {pluralise(not_converged.num_examples, 'image')}"
        return (
            f"The integral for log p(x) did not converge within the budget for {number}: the mean of the sums, "
            f"{_stated(not_converged)}, is only an estimate, and no gap to the ELBO is given."
        )
    if bound := results.score("importance-bound"):
        return (
            f"With {pluralise(bound.num_draws or 0, 'draw')} the importance-weighted bound reaches {_stated(bound)}: "
            f"mean ± standard error per image over {_examples(bound)}. Log p(x) lies above it by an unknown amount."
        )
    return ""


def severity_name(finding: Finding) -> str:
    """The name of a finding's severity."""
    return SEVERITIES[finding.severity][0]


def finding_numbers(finding: Finding) -> str:
    """The measured number and its threshold, with their unit."""
    percent = " %" if finding.unit.startswith("%") else ""
    threshold = f"threshold {format_significant(finding.threshold)}{percent}"
    return f"{format_significant(finding.number)} {finding.unit}; {threshold}"


def code_parts(text: str) -> Iterator[tuple[bool, str]]:
    """A text in parts, each with whether it is code for the command line."""
    end = 0
    for match in CODE.finditer(text):
        yield False, text[end : match.start()]
        yield True, match[0].strip("`")
        end = match.end()
    yield False, text[end:]


def score_description(score: Score) -> str:
    """What a score measures and, for a weighted one, how reliable its weights are."""
    parts = [score.description, *score.quadrature_notes]
    if score.effective_sample_size is not None:
        draws = "" if score.num_draws is None else f" of {score.num_draws:,}"
        parts.append(
            f"effective sample size {format_significant(score.effective_sample_size)}{draws}, median over images"
        )
    if score.pareto_k is not None and math.isfinite(score.pareto_k):
        unreliable = f"above {PARETO_K_BOUND:g} the weights are unreliable"
        parts.append(f"Pareto-k {format_number(score.pareto_k, 2)}, median over images ({unreliable})")
    return "; ".join(parts)


def explain_convention(name: str) -> str:
    """What a data convention means, in a sentence or two; empty for an unknown one."""
    return CONVENTIONS.get(name) or BINARISATIONS.get(name.partition(",")[0], "")


def title(results: Results) -> str:
    """Recipe and data: "conv on digits"."""
    recipe = results.context.get("recipe") or "model"
    data = results.context.get("data", {}).get("name")
    return f"{recipe} on {data}" if data else str(recipe)


def lead(results: Results) -> str:
    """The model and its training data, in a sentence; empty if they are unknown."""
    model, data = results.context.get("config", {}).get("model", {}), results.context.get("data", {})
    if not ("latent_dim" in model and "event_shape" in data and "train" in data.get("sizes", {})):
        return ""
    kind = "plain" if model.get("posterior") == "point-mass" else "variational"
    return (
        f"A {kind} autoencoder with {pluralise(model['latent_dim'], 'latent dimension')}{_in_levels(model)}, trained "
        f"on {data['sizes']['train']:,} {_examples_of(data)}.{_given(model)}"
    )


def _in_levels(model: dict[str, Any]) -> str:
    """Sizes of the levels of latents, from the one nearest x; empty without levels."""
    levels = model.get("levels", [])
    if len(levels) < 2:
        return ""
    return f" in {len(levels)} levels ({', '.join(map(str, levels))} from x upwards; {model.get('hierarchy')})"


def _given(model: dict[str, Any]) -> str:
    """What a conditional model is given, and that its numbers are conditional; empty for others."""
    if not (names := model.get("condition_on")):
        return ""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f" It is given {listed}: every log p(x) is log p(x|y), of an example given its {listed}."


def _examples_of(data: dict[str, Any]) -> str:
    if data.get("columns"):
        return f"rows of {pluralise(len(data['columns']), 'column')}"
    if data.get("layout", "image") != "image":
        return f"arrays of {format_sizes(data['event_shape'])} values"
    channels, *size = data["event_shape"]
    return f"images of {format_sizes(size)} pixels" + ("" if channels == 1 else f" in {channels} channels")


def describe_convention(convention: str) -> str:
    """A convention as a noun phrase: grey pixels; "static binarisation, seed 0" stays as it is."""
    return PIXELS.get(convention, convention)


def score_title(name: str) -> str:
    """A score's name as a title: grey-evidence is "Log-evidence (grey pixels)"."""
    if name.endswith(NOT_CONVERGED) and name not in TITLES:
        return f"{score_title(name.removesuffix(NOT_CONVERGED))} (not converged)"
    return TITLES.get(name, name.replace("-", " ").capitalize())


def facts(results: Results) -> list[tuple[str, str]]:
    """Names and values of what was run; unknown ones are left out."""
    context = results.context
    data, training = context.get("data", {}), context.get("training", {})
    rows = [
        ("Recipe", context.get("recipe")),
        ("Seed", context.get("seed")),
        ("Prior", _fitted_prior(context.get("fitted_from"))),
        ("Data", data.get("name")),
        ("Source", data.get("source")),
        ("Licence", data.get("licence")),
        ("Checksum", data.get("checksum")),
        ("Examples", _sizes(data.get("sizes", {}))),
        ("Preprocessing", "; ".join(data.get("notes", []))),
        ("Skipped", _skipped(data.get("skipped", []))),
        ("Monitored", _monitored(data.get("monitored"))),
        ("Training", _training(training)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in context.get("versions", {}).items())),
        ("Machine", _machine(context.get("machine", {}))),
    ]
    return [(name, str(text)) for name, text in rows if text not in (None, "")]


def _fitted_prior(source: str | None) -> str:
    """Where the networks come from, of a prior that was fitted after training."""
    return f"fitted after training to codes of the training examples; the rest is run {source}" if source else ""


def _stated(score: Score) -> str:
    return f"{score.text} {score.unit}"


def _examples(score: Score) -> str:
    return f"{pluralise(score.num_examples, f'{score.split} image')}, {describe_convention(score.convention)}"


def _placed(key: KeyNumber, z_free: float, floor: float | None) -> str:
    unit, saved = key.score.unit, z_free - key.value
    level = f"{format_number(z_free, 2)} {unit}"
    ignoring = "the best decoder that ignores z (one distribution for all images, fitted to the training images)"
    if saved <= 0:
        return (
            f"At {format_number(key.value, 2)} {unit} the {key.name} is no better than the {level} of {ignoring}: the "
            "code does not improve on it."
        )
    if floor is None or z_free <= floor:
        return f"This is {format_number(saved, 2)} {unit} below the {level} of {ignoring}."
    return (
        f"This lies between {format_number(floor, 2)} {unit}, the floor that these grey pixels set for any model, and "
        f"{level}, the level of {ignoring}. The model covers {100 * saved / (z_free - floor):.0f} % of the "
        "distance between the two."
    )


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{sizes[split]:,} {split}" for split in SPLITS if split in sizes)


def _skipped(skipped: list[str]) -> str:
    if not skipped:
        return ""
    more = f"; and {len(skipped) - 5:,} more" if len(skipped) > 5 else ""
    return f"{pluralise(len(skipped), 'broken file')}: " + "; ".join(skipped[:5]) + more


def _monitored(split: str | None) -> str | None:
    return "test split" if split == "test" else split and f"{split} split, held out from training"


def _training(training: dict[str, Any]) -> str:
    parts = []
    if (epochs := training.get("epochs")) is not None:
        parts.append(pluralise(epochs, "epoch"))
    if training.get("stopped_early"):
        parts.append("stopped early")
    if (best := training.get("best_epoch")) is not None:
        parts.append(f"weights of epoch {best} kept")
    if (seconds := training.get("seconds")) is not None:
        parts.append(format_duration(seconds))
    if training.get("precision", "float32") != "float32":
        parts.append(f"layers in {training['precision']}")
    return ", ".join(parts)


def _machine(machine: dict[str, Any]) -> str:
    parts = [str(machine[key]) for key in ("processor", "platform") if machine.get(key)]
    if machine.get("threads"):
        parts.append(pluralise(machine["threads"], "thread"))
    if machine.get("device"):
        parts.append(f"on {machine['device']}")
    return ", ".join(parts)
