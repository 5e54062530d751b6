"""A paragraph cut into sentences by rules for English and Chinese; nothing is lost, nothing is learned.

A sentence ends after a stop (with the quotes and brackets that close behind it)
- before white space, unless what follows goes on (a lower-case letter, a comma) or the stop is the period of an
  abbreviation, an initial or a number in front ("Mr.", "J. K.", "1. Introduction");
- after 。！？；… and the ASCII marks that stand for them between Chinese characters, where no space follows.
Within numbers, addresses and 《titles》 nothing ends. Some abbreviations also end sentences ("at 5 p.m. The ..."): they
do before a word that often begins one.
"""

from __future__ import annotations

import re

_CHINESE_STOPS = "。！？；｡‼⁇⁈⁉"
_CJK = "\u2e80-\u303f\u3040-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff"
_OPENING = "\"'“‘«(\\[{¿¡—–\\-_*「『（《【〈"
# Punctuation that never begins a sentence: whatever stands before it goes on.
_GOES_ON = frozenset(",;:.!?…)]}，、；：。！？）」』】％%/=")

# The stops, then what closes behind them; tokenized text has a space before brackets. A pattern that begins with a
# set of characters is searched for quickly.
_STOP = re.compile(
    rf"""[.!?;…⋯．‽{_CHINESE_STOPS}]
         (?P<more>[.!?…⋯．‽{_CHINESE_STOPS}]*)
         (?P<closing>[\"'”’»)\]}}_*」』）】〕］〉》]*(?:\s[)\]}}”»](?=\s|\Z))*)""",
    re.VERBOSE,
)
_LEAD = re.compile(rf"[\s{_OPENING}]*")
_IS_CJK = re.compile(f"[{_CJK}”’]")
_OPENS_OR_CJK = re.compile(f'[{_CJK}“‘—"]')
_LAST_WORD = re.compile(r"[^\W_]+(?:\.[^\W_]+)*\Z")
_LETTERS_WITH_PERIODS = re.compile(r"[^\W\d_]{1,2}(?:\.[^\W\d_]{1,2})+")
_ROMAN = re.compile("[IVXLC]{1,5}")


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Names and numbers follow these; a sentence never ends with them.
_LEADING = _words(
    "Mr Mrs Ms MR MRS Messrs Mme Mlle Dr DR Drs Prof Rev Hon Gen Col Capt Cpt Cmdr Lt Maj Sgt Cpl Adm Gov Sen Rep Pres "
    "Supt Insp Fr Mt Ft vs viz cf e.g i.e eg ie Cf E.g I.e"
)
# Not the end before a number; else they are words ("He said no. Then ...").
_COUNTING = _words(
    "No Nos no nos Fig Figs fig figs Vol Vols vol vols Ch ch Sec sec Art art Eq eq App Op op pp Pt pt ed "
    "p c b d n v fl r"
)
# The end only before a word that often begins a sentence.
_TRAILING = _words(
    "etc Inc Ltd Co Corp Bros Jr Sr Esq St ST Ave Blvd Rd Hwy al ca approx Dept dept Univ Assn est Est Jan Feb Mar Apr "
    "Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri Sat Sun Ala Ariz Calif Conn Fla Ga Ill Ind Kan "
    "Mass Mich Minn Miss Mo Okla Ore Penn Tenn Tex Va Wash Wis ft lb oz trans repr "
    "Ph.D PhD M.D B.A M.A a.m p.m A.M P.M"
)
_BEGINNING = re.compile(
    "(?:A|After|All|Also|Although|An|And|Are|As|At|Because|Before|Both|But|By|Can|Despite|Did|Do|Does|During|Each|Even|"
    "Every|Finally|First|For|From|Had|Has|Have|He|Her|Here|His|How|However|I|If|In|Instead|Is|It|Its|Later|Let|Many|"
    "Meanwhile|Most|My|No|Not|Now|On|Once|One|Or|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|"
    "This|Those|Though|Three|Through|Thus|To|Today|Two|Under|Until|Upon|Was|We|Were|What|When|Where|While|Who|Why|With|"
    "Yes|Yet|You|Your)(?![.\\w-])"
)


