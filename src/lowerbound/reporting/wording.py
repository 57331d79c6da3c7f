"""Numbers and facts in words: digits that mean something, units, and what a number is to be held against."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lowerbound.data.reading import pluralise as pluralise  # for who writes sentences
from lowerbound.evaluation.diagnosis import PARETO_K_BOUND
from lowerbound.evaluation.results import NOTE, SERIOUS, WARNING, Finding, Results, Score

MINUS = "−"
TIMES = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"

QUANTITIES = {
    "elbo": "ELBO",
    "rate": "Rate",
    "distortion": "Distortion",
    "reconstruction-error": "Reconstruction error",
    "bits-per-dimension": "Bits per dimension",
    "squared-error": "Squared error",
    "z-free-distortion": "Distortion without z",
    "grey-floor": "Floor of grey pixels",
    "grey-evidence": "Grey evidence",
    "log-evidence": "Log evidence",
    "grey-evidence-not-converged": "Grey evidence (not converged)",
    "log-evidence-not-converged": "Log evidence (not converged)",
    "evidence-gap": "Gap of the ELBO",
    "evidence-bits": "Evidence, bits per dimension",
    "importance-bound": "Importance-weighted bound",
    "importance-error": "Error of importance weighting",
    "amortisation-gap": "Amortisation gap",
    "approximation-gap": "Approximation gap",
    "annealed-evidence": "Evidence by annealing",
    "annealing-error": "Error of annealing",
    "annealed-lower-bound": "Lower bound by annealing",
    "annealed-upper-bound": "Upper bound by annealing",
    "annealing-bracket": "Bracket of annealing",
    "active-units": "Active units",
    "mutual-information": "Mutual information",
    "aggregate-kl": "Aggregate KL",
    "linear-probe": "Linear probe",
    "neighbour-probe": "Nearest-neighbour probe",
}

CONVENTIONS = {
    "grey": (
        "Grey: pixels between 0 and 1 are read as probabilities, so that a likelihood of black and white is expected "
        "over random binarisations of each image. Such numbers are not comparable with those of binarised images."
    ),
    "binary": "Binary: every pixel is 0 or 1, and log p(x|z) is a log-probability.",
    "density": (
        "Density: log p(x|z) is a log-density of values as the model takes them (pixels scaled to [0, 1], other "
        "numbers in their own unit), not a log-probability; it may be positive, and it is not comparable with numbers "
        "of another scale or of discrete values."
    ),
    "levels": (
        "Levels: log p(x|z) is the log-probability of the values as they are stored, such as 8-bit pixels; −log2 p is "
        "a number of bits."
    ),
    "counts": "Counts: log p(x|z) is the log-probability of whole numbers.",
    "table": (
        "Table: log p(x|z) adds log-probabilities of categories and counts to log-densities of numbers in their own "
        "unit; missing cells are left out of it. It is comparable between models of the same columns alone, and "
        "is not a number of bits."
    ),
    "discrete table": (
        "Discrete table: every column holds categories or counts, and log p(x|z) is the log-probability of the cells "
        "that are known; bits are per known cell."
    ),
}


BINARISATIONS = {
    "static binarisation": (
        "Static binarisation: every grey pixel was made 0 or 1 once, at random with its grey value as the probability "
        "of 1; another seed gives other images and slightly other numbers."
    ),
    "dynamic binarisation": (
        "Dynamic binarisation: training images are made black and white anew on every pass, at random with their grey "
        "values as the probabilities; validation and test images were drawn once."
    ),
}

SEVERITIES = {
    SERIOUS: ("Serious", "the model is no use as it is"),
    WARNING: ("Warning", "something is wrong with the model"),
    NOTE: ("Note", "something could be had that is not"),
}
"""In a word, and what it means."""

CODE = re.compile(r"`[^`]+`|--\w[\w-]*(?: [\w.]+=[^\s;)]*[^\s;),.])?|lowerbound \w+ RUN(?: --[\w-]+)*")
"""What of a setting's description a command line takes as it stands."""

IMAGE_WORDS = re.compile(r"\b(image|pixel)(s?)\b", re.IGNORECASE)

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
    """The number a run is known by; lower is better."""

    name: str
    score: Score
    value: float
    about: str  # what it is, where, and under which convention

    @property
    def text(self) -> str:
        """Value ± standard error, without the unit."""
        return measured(self.value, self.score.standard_error, self.score.unit)


@dataclass(frozen=True)
class Placement:
    """Where the key number lies between the least that the data allow and what a model reaches that ignores z."""

    level: float
    z_free: float
    floor: float | None
    sentence: str

    @property
    def percent(self) -> float | None:
        """Of the way from the floor to the z-free level, within 0 and 100; None without a floor below that level."""
        if self.floor is None or self.z_free <= self.floor:
            return None
        return 100 * min(1.0, max(0.0, (self.level - self.floor) / (self.z_free - self.floor)))


