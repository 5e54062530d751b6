"""Every layout makes the sentences that its users expect of a line."""

from __future__ import annotations

import json

import pytest

from plm.config import from_dict
from plm.corpus.layouts import TextLayout
from plm.errors import ConfigError, DataError

TWO = "One came. Two left."


@pytest.mark.parametrize(
    ("kind", "split", "expected"),
    [
        ("sentences", None, [TWO]),
        ("sentences", "rules", ["One came.", "Two left."]),
        ("documents", None, ["One came.", "Two left."]),
        ("documents", "none", [TWO]),
        ("files", None, ["One came.", "Two left."]),
        ("files", "none", [TWO]),
    ],
)
def test_lines_are_split_where_they_hold_more_than_a_sentence(
    kind: str, split: str | None, expected: list[str]
) -> None:
    layout = from_dict(TextLayout, {"kind": kind, "split": split})
    assert layout.line_reader()(f" \t{TWO}\u2028\r") == expected
    assert layout.line_reader()(" \u3000\t\x85\r") == []


@pytest.mark.parametrize(
    ("split", "text", "expected"),
    [
        (None, f"{TWO}\n\n Three.", ["One came.", "Two left.", "Three."]),
        ("none", f"{TWO}\n\n Three.", [TWO, "Three."]),
        (None, [TWO, " ", "Three\nfour."], [TWO, "Three", "four."]),
        ("rules", [TWO, "Three."], ["One came.", "Two left.", "Three."]),
        (None, "", []),
        (None, [], []),
    ],
)
def test_json_strings_are_paragraphs_and_their_lists_sentences(
    split: str | None, text: object, expected: list[str]
) -> None:
    layout = from_dict(TextLayout, {"kind": "jsonl", "field": "body", "split": split})
    assert layout.line_reader()(json.dumps({"id": 3, "body": text}) + "\r") == expected


@pytest.mark.parametrize(
    ("line", "fragment"),
    [
        ('{"text": "a" "b"}', r"column 14: not JSON \(Expecting ',' delimiter\).*jq -c"),
        ('{"text": "a', "column 10: not JSON"),
        ('["a"]', "expected a JSON object with the key 'text', got list"),
        ('{"txet": "a", "id": 1}', r"no key 'text'; did you mean 'txet'\? \(keys: 'txet', 'id'\)"),
        ('{"text": null}', "expected a text or a list of texts, got null"),
        ('{"text": [["a"]]}', r'got \[\["a"\]\]'),
        ('{"text": "a\\ud83d"}', "character 2 of the text is half a character"),
        ('{"text": ' + "[" * 100_000 + "}", "cannot be read as JSON"),
        ('{"text": ' + "9" * 5000 + "}", "cannot be read as JSON"),
    ],
)
def test_lines_that_are_no_json_as_told_are_refused(line: str, fragment: str) -> None:
    with pytest.raises(DataError, match=fragment):
        TextLayout(kind="jsonl").line_reader()(line)


def test_whole_pairs_of_surrogates_are_characters() -> None:
    assert TextLayout(kind="jsonl").line_reader()('{"text": "\\ud83d\\ude00"}') == ["😀"]


@pytest.mark.parametrize(
    "values", [{}, {"kind": "lines"}, {"kind": "files", "field": "body"}, {"kind": "files", "split": 1}]
)
def test_layouts_that_cannot_be_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"kind|split"):
        from_dict(TextLayout, values)
