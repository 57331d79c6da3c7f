"""model_card: the README.md of a saved model, as the Hugging Face hub reads it: metadata in YAML, text in Markdown."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lowerbound.evaluation.results import Results, Score
from lowerbound.foundation.text import one_line, readable
from lowerbound.reporting import wording
from lowerbound.reporting.terms import adapted_wording, is_autoencoder

LIBRARY = "lowerbound"
LONGEST_NAME = 100  # characters
SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~]")
"""Characters that Markdown would not show as they are."""

USAGE = """```python
import lowerbound as lb

model = lb.load("{folder}")
q = model.encode(x)  # q(z|x), a distribution; x in stored units: {units}
p = model.decode(q.centre)  # p(x|z), a distribution, in the same units
{more}
```"""


def model_card(results: Results, folder: str, units: str, has_scores: bool, is_generative: bool) -> str:
    """The text of README.md for the model of a run, saved in a folder of this name.

    `units` describes x in words; `has_scores` tells whether thresholds for anomaly scores are saved with the model.
    """
    return f"---\n{_metadata(results)}---\n\n{_body(results, folder, units, has_scores, is_generative)}"


def _metadata(results: Results) -> str:
    """The front matter. Each value is JSON on one line, which is YAML, too."""
    model = results.context.get("config", {}).get("model", {})
    kind = "autoencoder" if is_autoencoder(results) else "variational-autoencoder"
    tags = [kind, "representation-learning", *sorted({model[key] for key in ("likelihood", "prior") if key in model})]
    content = {"library_name": LIBRARY, "tags": tags, "model-index": [_index(results)]}
    return "".join(f"{key}: {json.dumps(_readable(value), ensure_ascii=False)}\n" for key, value in content.items())


def _index(results: Results) -> dict[str, Any]:
    data = one_line(str(results.context.get("data", {}).get("name") or "unknown"), LONGEST_NAME)
    found = [
        {
            "task": {"type": "feature-extraction"},
            "dataset": {"type": data, "name": data, "split": split},
            "metrics": [_metric(score) for score in of_split if math.isfinite(score.value)],
        }
        for split, of_split in _by_split(results.scores).items()
    ]
    return {"name": one_line(wording.title(results), LONGEST_NAME), "results": found}


def _by_split(scores: Iterable[Score]) -> dict[str, list[Score]]:
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(score.split, []).append(score)
    return found


def _metric(score: Score) -> dict[str, Any]:
    named = f"{wording.score_title(score.name)} ({score.unit}; {score.convention})"
    error = {} if score.standard_error is None else {"standard_error": score.standard_error}
    return {"type": score.name, "value": score.value, "name": named, **({"args": error} if error else {})}


def _body(results: Results, folder: str, units: str, has_scores: bool, is_generative: bool) -> str:
    more = [
        *(["model.generate(16)  # new examples"] if is_generative else []),
        *(["model.score(x)  # anomaly scores in nats"] if has_scores else []),
    ]
    usage = USAGE.format(folder=_code(folder), units=_code(units), more="\n".join(more)).replace("\n\n```", "\n```")
    parts = [
        f"# {_plain(wording.title(results))}",
        _plain(wording.lead(results)),
        *_headline(results),
        "## Use",
        usage,
        "## Scores",
        _scores(results),
        *(_plain(text) for text in _conventions(results)),
        *_caveats(results),
        "## Training",
        _facts(wording.facts(results)),
        "```sh\n" + _code(results.context["command"]) + "\n```" if results.context.get("command") else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(results: Results) -> Iterator[str]:
    if key := wording.key_number(results):
        yield f"**{key.text} {key.score.unit}**: {_plain(key.about)}; lower is better."
    if placement := wording.placement(results):
        yield _plain(adapted_wording(results, placement.sentence))
    yield _plain(adapted_wording(results, wording.bound_quality(results)))


def _scores(results: Results) -> str:
    rows = [
        (score.name, score.text, score.unit, score.split, score.convention, score.description)
        for score in results.scores
    ]
    return _table(("score", "mean ± standard error", "unit", "split", "convention", "description"), rows)


def _conventions(results: Results) -> Iterator[str]:
    for name in dict.fromkeys(score.convention for score in results.scores):
        yield adapted_wording(results, wording.explain_convention(name))


def _caveats(results: Results) -> Iterator[str]:
    """What a reader must know before using the model."""
    if results.context.get("data", {}).get("monitored") == "test":
        yield "The test numbers are not held out: training was monitored on the test split."
    for finding in results.findings or ():
        yield f"**{wording.severity_name(finding)}**: {_plain(finding.name)}. {_plain(finding.sentence)}"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    return _table(("", ""), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *(list(map(_plain, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return SPECIAL.sub(lambda found: f"\\{found[0]}", one_line(readable(text)))


def _code(text: str) -> str:
    """Text on one line of a block of code, which it cannot end."""
    return one_line(readable(text)).replace("```", "'''")


def _readable(value: Any) -> Any:
    """Values whose texts are valid in YAML: without control characters and lone surrogates."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return one_line(readable(value)) if isinstance(value, str) else value
