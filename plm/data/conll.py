"""Words with tags from files: CoNLL columns, parallel files, JSON lines. Every word knows its place in the text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plm.data.tables import read_lines, read_rows, without_blank_end
from plm.errors import DataError, did_you_mean

DOCUMENT_START = "-DOCSTART-"
"""Begins the lines that CoNLL-2003 puts between documents; they are no sentences."""

_UNSPACED = (("\u3000", "\u9fff"), ("\uf900", "\ufaff"), ("\uff01", "\uffee"), ("\U00020000", "\U0003ffff"))


@dataclass(frozen=True, slots=True)
class TaggedText:
    """One sentence as it stands in a file.

    tags: one for each word, as written; None = untagged. line: where it begins in its file, from 1.
    text: the sentence itself: as in the file where the file holds it, else the words joined.
    starts: where in `text` each word begins, in characters: words[i] == text[starts[i] : starts[i] + len(words[i])].
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    line: int
    text: str
    starts: tuple[int, ...]

    def span(self, first: int, last: int) -> tuple[int, int]:
        """(start, end) in characters of the words first to last, both included."""
        return self.starts[first], self.starts[last] + len(self.words[last])


@dataclass(frozen=True, kw_only=True)
class WordColumns:
    """Which column of a CoNLL file holds what: an index from 0 (negative: from the end), or one of `names`.

    tag: None = do not read tags. names: of all columns in order, as ("word", "pos", "chunk", "entity").
    """

    word: int | str = 0
    tag: int | str | None = -1
    names: tuple[str, ...] = ()


def read_conll(
    path: Path | str,
    columns: WordColumns | None = None,
    *,
    separator: str | None = None,
    encoding: str = "utf-8",
    joiner: str | None = None,
    comment: str | None = None,
) -> list[TaggedText]:
    """The sentences of a file with one word a line; blank lines and lines that begin with -DOCSTART- end a sentence.

    columns: None = the first holds words, the last tags. A file of one column holds words alone, whatever is asked for.
    separator: "\\t" (cells may hold blanks) or " " (any run of blanks); None = a tab if the first word's line has one.
    encoding: as Python names it ("utf-8", "latin-1", "gb18030"). comment: lines that begin so are passed over.
    joiner: what stands between words in the text; None = nothing if at least half of the file's words are single
        Chinese or Japanese characters, else a blank.
    Only \\n and \\r\\n end a line, and only blanks and tabs divide columns: U+3000 may be a word.
    Raises DataError with file, line and column.
    """
    path, columns = Path(path), columns or WordColumns()
    sentences: list[_Lines] = []
    current = _Lines()
    for number, line in _decoded_lines(path, encoding):
        if not line.strip(" \t") or line.startswith(DOCUMENT_START):
            current = _Lines()
        elif comment is None or not line.startswith(comment):
            if not current:
                sentences.append(current)
            current.append((number, line))
    if not sentences:
        raise DataError(f"{path}: holds no words")
    table = _Table(path, columns, sentences[0][0], separator)
    rows = [[table.cells(number, line) for number, line in lines] for lines in sentences]
    if joiner is None:
        joiner = usual_joiner([word for sentence in rows for word, _ in sentence])
    return [_joined(lines[0][0], sentence, joiner) for lines, sentence in zip(sentences, rows, strict=True)]


def read_parallel_tags(words_file: Path | str, tags_file: Path | str | None = None) -> list[TaggedText]:
    """Sentences of two files that agree line by line and word by word, as in ATIS and SNIPS (`seq.in`, `seq.out`).

    Blanks and tabs, also several, divide words; the text of a sentence is its line, unchanged.
    tags_file: None = untagged. Raises DataError with file and line: an empty line, other numbers of lines or of tags.
    """
    texts = _filled_lines(words_file)
    tagged = [None] * len(texts) if tags_file is None else _filled_lines(tags_file)
    if len(texts) != len(tagged):
        raise DataError(
            f"{words_file} has {len(texts)} lines, {tags_file} has {len(tagged)}; they must agree line by line"
        )
    sentences = []
    for line, (text, cells) in enumerate(zip(texts, tagged, strict=True), 1):
        words, tags = tuple(_split(text)), None if cells is None else tuple(_split(cells))
        _require_as_many(words, tags, f"{tags_file}, line {line}", f"{words_file} has")
        sentences.append(TaggedText(str(line), words, tags, line, text, _found(words, text, str(words_file), line)))
    return sentences


