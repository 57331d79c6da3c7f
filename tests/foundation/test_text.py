"""Text from anywhere is shown on one line, in the terminal's encoding, and obeyed by nothing."""

import pytest

from lowerbound.foundation.text import in_encoding, one_line, pluralise, readable, skipped_lines


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("−1 ± 2 × 3…", "ascii", "-1 +/- 2 x 3..."),
        ("−1 ± 2", "cp1252", "-1 ± 2"),
        ("名 \udcff \ud800", "ascii", "\\u540d \\xff \\ud800"),
        ("名 \udcff", "utf-8", "名 \\xff"),
    ],
)
def test_a_text_in_an_encoding(text, encoding, shown):
    assert in_encoding(text, encoding) == shown


def test_a_message_obeys_no_escape_and_stays_on_its_line():
    assert one_line("a\n\x1b[31mb\u202e\udc80") == "a \\x1b[31mb\\u202e\\x80"
    assert readable("a\udcffb\ud800") == "a\\xffb\\ud800"


def test_a_count_agrees_with_its_noun():
    assert [pluralise(count, "cell") for count in (0, 1, 2_000)] == ["0 cells", "1 cell", "2,000 cells"]


def test_what_was_skipped_is_named_in_one_wording_up_to_a_number_and_counted():
    assert skipped_lines(["a.png is damaged."]) == ["skipped: a.png is damaged."]
    assert skipped_lines(["a", "b", "c"], most=2) == ["skipped: a", "skipped: b", "3 skipped in total"]
    assert skipped_lines([]) == []
