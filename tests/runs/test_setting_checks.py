"""A setting that nothing can accept is refused in one line, whichever way it comes."""

import math
import os
import pickle
import sys
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import lowerbound as lb
from command_line import in_process, one_line
from lowerbound.commands.assignments import parse_settings
from lowerbound.foundation.errors import ConfigError, DataError, LowerboundError, RunError, UnknownName
from lowerbound.foundation.text_files import read_json, read_toml
from lowerbound.runs.experiment import SECTIONS, from_settings
from lowerbound.runs.setting_checks import MAX_DEPTH, check_settings

KEYS = [
    *((section, field.name) for section, kind in SECTIONS.items() for field in fields(kind)),
    ("objective", "preset"),
]


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = {
    "nan": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a thousand digits": 10**5000,
    "as many below zero": -(10**5000),
    "a large number": 2**64,
    "a small number": 5e-324,
    "below zero": -1,
    "true": True,
    "nothing": None,
    "an empty text": "",
    "escapes": "\x1b[31mred\x07\n\u202e",
    "digits of another script": "٣",
    "a broken character": "\udc80",
    "a long text": "x" * 10**6,
    "a deep list": nested(3000),
    "nan in a list": [math.nan],
    "a list of lists": [[]],
    "a table": {"\x1b[31m": {"kind": "\x1b"}},
    "a table with numbers as keys": {1: 2},
    "bytes": b"\x1b",
    "an object": object(),
}


def outcome(call):
    """What a call says: its one line, or nothing where it accepts."""
    try:
        call()
    except LowerboundError as error:
        message = str(error)
        assert message and message.isprintable() and len(message) <= 3100
        return message
    return ""


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_every_setting_takes_a_hostile_value_or_refuses_it_in_one_line(value):
    for section, key in KEYS:
        outcome(lambda section=section, key=key: from_settings("x", {section: {key: value}}))


@pytest.mark.parametrize("name", ["nan", "infinity", "minus infinity", "a thousand digits", "a large number"])
def test_no_setting_is_a_number_that_is_not_finite_or_has_no_end(name):
    for section, key in KEYS:
        assert f"{section}.{key} is " in outcome(
            lambda section=section, key=key: from_settings("x", {section: {key: HOSTILE[name]}})
        )


@pytest.mark.parametrize("given_settings", [3, [], None, "data", {3: {}}, {"data": {3: 1}}])
def test_settings_that_are_no_sections_of_keys_are_refused(given_settings):
    assert outcome(lambda: check_settings(given_settings))
    if given_settings is not None and not isinstance(given_settings, dict):
        assert outcome(lambda: from_settings("x", {"data": given_settings}))


# ---- --set and TOML


