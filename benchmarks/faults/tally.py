"""Tally: the outcomes of one kind of fault, with descriptions of the failures."""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MOST_SHOWN = 12  # descriptions of one kind of failure


@dataclass
class Tally:
    """Counts of outcomes for one kind of fault, by the class of place where it was injected."""

    kind: str  # in words
    good: frozenset[str]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    name: str = ""  # as it is asked for
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    is_loud: bool = True
    started: float = field(default_factory=time.perf_counter)

    def add(self, fault_class: str, outcome: str, about: str = "") -> None:
        """Count one fault; `about` says how to reproduce it."""
        self.counts[fault_class, outcome] += 1
        self.seconds = time.perf_counter() - self.started
        if outcome not in self.good:
            self.failures.append(f"{fault_class}: {outcome}: {about}")
            if self.is_loud:
                print(f"{self.kind}: {self.failures[-1]}", file=sys.stderr, flush=True)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def num_failed(self) -> int:
        return len(self.failures)

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON."""
        rows = [{"class": name, "outcome": outcome, "count": n} for (name, outcome), n in sorted(self.counts.items())]
        numbers = {"total": self.total, "failed": self.num_failed, "seconds": round(self.seconds, 1)}
        return {"kind": self.name, **numbers, "counts": rows, "failures": self.failures, "notes": self.notes}

    def table(self) -> str:
        """The counts as a Markdown table: a row for each class, a column for each outcome, good ones first."""
        outcomes = sorted({outcome for _, outcome in self.counts}, key=lambda name: (name not in self.good, name))
        classes = sorted({name for name, _ in self.counts})
        rows = [[name, *(str(self.counts[name, outcome] or "") for outcome in outcomes)] for name in classes]
        sums = [str(sum(self.counts[name, outcome] for name in classes)) for outcome in outcomes]
        lines = [[self.kind, *outcomes], ["---", *["---:"] * len(outcomes)], *rows, ["total", *sums]]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{text}\n\n{self.total:,} faults, {self.num_failed:,} failures, {self.seconds:,.0f} s"
