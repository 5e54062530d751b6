"""Where sentences end in lower-case English, as decided by the Punkt model that nltk's `word_tokenize` asks first."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from itertools import groupby, pairwise

# The abbreviations that Kiss and Strunk's model learned from the Wall Street Journal (nltk_data, punkt_tab/english);
# nothing else of the model matters in lower case, but for four words that are passed over here.
_ABBREVIATIONS = """
a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v calif chg cie co col
colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft g g.d g.f g.k ga gen h h.c h.f
h.m i.m.s ill inc j.b j.c j.j j.k j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd m m.b.a m.d.c m.j maj messrs mg mich
minn mr mrs ms n n.c n.d n.h n.j n.m n.v n.y nev nov oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i r.j r.k
r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep sept sr st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r v va vs
vt w w.c w.r w.va w.w wash wed wis yr
"""
_KNOWN = frozenset(_ABBREVIATIONS.split())

_SIGNS = r"[)\";}\]*:@'({\[‘’“”«»?!]"  # end a word where they stand
_LONG_SIGNS = r"-{2,}|\.{2,}|(?:\.\s){2,}\."
_END = re.compile(rf"[.?!](?=(?P<after>{_SIGNS}|\s+(?P<next>\S+)))")
_WORD = re.compile(
    rf"{_LONG_SIGNS}|(?=[^(\"`{{\[:;&#*@)}}\]\-,])\S+?(?=\s|$|{_SIGNS}|{_LONG_SIGNS}|,(?=$|\s|{_SIGNS}|{_LONG_SIGNS}))|\S"
)
_CLOSING = re.compile(r"[\"')\]}‘’“”«»]+?(?:\s+|(?=--)|$)", re.MULTILINE)  # belongs to the sentence before it
_INITIAL_OR_NUMBER = re.compile(r"[^\W\d]\.|-?[.,]?\d[\d,.\-]*\.?")


def sentences(text: str) -> list[str]:
    """The sentences of a text in lower case, without the spaces between them."""
    found = []
    spans = list(_spans(text))
    moved = 0  # closing signs at the start of a span that the sentence before it took
    for (begin, end), (next_begin, next_end) in pairwise([*spans, (len(text), len(text))]):
        begin += moved
        closing = _CLOSING.match(text[next_begin:next_end])
        moved = closing.end() if closing else 0
        if closing:
            end = next_begin + len(closing.group().rstrip())
        found.append(text[begin:end])
    return [sentence for sentence in found if sentence]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where sentences begin and end, closing signs not yet considered."""
    begin = 0
    for (start, _), ends in groupby(_END.finditer(text), key=lambda end: _word(text, end.start())):
        *_, end = ends  # of several in a word the last
        words = _WORD.findall(text[start : end.end()] + end["after"])
        if any(_is_end(word, following) for word, following in pairwise(words)):
            yield begin, end.end()
            begin = end.start("next") if end["next"] else end.end()
    yield begin, len(text.rstrip())


def _word(text: str, place: int) -> tuple[int, bool]:
    """Where the word begins that a place is in, after an ASCII space; True = the word begins at that very place."""
    space = max(text.rfind(space, 0, place) for space in string.whitespace)
    start = space + 1 if space > 0 else 0  # nltk overlooks a space at the very start
    return start, start == place


def _is_end(word: str, following: str) -> bool:
    """True when a sentence ends with a word, from the two of them alone."""
    if word in (".", "?", "!"):
        return True
    if not word.endswith(".") or word.endswith(".."):
        return False
    if word[:-1].rpartition("-")[2] in _KNOWN:
        return False
    goes_on = following in tuple(";:,.!?") or following[0].islower()
    return not (goes_on and _INITIAL_OR_NUMBER.fullmatch(word))
