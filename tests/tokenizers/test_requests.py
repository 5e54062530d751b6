"""What is asked of a tokenizer is checked first, and errors say where."""

from __future__ import annotations

from typing import Any

import pytest

from plm.errors import TokenizerError
from plm.tokenizers import Tokenizer


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((None,), {}, r"text: expected a str or a list of str, got NoneType"),
        ((b"bytes",), {}, r"text: expected a str or a list of str, got bytes"),
        ((["a", None],), {}, r"text\[1\]: expected str, got NoneType"),
        ((["a"], [3]), {}, r"text_pair\[0\]: expected str, got int"),
        ((["a", ["b"]],), {}, r"text\[1\]: expected str, got list .*is_split_into_words=True"),
        (("a",), {"is_split_into_words": True}, r"text: expected a list of words"),
        ((["a", 3],), {"is_split_into_words": True}, r"text\[1\]: expected a word \(str\), got int"),
        (([["a"], ["b", 3]],), {"is_split_into_words": True}, r"text\[1\]\[1\]: expected a word \(str\), got int"),
        ((["a", "b"], ["c"]), {}, "text has 2 rows and text_pair has 1"),
        (("a", ["c"]), {}, "both to be single texts or both"),
        ((["ok", "bad \ud83d"],), {}, r"text\[1\]: holds U\+D83D"),
        (("a",), {"padding": "longst"}, "padding: expected True, False, 'longest' or 'max_length', got 'longst'"),
        (("a",), {"padding": "max_length"}, "padding='max_length' needs a length.*pass max_length"),
        (("a",), {"truncation": True}, "truncation=True needs a length.*pass max_length"),
        (("a",), {"truncation": "first", "max_length": 9}, "truncation: expected True, False or one of longest_first"),
        (("a",), {"max_length": 0}, "max_length: expected a positive integer, got 0"),
        (("a",), {"max_length": 1}, "max_length: 1 has no room for the 2 special tokens"),
        (("a", "b"), {"max_length": 2}, "max_length: 2 has no room for the 3 special tokens"),
        (("a",), {"max_length": 8, "stride": 6}, r"stride: expected 0 to 5, less than the 6 tokens.*got 6"),
        (("a",), {"max_length": 8, "stride": -1}, "stride: expected 0 to 5"),
        (("a", "b"), {"max_length": 11, "stride": 4}, "stride: expected less than 4 as both texts are cut"),
        (("a",), {"padding": True, "padding_side": "top"}, "padding_side: expected 'left' or 'right', got 'top'"),
        (("a",), {"return_tensors": "tf"}, "return_tensors: expected 'pt' or 'np', got 'tf'"),
        ((["a", "b c"],), {"return_tensors": "np"}, r"rows have 3 to 4 ids.*padding=True"),
    ],
)
def test_a_wrong_call_is_refused_with_place_and_way_out(
    uncased: Tokenizer, arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TokenizerError, match=message):
        uncased(*arguments, **options)


def test_a_window_too_small_for_the_stride_names_the_row(uncased: Tokenizer) -> None:
    long = "one two three four five six seven eight"
    options: dict[str, Any] = {"truncation": "only_second", "max_length": 10, "stride": 3}
    uncased(["a b c", "a b c d"], [long, "short"], **options)  # a short second text needs no window
    with pytest.raises(TokenizerError, match=r"text\[1\]: the other text leaves a window of 3 tokens.*stride=3"):
        uncased(["a b c", "a b c d"], [long, long], **options)


def test_a_row_that_cannot_be_cut_enough_is_named(uncased: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"text\[1\]: does not fit max_length=6.*longest_first"):
        uncased(["a", "a b c d e f g"], ["b", "c"], truncation="only_second", max_length=6)


def test_padding_without_a_pad_token_says_how_to_add_one(gpt1: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"add_special_tokens\(\{'pad_token': '<pad>'\}\)"):
        gpt1(["a", "b c"], padding=True)


def test_max_length_alone_cuts_and_false_never_does(uncased: Tokenizer) -> None:
    text = "one two three four"
    assert len(uncased.encode(text, max_length=4)) == 4
    assert len(uncased(text, max_length=4, truncation=False)["input_ids"]) == 6
    uncased.model_max_length = 5
    assert len(uncased.encode(text, truncation=True)) == 5
    assert len(uncased.encode(text)) == 6