def read_tagged_json(
    path: Path | str,
    *,
    words: str = "words",
    tags: str | None = "tags",
    text: str | None = None,
    id: str | None = None,
    joiner: str | None = None,
) -> list[TaggedText]:
    """The sentences of a JSON lines file: lists of words and of tags, and the text if there is a key for it.

    tags: a key that the first line lacks means that the file is untagged. id: None = the number of the line.
    joiner: as in read_conll, for files without text.
    Raises DataError with file, line and key: not a list, an empty word, as many tags as words, words not in the text.
    """
    if tags is not None and not _first_line_has(path, tags):
        tags = None
    wanted = {"words": words, "tags": tags, "text": text, "id": id}
    rows = list(read_rows(path, {role: key for role, key in wanted.items() if key is not None}, format="jsonl"))
    if not rows:
        raise DataError(f"{path}: holds no sentences")
    listed = []
    for line, cells in rows:
        where = f"{path}, line {line}"
        row_words = _list(cells["words"], f"{where}, key {words!r}")
        row_tags = None if tags is None else _list(cells["tags"], f"{where}, key {tags!r}")
        _require_as_many(row_words, row_tags, where, "it has")
        listed.append((line, row_words, row_tags))
    if joiner is None:
        joiner = usual_joiner([word for _, row_words, _ in listed for word in row_words])
    sentences = []
    for (line, row_words, row_tags), (_, cells) in zip(listed, rows, strict=True):
        whole = cells.get("text")
        if not isinstance(whole, str):
            if text is not None:
                raise DataError(f"{path}, line {line}, key {text!r}: expected a text, got {whole!r:.60}")
            whole = joiner.join(row_words)
        starts = _found(row_words, whole, str(path), line)
        sentences.append(TaggedText(str(cells.get("id", line)), row_words, row_tags, line, whole, starts))
    return sentences


def usual_joiner(words: Sequence[str]) -> str:
    """ "" for words of which at least half are single Chinese or Japanese characters, " " for others."""
    counts = Counter(words)
    single = sum(count for word, count in counts.items() if len(word) == 1 and _is_unspaced(word))
    return "" if words and 2 * single >= len(words) else " "


class _Lines(list[tuple[int, str]]):
    """The numbered lines of one sentence."""


class _Table:
    """Picks word and tag out of lines that all have as many columns as the first."""

    def __init__(self, path: Path, columns: WordColumns, first: tuple[int, str], separator: str | None) -> None:
        if separator not in (None, " ", "\t"):
            raise DataError(f'{path}: separator: expected " ", "\\t" or None, got {separator!r}')
        self.path, self.first_line = path, first[0]
        self.separator = separator or ("\t" if "\t" in first[1] else " ")
        self.width = len(self._split(first[1]))
        names, where = columns.names, f"{path}, line {first[0]}"
        self.word, self.tag = 0, None
        if self.width == 1:  # words alone, whatever stands beside them in other files of the kind
            return
        if names and len(names) != self.width:
            raise DataError(f"{where}: expected the columns {', '.join(names)}, got {self.width} columns")
        self.word = self._index(columns.word, names, where)
        self.tag = None if columns.tag is None else self._index(columns.tag, names, where)
        if self.tag == self.word:
            raise DataError(f"{where}: words and tags are both said to stand in column {self.word}")

    def cells(self, number: int, line: str) -> tuple[str, str | None]:
        """Word and tag of a line."""
        cells = self._split(line)
        if len(cells) != self.width:
            hint = " A word that holds blanks needs columns divided by tabs." if self.separator == " " else ""
            raise DataError(
                f"{self.path}, line {number}: expected {self.width} columns as in line {self.first_line}, got "
                f"{len(cells)}.{hint}"
            )
        if self.separator == " ":  # runs of blanks leave no cell empty
            return cells[self.word], None if self.tag is None else cells[self.tag]
        for role, column in (("word", self.word), ("tag", self.tag)):
            if column is not None and not cells[column].strip(" "):
                where = f"{self.path}, line {number}, column {column}"
                raise DataError(f"{where}: the {role} is empty; fill it, or remove the line")
        return cells[self.word], None if self.tag is None else cells[self.tag].strip(" ")

    def _split(self, line: str) -> list[str]:
        return line.split("\t") if self.separator == "\t" else _split(line)

    def _index(self, column: int | str, names: Sequence[str], where: str) -> int:
        if isinstance(column, str):
            if column not in names:
                listed = ", ".join(map(repr, names)) or "none; give WordColumns(names=...)"
                raise DataError(f"{where}: no column {column!r}{did_you_mean(column, names)} (named columns: {listed})")
            return names.index(column)
        if not -self.width <= column < self.width:
            raise DataError(f"{where}: column {column} is asked for, but there are {self.width}, 0 to {self.width - 1}")
        return column % self.width


