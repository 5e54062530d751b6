"""Vocabulary files, read strictly: a line number is an id, and nothing is repaired by guessing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from plm.config import read_json
from plm.errors import ConfigError, TokenizerError

# Stands at ids that no token has. It holds spaces, so no text can produce it.
_NO_TOKEN = "[no token {}]"


def read_vocab_txt(path: Path) -> tuple[dict[str, int], list[str]]:
    """A `vocab.txt` of BERT: one token a line, its id is the line number counted from 0.

    Lines end with LF or CRLF and nothing else: U+2028 and U+0085 are tokens of real vocabularies. A byte order mark at
    the start and spaces around a token are dropped. A blank line keeps its id free. Of two equal lines the later one
    counts, as in Google's reader.
    Returns the ids by token, without gaps, and notes on what is odd in the file.
    Raises TokenizerError when the file cannot be read, is not UTF-8 or is empty.
    """
    lines = [line.strip(" \t\r") for line in _read_text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise TokenizerError(f"{path}: expected one token a line, got an empty file")
    notes: list[str] = []
    ids: dict[str, int] = {}
    for id_, token in enumerate(lines):
        if token in ids:
            notes.append(
                f"{path}: lines {ids[token] + 1} and {id_ + 1} hold the same token {token!r}; it gets the id of the "
                f"later one, {id_}, and no text gives {ids[token]}. Rename one line if the model was trained otherwise."
            )
        if token:
            ids[token] = id_
        else:
            notes.append(f"{path}: line {id_ + 1} is blank; no text gives the id {id_}")
    return without_gaps(ids, source=path), notes


def read_bpe(vocabulary: Path, merges: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The two files of GPT-1: ids by token (JSON), and one merge a line, the earliest first.

    Raises TokenizerError naming the file and line when a merge is not two known tokens that give a third.
    """
    ids = without_gaps(read_ids(vocabulary), source=vocabulary)
    pairs: list[tuple[str, str]] = []
    for number, line in enumerate(_read_text(merges).split("\n"), start=1):
        line = line.rstrip("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.split(" ")
        if len(pair) != 2:
            raise TokenizerError(f"{merges}, line {number}: expected two tokens with a space between, got {line!r}")
        for token in (*pair, "".join(pair)):
            if token not in ids:
                raise TokenizerError(
                    f"{merges}, line {number}: {token!r} is not in {vocabulary.name}; are both files of the same model?"
                )
        pairs.append((pair[0], pair[1]))
    return ids, pairs


def read_ids(path: Path) -> dict[str, int]:
    """A JSON object of ids by token. Raises TokenizerError when it is not that."""
    try:
        ids = read_json(path)
    except ConfigError as error:
        raise TokenizerError(str(error)) from error
    for token, id_ in ids.items():
        if type(id_) is not int or id_ < 0:
            raise TokenizerError(f"{path}: expected an id for {token!r}, an integer from 0 up, got {id_!r}")
    return ids


def without_gaps(ids: dict[str, int], *, source: Path | str) -> dict[str, int]:
    """The same ids in ascending order, with a token that no text produces at each free one.

    The `tokenizers` package counts tokens to find the next free id, which needs a vocabulary without gaps.
    Raises TokenizerError when two tokens share an id, or so many ids are free that a number must be wrong.
    """
    tokens: dict[int, str] = {}
    for token, id_ in ids.items():
        if id_ in tokens:
            raise TokenizerError(f"{source}: the tokens {tokens[id_]!r} and {token!r} have the same id {id_}")
        tokens[id_] = token
    size = max(tokens, default=-1) + 1
    if size > 2 * len(tokens) + 1000:
        raise TokenizerError(f"{source}: {len(tokens)} tokens with ids up to {size - 1}; expected hardly any gaps")
    return {tokens[id_] if id_ in tokens else _NO_TOKEN.format(id_): id_ for id_ in range(size)}


def is_lower_case(tokens: Iterable[str]) -> bool:
    """True when no token has a capital letter, leaving aside names such as [CLS] and <S>."""
    return not any(
        unicodedata.category(character) == "Lu" and character.lower() != character
        for token in tokens
        if token != token.lower() and token[0] + token[-1] not in ("[]", "<>")
        for character in token
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise TokenizerError(f"{path}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path}, byte {error.start}: expected UTF-8, got the byte 0x{error.object[error.start]:02x}; convert the "
            f"file first, for example with `iconv -f GB18030 -t UTF-8`"
        ) from error
