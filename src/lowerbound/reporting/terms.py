"""adapted_wording(): report text for data other than images ("example") and for autoencoders ("code")."""

import re

from lowerbound.evaluation.results import Results

IMAGE_WORDS = re.compile(r"\b(image|pixel)(s?)\b", re.IGNORECASE)

CODE_WORDS = (
    (re.compile(r"\bthe mean of its posterior\b"), "its code"),
    (re.compile(r"\b(decoded )?posterior (?:mean|centre)(s?)\b"), r"\1code\2"),
)
"""What a text on variational autoencoders calls the code, and what it is called for others."""

OF_VARIATIONAL = re.compile(r"\b(?:posteriors?|ELBO|KL|bound|rate)\b")
OF_PRIOR = re.compile(r"\bprior\b")

SENTENCES = re.compile(r"(?<=\.)\s+(?=[A-Z])")

WITHOUT_DISTRIBUTION = re.compile(r"a (?:plain|deterministic) autoencoder has no\b")
"""Reasons of what is never measured of an autoencoder."""

OF_SAMPLES = ("samples", "elements_drawn", "prior_contour_points")
"""Arrays of a model with a prior, such as an autoencoder to which one was fitted."""


def adapted_wording(results: Results, text: str) -> str:
    """Text written for variational autoencoders of images, adapted to the run of these results.

    For arrays and tables, "image" becomes "example" and "pixel" becomes "value". For an autoencoder a posterior's mean
    becomes the code, and sentences on what it does not have are left out.
    """
    if is_autoencoder(results):
        text = _of_autoencoder(text, has_prior=any(name in results.arrays for name in OF_SAMPLES))
    layout = results.context.get("data", {}).get("layout", "image")
    return text if layout == "image" else IMAGE_WORDS.sub(_as_example, text)


def is_autoencoder(results: Results) -> bool:
    """Whether the model is a plain autoencoder, without a posterior."""
    return results.score("reconstruction-error") is not None


def _of_autoencoder(text: str, has_prior: bool) -> str:
    for words, replacement in CODE_WORDS:
        text = words.sub(replacement, text)
    kept = [
        sentence
        for sentence in SENTENCES.split(text)
        if not OF_VARIATIONAL.search(sentence) and (has_prior or not OF_PRIOR.search(sentence))
    ]
    return " ".join(kept) or text


def _as_example(match: re.Match[str]) -> str:
    word = {"image": "example", "pixel": "value"}[match[1].lower()]
    return (word.capitalize() if match[1][0].isupper() else word) + match[2]
