"""English words as spaCy splits them, for chunks that OpenAI's standardisation lets through."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.tokenizers.openai_words import split_words


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        ("They're", "They 're"),
        ("can't", "ca n't"),
        ("shouldn't've", "should n't 've"),
        ("dont", "do nt"),
        ("I'm", "I 'm"),
        ("cannot", "can not"),
        ("let's", "let 's"),
        ("C'mon", "C'm on"),
        ("DON'T", "DON'T"),  # exceptions know small letters and capitals in front only
        ("LET'S", "LET 'S"),
        ("well", "well"),
        ("its", "its"),
        ("Mr.", "Mr."),
        ("mRs.", "mRs ."),
        ("e.g.", "e.g."),
        ("U.S.", "U.S."),
        ("USA.", "USA ."),
        ("end.", "end ."),
        ("7am", "7 am"),
        ("12p.m.", "12 p.m."),
        ("5:30", "5:30"),
        ("$3.50", "$ 3.50"),
        ("US$5", "US$ 5"),
        ("10%", "10 %"),
        ("64GB", "64 GB"),
        ("10G", "10 G"),
        ("5km.", "5 km ."),
        ("C++", "C++"),
        ("'em", "'em"),
        ("'twas", "' twas"),
        ("dogs'", "dogs '"),
        ("dog's", "dog 's"),
        ("ma'am", "ma'am"),
        ("end.Start", "end . Start"),
        ("wait...what", "wait ... what"),
        ("....", "...."),
        ("a=b", "a = b"),
        ("key:value", "key : value"),
        ("1:2", "1:2"),
        ("2^3", "2 ^ 3"),
        ("<br", "< br"),
        (">I", "> I"),
        ("example.com", "example.com"),
        ("www.Example.com:8080", "www.Example.com:8080"),
        ("me@example.org.", "me@example.org ."),
        ("#tag", "# tag"),
        ("😀😀", "😀 😀"),
        ("20°C.", "20 ° C ."),
        ("°C.", "° C ."),
        ("Mr.Smith's", "Mr. Smith 's"),
        ("it's...", "it 's ..."),
        (">:o", ">:o"),
        ("<3", "<3"),
        ("\n", "\n"),
    ],
)
def test_a_chunk_is_split_as_spacy_splits_it(chunk: str, words: str) -> None:
    """Expected values: spaCy 3.8.18, spacy.blank("en")."""
    assert " ".join(split_words(chunk)) == words


@given(st.text(st.sampled_from("aAbI'.s:=<>$5%kmé中😀°€…^&@#"), max_size=20))
@settings(deadline=None, max_examples=200)
def test_words_joined_give_the_chunk(chunk: str) -> None:
    words = split_words(chunk)
    assert "".join(words) == chunk
    assert all(words)


@pytest.mark.parametrize("unit", ["'", "'s", "$", "a:", ".", "a.", "a@", "+", "😀"])
def test_work_grows_with_the_length_of_hostile_chunks_and_no_faster(unit: str) -> None:
    def seconds(count: int) -> float:
        start = time.process_time()
        split_words(unit * count)
        return time.process_time() - start

    seconds(10)  # builds tables
    assert seconds(8000) < 40 * max(seconds(1000), 0.002)
