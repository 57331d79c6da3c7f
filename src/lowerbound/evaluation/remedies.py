"""Remedies of the diagnosis: for each finding, the changes that help, in command-line syntax.

A remedy knows the settings of the run, so it never proposes the value that is set: where a run has the usual proposal
already, it goes further in the same direction. Two findings of one model do not propose opposite changes of a setting:
the more serious one keeps its remedy.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lowerbound.evaluation.health import HealthMetrics
from lowerbound.evaluation.results import Finding
from lowerbound.evaluation.thresholds import excess_distortion

UP, DOWN = 1, -1
LEAST_WIDTH = 16  # of a layer that is still made narrower
FAST = 0.003  # a learning rate that is not raised


@dataclass(frozen=True)
class Remedy:
    """One change that helps, and the setting that it raises or lowers, if it does."""

    text: str
    key: str = ""
    direction: int = 0


def with_remedies(findings: Sequence[Finding], health: HealthMetrics) -> tuple[Finding, ...]:
    """The findings, most serious first, with remedies that do not contradict one another."""
    taken: dict[str, tuple[int, str]] = {}  # direction, and the finding that proposes it
    complete = []
    for finding in findings:
        found = REMEDIES[finding.name](health)
        kept = [remedy for remedy in found if not _is_opposed(remedy, taken)]
        for remedy in kept:
            taken.setdefault(remedy.key, (remedy.direction, finding.name))
        opposed = [taken[remedy.key][1] for remedy in found if _is_opposed(remedy, taken)]
        text = _joined([remedy.text for remedy in kept]) or f"first that of “{opposed[0]}”, which changes this, too"
        complete.append(replace(finding, remedy=text))
    return tuple(complete)


def _is_opposed(remedy: Remedy, taken: dict[str, tuple[int, str]]) -> bool:
    direction, _ = taken.get(remedy.key, (0, ""))
    return direction * remedy.direction < 0


def _joined(texts: Sequence[str]) -> str:
    if len(texts) < 3:
        return ", or ".join(texts)
    return f"{', '.join(texts[:-1])}, or {texts[-1]}"


def _of_data_outside_support(health: HealthMetrics) -> list[Remedy]:
    rescaled = Remedy("rescale the data to [0, 1]")
    return [rescaled] if health.settings.get("model.likelihood") == "gaussian" else [rescaled, _set(_LIKELIHOOD)]


def _of_ignored_z(health: HealthMetrics) -> list[Remedy]:
    if health.is_deterministic:
        return [_slower(health), _more_epochs(health, 30)]
    warm_up = _warm_up(health)
    reason = ", so that the decoder learns to use the latents before the rate has its full weight"
    return [replace(warm_up, text=warm_up.text + reason), _slower(health)]


def _of_undertrained(health: HealthMetrics) -> list[Remedy]:
    more = _more_epochs(health, 100)
    remedies = [replace(more, text=f"{more.text} while the curves still fall")]
    rate = _number(health, "training.learning_rate")
    if rate is None or rate < FAST:
        remedies.append(Remedy(f"a larger --set training.learning_rate={FAST:g}", "training.learning_rate", UP))
    return remedies


def _of_distortion(health: HealthMetrics) -> list[Remedy]:
    allowed, excess = health.allowed_distortion, excess_distortion(health)
    assert allowed is not None and excess is not None
    reached = f"--set objective.rate_options.distortion={_round_up(allowed + excess.value)}"
    num_latents = 16 if health.latent_dim is None or health.latent_dim < 16 else 2 * health.latent_dim
    return [
        Remedy(f"a distortion that this model can reach ({reached})"),
        Remedy(f"more latents (--set {_num_latents(health, num_latents)})", "model.latent_dim", UP),
        _more_epochs(health, 100),
    ]


def _of_collapse(health: HealthMetrics) -> list[Remedy]:
    warm_up, active = _warm_up(health), health.active_units
    remedies = [replace(warm_up, text=f"{warm_up.text} to use more of them")]
    if active:
        text = f"--set {_num_latents(health, active)} to keep only those that are used"
        remedies.append(Remedy(text, "model.latent_dim", DOWN))
    return remedies


def _of_unused_codes(health: HealthMetrics) -> list[Remedy]:
    if health.settings.get("model.posterior") == "fsq":
        return [Remedy("fewer levels of model.posterior_options.levels"), _more_epochs(health, 30)]
    options: Any = health.settings.get("model.posterior_options", {})
    least_use = min(1.0, _further(options.get("least_use"), 0.3))
    if options.get("least_use") == least_use:
        return [_more_epochs(health, 30)]
    sooner = f"--set model.posterior_options.least_use={least_use:g} to move unused codes sooner"
    return [Remedy(sooner), _more_epochs(health, 30)]


def _of_clamped_variances(health: HealthMetrics) -> list[Remedy]:
    norm, weight = _number(health, "training.max_gradient_norm"), _number(health, "objective.rate_weight")
    lower = 1000.0 if not norm or norm > 1000 else norm / 10
    text = f"--set training.max_gradient_norm={lower:g} to prevent spikes in the loss"
    if not weight:
        had = "if the rate had" if weight is None else "because the rate has"
        text += f", and --set objective.rate_weight=1 {had} no weight"
    return [Remedy(text)]


def _of_low_evidence(health: HealthMetrics) -> list[Remedy]:
    return [Remedy(f"estimate log p(x) again with more draws{_or_iwae(health, 'q(z|x)')}")]


def _of_unreliable_weights(health: HealthMetrics) -> list[Remedy]:
    if health.has_real_latents:
        annealing = "lowerbound evaluate RUN --anneal estimates log p(x) by annealing instead"
        return [Remedy(annealing + _or_iwae(health, "the posterior"))]
    draws = _further(_number(health, "evaluation.importance_draws"), 50_000)
    return [Remedy(f"more draws (--set evaluation.importance_draws={draws:.0f})")]


def _of_overfitting(health: HealthMetrics) -> list[Remedy]:
    patience, epochs = _number(health, "training.patience"), _number(health, "training.num_epochs")
    remedies = []
    if not patience or patience > 3:
        text = "--set training.patience=3 to stop when the validation score no longer improves"
        remedies.append(Remedy(text))
    fewer = 10 if epochs is None else min(10, int(epochs) // 2)
    if fewer:
        text = f"fewer epochs (--set training.num_epochs={fewer})"
        remedies.append(Remedy(text, "training.num_epochs", DOWN))
    if (narrower := _narrower(_widths(health, 512))) is not None:
        remedies.append(Remedy(f"a smaller network (--set model.hidden={narrower})", "model.hidden", DOWN))
    return remedies or [Remedy("more training examples")]


def _of_holes(health: HealthMetrics) -> list[Remedy]:
    weight = _further(_number(health, "objective.rate_weight"), 2)
    higher = Remedy(
        f"a higher weight of the rate (--set objective.rate_weight={weight:g})", "objective.rate_weight", UP
    )
    latent_dim = health.latent_dim
    if latent_dim == 1 or not health.has_real_latents:
        return [higher]
    fewer = 2 if latent_dim is None or latent_dim > 2 else 1
    return [higher, Remedy(f"fewer latents (--set {_num_latents(health, fewer)})", "model.latent_dim", DOWN)]


def _of_dead_level(health: HealthMetrics) -> list[Remedy]:
    warm_up = _warm_up(health)
    remedies = [replace(warm_up, text=f"{warm_up.text}, in which levels come into use")]
    is_plain = health.settings.get("objective.bound", "elbo") == "elbo"
    if is_plain and health.settings.get("objective.rate") != "free-bits-level":
        text = "objective.rate=free-bits-level, which leaves every level some nats"
        if health.settings.get("objective.gradient", "reparameterized") != "reparameterized":
            text = f"objective.gradient=reparameterized --set {text}"
        remedies.append(_set(text))
    return [*remedies, Remedy("fewer levels (model.levels)")]


def _num_latents(health: HealthMetrics, number: int) -> str:
    """The setting of a number of latents: of all levels in proportion, if there are any."""
    levels: Sequence[int] = health.settings.get("model.levels", ())
    if len(levels) < 2:
        return f"model.latent_dim={number}"
    return f"model.levels={_list([max(1, round(level * number / sum(levels))) for level in levels])}"


def _of_bottleneck(health: HealthMetrics) -> list[Remedy]:
    remedies = [_more_epochs(health, 30)]
    if widths := _widths(health, 128):
        wider = [512 if max(widths) < 512 else 2 * width for width in widths]
        text = f"a wider network (--set model.hidden={_list(wider)}; for `conv` only the encoder)"
        remedies.insert(0, Remedy(text, "model.hidden", UP))
    return remedies


def _more_epochs(health: HealthMetrics, usual: int) -> Remedy:
    number = _further(_number(health, "training.num_epochs"), usual)
    return Remedy(f"more epochs (--set training.num_epochs={number:.0f})", "training.num_epochs", UP)


def _slower(health: HealthMetrics) -> Remedy:
    rate = _number(health, "training.learning_rate")
    slower = 0.0003 if rate is None or rate > 0.0003 else rate / 3
    return Remedy(f"a smaller --set training.learning_rate={slower:.2g}", "training.learning_rate", DOWN)


def _warm_up(health: HealthMetrics) -> Remedy:
    epochs = _further(_number(health, "objective.rate_warm_up"), 5)
    return Remedy(f"--set objective.rate_warm_up={epochs:g}", "objective.rate_warm_up", UP)


def _or_iwae(health: HealthMetrics, what: str) -> str:
    if health.settings.get("objective.bound") == "iwae":
        return ""
    return f"; for training, --set objective.preset=iwae widens {what}"


def _set(assignment: str) -> Remedy:
    return Remedy(f"--set {assignment}")


def _number(health: HealthMetrics, key: str) -> float | None:
    value: Any = health.settings.get(key)
    return float(value) if isinstance(value, int | float) else None


def _further(known: float | None, usual: float) -> float:
    """The usual proposal, or twice the value that is set if that has reached it."""
    return usual if known is None or known < usual else 2 * known


def _widths(health: HealthMetrics, unknown: int) -> list[int]:
    """The widths of the dense layers; empty for networks without any, or of one's own."""
    own = health.settings.get("model.network") == "own"
    return [] if own else [int(width) for width in health.settings.get("model.hidden", [unknown])]