def _joined(line: int, cells: Sequence[tuple[str, str | None]], joiner: str) -> TaggedText:
    words = tuple(word for word, _ in cells)
    tags = tuple(tag for _, tag in cells if tag is not None) or None
    starts, place = [], 0
    for word in words:
        starts.append(place)
        place += len(word) + len(joiner)
    return TaggedText(str(line), words, tags, line, joiner.join(words), tuple(starts))


def _found(words: Sequence[str], text: str, source: str, line: int) -> tuple[int, ...]:
    """Where words stand in a text, one behind the other."""
    starts, place = [], 0
    for number, word in enumerate(words):
        start = text.find(word, place)
        if start < 0:
            raise DataError(
                f"{source}, line {line}: word {number}, {word!r}, is not in the text behind the words before it"
            )
        starts.append(start)
        place = start + len(word)
    return tuple(starts)


def _split(line: str) -> list[str]:
    """Cells between runs of blanks and tabs; other white space, such as U+3000, is text."""
    return [cell for cell in line.replace("\t", " ").split(" ") if cell]


def _is_unspaced(character: str) -> bool:
    """True for Chinese characters, kana, and the punctuation and full-width letters that go with them."""
    return any(first <= character <= last for first, last in _UNSPACED)


def _decoded_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends, of a file in any encoding."""
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        yield from read_lines(path)
        return
    try:
        data = path.read_bytes()
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}, byte {error.start + 1} of the file: not {encoding}: {error.reason}"
        ) from error
    except LookupError as error:
        raise DataError(f"{path}: encoding: {error}; as Python names them: utf-8, latin-1, gb18030, ...") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    yield from ((number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), 1))


def _filled_lines(path: Path | str) -> list[str]:
    lines = []
    for number, line in without_blank_end(read_lines(path), lambda line: not line.strip()):
        if not _split(line):
            raise DataError(f"{path}, line {number}: the line is empty")
        lines.append(line)
    if not lines:
        raise DataError(f"{path}: holds no lines")
    return lines


def _first_line_has(path: Path | str, key: str) -> bool:
    """Whether the object of line 1 has a key; what is wrong with the line otherwise is told by whoever reads it."""
    try:
        return key in json.loads(next(read_lines(path), (1, "{}"))[1])
    except (ValueError, TypeError, RecursionError):
        return True


def _list(cell: str | tuple[str, ...] | None, where: str) -> tuple[str, ...]:
    if not isinstance(cell, tuple) or not cell:
        raise DataError(f"{where}: expected a list with at least one text, got {cell!r:.60}")
    if not all(item.strip(" ") for item in cell):
        raise DataError(f"{where}: item {[bool(item.strip(' ')) for item in cell].index(False)} is empty")
    return cell


def _require_as_many(words: Sequence[str], tags: Sequence[str] | None, where: str, subject: str) -> None:
    if tags is not None and len(words) != len(tags):
        raise DataError(f"{where}: {subject} {len(words)} words but {len(tags)} tags; each word needs one tag")