def key_number(results: Results) -> KeyNumber | None:
    """−ELBO or, of a deterministic autoencoder, its reconstruction error; on the test split."""
    if elbo := results.score("elbo"):
        return _key_number(results, f"{MINUS}ELBO", elbo, -elbo.value)
    if error := results.score("reconstruction-error"):
        return _key_number(results, "reconstruction error", error, error.value)
    return None


def _key_number(results: Results, name: str, score: Score, value: float) -> KeyNumber:
    about = in_data_terms(results, f"{name} per image, {score.split} split, {pixels(score.convention)}")
    return KeyNumber(name, score, value, about)


def placement(results: Results) -> Placement | None:
    """The key number between its floor and the z-free level, or None where these were not measured."""
    key, z_free = key_number(results), results.score("z-free-distortion")
    if key is None or z_free is None:
        return None
    floor = results.score("grey-floor")
    floor_level = None if floor is None else floor.value
    return Placement(key.value, z_free.value, floor_level, _placed(key, z_free.value, floor_level))


def bound_quality(results: Results) -> str:
    """How far the ELBO lies below log p(x), in a sentence; empty where that was not measured."""
    gap = results.score("evidence-gap")
    evidence = results.score("log-evidence") or results.score("grey-evidence")
    if gap and evidence:
        error = "".join(f", {note}" for note in evidence.quadrature_notes)
        return (
            f"The ELBO lies {_stated(gap)} below log p(x), which is {_stated(evidence)} by exact integration: means ± "
            f"standard errors per image over {_examples(evidence)}{error}."
        )
    if unsettled := results.score("log-evidence-not-converged") or results.score("grey-evidence-not-converged"):
        return (
            f"Log p(x) could not be integrated for {pluralise(unsettled.num_not_converged, 'image')} of "
            f"{unsettled.num_examples:,} within the budget: the mean of the sums, {_stated(unsettled)}, is only an "
            "estimate, and no gap to the ELBO is stated."
        )
    if bound := results.score("importance-bound"):
        return (
            f"With {bound.num_draws:,} draws the importance-weighted bound reaches {_stated(bound)}: mean ± standard "
            f"error per image over {_examples(bound)}. Log p(x) lies above it by an unknown amount."
        )
    return ""


def severity_name(finding: Finding) -> str:
    """How bad it is, in a word."""
    return SEVERITIES[finding.severity][0]


def finding_numbers(finding: Finding) -> str:
    """The number that shows it and the threshold that it passed, with their unit."""
    return f"{format_significant(finding.number)} {finding.unit}; threshold {format_significant(finding.threshold)}"


def code_parts(text: str) -> Iterator[tuple[bool, str]]:
    """A text in parts, each with whether it is for a command line."""
    end = 0
    for match in CODE.finditer(text):
        yield False, text[end : match.start()]
        yield True, match[0].strip("`")
        end = match.end()
    yield False, text[end:]


def score_description(score: Score) -> str:
    """What a score is and, of a weighted one, how far its weights can be trusted."""
    told = [score.description, *score.quadrature_notes]
    if score.effective_sample_size is not None:
        draws = "" if score.num_draws is None else f" of {score.num_draws:,}"
        told.append(
            f"effective sample size {format_significant(score.effective_sample_size)}{draws}, median over images"
        )
    if score.pareto_k is not None and math.isfinite(score.pareto_k):
        told.append(
            f"Pareto-k {format_number(score.pareto_k, 2)}, median over images (above {PARETO_K_BOUND:g} weights cannot be "
            "trusted)"
        )
    return "; ".join(told)


def convention(name: str) -> str:
    """What a data convention means; empty for an unknown one."""
    return CONVENTIONS.get(name) or BINARISATIONS.get(name.partition(",")[0], "")


def title(results: Results) -> str:
    """What was trained on what: "conv on digits"."""
    recipe = results.context.get("recipe") or "model"
    data = results.context.get("data", {}).get("name")
    return f"{recipe} on {data}" if data else str(recipe)


def lead(results: Results) -> str:
    """The model and what it was trained on, in a sentence; empty if they are not known."""
    model, data = results.context.get("config", {}).get("model", {}), results.context.get("data", {})
    if not ("latent_dim" in model and "event_shape" in data and "train" in data.get("sizes", {})):
        return ""
    kind = "plain" if model.get("posterior") == "point-mass" else "variational"
    return (
        f"A {kind} autoencoder with {pluralise(model['latent_dim'], 'latent dimension')}, trained on "
        f"{data['sizes']['train']:,} {_examples_of(data)}."
    )


def _examples_of(data: dict[str, Any]) -> str:
    if data.get("columns"):
        return f"rows of {pluralise(len(data['columns']), 'column')}"
    if data.get("layout", "image") != "image":
        return f"arrays of {shape(data['event_shape'])} values"
    channels, *size = data["event_shape"]
    return f"images of {shape(size)} pixels" + ("" if channels == 1 else f" in {channels} channels")


