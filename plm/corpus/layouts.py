"""How documents and sentences stand in text files, and what makes the sentences of one line.

A layout is known line by line, so that a text can be read in blocks of any size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from plm.config import require_types
from plm.corpus.sentences import split_sentences
from plm.errors import ConfigError, DataError, did_you_mean

# Kind of layout -> whether a document ends with a line, told by the sentences of the line. The end of an empty
# document is none, so blank lines do no harm.
_ENDS_DOCUMENT: Mapping[str, Callable[[list[str]], bool]] = {
    "sentences": lambda found: not found,
    "documents": lambda found: True,
    "jsonl": lambda found: True,
    "files": lambda found: False,
}


@dataclass(frozen=True, kw_only=True)
class TextLayout:
    """How documents and sentences stand in the text files. The end of a file always ends a document.

    kind:
        "sentences"  a sentence a line, a blank line between documents (what BERT's own scripts read)
        "documents"  a document a line
        "jsonl"      a JSON object a line, its text under the key `field`: a string, whose lines are taken one by one,
                     or a list of strings, which are the sentences
        "files"      every file is a document, a paragraph a line
    split: what becomes of a line. "rules": it is cut into sentences (see `split_sentences`); "none": it is a sentence.
        None = as the kind says: the lines of "sentences" and the strings of lists in "jsonl" are sentences already,
        all others are cut. A text of paragraphs with blank lines between documents is kind="sentences", split="rules".
    """

    kind: Literal["sentences", "documents", "jsonl", "files"]
    field: str = "text"
    split: Literal["none", "rules"] | None = None

    def __post_init__(self) -> None:
        require_types(self)
        if self.field != "text" and self.kind != "jsonl":
            raise ConfigError(f'field: {self.field!r} has a meaning for kind="jsonl" only, not for {self.kind!r}')

    @property
    def ends_document(self) -> Callable[[list[str]], bool]:
        """Whether a document ends with a line, told by the sentences of the line."""
        return _ENDS_DOCUMENT[self.kind]

    def line_reader(self) -> Callable[[str], list[str]]:
        """What makes the sentences of a line: without white space around them, none empty.

        It raises DataError for what is not JSON as told, with the column; whoever calls it knows the line.
        """
        if self.kind == "jsonl":
            strings = _whole if self.split == "none" else split_sentences
            lists = split_sentences if self.split == "rules" else _whole
            return lambda line: _sentences_of_json(line, self.field, strings, lists)
        split = self.split or ("none" if self.kind == "sentences" else "rules")
        return split_sentences if split == "rules" else _whole


def _whole(line: str) -> list[str]:
    line = line.strip()
    return [line] if line else []


def _sentences_of_json(
    line: str, field: str, strings: Callable[[str], list[str]], lists: Callable[[str], list[str]]
) -> list[str]:
    """The sentences of a JSON object. strings, lists: what is done to the lines of a string, and of a list's items."""
    if not line.strip():
        return []
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"column {error.colno}: not JSON ({error.msg}). Every line must hold one whole object; "
            "`jq -c . FILE` writes objects of several lines so, and says where a file is damaged."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"column 1: cannot be read as JSON: {error}") from error
    text = _field(values, field)
    split = strings if isinstance(text, str) else lists
    texts = [text] if isinstance(text, str) else text
    if "\\u" in line:
        _check_characters(texts, field)
    return [sentence for text in texts for part in text.split("\n") for sentence in split(part)]


def _field(values: Any, field: str) -> str | list[str]:
    if not isinstance(values, dict):
        raise DataError(f"column 1: expected a JSON object with the key {field!r}, got {type(values).__name__}")
    if field not in values:
        known = ", ".join(map(repr, values)) or "none"
        raise DataError(f"column 1: no key {field!r}{did_you_mean(field, values)} (keys: {known}); name it as `field`")
    text = values[field]
    if isinstance(text, str) or (isinstance(text, list) and all(isinstance(item, str) for item in text)):
        return text
    raise DataError(
        f"key {field!r}: expected a text or a list of texts, got {json.dumps(text, ensure_ascii=False):.60}; take such "
        "lines out first"
    )


def _check_characters(texts: Sequence[str], field: str) -> None:
    """JSON can write half of a pair of surrogates, which no text in UTF-8 can hold and no tokenizer takes."""
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"key {field!r}: character {error.start + 1} of the text is half a character "
            f"(\\u{ord(error.object[error.start]):04x}), left over where a program cut text in two. "
            "`jq -c . FILE` writes U+FFFD in its place."
        ) from error
