"""Text as Google's script for pretraining data reads it: one sentence a line, a blank line between documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from plm.errors import ConfigError, DataError
from plm.tokenizers import Tokenizer

_AT_ONCE = 1000  # lines for the tokenizer


def read_google_documents(
    paths: Iterable[Path | str], tokenizer: Tokenizer, *, ends_at_files: bool = False
) -> list[list[list[int]]]:
    """Documents of sentences of ids, as google_instances takes them.

    ends_at_files: True = a document ends with its file; False = only at a blank line, as with Google, so that the last
        document of a file and the first of the next are one.
    Sentences without a token and documents without a sentence are left out. The tokens are Google's but for some
    characters that are younger than the tables of the tokenizer (docs/tokenizers.md).
    Raises DataError for a file that is missing or not UTF-8, ConfigError for a tokenizer other than WordPiece.
    """
    if not tokenizer.is_wordpiece:
        raise ConfigError("Google's examples need a WordPiece tokenizer, such as that of BERT")
    documents: list[list[list[int]]] = [[]]
    for path in map(Path, paths):
        for lines in _chunks(_lines(path)):
            sentences, _ = tokenizer.encode_batch_ids(lines, add_special_tokens=False)
            for line, sentence in zip(lines, sentences, strict=True):
                if sentence:
                    documents[-1].append(sentence)
                elif not line:
                    documents.append([])
        if ends_at_files:
            documents.append([])
    return [document for document in documents if document]


def _lines(path: Path) -> Iterator[str]:
    """The lines without spaces around them; only \\n ends one."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                try:
                    yield raw.decode("utf-8").strip()
                except UnicodeDecodeError as error:
                    raise DataError(f"{path}, line {number}, byte {error.start + 1}: not UTF-8; convert it") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _chunks(lines: Iterator[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == _AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
