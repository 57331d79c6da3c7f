"""Gradient estimators against exact variances, and their signal-to-noise ratios against the number of draws.

    python benchmarks/gradient_estimators.py

1. Mohamed, Rosca, Figurnov and Mnih, "Monte Carlo Gradient Estimation in Machine Learning", arXiv:1906.10652, Figures
   2 and 3: the variance of one estimate of d/dmu and d/dsigma of E[f(x)], x ~ N(1, 1), for a quadratic, an exponential
   and a cosine f and five estimators. The exact variances are integrals, computed here by Gauss-Legendre quadrature
   from the definitions of the estimators; the others are measured by `lowerbound.objectives.gradient_estimators`.
2. Rainforth et al., "Tighter Variational Bounds are Not Necessarily Better", arXiv:1802.04537: with
   z ~ N(mu, I), x|z ~ N(z, I) and q(z|x) = N(A x + b, 2/3 I) in 20 dimensions, close to the optimum, the
   signal-to-noise ratio of the encoder's gradient falls as 1/sqrt(K) with the number of draws K of the
   importance-weighted bound, and that of the model's gradient rises as sqrt(K); with DReG, both rise.

Writes benchmarks/results/gradient_estimators.json and docs/images/gradient-snr.png.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from lowerbound.evaluation.gradient_statistics import ratio_of_roots, squared_length_of_mean, total_variance
from lowerbound.foundation.numerics import Estimate
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.storage import write_bytes
from lowerbound.foundation.text_files import write_json
from lowerbound.objectives.gradient_estimators import ESTIMATORS, Target, repeated_estimates
from lowerbound.probability.distributions import DiagonalNormal, Distribution, Draws
from lowerbound.probability.samples import PosteriorSamples
from lowerbound.reporting import theme

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gradient_estimators.json"
FIGURE = ROOT / "docs" / "images" / "gradient-snr.png"
AT_ONCE = 2**15  # draws

Function = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Cost:
    """A function of x with a parameter k, and its derivative, for numpy and torch."""

    name: str
    function: Function
    derivative: Function
    parameters: tuple[float, ...]


COSTS = (
    Cost("(x − k)²", lambda x, k: (x - k) ** 2, lambda x, k: 2 * (x - k), (-3.0, 0.0, 1.0, 3.0)),
    Cost("exp(−k x²)", lambda x, k: _exp(-k * x**2), lambda x, k: -2 * k * x * _exp(-k * x**2), (0.1, 1.0, 10.0)),
    Cost("cos k x", lambda x, k: _cos(k * x), lambda x, k: -k * _sin(k * x), (0.5, 1.0, 2.0, 5.0)),
)

NAMES = {
    "score-function-none": "score function",
    "score-function-mean": "mean baseline",
    "score-function-optimal": "optimal baseline",
    "reparameterized": "pathwise",
    "measure-valued": "measure-valued",
}


def _exp(x: Any) -> Any:
    return torch.exp(x) if isinstance(x, Tensor) else np.exp(x)


def _cos(x: Any) -> Any:
    return torch.cos(x) if isinstance(x, Tensor) else np.cos(x)


def _sin(x: Any) -> Any:
    return torch.sin(x) if isinstance(x, Tensor) else np.sin(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000_000, help="for each variance")
    parser.add_argument("--evaluations", type=int, default=2**20, help="draws for each ratio")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = list(variances(options.draws, options.seed))
    print_cells(cells)
    ratios = signal_to_noise(options.evaluations, options.seed)
    slopes = {name: slope(ratios[name]) for name in ratios}
    for name, fitted in slopes.items():
        print(f"{name}: slope {fitted[0]:+.3f} ± {fitted[1]:.3f} for K ≥ {FIRST}")
    write_json(
        RESULTS, {"draws": options.draws, "seed": options.seed, "variances": cells, "snr": ratios, "slopes": slopes}
    )
    write_bytes(FIGURE, theme.png(snr_figure(ratios)))


# 1. Variances


@cache
def exact_variances(cost: Cost, k: float) -> dict[str, tuple[float, float]]:
    """Variances of one estimate of d/dmu and d/dsigma at mu = sigma = 1, by quadrature, for each estimator."""
    f, slope = partial(cost.function, k=k), partial(cost.derivative, k=k)
    e, weight = _legendre(-RANGE, RANGE)
    weight = weight * np.exp(-(e**2) / 2) / math.sqrt(2 * math.pi)
    scores = (e, e**2 - 1)
    value = f(1 + e)
    gradients = [weight @ (value * score) for score in scores]

    def with_baseline(baselines: tuple[float, float]) -> tuple[float, float]:
        first, second = (
            float(weight @ ((value - baseline) * score) ** 2 - gradient**2)
            for baseline, score, gradient in zip(baselines, scores, gradients, strict=True)
        )
        return first, second

    mean = weight @ value
    optimal = tuple(weight @ (value * score**2) / (weight @ score**2) for score in scores)
    pathwise = [slope(1 + e), slope(1 + e) * e]
    return {
        "score-function-none": with_baseline((0.0, 0.0)),
        "score-function-mean": with_baseline((mean, mean)),
        "score-function-optimal": with_baseline((optimal[0], optimal[1])),
        "reparameterized": (_variance(pathwise[0], weight), _variance(pathwise[1], weight)),
        "measure-valued": (_measure_valued_mean(f), _measure_valued_sd(f)),
    }


RANGE, NODES = 14.0, 600
"""Integrals from -RANGE to RANGE standard deviations, with NODES Gauss-Legendre nodes."""


def _legendre(low: float, high: float, num: int = NODES) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(num)
    return low + (high - low) * (nodes + 1) / 2, weights * (high - low) / 2


def _variance(values: np.ndarray, weight: np.ndarray) -> float:
    return float(weight @ values**2 - (weight @ values) ** 2)


def _measure_valued_mean(f: Callable[[np.ndarray], np.ndarray]) -> float:
    w, weight = _legendre(0, RANGE)
    return _variance((f(1 + w) - f(1 - w)) / math.sqrt(2 * math.pi), weight * w * np.exp(-(w**2) / 2))


def _measure_valued_sd(f: Callable[[np.ndarray], np.ndarray]) -> float:
    m, of_m = _legendre(-RANGE, RANGE)
    u, of_u = _legendre(0, 1)
    of_m = of_m * m**2 * np.exp(-(m**2) / 2) / math.sqrt(2 * math.pi)
    differences = f(1 + m)[:, None] - f(1 + m[:, None] * u)
    return _variance(differences.ravel(), np.outer(of_m, of_u).ravel())


def variances(num_draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Every exact and measured variance, with the measured one's standard error."""
    for cost in COSTS:
        exact = [exact_variances(cost, k) for k in cost.parameters]
        for name in NAMES:
            found = measured_variances(cost, name, num_draws, seed)
            for row, k in enumerate(cost.parameters):
                for column, parameter in enumerate(("mu", "sigma")):
                    yield {
                        "cost": cost.name,
                        "k": k,
                        "estimator": name,
                        "parameter": parameter,
                        "exact": exact[row][name][column],
                        "measured": found[0][row, column].item(),
                        "standard_error": found[1][row, column].item(),
                    }


