"""Files of words and tags: every layout gives the same sentences, and mistakes are named. All texts are our own."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from plm.data.conll import TaggedText, WordColumns, read_conll, read_parallel_tags, read_tagged_json, usual_joiner
from plm.data.tag_schemes import tags_to_entities
from plm.errors import DataError
from tests.shared_data import shared_data

COLUMNS = """-DOCSTART- -X- O O

Ada NNP I-NP I-PER
Byron NNP I-NP I-PER
wrote VBD I-VP O
. . O O

-DOCSTART- -X- O O
London NNP I-NP I-LOC
calls VBZ I-VP O


"""


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def words_and_tags(sentences: list[TaggedText]) -> list[tuple[str, str]]:
    return [(" ".join(sentence.words), " ".join(sentence.tags or ())) for sentence in sentences]


def assert_words_stand_in_their_text(sentences: list[TaggedText]) -> None:
    for sentence in sentences:
        assert len(sentence.starts) == len(sentence.words)
        for place, word in enumerate(sentence.words):
            start, end = sentence.span(place, place)
            assert sentence.text[start:end] == word


def test_a_conll_file(tmp_path: Path) -> None:
    first, second = read_conll(write(tmp_path / "a.txt", COLUMNS))
    assert first == TaggedText(
        id="3",
        words=("Ada", "Byron", "wrote", "."),
        tags=("I-PER", "I-PER", "O", "O"),
        line=3,
        text="Ada Byron wrote .",
        starts=(0, 4, 10, 16),
    )
    assert (second.words, second.line, second.span(0, 1)) == (("London", "calls"), 9, (0, 12))


def test_columns_are_chosen_by_index_or_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", COLUMNS)
    by_index = read_conll(path, WordColumns(tag=1))
    assert by_index[1].tags == ("NNP", "VBZ")
    names = ("word", "pos", "chunk", "entity")
    assert read_conll(path, WordColumns(word="word", tag="pos", names=names)) == by_index
    assert read_conll(path, WordColumns(tag=None))[0].tags is None


def test_tabs_runs_of_blanks_and_windows_line_ends_make_no_difference(tmp_path: Path) -> None:
    plain = read_conll(write(tmp_path / "a.txt", COLUMNS))
    for number, content in enumerate(
        (COLUMNS.replace(" ", "\t"), COLUMNS.replace(" ", "   "), COLUMNS.replace("\n", "\r\n"), COLUMNS.rstrip())
    ):
        assert read_conll(write(tmp_path / f"{number}.txt", content)) == plain
    packed = tmp_path / "a.txt.gz"
    packed.write_bytes(gzip.compress(COLUMNS.encode()))
    assert read_conll(packed) == plain


def test_between_tabs_a_word_may_hold_blanks(tmp_path: Path) -> None:
    (sentence,) = read_conll(write(tmp_path / "a.txt", "New York\tB-LOC\ncalls\tO\n"))
    assert (sentence.words, sentence.text) == (("New York", "calls"), "New York calls")


def test_a_file_of_one_column_is_untagged(tmp_path: Path) -> None:
    (sentence,) = read_conll(write(tmp_path / "a.txt", "one\ntwo\n"))
    assert (sentence.words, sentence.tags) == (("one", "two"), None)
    for columns in (WordColumns(tag=3), WordColumns(word="w", tag="t", names=("t", "w")), WordColumns(word=1, tag=0)):
        assert read_conll(tmp_path / "a.txt", columns) == [sentence]


def test_comments_are_passed_over_only_when_there_are_some(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "# B-X\nfour O\n")
    assert read_conll(path)[0].words == ("#", "four")
    assert read_conll(path, comment="# ")[0].words == ("four",)


def test_chinese_characters_are_joined_by_nothing(tmp_path: Path) -> None:
    (sentence,) = read_conll(write(tmp_path / "a.txt", "我 O\n在 O\n上 B-LOC\n海 I-LOC\nW O\n"))
    assert (sentence.text, sentence.span(2, 3)) == ("我在上海W", (2, 4))
    assert read_conll(tmp_path / "a.txt", joiner=" ")[0].text == "我 在 上 海 W"
    assert usual_joiner(["北京", "欢迎"]) == usual_joiner([]) == " "  # segmented words keep their borders
    assert usual_joiner(["我", "说", "OK", "了"]) == usual_joiner(["。"]) == usual_joiner(["𠀀"]) == ""


def test_an_ideographic_space_may_be_a_word(tmp_path: Path) -> None:
    (sentence,) = read_conll(write(tmp_path / "a.txt", "我 O\n\u3000 O\n你 O\n"))
    assert sentence.words == ("我", "\u3000", "你")


@pytest.mark.parametrize(("encoding", "word"), [("latin-1", "Zürich"), ("gb18030", "上海"), ("UTF_8", "Zürich")])
def test_other_encodings_are_read_when_named(encoding: str, word: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", f"{word} B-LOC\r\n\r\n", encoding)
    assert read_conll(path, encoding=encoding)[0].words == (word,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb\n", r"a.txt, line 2: expected 2 columns as in line 1, got 1.*tabs"),
        ("a b O\nc O\n", r"a.txt, line 2: expected 3 columns"),
        ("a\tO\n\tO\n", r"a.txt, line 2, column 0: the word is empty"),
        ("a\tO\nb\t\n", r"a.txt, line 2, column 1: the tag is empty"),
        ("\n\n-DOCSTART- O\n", r"a.txt: holds no words"),
    ],
)
def test_mistakes_in_columns_are_named(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_conll(write(tmp_path / "a.txt", content))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (WordColumns(tag=4), r"line 1: column 4 is asked for, but there are 2, 0 to 1"),
        (WordColumns(tag=0), r"words and tags are both said to stand in column 0"),
        (WordColumns(tag="tagg", names=("word", "tag")), r"no column 'tagg'; did you mean 'tag'\?"),
        (WordColumns(tag="tag"), r"no column 'tag' \(named columns: none"),
        (WordColumns(names=("a", "b", "c")), r"expected the columns a, b, c, got 2 columns"),
    ],
)
def test_columns_that_are_not_there_are_explained(columns: WordColumns, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_conll(write(tmp_path / "a.txt", "word O\n"), columns)


def test_a_wrong_encoding_is_explained(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Z O\nZürich O\n", "latin-1")
    with pytest.raises(DataError, match=r"a.txt, line 2, byte 2: not UTF-8"):
        read_conll(path)
    with pytest.raises(DataError, match=r"a.txt, line 2, byte 6 of the file: not ascii"):
        read_conll(path, encoding="ascii")
    with pytest.raises(DataError, match=r"a.txt: encoding: unknown encoding: latin-l"):
        read_conll(path, encoding="latin-l")
    with pytest.raises(DataError, match=r"b.txt: cannot be read"):
        read_conll(tmp_path / "b.txt", encoding="latin-1")
    with pytest.raises(DataError, match="separator: expected"):
        read_conll(path, encoding="latin-1", separator=",")


def test_parallel_files_keep_the_text_as_it_stands(tmp_path: Path) -> None:
    words = write(tmp_path / "seq.in", "to  york please\nnow\n")
    tags = write(tmp_path / "seq.out", "O B-city O\nO\n\n")
    first, second = read_parallel_tags(words, tags)
    assert (first.text, first.words, first.starts) == ("to  york please", ("to", "york", "please"), (0, 4, 9))
    assert (first.tags, second.line) == (("O", "B-city", "O"), 2)
    assert read_parallel_tags(words)[0].tags is None


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        ("a b\nc\n", "O O\n", r"seq.in has 2 lines, .*seq.out has 1"),
        ("a b\nc d\n", "O O\nO\n", r"seq.out, line 2: .*seq.in has 2 words but 1 tags"),
        ("a\n\nb\n", "O\nO\nO\n", r"seq.in, line 2: the line is empty"),
        ("\n", "O\n", r"seq.in: holds no lines"),
    ],
)
def test_parallel_files_that_do_not_agree_are_refused(words: str, tags: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_parallel_tags(write(tmp_path / "seq.in", words), write(tmp_path / "seq.out", tags))


def test_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"words": ["He", "ran", "."], "tags": ["X", "Y", "Z"], "raw": "He ran."}\n')
    (joined,), (exact,) = read_tagged_json(path), read_tagged_json(path, text="raw")
    assert (joined.text, exact.text, exact.starts) == ("He ran .", "He ran.", (0, 3, 6))
    assert joined.tags == ("X", "Y", "Z")
    assert read_tagged_json(path, tags="labels")[0].tags is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"words": ["a"], "tags": ["O", "O"]}', r"line 1: it has 1 words but 2 tags"),
        ('{"words": "a", "tags": ["O"]}', r"line 1, key 'words': expected a list"),
        ('{"words": ["a", ""], "tags": ["O", "O"]}', r"line 1, key 'words': item 1 is empty"),
        ('{"words": ["a"], "tags": ["O"]}\n{"words": ["a"]}', r"line 2: no key 'tags'"),
        ('{"words": ["a"], "tags": ["O"]', r"line 1: not JSON"),
        ("", r"holds no sentences"),
    ],
)
def test_mistakes_in_json_are_named(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_tagged_json(write(tmp_path / "a.jsonl", content))


def test_a_word_that_is_not_in_its_text_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"words": ["b", "a"], "tags": ["O", "O"], "text": "a b"}\n')
    with pytest.raises(DataError, match=r"line 1: word 1, 'a', is not in the text behind the words before it"):
        read_tagged_json(path, text="text")


@pytest.mark.parametrize(
    ("file", "scheme", "sentences", "words", "entities"),
    [
        ("conll2003/eng.testa", "iob1", 3250, 51362, 5942),  # as the shared task counted
        ("ner_zh_msra/dev.txt", "bio", 2308, 109026, 3781),
    ],
)
def test_real_column_files(file: str, scheme: str, sentences: int, words: int, entities: int) -> None:
    read = read_conll(shared_data(*file.split("/")))
    assert (len(read), sum(len(sentence.words) for sentence in read)) == (sentences, words)
    assert sum(len(tags_to_entities(sentence.tags or (), scheme)) for sentence in read) == entities
    assert_words_stand_in_their_text(read)


@pytest.mark.parametrize(("corpus", "sentences"), [("atis", 500), ("snips", 700)])
def test_real_parallel_files(corpus: str, sentences: int) -> None:
    folder = shared_data("atis_snips", corpus, "dev")
    read = read_parallel_tags(folder / "seq.in", folder / "seq.out")
    assert len(read) == sentences
    assert_words_stand_in_their_text(read)
    assert [sentence.text for sentence in read] == (folder / "seq.in").read_text().splitlines()
