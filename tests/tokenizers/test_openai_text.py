"""Text prepared as OpenAI did: mended, standardised, split, lowered."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plm.errors import BackendUnavailable
from plm.tokenizers.openai_text import prepare


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("  Hello   World \t", "hello world"),
        ("one\r\n\r\n two\u2028three", "one \n two \n three"),
        ("well-known (yes) a/b", "well - known ( yes ) a / b"),
        ("--what?!", "-- what ? !"),
        ("back\\slash", "back\\slash"),  # OpenAI's pattern means to split it, and does not
        ("a—b – c … ´d´", "a - b - c ... 'd '"),
        ("“Curly” ‘quotes’", "\" curly \" ' quotes '"),
        ("fish &amp; chips &lt;b&gt; P&EACUTE;REZ", "fish & chips < b > pérez"),
        ("&amp;lt;", "<"),
        ("<b>&amp;", "< b>&amp ;"),  # a "<" in the line: HTML, whose entities stay
        ("ﬁne ＡＢＣ\u3000ĳ", "fine abc ij"),
        ("\x1b[31mred\x1b[0m\x07 bell\ufeff", "red bell"),
        ("cafe\u0301", "café"),
        ("it\x92s", "it 's"),  # a control code that Windows-1252 has a quote at
        ("\ud83d\ude00 \ud83d", "😀 �"),
        ("İstanbul ΟΔΟΣ", "i̇stanbul οδος"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_text_is_mended_and_standardised(text: str, prepared: str) -> None:
    """Expected values: ftfy 6.3.1, OpenAI's text_standardize and spaCy 3.8.18, then lower()."""
    assert prepare(text).text == prepared


ROUGH = st.text(st.sampled_from("aB' .-“…—\n\t\r&;<é\u0301ﬁ\x1b[1m中😀\ud800İΣ\x85"), max_size=30)


@given(ROUGH)
@example("a &amp; b")
@settings(deadline=None, max_examples=300)
def test_positions_are_within_the_text_and_in_order_and_change_no_word(text: str) -> None:
    followed = prepare(text, with_origin=True)
    assert followed.text == prepare(text).text
    assert followed.origin is not None
    assert len(followed.origin) == len(followed.text)
    assert all(0 <= start <= end <= len(text) for start, end in followed.origin)
    starts = [start for (start, _), character in zip(followed.origin, followed.text, strict=True) if character != " "]
    assert starts == sorted(starts)


@given(ROUGH)
@settings(deadline=None, max_examples=200)
def test_words_stand_between_single_spaces(text: str) -> None:
    assert re.fullmatch(r"(?:[^ ]+(?: [^ ]+)*)?", prepare(text).text)


def test_tokens_to_recognise_stay_whole_words() -> None:
    literals = re.compile(re.escape("<|End|>"))
    assert prepare("One.<|End|>Two<|End|>", literals=literals).text == "one . <|End|> two <|End|>"
    followed = prepare("a <|End|>", literals=literals, with_origin=True)
    assert followed.origin == [(0, 1), (1, 2), *((i, i + 1) for i in range(2, 9))]


def test_hostile_nesting_of_entities_ends() -> None:
    assert prepare("&amp;" + "amp;" * 3000 + "lt;").text.startswith("&")


def test_the_package_ftfy_runs_first_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", SimpleNamespace(fix_text=lambda text: text.replace("Ã©", "é")))
    followed = prepare("cafÃ© Ok", ftfy=True, with_origin=True)
    assert followed.text == "café ok"
    assert followed.origin is not None
    assert followed.origin[3:6] == [(3, 5), (5, 6), (6, 7)]


def test_without_ftfy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(BackendUnavailable, match=r"plm\[text\]"):
        prepare("a", ftfy=True)
