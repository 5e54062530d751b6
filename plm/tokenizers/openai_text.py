"""Text as OpenAI's GPT-1 tokenizer prepared it: mended, standardised, split into words, in lower case.

Three steps (https://github.com/openai/finetune-transformer-lm, `text_utils.py`, MIT): ftfy mends the text, a few
substitutions standardise it, spaCy splits it (`openai_words`). Of ftfy (https://github.com/rspeer/python-ftfy,
Apache-2.0) the fixes that need no guessing are written out here; the guess that text was read in a wrong encoding is
left to the package itself, on request.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from html.entities import html5

from plm.errors import optional_import
from plm.tokenizers.edited_text import EditedText, Replacement
from plm.tokenizers.openai_words import split_words


def prepare(
    text: str, *, literals: re.Pattern[str] | None = None, ftfy: bool = False, with_origin: bool = False
) -> EditedText:
    """The words of `text` in lower case, with single spaces between them; a line break is a word of its own.

    literals: what it matches stays as it is and is one word (special tokens in the text).
    ftfy: True runs the package ftfy first (`pip install "plm[text]"`), which also repairs wrongly decoded text.
    with_origin: True follows the position of each character in `text`.

    >>> prepare("They're “fine”…").text
    'they \\'re " fine " ...'
    """
    parts: list[EditedText] = []
    position = 0
    for start, end in [match.span() for match in literals.finditer(text)] if literals else ():
        parts.append(_prepared(text, position, start, ftfy=ftfy, with_origin=with_origin))
        parts.append(_part(text, start, end, with_origin))
        position = end
    parts.append(_prepared(text, position, len(text), ftfy=ftfy, with_origin=with_origin))
    return parts[0] if len(parts) == 1 else EditedText.joined(parts)


def _part(text: str, start: int, end: int, with_origin: bool) -> EditedText:
    return EditedText(text[start:end], start=start if with_origin else None)


def _prepared(text: str, start: int, end: int, *, ftfy: bool, with_origin: bool) -> EditedText:
    part = _part(text, start, end, with_origin)
    if ftfy:
        package = optional_import("ftfy", extra="text", purpose="repairing wrongly decoded text")
        part.become(package.fix_text(part.text))
    _mend(part)
    for pattern, replacement in _STANDARDISE:
        part.sub(pattern, replacement)
    part.sub(_CHUNK, lambda match: _lower_words(match.group()))
    return part


@functools.lru_cache(maxsize=1 << 16)
def _lower_words(chunk: str) -> str:
    return " ".join(split_words(chunk)).lower()


def _mend(edited: EditedText) -> None:
    """ftfy's fixes, over and over until nothing changes ("&amp;lt;" needs two rounds)."""
    for _ in range(_MOST_ROUNDS):
        before = edited.text
        if not _SUSPECT.search(before):
            return
        for pattern, replacement in _MEND:
            edited.sub(pattern, replacement)
        if edited.text == before:
            return


def _unescape(match: re.Match[str]) -> str:
    """The character of an HTML entity, unless "<" stands on this or an earlier line: then it is HTML, left alone."""
    entity = match.group()
    line_end = match.string.find("\n", match.end())
    if match.string.find("<", 0, line_end if line_end >= 0 else len(match.string)) >= 0:
        return entity
    if entity.startswith("&#"):
        character = html.unescape(entity)
        return entity if ";" in character else character
    name = entity[1:]
    if name in html5:
        return html5[name]
    # ftfy reads "&EACUTE;" too, where capitals mean nothing else
    return html5[name.lower()].upper() if name.isupper() and name.lower() in html5 else entity


def _simplify(match: re.Match[str]) -> str:
    character = match.group()
    if "\x80" <= character <= "\x9f":  # meant as Windows-1252, as browsers read it; five codes mean nothing there
        return character.encode("latin-1").decode("cp1252", errors="ignore") or character
    return _SIMPLE[character]


def _simple_forms() -> dict[str, str]:
    """Character -> what ftfy writes instead: ligatures, full and half width, curly quotes, stray controls."""
    wide = [chr(code) for code in range(0xFF01, 0xFFF0)]
    forms = {c: unicodedata.normalize("NFKC", c) for c in ["\u3000", *"ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬆ", *wide]}
    forms |= {"ﬅ": "ſt"} | dict.fromkeys("ʼ‘’‚‛", "'") | dict.fromkeys("“”„‟", '"')
    controls = [*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD)]
    forms |= {chr(code): "" for code in controls}
    forms |= {chr(code): "\ufffd" for code in range(0xD800, 0xE000)}
    return {character: form for character, form in forms.items() if character != form}


def _join_surrogates(match: re.Match[str]) -> str:
    return match.group().encode("utf-16", "surrogatepass").decode("utf-16")


_SIMPLE = _simple_forms()
_MOST_ROUNDS = 16  # ftfy has no bound; hostile text could ask for one round per character
_SUSPECT = re.compile(r"[^\t\n\f\x20-\x7e]|&#?[0-9A-Za-z]{1,24};")
_MEND: tuple[tuple[re.Pattern[str], Replacement], ...] = (
    (re.compile(r"&#?[0-9A-Za-z]{1,24};"), _unescape),
    (re.compile(r"\x1b\[[\d;]*[a-zA-Z]"), ""),  # colours of a terminal
    (re.compile("[\ud800-\udbff][\udc00-\udfff]"), _join_surrogates),
    (re.compile(f"[\x80-\x9f{re.escape(''.join(_SIMPLE))}]"), _simplify),
    (re.compile("\r\n?|[\u2028\u2029]"), "\n"),
    (re.compile(r".?[^\x00-\x7f]+", re.DOTALL), lambda match: unicodedata.normalize("NFC", match.group())),
)
_STANDARDISE: tuple[tuple[re.Pattern[str], Replacement], ...] = (
    (re.compile("[—–―]"), "-"),
    (re.compile("…"), "..."),
    (re.compile("´"), "'"),
    (re.compile(r"""([-~!";?+,)(/*\[\]}{|_])\1*"""), r" \g<0> "),  # no backslash: OpenAI's pattern misses it
    (re.compile(r"[^\S\n ][^\S\n]*| [^\S\n]+"), " "),
    (re.compile(r" ?\n[ \n]*"), " \n "),
    (re.compile(r"\A[ \n]+|[ \n]+\Z"), ""),
)
_CHUNK = re.compile(r"[^ ]+")