WORDS = [
    "training.seed=" + "9" * 5000,
    "data.range=" + "[" * 3000 + "]" * 3000,
    "data.range=[nan,1]",
    "data.columns=" + "{a=" * 400 + "1" + "}" * 400,
    "objective.preset=[nan]",
    "objective.preset={a=1}",
    "data.columns." + "a." * 3000 + "kind=numeric",
    'data.columns."\\q".kind=numeric',
    'data.columns."\\u001b[31m".kind=\x1b[31m',
    "training.learning_rate=inf",
    "training.batch_size=٣x",
    "training.num_epochs=-9" + "0" * 30,
    "data.size=" + "9" * 5000 + "x" + "9" * 5000,
    "data.size=٣x٣",
    "\x1b[31m.x=1",
    "data.max_gib=nan",
    "data.max_gib=0",
    "data.max_gib=-1",
    "=",
    ".=",
    "a.b.c.d=[[[[",
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: repr(word[:30]))
def test_set_refuses_in_one_line_what_no_setting_is(capsys, tmp_path, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    line = one_line(in_process(capsys, "train", "--set", word, expect=2).err)
    assert line.isprintable() and len(line) <= 3100
    assert not list(tmp_path.iterdir())


TOMLS = {
    "a thousand digits": b"[training]\nseed = " + b"9" * 5000,
    "deep lists": b"[data]\nrange = " + b"[" * 3000 + b"]" * 3000,
    "deep tables": b"[data." + b"a." * 3000 + b"b]\nc = 1",
    "nan": b"[training]\nlearning_rate = nan",
    "a list for a name": b"[objective]\npreset = [nan]",
    "another encoding": b"[data]\nsource = '\xff\xfe'",
    "no section": b"data = 3",
    "escapes": b'[data]\nsource = "\\u001b[31mx"',
    "an escaped section": b'["\\u001b[31m"]\nx = 1',
}


@pytest.mark.parametrize("content", TOMLS.values(), ids=TOMLS)
def test_a_recipe_refuses_in_one_line_what_no_setting_is(capsys, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_bytes(content)
    from lowerbound import cli

    monkeypatch.setattr(sys, "argv", ["lowerbound", "train", "--recipe", "x.toml"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code in (1, 2)
    assert one_line(capsys.readouterr().err).isprintable()
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
@pytest.mark.parametrize("read", [read_toml, read_json])
def test_a_pipe_or_a_device_in_place_of_a_file_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(RunError, match="it is not a file"):
            read(type(tmp_path)(path))


def test_json_that_is_nested_without_end_is_damaged(tmp_path):
    (tmp_path / "x.json").write_bytes(b"[" * 100_000)
    with pytest.raises(RunError, match="nested too deeply"):
        read_json(tmp_path / "x.json")


def test_python_refuses_the_same(tmp_path):
    for options in ({"learning_rate": math.nan}, {"seed": 10**5000}, {"settings": {"data": {"range": nested(3000)}}}):
        with pytest.raises(ConfigError):
            lb.train("digits", out=tmp_path / "run", **options)
    for name in ("learning_rate", "adam_epsilon", "warm_up", "max_gradient_norm"):
        with pytest.raises(ConfigError, match=f"training.{name} needs a finite number"):
            lb.TrainingConfig(**{name: math.inf})
    assert not (tmp_path / "run").exists()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@seed(0)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_any_value_of_any_setting_is_taken_or_refused_in_one_line(key, value):
    section, name = key
    outcome(lambda: from_settings("x", {section: {name: value}}))


@seed(0)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(word=st.sampled_from([f"{section}.{name}=" for section, name in KEYS]) | st.just(""), text=st.text(max_size=30))
def test_any_text_after_set_is_taken_or_refused_in_one_line(word, text):
    outcome(lambda: from_settings("x", parse_settings([word + text])))


def test_depth_is_that_of_the_deepest_setting_there_is():
    levels = {"data": {"columns": {"a": {"levels": ["x", "y"]}}}}
    assert from_settings("x", levels).data.columns["a"].levels == ("x", "y")
    with pytest.raises(ConfigError, match=f"more than {MAX_DEPTH} levels deep"):
        from_settings("x", {"model": {"likelihood_options": {"a": nested(MAX_DEPTH)}}})


# ---- what reaches the terminal


def test_escapes_in_names_of_files_columns_and_labels_are_written_out(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "\x1b]0;owned\x07\x1b[31m"
    rows = "".join(f"{index / 7},{'ab'[index % 2]}{name},{index % 3}\n" for index in range(40))
    path = tmp_path / f"{name}.csv"
    path.write_text(f"height{name},label,size\n{rows}")
    found = in_process(capsys, "inspect", path, "--labels", "label")
    assert "\x1b" not in found.out + found.err and "\\x1b[31m" in found.out
    (tmp_path / "list.csv").write_text(f"a{name},b\n1,2\n")
    for words in (["inspect", f"{name}.png"], ["inspect", path, "--labels", name], ["train", name], [name]):
        shown = in_process(capsys, *words, expect=1 if ".png" in str(words) or "--labels" in words else 2)
        assert "\x1b" not in shown.out + shown.err and "x1b" in shown.err


def test_an_unknown_name_of_any_length_is_told_in_one_line():
    message = str(UnknownName("recipe", "\x1b\n" + "x" * 10**6, ["dense"]))
    assert message.isprintable() and len(message) < 400


def test_a_message_is_the_same_in_another_process():
    error = pickle.loads(pickle.dumps(DataError("a\x1bb")))
    assert str(error) == "a\\x1bb" and str(pickle.loads(pickle.dumps(error))) == "a\\x1bb"
