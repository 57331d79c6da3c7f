"""Small runs on which faults are tested, and the commands that write.

A template is a folder as a user could have it; a trial is a copy of one, always at the same path, because files contain
paths.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from benchmarks.faults.child import Fault, Outcome, command
from benchmarks.faults.comparing import tree
from PIL import Image

Words = tuple[str, ...]

SMALL = (
    *("--set", "model.hidden=[8]"),
    *("--set", "evaluation.num_exact=4", "--set", "evaluation.num_draws=2"),
    *("--set", "evaluation.manifold_sizes=[2]"),
)
ONE_STEP_EACH = ("--epochs", "3", "--set", "training.batch_size=512", "--quiet")
CHEAP_EVALUATION = (
    *("--set", "evaluation.importance_draws=20", "--set", "evaluation.num_bounded=4"),
    *("--set", "evaluation.num_gaps=4", "--set", "evaluation.num_exact=4"),
)
CHEAP_ANNEALING = (
    *("--set", "evaluation.num_annealed=4", "--set", "evaluation.num_simulated=4"),
    *("--set", "evaluation.annealing.num_temperatures=210", "--set", "evaluation.annealing.num_chains=2"),
    *("--set", "evaluation.annealing.num_leapfrog=2"),
)


def training(data: str, out: str, seed: int = 0, *more: str) -> Words:
    """The command line that trains a small run."""
    recipe = ("--recipe", "dense") if data == "digits" else ()
    return ("train", data, *recipe, "--out", out, "--seed", str(seed), *ONE_STEP_EACH, *SMALL, *more)


@dataclass(frozen=True)
class Workplace:
    """A folder with the data, the templates and the current trial."""

    root: Path
    made: dict[str, Path] = field(default_factory=dict)

    @property
    def trial(self) -> Path:
        return self.root / "trial"

    @property
    def data(self) -> Path:
        return self.root / "data"

    def template(self, name: str) -> Path:
        """A template, made on first use."""
        if name not in self.made:
            if not self.data.exists():
                write_data(self.data)
            self.fresh(self.template(TEMPLATES[name].on) if TEMPLATES[name].on else None)
            for file, text in TEMPLATES[name].files.items():
                (self.trial / file).write_text(text)
            for words in TEMPLATES[name].commands(self.data):
                outcome = command(words, cwd=self.trial, fault=TEMPLATES[name].fault)
                if outcome.status != TEMPLATES[name].status:
                    raise RuntimeError(f"template {name}: {words}: {outcome.status}\n{outcome.err}")
            self.made[name] = self.root / "templates" / name
            shutil.copytree(self.trial, self.made[name], dirs_exist_ok=True)
        return self.made[name]

    def fresh(self, template: Path | None) -> Path:
        """The trial as a new copy of a template, or empty."""
        shutil.rmtree(self.trial, ignore_errors=True)
        if template is None:
            self.trial.mkdir(parents=True)
        else:
            shutil.copytree(template, self.trial)
        return self.trial

    def begin(self, name: str) -> Path:
        """The trial as a new copy of the template `name`."""
        return self.fresh(self.template(name))


@dataclass(frozen=True)
class Template:
    """How a template is made: commands, run one after another on another template."""

    commands: Callable[[Path], Sequence[Words]]
    on: str = ""
    fault: Fault | None = None
    status: int = 0
    files: Mapping[str, str] = field(default_factory=dict)


SMALL_RECIPE = """
description = "A small run."
[model]
network = "dense"
hidden = [8]
[training]
num_epochs = 2
batch_size = 512
[evaluation]
num_exact = 4
num_draws = 2
manifold_sizes = [2]
"""


def smaller_demo() -> None:
    """Make the demo use small recipes; its own take a minute."""
    from lowerbound.runs import repeats

    repeats.DEMO_RECIPES = ("one.toml", "two.toml")


TEMPLATES = {
    "nothing": Template(lambda data: ()),
    "recipes": Template(lambda data: (), files={"one.toml": SMALL_RECIPE, "two.toml": SMALL_RECIPE}),
    "digits": Template(lambda data: (training("digits", "run"), training("digits", "other", 1))),
    "table": Template(
        lambda data: (training(str(data / "things.csv"), "run"), training(str(data / "things.csv"), "other", 1))
    ),
    "interrupted": Template(
        lambda data: tuple(
            training("digits", out, seed, "--set", "training.checkpoint_every=1")
            for seed, out in enumerate(("run", "other"))
        ),
        fault=Fault("kill", 40),
        status=-9,
    ),
    "evaluated": Template(lambda data: (("evaluate", "run", *CHEAP_EVALUATION),), on="digits"),
}


def write_data(folder: Path) -> None:
    """A table with missing cells, and a folder of images in two classes."""
    bits = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = ["length,kind,number"]
    for number in range(60):
        cell = "" if number % 7 == 0 else f"{bits.normal():.3f}"
        rows.append(f"{cell},{'abc'[number % 3]},{bits.poisson(4)}")
    (folder / "things.csv").write_text("\n".join(rows) + "\n")
    for name in ("cold", "warm"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = bits.integers(0, 256, (6, 5, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number:02}.png")


@dataclass(frozen=True)
class Case:
    """A command that writes, its template, and the commands that continue it after an interruption."""

    name: str
    template: str
    words: Words
    again: tuple[Words, ...] = ()  # tried one after the other until one is accepted; the same command where empty
    changes_results: bool = False
    may_be_refused: bool = False  # where a new model stands beside old results, until the command has gone on
    prepare: Callable[[], None] = lambda: None  # in the child, before the command

    @property
    def continuations(self) -> tuple[Words, ...]:
        return self.again or (self.words,)


RESUME = ("train", "--resume", "run", "--quiet")


def writing_cases(data: Path) -> tuple[Case, ...]:
    """Every command that writes, cheapest first."""
    table = str(data / "things.csv")
    train = training("digits", "run")
    train_table = training(table, "run")
    seeds = (*training("digits", "run"), "--seeds", "2")
    evaluate = ("evaluate", "run", *CHEAP_EVALUATION)
    return (
        Case("sample", "digits", ("sample", "run", "--num", "4")),
        Case("sample --folder", "digits", ("sample", "run", "--num", "4", "--folder", "drawn")),
        Case("sample of a table", "table", ("sample", "run", "--out", "drawn.parquet")),
        Case("encode", "digits", ("encode", "run")),
        Case("encode to .npz", "digits", ("encode", "run", "--out", "codes.npz")),
        Case("score", "digits", ("score", "run", "--no-importance", "--out", "scores.json")),
        Case("impute", "table", ("impute", "run", table)),
        Case("reconstruct", "digits", ("reconstruct", "run")),
        Case("interpolate", "digits", ("interpolate", "run", "1", "2")),
        Case("inspect", "nothing", ("inspect", str(data / "photos"))),
        Case("compare", "digits", ("compare", "run", "other", "--out", "compared.png")),
        Case("export --format torch", "digits", ("export", "run", "--format", "torch")),
        Case("report", "digits", ("report", "run")),
        Case("pack", "nothing", ("pack", str(data / "photos"), "packed", "--workers", "1")),
        Case("train", "nothing", train, (RESUME, train)),
        Case("train on a table", "nothing", train_table, (RESUME, train_table)),
        Case("train --resume", "interrupted", RESUME),
        Case(
            "train --resume of a finished run",
            "digits",
            (*RESUME, "--epochs", "4"),
            changes_results=True,
            may_be_refused=True,
        ),
        Case("evaluate", "digits", evaluate, changes_results=True),
        Case("evaluate --anneal", "digits", (*evaluate, *CHEAP_ANNEALING), changes_results=True),
        Case("train --seeds", "nothing", seeds, ((*RESUME, "--seeds", "2"), seeds)),
        Case("explore --offline", "digits", ("explore", "run", "--offline", "page.html")),
        Case("export", "digits", ("export", "run")),
        Case("demo", "recipes", ("demo", "--out", "demo"), prepare=smaller_demo),
    )


@dataclass(frozen=True)
class Reference:
    """The outcome of a command without faults."""

    case: Case
    before: dict[str, bytes]
    after: dict[str, bytes]
    outcome: Outcome


def reference(place: Workplace, case: Case) -> Reference:
    """Run the command without a fault; RuntimeError if it fails."""
    trial = place.begin(case.template)
    before = tree(trial)
    outcome = command(case.words, cwd=trial, timeout=600, prepare=case.prepare)
    if outcome.status != 0:
        raise RuntimeError(f"{case.name}: exit status {outcome.status} without a fault\n{outcome.err}")
    return Reference(case, before, tree(trial), outcome)