def measured_variances(
    cost: Cost, name: str, num_draws: int, seed: int, num_pilot: int = 10**6
) -> tuple[Tensor, Tensor]:
    """Variances of the library's estimates, and their standard errors, for each k and parameter."""
    k = torch.tensor(cost.parameters, dtype=torch.float64)
    one = torch.ones(len(k), 1, dtype=torch.float64)
    target = Target.of_normal(lambda x: cost.function(x[..., 0], k), one, one, num_pilot=num_pilot)
    noise = generator(seed, f"{cost.name}/{name}")
    estimate = ESTIMATORS[name].prepare(target, noise)
    powers = torch.zeros(5, len(k), 2, dtype=torch.float64)
    centre = None
    for start in range(0, num_draws, AT_ONCE):
        part = repeated_estimates(estimate, target, min(AT_ONCE, num_draws - start), noise)
        centre = part.mean(0) if centre is None else centre
        centred = part - centre
        squared = centred.square()
        moments = (torch.ones_like(centred), centred, squared, centred * squared, squared.square())
        powers += torch.stack([moment.sum(0) for moment in moments])
    _, m1, m2, m3, m4 = powers / num_draws
    variance = m2 - m1**2
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    return variance, ((fourth - variance**2).clamp(min=0) / num_draws).sqrt()


