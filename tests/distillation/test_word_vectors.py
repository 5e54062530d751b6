"""Word vectors: every layout of their files, damage named by line, and neighbours that are the nearest."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plm.distillation.word_vectors
from plm.distillation.word_vectors import WordVectors
from plm.errors import ConfigError, DataError
from tests.shared_data import shared_data

LINES = "good 1 0\nfine 0.9 0.1\nbad -1 0\nday 0 2\n"


def written(folder: Path, text: str, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_rows_are_directions(tmp_path: Path) -> None:
    vectors = WordVectors.read(written(tmp_path, LINES))
    assert vectors.words == ("good", "fine", "bad", "day")
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors.matrix, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(vectors.matrix[3], [0.0, 1.0])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("4 2\n" + LINES, "word2vec.txt"),
        ("4 2\n" + LINES.replace("\n", " \n"), "trailing_blanks.txt"),
        (LINES.replace("\n", "\r\n"), "crlf.txt"),
        ("\ufeff" + LINES, "bom.txt"),
        (LINES.removesuffix("\n"), "no_end.txt"),
    ],
)
def test_layouts_that_mean_the_same(tmp_path: Path, text: str, name: str) -> None:
    expected = WordVectors.read(written(tmp_path, LINES))
    read = WordVectors.read(written(tmp_path, text, name))
    assert read.words == expected.words
    np.testing.assert_array_equal(read.matrix, expected.matrix)


def test_packed_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress(LINES.encode()))
    (tmp_path / "v.txt.xz").write_bytes(lzma.compress(LINES.encode()))
    assert WordVectors.read(tmp_path / "v.txt.gz").words == WordVectors.read(tmp_path / "v.txt.xz").words


def test_words_may_hold_white_space_and_look_like_numbers(tmp_path: Path) -> None:
    text = "the 1 0\n. . . 0 1\nto name@domain.com 1 1\nnew\u00a0york 1 2\n7 0 3\n"
    read = WordVectors.read(written(tmp_path, text))
    assert read.words == ("the", ". . .", "to name@domain.com", "new\u00a0york", "7")


def test_the_first_of_equal_words_counts(tmp_path: Path) -> None:
    read = WordVectors.read(written(tmp_path, "a 1 0\nb 0 1\na 0 5\n"))
    assert (read.words, read.repeated) == (("a", "b"), 1)
    np.testing.assert_array_equal(read.matrix[0], [1.0, 0.0])


def test_the_limit_ends_reading(tmp_path: Path) -> None:
    path = written(tmp_path, "3 2\na 1 0\nb 0 1\nc damaged\n")
    assert WordVectors.read(path, limit=2).words == ("a", "b")
    with pytest.raises(ConfigError, match="limit: expected a positive number"):
        WordVectors.read(path, limit=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 0\nb 1\n", r"v.txt, line 2: expected a word and 2 numbers, got 2 parts"),
        ("a 1 0\nb 1 0 2\n", r"v.txt, line 2: expected 2 numbers, as in the first line, got more"),
        ("a 1 0\nb 1 x\n", r"v.txt, line 2: expected 2 numbers behind 'b'"),
        ("a 1 0\nb 1 nan\n", r"v.txt, line 2: the vector of 'b' holds numbers that are not finite"),
        ("a 1 0\nb 1 1e39\n", r"v.txt, line 2: the vector of 'b' holds numbers that are not finite"),
        ("a 1 0\n\nb 1 1\n", r"v.txt, line 2: expected a word and 2 numbers"),
        ("a 1 0\n 1 1\n", r"v.txt, line 2: expected a word and 2 numbers"),
        ("a\nb\n", r"v.txt, line 1: expected a word and 1 numbers"),
        ("3 2\na 1 0\nb 1 1\n", r"v.txt: cut off: line 1 says 3 words, there are 2"),
        ("", r"v.txt: holds no word vectors"),
    ],
)
def test_damage_is_named_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        WordVectors.read(written(tmp_path, text, "v.txt"))


def test_words_and_rows_must_agree() -> None:
    with pytest.raises(DataError, match="1 different words"):
        WordVectors(("a", "a"), np.ones((2, 3), dtype=np.float32))


def test_neighbours_come_nearest_first_without_the_word_itself(tmp_path: Path) -> None:
    vectors = WordVectors.read(written(tmp_path, LINES))
    assert vectors.nearest(["good", "bad"], 2) == [["fine", "day"], ["day", "fine"]]
    assert vectors.nearest(["good"], 99) == [["fine", "day", "bad"]]
    assert vectors.nearest([], 3) == []


def test_words_are_found_in_lower_case_too(tmp_path: Path) -> None:
    vectors = WordVectors.read(written(tmp_path, LINES + "Day 2 1\n"))
    assert vectors.nearest(["Good"], 1) == vectors.nearest(["good"], 1)
    assert vectors.nearest(["Day"], 1) != vectors.nearest(["day"], 1)
    assert "GOOD" in vectors
    assert "night" not in vectors


def test_words_without_direction_or_unknown_are_near_nothing() -> None:
    vectors = WordVectors(("a", "zero", "b"), np.array([[1, 0], [0, 0], [-1, 0]], dtype=np.float32))
    assert vectors.nearest(["zero", "unknown", "a"], 5) == [[], [], ["b"]]
    assert np.isfinite(vectors.matrix).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 30), st.integers(1, 12), st.integers(1, 40), st.integers(0, 1000))
def test_neighbours_are_those_of_a_full_sort(words: int, count: int, held: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(words, 3)).astype(np.float32)
    names = tuple(f"w{number}" for number in range(words))
    vectors = WordVectors(names, matrix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plm.distillation.word_vectors, "_SIMILARITIES", held)
        near = vectors.nearest(names, count)
    for row, found in enumerate(near):
        cosines = vectors.matrix @ vectors.matrix[row]
        cosines[row] = -np.inf
        best = np.sort(cosines)[::-1][: min(count, words - 1)]
        np.testing.assert_allclose([cosines[int(name[1:])] for name in found], best, atol=1e-6)


def test_real_vectors_know_real_neighbours() -> None:
    vectors = WordVectors.read(shared_data("word_vectors", "reviews_books_50d.txt"))
    assert len(vectors) == 15000
    assert vectors.nearest(["film", "terrible"], 1) == [["movie"], ["horrible"]]