def _narrower(widths: Sequence[int]) -> str | None:
    if not widths or max(widths) < 2 * LEAST_WIDTH:
        return None
    narrower = [min(width, 128) for width in widths] if max(widths) > 128 else [max(1, w // 2) for w in widths]
    return _list(narrower)


def _list(widths: Sequence[int]) -> str:
    return f"[{','.join(map(str, widths))}]"  # without spaces: one word of a command line


def _round_up(nats: float) -> str:
    """A number of nats of two or three digits that is not below `nats`."""
    step = 10.0 ** (math.floor(math.log10(max(abs(nats), 1e-9))) - 1)
    return f"{math.ceil(nats / step) * step:.3g}"


_LIKELIHOOD = "model.likelihood=gaussian"
_FIXED_SIGMA = "model.likelihood_options.learn_sigma=false --set model.likelihood_options.sigma=0.1"

REMEDIES: dict[str, Callable[[HealthMetrics], list[Remedy]]] = {
    "data outside the support": _of_data_outside_support,
    "decoder ignores z": _of_ignored_z,
    "undertrained": _of_undertrained,
    "distortion above the allowed one": _of_distortion,
    "posterior collapse": _of_collapse,
    "unused codes": _of_unused_codes,
    "dead level": _of_dead_level,
    "log-variance at its bound": _of_clamped_variances,
    "σ at its bound": lambda health: [_set(_FIXED_SIGMA)],
    "log-evidence estimate below a lower bound": _of_low_evidence,
    "unreliable log-evidence estimate": _of_unreliable_weights,
    "overfitting": _of_overfitting,
    "holes in the latent space": _of_holes,
    "encoder is the bottleneck": _of_bottleneck,
    "model selected on the test split": lambda health: [_set("data.validation=held-out")],
}
"""Remedies by the name of their finding."""