def agrees(cell: dict[str, Any], relative: float = 0.01) -> bool:
    """Whether a measured variance lies within a share of the exact one, or of rounding if that is 0."""
    distance = abs(cell["measured"] - cell["exact"])
    return bool(distance <= max(relative * cell["exact"], 1e-12))


def _shown(value: float) -> str:
    return "0" if value < 1e-12 else f"{value:.5g}"


def print_cells(cells: list[dict[str, Any]]) -> None:
    """The table of exact variances as Markdown, and how many measured ones agree."""
    print("| f | " + " | ".join(NAMES.values()) + " |")
    print("|---" * (len(NAMES) + 1) + "|")
    for cost in COSTS:
        for k in cost.parameters:
            of_row = [cell for cell in cells if cell["cost"] == cost.name and cell["k"] == k]
            pairs = [[_shown(cell["exact"]) for cell in of_row if cell["estimator"] == name] for name in NAMES]
            print(f"| {cost.name}, k = {k:g} | " + " | ".join(", ".join(pair) for pair in pairs) + " |")
    within = sum(map(agrees, cells))
    # The error of a mean baseline's variance also contains that of the baseline, which is not optimal.
    others = [cell for cell in cells if cell["exact"] > 1e-9 and cell["estimator"] != "score-function-mean"]
    farthest = max(abs(cell["measured"] - cell["exact"]) / cell["standard_error"] for cell in others)
    print(f"{within} of {len(cells)} within 1 %; without mean baselines at most {farthest:.2f} standard errors away")


# 2. Signal-to-noise ratios

DIMENSIONS = 20
DEVIATION = 0.01  # of the parameters from the optimum
NUM_EXAMPLES = 4
DRAWS = tuple(2**power for power in range(11))  # K
FIRST = 32  # K from which slopes are fitted
MOST_ESTIMATES = 20_000