def in_data_terms(results: Results, text: str) -> str:
    """Text about images as it is said of these results: of arrays and rows of a table, "image" becomes "example" and
    "pixel" becomes "value".
    """
    layout = results.context.get("data", {}).get("layout", "image")
    return text if layout == "image" else IMAGE_WORDS.sub(_said_of_any, text)


def _said_of_any(match: re.Match[str]) -> str:
    word = {"image": "example", "pixel": "value"}[match[1].lower()]
    return (word.capitalize() if match[1][0].isupper() else word) + match[2]


def pixels(convention: str) -> str:
    """A convention as one says it of data: grey pixels; "static binarisation, seed 0" stays as it is."""
    return PIXELS.get(convention, convention)


def quantity(name: str) -> str:
    """A score's name in words."""
    return QUANTITIES.get(name, name.replace("-", " ").capitalize())


def measured(value: float, standard_error: float | None, unit: str) -> str:
    """Value ± standard error: the error with two significant digits, the value with as many decimals or more."""
    decimals = {"nats": 2, "units": 0}.get(unit, 4)
    if standard_error is None or not math.isfinite(standard_error) or standard_error <= 0:
        return format_number(value, decimals)
    exponent = int(f"{standard_error:.1e}".partition("e")[2])
    of_error = max(0, 1 - exponent)
    return f"{format_number(value, max(decimals, of_error))} ± {format_number(round(standard_error, 1 - exponent), of_error)}"


def format_number(value: float, decimals: int) -> str:
    """A number with the typographer's minus sign, and none on a zero."""
    text = f"{value:,.{decimals}f}"
    is_zero = not any(digit in text for digit in "123456789") and math.isfinite(value)
    return text.lstrip("-") if is_zero else text.replace("-", MINUS)


def format_significant(value: float) -> str:
    """A number with three significant digits, or all those before its point."""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return digits.replace("-", MINUS)


def format_duration(seconds: float) -> str:
    """A time in the units one would say it in."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def shape(sizes: list[int] | tuple[int, ...]) -> str:
    """Sizes as a product: 64 × 7 × 7."""
    return TIMES.join(f"{size}" for size in sizes)


def facts(results: Results) -> list[tuple[str, str]]:
    """What was run, a name and a text each; what is not known is left out."""
    context = results.context
    data, training = context.get("data", {}), context.get("training", {})
    rows = [
        ("Recipe", context.get("recipe")),
        ("Seed", context.get("seed")),
        ("Data", data.get("name")),
        ("Source", data.get("source")),
        ("Licence", data.get("licence")),
        ("Checksum", data.get("checksum")),
        ("Examples", _sizes(data.get("sizes", {}))),
        ("Done to them", "; ".join(data.get("notes", []))),
        ("Passed over", _passed_over(data.get("skipped", []))),
        ("Watched", _watched(data.get("watched"))),
        ("Training", _training(training)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in context.get("versions", {}).items())),
        ("Machine", _machine(context.get("machine", {}))),
    ]
    return [(name, str(text)) for name, text in rows if text not in (None, "")]


def _stated(score: Score) -> str:
    return f"{measured(score.value, score.standard_error, score.unit)} {score.unit}"


def _examples(score: Score) -> str:
    return f"{pluralise(score.num_examples, f'{score.split} image')}, {pixels(score.convention)}"


def _placed(key: KeyNumber, z_free: float, floor: float | None) -> str:
    unit, saved = key.score.unit, z_free - key.value
    ignoring = "the best decoder that ignores z, one distribution for all images that is fitted to the training images"
    if saved <= 0:
        return (
            f"At {format_number(key.value, 2)} {unit} the {key.name} is no better than the {format_number(z_free, 2)} {unit} "
            f"of {ignoring}: the code does not pay for itself."
        )
    if floor is None or z_free <= floor:
        return f"That is {format_number(saved, 2)} {unit} below the {format_number(z_free, 2)} {unit} of {ignoring}."
    return (
        f"That lies between {format_number(floor, 2)} {unit}, a floor that these grey pixels set for any model, and "
        f"{format_number(z_free, 2)} {unit}, the level of {ignoring}. Of the distance between the two, this model has "
        f"covered {100 * saved / (z_free - floor):.0f} %."
    )


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in sizes.items())


def _passed_over(skipped: list[str]) -> str:
    if not skipped:
        return ""
    more = f"; and {len(skipped) - 5:,} more" if len(skipped) > 5 else ""
    return f"{pluralise(len(skipped), 'broken file')}: " + "; ".join(skipped[:5]) + more


def _watched(split: str | None) -> str | None:
    return "the test examples" if split == "test" else split and f"the {split} examples, held out from training"


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
