"""Vocabulary files: line numbers are ids, whatever stands in the lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.errors import TokenizerError
from plm.tokenizers.vocabulary import is_lower_case, read_bpe, read_vocab_txt, without_gaps


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_carriage_returns_and_a_byte_order_mark_are_no_part_of_tokens(tmp_path: Path) -> None:
    plain = read_vocab_txt(write(tmp_path / "a", b"[PAD]\n[UNK]\na\n"))
    assert read_vocab_txt(write(tmp_path / "b", b"[PAD]\r\n[UNK]\r\na\r\n")) == plain
    assert read_vocab_txt(write(tmp_path / "c", b"\xef\xbb\xbf[PAD]\n[UNK]\na")) == plain
    assert plain == ({"[PAD]": 0, "[UNK]": 1, "a": 2}, [])


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    ids, notes = read_vocab_txt(write(tmp_path / "v", "a\n\u2028\n##\u2028\n\u0085\n\u000b\nb\n".encode()))
    assert ids == {"a": 0, "\u2028": 1, "##\u2028": 2, "\u0085": 3, "\u000b": 4, "b": 5}
    assert notes == []


def test_the_chinese_vocabulary_keeps_its_line_separators(chinese_file: Path) -> None:
    ids, _ = read_vocab_txt(chinese_file)
    assert (len(ids), ids["\u2028"], ids["##\u2028"]) == (21128, 343, 13502)


def test_a_repeated_line_moves_no_other_id_and_is_reported_with_both_lines(tmp_path: Path) -> None:
    ids, notes = read_vocab_txt(write(tmp_path / "v", b"a\nb\na\nc\n"))
    assert (ids["b"], ids["a"], ids["c"], len(ids)) == (1, 2, 3, 4)
    assert "lines 1 and 3 hold the same token 'a'" in notes[0]


def test_blank_lines_keep_their_ids_and_are_dropped_at_the_end(tmp_path: Path) -> None:
    ids, notes = read_vocab_txt(write(tmp_path / "v", b"a\n\nb\n\nc\n\n\n"))
    assert (ids["a"], ids["b"], ids["c"], len(ids)) == (0, 2, 4, 5)
    assert "line 2 is blank" in notes[0]


def test_text_of_another_encoding_is_refused_with_the_byte(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"byte 2: expected UTF-8, got the byte 0xd6.*iconv"):
        read_vocab_txt(write(tmp_path / "v", b"a\n" + "中文".encode("gb18030")))


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(TokenizerError, match="empty file"):
        read_vocab_txt(write(tmp_path / "v", content))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"nowhere\.txt: cannot be read"):
        read_vocab_txt(tmp_path / "nowhere.txt")


def test_capitals_tell_a_cased_vocabulary() -> None:
    assert is_lower_case(["[UNK]", "<S>", "a", "ß", "ℝ", "Ⅱ", "中"])  # ℝ and Ⅱ stand in uncased vocabularies of Google
    assert not is_lower_case(["a", "##B"])
    assert not is_lower_case(["É"])


def test_gaps_are_filled_so_that_new_tokens_get_free_ids() -> None:
    assert without_gaps({"b": 3, "a": 0}, source="v") == {"a": 0, "[no token 1]": 1, "[no token 2]": 2, "b": 3}


def test_two_tokens_of_one_id_and_absurd_ids_are_refused() -> None:
    with pytest.raises(TokenizerError, match="'a' and 'b' have the same id 1"):
        without_gaps({"a": 1, "b": 1}, source="v")
    with pytest.raises(TokenizerError, match="ids up to 1000000000"):
        without_gaps({"a": 10**9}, source="v")


@pytest.mark.parametrize(
    ("merges", "message"),
    [
        ("#version: 0.2\na b\na b c\n", "line 3: expected two tokens"),
        ("#version: 0.2\na x\n", "line 2: 'x' is not in"),
        ("a a\n", "line 1: 'aa' is not in"),
    ],
)
def test_a_bad_merge_is_refused_with_its_line(tmp_path: Path, merges: str, message: str) -> None:
    vocabulary = write(tmp_path / "v.json", b'{"a": 0, "b": 1, "ab": 2}')
    with pytest.raises(TokenizerError, match=message):
        read_bpe(vocabulary, write(tmp_path / "m.txt", merges.encode()))


def test_merges_may_have_a_version_line_and_windows_line_ends(tmp_path: Path) -> None:
    vocabulary = write(tmp_path / "v.json", b'{"a": 0, "b": 1, "ab": 2}')
    assert read_bpe(vocabulary, write(tmp_path / "m", b"#version: 0.2\r\na b\r\n"))[1] == [("a", "b")]
    assert read_bpe(vocabulary, write(tmp_path / "n", b"a b\n"))[1] == [("a", "b")]


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"a": "0"}', b'{"a": -1}', b'{"a": true}'])
def test_a_vocabulary_that_is_no_object_of_ids_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(TokenizerError):
        read_bpe(write(tmp_path / "v.json", content), write(tmp_path / "m", b""))
