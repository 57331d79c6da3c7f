"""What commands print of scores."""

import re
from dataclasses import replace
from types import SimpleNamespace

from lowerbound.commands.printed_scores import MAX_PARETO_K, described, print_key_scores, print_runs, print_scores
from lowerbound.evaluation.results import Results, Score
from lowerbound.evaluation.thresholds import PARETO_K_BOUND


def test_an_estimate_says_how_far_its_weights_can_be_trusted():
    score = Score(
        name="importance-bound", value=-1.0, standard_error=0.1, unit="nats", split="test", convention="grey",
        num_examples=3, num_draws=5000, description="what it is", effective_sample_size=1234.4, pareto_k=0.75,
    )  # fmt: skip
    trusted = "(effective sample size 1,234 of 5,000, Pareto-k 0.70)"
    assert described(replace(score, pareto_k=0.7)) == f"what it is {trusted}"
    assert described(score).endswith("it is (effective sample size 1,234 of 5,000, Pareto-k 0.75, unreliable)")
    assert described(replace(score, pareto_k=None, effective_sample_size=None)) == "what it is"
    assert MAX_PARETO_K == PARETO_K_BOUND


def scored(name, num_examples, split="test"):
    return Score(
        name=name, value=-1.0, standard_error=0.1, unit="nats", split=split, convention="binary",
        num_examples=num_examples, num_draws=1, description="what it is",
    )  # fmt: skip


def test_scores_over_fewer_examples_say_so_and_a_part_of_a_split_is_not_taken_for_it(capsys):
    scores = [scored("log-evidence", 100), scored("elbo", 360), scored("rate", 360), scored("elbo", 15, "train")]
    print_scores(scores, {"test": 360, "train": 120})
    printed = capsys.readouterr().out
    assert "test: 360 examples, binary" in printed and "train: 15 of 120 examples, binary" in printed
    assert re.search(r"log-evidence .* nats +100 +what", printed) and re.search(r"rate .* nats +360 +what", printed)
    print_key_scores(scores, {"test": 360, "train": 120})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "test: 360 examples, binary"
    assert [line.endswith("nats, mean over 100 examples") for line in lines[1:]] == [True, False, False]


def test_scores_over_as_many_examples_have_no_column_of_them(capsys):
    print_scores([scored("elbo", 5, "given"), scored("rate", 5, "given")])
    printed = capsys.readouterr().out
    assert "given: 5 examples, binary" in printed and "unit   description" in printed


def test_a_run_that_its_limit_on_epochs_ended_says_how_to_go_on(tmp_path, capsys):
    record = {"epoch": 1, "num_epochs": 1, "best_epoch": 1, "validation": {"objective": -3.0}}
    results = Results((scored("elbo", 5),), {}, {}, history=(record,))
    run = SimpleNamespace(path=tmp_path / "a" / "seed-0", results=results)
    print_runs([run], as_json=False)
    said = f"and the validation score still improved; to go on: lowerbound train --resume {run.path} --epochs 2"
    assert said in capsys.readouterr().out
    print_runs([run, run], as_json=False)
    assert f"--resume {tmp_path / 'a'} --seeds 2 --epochs 2" in capsys.readouterr().out
    fitted = SimpleNamespace(path=run.path, results=replace(results, context={"fitted_from": "run"}))
    print_runs([fitted], as_json=False)
    assert "still improved" not in capsys.readouterr().out
