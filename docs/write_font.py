"""Write src/lowerbound/reporting/formulas.woff2, the font of formulas on the site and the page of `lowerbound learn`.

    python -m docs.write_font stix-two-math-latin-400-normal.woff2      # needs fonttools and brotli

The font is STIX Two Math 2.12, as in the npm package @fontsource/stix-two-math 5.3.0, reduced to the characters below
(a tenth of its size): browsers take the heights of scripts, fractions and brackets from its MATH table, and systems
without a font that has one set formulas badly. Its licence, the SIL Open Font License 1.1, is beside it.
"""

import sys
from pathlib import Path

from fontTools import subset

FONT = Path(__file__).parents[1] / "src/lowerbound/reporting/formulas.woff2"

PLAIN = "".join(map(chr, range(0x20, 0x7F))) + "αβγδεζηθικλμνξοπρστυφχψωϑϕϵΓΔΘΛΞΠΣΦΨΩ½"
SIGNS = "±×·÷…′″‖∣∥−∗∘√∞∫∑∏∂∇∈∉∀∃≈≠≡≤≥≪≫∝∼⊙⊕⊤∪∩⊂→←⇒↦⟨⟩⌈⌉⌊⌋ˆ¯˜‾―⏞⏟"
LETTERS = "ℝℕℤℚℙℂ𝔼𝟙ℒℋℬℱ𝒩𝒟𝒰𝒪𝒳𝒵ℓℎ" + "".join(map(chr, [*range(0x1D400, 0x1D468), *range(0x1D6E2, 0x1D71C)]))  # slanted


def main(source: str) -> None:
    """Write the file."""
    options = subset.Options(flavor="woff2", layout_features=["ssty", "dtls", "flac", "kern"], hinting=False)
    font = subset.load_font(source, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=PLAIN + SIGNS + LETTERS)
    subsetter.subset(font)
    subset.save_font(font, str(FONT), options)


if __name__ == "__main__":
    main(sys.argv[1])
