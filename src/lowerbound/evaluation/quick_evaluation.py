"""evaluate_quick(): ELBO, rate, distortion and bits per dimension after training; score_examples()."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from lowerbound.data.batches import Batches
from lowerbound.data.sources import Examples, Splits
from lowerbound.evaluation.bound_metrics import exact_metrics, why_not_exact
from lowerbound.evaluation.checklist import checked
from lowerbound.evaluation.classification_metrics import classification_metrics, why_no_classifier
from lowerbound.evaluation.code_metrics import code_metrics, why_no_codes
from lowerbound.evaluation.config import EvaluationConfig
from lowerbound.evaluation.enumeration import enumeration_metrics, why_no_enumeration
from lowerbound.evaluation.expected_terms import BATCH_SIZE, ExampleTerms, expected_terms, sufficient_draws
from lowerbound.evaluation.figure_arrays import FIGURE_ARRAYS
from lowerbound.evaluation.health import UNKNOWN, TrainedWith
from lowerbound.evaluation.health_metrics import HealthConfig, measure_health
from lowerbound.evaluation.latent_statistics import MAX_PASSES
from lowerbound.evaluation.metrics import Metric, Subject, run_metrics
from lowerbound.evaluation.reference_levels import grey_floor, z_free_distortion
from lowerbound.evaluation.results import ROWS, Measurements, Results, Score, Scorer
from lowerbound.foundation.allocator import kept_memory
from lowerbound.models.vae import VAE
from lowerbound.probability.likelihoods import convention_for

CHECKLIST = "checks"
"""The metric whose place the diagnosis takes in the full evaluation."""

MOST_TRAINING = 2000
"""Training examples that are scored at the end of training."""

GAP_DRAWS = 4

QUICK_HEALTH = HealthConfig(num_examples=500, num_coded=2000, max_passes=MAX_PASSES // 20)


@kept_memory()
def evaluate_quick(
    model: VAE,
    splits: Splits,
    config: EvaluationConfig,
    device: torch.device | str = "cpu",
    *,
    trained_with: TrainedWith = UNKNOWN,
) -> Results:
    """Score a model on the test split and, for the generalisation gap, on training examples.

    This evaluation runs at the end of training, with as few draws of each example as suffice (`sufficient_draws`) and
    at most 2,000 training examples; `evaluate_full` has more metrics. `trained_with` is what is known of its training,
    for the checks of the diagnosis.
    """
    model.eval()
    convention = data_convention(model, splits)
    subject = Subject(model, splits, config, convention, device, trained_with=trained_with)
    return run_metrics(QUICK if config.after_training else {}, subject)


def score_examples(
    model: VAE, examples: Examples, split: str, convention: str, num_draws: int = 16, seed: int = 0
) -> list[Score]:
    """Scores of a model on given examples, such as new files, in the convention of its training data."""
    terms = expected_terms(model, examples, num_draws, seed)
    return list(_bound_scores(model, terms, num_draws, Scorer(split, convention)))


def data_convention(model: VAE, splits: Splits) -> str:
    """Meaning of log p(x|z) for these data, such as "grey" or "density"; DataError if they cannot be scored."""
    support = splits.train.support | splits.validation.support | splits.test.support
    # Redrawn pixels are binary, even though they are drawn from grey ones.
    support = replace(support, is_binary=support.is_binary or bool(splits.binarisation))
    convention = convention_for(model.likelihood, support)
    return splits.binarisation if convention == "binary" and splits.binarisation else convention


def _bound_scores(model: VAE, terms: ExampleTerms, num_draws: int, score: Scorer) -> Iterator[Score]:
    num_draws = 1 if model.posterior.is_deterministic else num_draws
    if model.is_deterministic:
        about = "−log p(x|z) of each example, decoded from its code; lower is better"
        yield score("reconstruction-error", terms.distortion, about, None)
    else:
        yield score("elbo", terms.elbo, "evidence lower bound; higher is better", num_draws)
        yield score("distortion", terms.distortion, "−E[log p(x|z)], the reconstruction term", num_draws)
        is_exact = model.has_closed_form_kl
        about = "KL(q(z|x) ‖ p(z)), the cost of the latents"
        yield score("rate", terms.rate, about, None if is_exact else num_draws)
        for name, rate in zip(model.level_names, terms.rates_by_level.T, strict=True):
            about = f"part of the rate that {name} of the latents has; level 1 is nearest x"
            yield score(f"rate-of-{name.replace(' ', '-')}", rate, about, num_draws)
        yield from score.bits("bits-per-dimension", terms.elbo, terms.num_values, "−ELBO", num_draws)
    if score.convention not in ROWS:
        has_mean = not (model.why_not_real or model.level_names)
        centre = "code" if model.is_deterministic else f"posterior {'mean' if has_mean else 'centre'}"
        about = f"squared error of the decoded {centre}"
        yield score("squared-error", terms.squared_error, about, None, "per element")


def test_scores(subject: Subject, num_draws: int | None = None) -> Measurements:
    """Scores of the test examples, by default with as many draws of each as are set."""
    config, model = subject.config, subject.model
    num_draws = num_draws or config.num_draws
    terms = expected_terms(model, subject.splits.test, num_draws, config.seed, subject.device)
    scores = tuple(_bound_scores(model, terms, num_draws, subject.scorer()))
    # Values per example, for paired comparisons of runs.
    terms_of = {} if subject.convention in ROWS else {"squared_error": terms.squared_error}
    if model.is_deterministic:
        terms_of |= {"reconstruction_error": terms.distortion}
    else:
        terms_of |= {"elbo": terms.elbo, "distortion": terms.distortion, "rate": terms.rate}
        by_level = zip(model.level_names, terms.rates_by_level.T, strict=True)
        terms_of |= {f"rate_of_{name.replace(' ', '_')}": rate for name, rate in by_level}
    return Measurements(scores, {f"{name}_per_image": values.numpy() for name, values in terms_of.items()})


def training_scores(subject: Subject, num_draws: int | None = None, most: int | None = None) -> Measurements:
    """Scores of as many training examples as there are test examples, and at most `most`."""
    config, splits, model = subject.config, subject.splits, subject.model
    num_draws, num_examples = num_draws or config.num_draws, len(splits.test)
    examples = splits.train.first(num_examples if most is None else min(num_examples, most))
    terms = expected_terms(model, examples, num_draws, config.seed, subject.device)
    return Measurements(tuple(_bound_scores(model, terms, num_draws, subject.scorer("train"))), {})


def _reference_scores(subject: Subject) -> Measurements:
    splits, score, device = subject.splits, subject.scorer(), subject.device
    about = "distortion of the best decoder that ignores z: one distribution, fitted to the training examples"
    z_free = z_free_distortion(subject.model, splits.train, splits.test, device)
    scores = [score("z-free-distortion", z_free, about, None)]
    if subject.convention == "grey":
        about = "lower bound on the distortion of grey pixels: their binary entropy"
        floor = [grey_floor(x).cpu() for x in Batches(splits.test, BATCH_SIZE, device).examples]
        scores.append(score("grey-floor", torch.cat(floor), about, None))
    return Measurements(tuple(scores), {})


def _checks(subject: Subject) -> Measurements:
    """The checks of the diagnosis that take no time."""
    health = measure_health(
        subject.model,
        subject.splits,
        config=QUICK_HEALTH,
        seed=subject.config.seed,
        device=subject.device,
        trained_with=subject.trained_with,
        is_quick=True,
    )
    return Measurements((), {}, checks=checked(health))


def _sufficient(subject: Subject) -> int:
    config, test = subject.config, subject.splits.test
    return sufficient_draws(subject.model, test, config.num_draws, config.seed, subject.device)


def _draws_of_test(subject: Subject) -> int | None:
    """The draws that the test scores rest on; None for a code without noise."""
    return next((score.num_draws for score in subject.known.scores if score.name == "elbo"), None)


def _exact(subject: Subject) -> Measurements:
    """The exact evidence. The ELBO beside it has more draws, since the gap varies less between examples."""
    config = subject.config
    examples = subject.splits.test.first(config.num_exact)
    num_draws = min(config.num_draws, GAP_DRAWS)
    elbo = expected_terms(subject.model, examples, num_draws, config.seed, subject.device).elbo
    return exact_metrics(subject, config.num_exact, elbo)


QUICK: dict[str, Metric] = {
    **FIGURE_ARRAYS,
    "test scores": Metric(lambda subject: test_scores(subject, _sufficient(subject))),
    "log-evidence by quadrature": Metric(_exact, why_not_exact),
    "log-evidence by enumeration": Metric(enumeration_metrics, why_no_enumeration),
    "training scores": Metric(lambda subject: training_scores(subject, _draws_of_test(subject), MOST_TRAINING)),
    "reference scores": Metric(_reference_scores),
    "use of codes": Metric(code_metrics, why_no_codes),
    "classification": Metric(classification_metrics, why_no_classifier),
    CHECKLIST: Metric(_checks),
}
