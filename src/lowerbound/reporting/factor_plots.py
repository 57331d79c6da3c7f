"""Figure of the information that latents have about known factors of variation."""

import numpy as np
from matplotlib.figure import Figure

from lowerbound.evaluation.results import Results
from lowerbound.reporting import theme
from lowerbound.reporting.latent_plots import dimension_label

MAX_NUMBERED = 20
"""Most latents for which every cell has its number."""


@theme.themed
def factor_information(results: Results) -> Figure:
    """What each latent dimension tells about each known factor of variation of the data: their mutual information as a
    share of the factor's entropy, which is 1 where the latent determines the factor. A code is disentangled where each
    row and each column has one dark cell. The number on the right is the factor's gap between its best latent and the
    second; their mean is the mutual information gap (MIG).
    """
    information, entropy = results.arrays["factor_information"], results.arrays["factor_entropy"]
    share = information / entropy[:, None]
    num_factors, num_latents = share.shape
    figure = Figure(figsize=(theme.WIDTH, 0.9 + 0.42 * num_factors), layout="constrained")
    axes = figure.subplots()
    most = max(0.5, float(share.max()))
    theme.cells(axes, share, most)
    if num_latents <= MAX_NUMBERED:
        for (row, column), value in np.ndenumerate(share):
            colour = theme.PAPER if value > 0.55 * most else theme.INK
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", size=8, color=colour)
    ranked = np.sort(np.pad(share, ((0, 0), (1, 0))), axis=1)
    for row, gap in enumerate(ranked[:, -1] - ranked[:, -2]):
        axes.text(num_latents - 0.4, row, f"gap {gap:.2f}", va="center", size=9)
    axes.set_yticks(range(num_factors), factor_names(results))
    step = max(1, num_latents // MAX_NUMBERED)
    axes.set_xticks(range(0, num_latents, step), [dimension_label(k) for k in range(0, num_latents, step)])
    theme.formulas(*axes.get_xticklabels())
    axes.tick_params(length=0)
    return figure


def factor_names(results: Results) -> list[str]:
    """Names of the measured factors."""
    names = results.context.get("data", {}).get("factor_names") or ()
    numbers = results.arrays["factor_numbers"].tolist()
    return [theme.fit_name(names[k], 24) if k < len(names) else f"factor {k + 1}" for k in numbers]