def gaussian_target(num_samples: int, seed: int) -> Target:
    """The importance-weighted bound as a function of the mean of q and of mu, at a few examples."""
    noise = generator(seed, "model")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=noise, dtype=torch.float64)

    true_mu = normal(DIMENSIONS)
    x = true_mu + math.sqrt(2) * normal(NUM_EXAMPLES, DIMENSIONS)
    a = torch.eye(DIMENSIONS, dtype=torch.float64) / 2 + DEVIATION * normal(DIMENSIONS, DIMENSIONS)
    b, mu = true_mu / 2 + DEVIATION * normal(DIMENSIONS), true_mu + DEVIATION * normal(DIMENSIONS)
    log_variance = torch.tensor(math.log(2 / 3), dtype=torch.float64)
    unit = torch.zeros((), dtype=torch.float64)

    def posterior(parameters: Tensor) -> DiagonalNormal:
        return DiagonalNormal(parameters[:, :DIMENSIONS], log_variance)

    def samples_at(draws: Draws, q: Distribution, parameters: Tensor) -> PosteriorSamples:
        likelihood = DiagonalNormal(draws.value, unit).log_prob(x.repeat(len(parameters) // len(x), 1))
        return PosteriorSamples.of_one_group(draws, likelihood, q, DiagonalNormal(parameters[:, DIMENSIONS:], unit))

    return Target(
        parameters=torch.cat([x @ a.T + b, mu.expand(NUM_EXAMPLES, -1)], dim=1),
        posterior=posterior,
        samples_at=samples_at,
        bound="iwae",
        rate="monte-carlo",
        num_samples=num_samples,
    )


def signal_to_noise(
    num_evaluations: int, seed: int, draws: tuple[int, ...] = DRAWS
) -> dict[str, list[dict[str, float]]]:
    """Ratios for each number of draws K: |E[g]| / sqrt(trace Cov[g]), over the parameters of all examples.

    The expected gradient of the encoder is that of DReG, whose noise is far smaller, also for the plain estimator: both
    have the same expectation. Squared lengths are estimated without bias.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in SERIES}
    for num_samples in draws:
        target = gaussian_target(num_samples, seed)
        num = min(MOST_ESTIMATES, max(1000, num_evaluations // (num_samples * NUM_EXAMPLES)))
        estimates = {}
        for name in ("reparameterized", "stl", "dreg"):
            noise = generator(seed, f"snr/{name}/{num_samples}")
            estimates[name] = repeated_estimates(ESTIMATORS[name].prepare(target, noise), target, num, noise)
        encoder = {name: values[..., :DIMENSIONS] for name, values in estimates.items()}
        model = estimates["reparameterized"][..., DIMENSIONS:]
        ratios = {
            "encoder, reparameterized": _ratio(encoder["dreg"], encoder["reparameterized"]),
            "encoder, STL": _ratio(encoder["stl"], encoder["stl"]),
            "encoder, DReG": _ratio(encoder["dreg"], encoder["dreg"]),
            "model": _ratio(model, model),
        }
        for name, ratio in ratios.items():
            found[name].append({"K": num_samples, "snr": ratio.value, "standard_error": ratio.standard_error})
        print(
            num_samples,
            num,
            {name: f"{ratio.value:.4f} ± {ratio.standard_error:.4f}" for name, ratio in ratios.items()},
        )
    return found


SERIES = {
    "encoder, reparameterized": -0.5,
    "encoder, STL": 0.5,
    "encoder, DReG": 0.5,
    "model": 0.5,
}
"""Gradients, and the slopes of their ratios according to theory."""


def _ratio(of_mean: Tensor, of_noise: Tensor) -> Estimate:
    return ratio_of_roots(squared_length_of_mean(of_mean), total_variance(of_noise))


def slope(ratios: list[dict[str, float]], first: int = FIRST) -> tuple[float, float]:
    """Slope of log SNR in log K, by weighted least squares, and its standard error."""
    some = [one for one in ratios if first <= one["K"]]
    x, y = (np.log([one[key] for one in some]) for key in ("K", "snr"))
    weight = np.array([(one["snr"] / one["standard_error"]) ** 2 for one in some])
    centred = x - weight @ x / weight.sum()
    spread = weight @ centred**2
    return float(weight @ (centred * y) / spread), float(1 / math.sqrt(spread))


@theme.themed
def snr_figure(ratios: dict[str, list[dict[str, float]]]) -> Figure:
    """Ratios against the number of draws, on logarithmic axes, with the fitted slopes."""
    figure = Figure(figsize=(theme.WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    for (name, of_name), colour in zip(ratios.items(), theme.CATEGORIES, strict=False):
        fitted, _ = slope(of_name)
        label = f"{name}: slope {fitted:+.2f}".replace("-", "−")
        numbers = [one["K"] for one in of_name], [one["snr"] for one in of_name]
        axes.errorbar(*numbers, yerr=[2 * one["standard_error"] for one in of_name], fmt="o-", color=colour,
                      markersize=4, linewidth=1.2, capsize=2, label=label)  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlabel="draws K of the importance-weighted bound", ylabel="signal-to-noise ratio"
    )
    axes.set_xticks([one["K"] for one in next(iter(ratios.values()))])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.grid()
    axes.legend(loc="lower left")
    return figure


if __name__ == "__main__":
    main()
