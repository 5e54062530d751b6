"""Sentences as nltk's `sent_tokenize` cuts lower-case English; the expected ones were printed by nltk 3.10."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.metrics.punkt import sentences

CASES = [
    ("he left. she ran.", ["he left.", "she ran."]),
    ("mr. smith met dr. jones. they left.", ["mr. smith met dr. jones.", "they left."]),
    ("henry a. walsh was born in no. 5. he died", ["henry a. walsh was born in no.", "5. he died"]),
    ("the u.s. army and ph.d. work etc. and more", ["the u.s. army and ph.d. work etc.", "and more"]),
    ("wait... what? yes! no", ["wait... what?", "yes!", "no"]),
    ('"stop." she said (yes.) and left.', ['"stop."', "she said (yes.)", "and left."]),
    ("vol. 3. then p. 12, a. 5", ["vol.", "3. then p. 12, a.", "5"]),
    ("version 3.5. released in jan. 2010. ok", ["version 3.5. released in jan. 2010. ok"]),
    ("one . two .). three", ["one .", "two .", ").", "three"]),
    ("end.«next» a?b", ["end.", "«next» a?b"]),
    ("x.\u3000y.  z ", ["x.\u3000y.  z"]),
    (" .", [" ."]),
    ("", []),
    ("pro-u.s. view. anti-mill. view", ["pro-u.s. view.", "anti-mill.", "view"]),
]


@pytest.mark.parametrize(("text", "found"), CASES)
def test_sentences_are_those_of_nltk(text: str, found: list[str]) -> None:
    assert sentences(text) == found


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab5.?!\"') (,-\n\u3000")))
def test_only_spaces_between_sentences_are_lost(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