def split_sentences(text: str) -> list[str]:
    """The sentences of a paragraph, without white space around them, none empty.

    text: one paragraph; line ends in it are white space like any other.
    All that is not white space comes out, in order.
    """
    sentences = []
    start = 0
    quotes = _Quotes(text)
    for stop in _STOP.finditer(text):
        end = stop.end()
        if end == len(text):
            break
        if text[end].isspace():
            end = _end_before_space(text, start, stop, quotes)
        else:
            end = _end_without_space(text, start, stop, quotes)
        if end:
            sentences.append(text[start:end].strip())
            start = end
    rest = text[start:].strip()
    if rest:
        sentences.append(rest)
    return sentences


class _Quotes:
    """Which straight quotes open and which close: every second one, counted from the beginning of the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = self.count = 0

    def is_open(self, place: int) -> bool:
        """True = `place` lies inside quotes. Places must not go back: every character is looked at once."""
        self.count += self.text.count('"', self.place, place)
        self.place = place
        return self.count % 2 == 1


def _end_before_space(text: str, start: int, stop: re.Match[str], quotes: _Quotes) -> int:
    """Where the sentence that begins at `start` ends, 0 = not at this stop, which has white space behind it."""
    first, end = stop.start(), stop.end()
    mark = text[first]
    if mark == ";":
        return 0
    following = _LEAD.match(text, end).end()  # type: ignore[union-attr]  # matches everywhere
    if following == len(text) or text[following] in _GOES_ON:
        return 0
    if text[following].islower() and mark not in _CHINESE_STOPS:
        return 0
    if mark == "." and not stop["more"] and not _period_ends(text, start, first, following):
        return 0
    # Tokenized text has a space before quotes, so the side they belong to must be counted out.
    if (place := text.find('"', end, following)) > 0 and text[place + 1].isspace() and quotes.is_open(place):
        return place + 1
    return end


def _period_ends(text: str, start: int, period: int, following: int) -> bool:
    """True = a single period ends a sentence. following: place of the first letter or digit behind it."""
    tail = text[max(start, period - 16) : period]
    if not tail or tail[-1].isspace():
        return True
    *before, word = tail.split()
    if not word.isalpha():
        found = _LAST_WORD.search(word)
        if not found:
            return True
        word = found[0]
    if word in _LEADING:
        return False
    if word in _COUNTING:
        return not text[following].isdigit()
    if not before and period - start <= 16 and (word.isdigit() or _ROMAN.fullmatch(word)):
        return False  # the number of a list's item or of a heading
    if word == "I" and before and before[-1].islower():
        return True  # the pronoun, as in "than I."; an initial follows another name
    if word in _TRAILING or (len(word) == 1 and word.isupper()) or _LETTERS_WITH_PERIODS.fullmatch(word):
        return _BEGINNING.match(text, following) is not None
    return True


def _end_without_space(text: str, start: int, stop: re.Match[str], quotes: _Quotes) -> int:
    """Where the sentence that begins at `start` ends, 0 = not at this stop, which has no white space behind it."""
    first, end = stop.start(), stop.end()
    mark = text[first]
    behind = text[end]
    if mark not in _CHINESE_STOPS:
        if first == start or not _IS_CJK.match(text, first - 1):
            return 0
        if mark in ".;" and not _OPENS_OR_CJK.match(text, end):
            return 0
    place = text.find('"', stop.start("closing"), end)
    while place >= 0:
        if not quotes.is_open(place):  # it opens what follows
            end, behind = place, '"'
            break
        place = text.find('"', place + 1, end)
    if behind in _GOES_ON or (mark == "．" and behind.isdigit()) or "》" in stop["closing"] or "〉" in stop["closing"]:
        return 0
    if not text[start:first].strip() or _is_in_title(text, start, first):
        return 0
    return end


def _is_in_title(text: str, start: int, place: int) -> bool:
    """True = between 《 and 》. A 《 that is far away was never closed."""
    near = max(start, place - 40)
    return text.rfind("《", near, place) > text.rfind("》", near, place)
