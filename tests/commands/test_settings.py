"""Settings are listed with what they mean, and an option that is the name of one gets the text to type."""

import json

import pytest

from command_line import in_process, one_line
from lowerbound.commands.settings import SYNONYMS, setting_for
from lowerbound.foundation.keywords import KEYWORDS
from lowerbound.runs.experiment import resolve
from lowerbound.runs.setting_table import setting_table


def test_a_section_a_key_and_json_list_the_same_settings(capsys):
    printed = in_process(capsys, "settings", "training").out
    assert "training.batch_size: integer, at least 1; default 128; option --batch-size" in printed
    assert "    one-cycle     From `start` up to 1" in printed
    assert "model." not in printed
    found = json.loads(in_process(capsys, "settings", "training", "--json").out)["settings"]
    assert all(f"{record['key']}: " in printed for record in found)
    assert next(record for record in found if record["key"] == "training.batch_size")["option"] == "--batch-size"
    everything = json.loads(in_process(capsys, "settings", "--json").out)["settings"]
    assert [record["key"] for record in everything] == [record.key for record in setting_table()]


def test_a_key_that_does_not_exist_gets_the_nearest_ones(capsys):
    refused = one_line(in_process(capsys, "settings", "training.batchsize", expect=2).err)
    assert "the nearest are training.batch_size," in refused and "`lowerbound settings` lists all" in refused


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["--hidden", "64"], "--set model.hidden='[64]'"),
        (["--num-epochs", "3"], "--set training.num_epochs=3"),
        (["--num_epochs=3"], "--set training.num_epochs=3"),
        (["--weight-decay", "0.01"], "--set training.weight_decay=0.01"),
        (["--l2", "0.01"], "--set objective.penalties.decoder-l2=0.01"),
        (["--rate-weight"], "--set objective.rate_weight=VALUE"),
        (["--channels", "8"], "--set data.channels=8 or --set model.channels='[8]'"),
        (["--num-chains", "3"], "--set evaluation.annealing.num_chains=3"),
        (["--split-seed", "--json"], "--set data.split_seed=VALUE"),
    ],
)
@pytest.mark.parametrize("command", ["train", "sweep"])
def test_an_option_that_looks_like_a_setting_gets_the_assignment(capsys, command, words, typed):
    refused = one_line(in_process(capsys, command, *words, expect=2).err)
    assert refused.endswith(f"are given as {typed}")


@pytest.mark.parametrize("words", [["train", "--recip", "x"], ["train", "--zzz"], ["score", "run", "--hidden", "3"]])
def test_other_options_and_commands_without_settings_get_no_assignment(capsys, words):
    refused = one_line(in_process(capsys, *words, expect=2).err)
    assert "--set" not in refused and f"See lowerbound {words[0]} --help." in refused


def test_every_synonym_is_an_existing_setting_and_what_is_suggested_is_accepted():
    keys = {record.key for record in setting_table()}
    for name, key in SYNONYMS.items():
        assert key in keys or key.rpartition(".")[0] in keys, name
    assert setting_for("--hidden", ["--hidden", "64"]) == "--set model.hidden='[64]'"
    assert resolve("", {"model": {"hidden": [64]}}).model.hidden == (64,)


OF_TRAINING = {"learning_rate": 0.01, "batch_size": 7, "epochs": 2, "seed": 5}
OPTIONS = {"latent_dim": 3, "beta": 0.5, "likelihood": "gaussian", **OF_TRAINING}


@pytest.mark.parametrize("command", ["train", "sweep"])
@pytest.mark.parametrize("keyword", OPTIONS)
def test_what_an_option_and_set_both_give_is_refused(capsys, command, keyword):
    name, option = KEYWORDS[keyword].setting, f"--{keyword.replace('_', '-')}"
    words = [command, option, OPTIONS[keyword], "--set", f"{name}={OPTIONS[keyword]}"]
    refused = one_line(in_process(capsys, *words, expect=2).err)
    assert f"{name} is given twice, by {option} and by --set; give it once." in refused


@pytest.mark.parametrize("keyword", OPTIONS)
def test_an_option_gives_its_setting(capsys, monkeypatch, keyword):
    found = {}

    def stopped(base, settings):
        found.update(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("lowerbound.runs.experiment.resolve", stopped)
    in_process(capsys, "train", f"--{keyword.replace('_', '-')}", OPTIONS[keyword], expect=130)
    section, key, *_ = KEYWORDS[keyword]
    assert found[section][key] == OPTIONS[keyword]


def test_an_explicit_number_of_steps_is_kept_beside_the_number_of_epochs():
    from lowerbound.commands.options import given_settings

    assert given_settings(["training.min_steps=9"], epochs=2)["training"] == {"num_epochs": 2, "min_steps": 9}
    assert given_settings([], epochs=2)["training"] == {"num_epochs": 2, "min_steps": 0}
