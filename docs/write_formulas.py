"""Write src/lowerbound/reporting/formulas.json: the formulas of the page of `lowerbound learn`, as TeX and as MathML.

    python -m docs.write_formulas      # needs the packages of `make docs`

The package contains the MathML, so that neither it nor the page needs a converter, a script or a network.
"""

import json
from pathlib import Path

from docs.site.mathml import mathml

FORMULAS = Path(__file__).parents[1] / "src/lowerbound/reporting/formulas.json"

SHORT = {
    "@KL": r"\mathrm{KL}",
    "@log": r"\log ",
    "@px": r"p_\theta(x \mid z)",
    "@q": r"q_\phi(z \mid x)",
    "@E": r"\mathbb{E}",
    "@L": r"\mathcal{L}(x)",
    "@if": r"\,\|\,",
}

TEX = {
    "bound": r"@L = @E_{@q}\left[@log @px\right] - @KL\left(@q @if p(z)\right)",
    "gaussian": (
        r"@log @px = -C \, \lVert x - x' \rVert^2 - \frac{D}{2} @log (2 \pi \sigma^2), \qquad C = \frac{1}{2 \sigma^2}"
    ),
    "bernoulli": r"@log @px = \sum_d \left( x_d @log {x'}_d + (1 - x_d) @log (1 - {x'}_d) \right)",
    "kl": r"@KL\left(@q @if p(z)\right) = \frac{1}{2} \sum_j \left( \mu_j^2 + \sigma_j^2 - 1 - @log \sigma_j^2 \right)",
    "loss": r"\text{loss} = -@L = \text{distortion} + \text{rate}",
    "trick": r"z = \mu + \sigma \odot \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, I)",
    "deviation": r"\exp \left( \frac{1}{2} @log \sigma^2 \right) = \sigma",
    "bayes": (
        r"p(z \mid x) = \frac{p(x, z)}{p(x)} = \frac{p(x \mid z) \, p(z)}{p(x)}, "
        r"\qquad p(x) = \int p(x \mid z) \, p(z) \, dz"
    ),
    "divergence": r"@KL\left(@q @if p(z \mid x)\right) = @E_q \left[ @log @q - @log p(z \mid x) \right]",
    "with-evidence": r"@KL\left(@q @if p(z \mid x)\right) = @E_q \left[ @log @q - @log p(x, z) \right] + @log p(x)",
    "best": r"q^* = \underset{q}{\text{arg min}} \; @E_q \left[ @log @q - @log p(x, z) \right]",
    "identity": r"@log p(x) = @L + @KL\left(@q @if p(z \mid x)\right)",
    "score": r"\nabla_\phi \, @E_q [f(z)] = @E_q \left[ f(z) \, \nabla_\phi @log @q \right]",
    "pathwise": (
        r"\nabla_\phi \, @E_q [f(z)] = "
        r"@E_{\varepsilon} \left[ \nabla_\phi \, f(\mu_\phi + \sigma_\phi \odot \varepsilon) \right]"
    ),
}


def expanded(tex: str) -> str:
    """TeX with the short forms of SHORT written out."""
    for short, long in SHORT.items():
        tex = tex.replace(short, long)
    return tex


def main() -> None:
    """Write the file."""
    formulas = {name: expanded(tex) for name, tex in TEX.items()}
    written = {name: {"tex": tex, "mathml": mathml(tex, "block")} for name, tex in formulas.items()}
    FORMULAS.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
