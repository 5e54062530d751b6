"""English words as OpenAI's GPT-1 saw them: the splitting rules of spaCy, for one chunk of text without spaces.

OpenAI ran spaCy's English tokenizer after a text standardisation of its own (`openai_text`). The rules are those of
spaCy 3.8 (https://github.com/explosion/spaCy, MIT), written anew and without the ones that cannot fire here:
standardisation has already set runs of ``- ~ ! " ; ? + , ) ( / * [ ] } { | _`` apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator


def _characters(accept: Callable[[str], bool], *blocks: tuple[int, int]) -> str:
    """The characters that `accept` takes in the blocks (first, last), for the inside of a regular expression class."""
    return re.escape("".join(chr(c) for first, last in blocks for c in range(first, last + 1) if accept(chr(c))))


# Python's `re` has no \p{Lu} or \p{So}. Letters with case live in these blocks, symbols and emoji in those.
_CASED = (0x41, 0x58F), (0x1E00, 0x1FFF), (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFF21, 0xFF5A)
_SYMBOLS = (0xA6, 0x33FF), (0x4DC0, 0x4DFF), (0xFFE0, 0xFFFD), (0x1F000, 0x1FAFF)
_LETTER = r"[^\W\d_¹²³¼½¾]"
_LOWER = f"{_LETTER[:-1]}{_characters(str.isupper, *_CASED)}]"  # letters without case are both lower and upper
_UPPER = f"{_LETTER[:-1]}{_characters(str.islower, *_CASED)}]"
_SYMBOL = f"[{_characters(lambda c: unicodedata.category(c) == 'So', *_SYMBOLS)}]"
_QUOTE = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_MARK = "…:;!?¿؟¡()\\[\\]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCY = r"US\$|C\$|A\$|[$£€¥฿₽﷼₴₠-₿]"
_UNIT = (
    "[kdcm]?m[²³]?|ha|µm|nm|yd|in|ft|[kmµ]?g|t|lb|oz|kmh|mph|h?Pa|mbar|mb|MB|kb|KB|gb|GB|tb|TB|[TGMK%]"
    "|(?:к|д|с|м)?м[²³]?|нм|кг|г|мг|к?Па|мбар|Кб|КБ|кб|Мб|МБ|мб|Гб|ГБ|гб|Тб|ТБ|тб"
)
_PREFIX = re.compile(rf"[§%={_MARK}{_QUOTE}]|\+(?![0-9])|\.\.+|{_CURRENCY}|{_SYMBOL}")
_SUFFIX = re.compile(
    rf"(?:'[sS]|[{_MARK}{_QUOTE}]|{_SYMBOL}|(?<=[0-9])(?:\+|{_CURRENCY}|{_UNIT})|(?<=°[FfCcKk])\."
    rf"|(?<=[0-9%²\-+{_MARK}{_QUOTE}])\.|(?<={_LOWER})\.|(?<={_UPPER}{{2}})\.)\Z"
)
_INFIX = re.compile(
    rf"\.\.+|{_SYMBOL}|(?<=[0-9])\^(?=[0-9-])"
    rf"|(?:(?<={_LOWER})|(?<=[{_QUOTE}]))\.(?=[{_QUOTE}]|{_UPPER})"
    rf"|(?:(?<={_LETTER})|(?<=[0-9]))[:<>=](?={_LETTER})"
)
_ADDRESS = re.compile(rf"(?:\S+@)?(?:[A-Za-z0-9\u00a1-\uffff]{{1,64}}\.)+{_LOWER}{{2,63}}(?::\d{{2,5}})?(?:#\S*)?\Z")
_LONGEST_ADDRESS = 256  # bounds the work that hostile text can ask for
_SUFFIX_WINDOW = 16  # no suffix is longer, but a run of dots

# Contractions: (stems, endings). An ending is the words that follow the stem; "dont" is split like "don't".
_CONTRACTIONS: tuple[tuple[str, str], ...] = (
    ("i", "'m 'm|a"),
    ("i you he she it we they", "'ll 'll|'ve 'd 'd|'ve"),
    ("i you we they", "'ve"),
    ("you we they", "'re"),
    ("he she it", "'s"),
    ("who what when where why how there that this", "'s"),
    ("who what when where why how there that this these those", "'ll 'll|'ve 'd 'd|'ve"),
    ("who what when where why how there these those", "'re 've"),
    ("ca could do does did had may might must need ought sha should wo would", "n't n't|'ve"),
    ("could might must should would", "'ve"),
    ("ai are is was were have has dare", "n't"),
    ("not", "'ve"),
)
_WORDS_AFTER_ALL = "ill its hell shell shed were well whore Ill Its Hell Shell Shed Were Well Whore"
_SPLIT = "can|not gon|na got|ta let|'s c'm|on how|'d|'y"
_WHOLE = (
    "' '' 'S 's 're 'd 'll 'em 'nuff 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout <space>"
    " doin' goin' nothin' nuthin' ol' somethin' lovin' havin' Doin' Goin' Nothin' Nuthin' Ol' Somethin' Lovin' Havin'"
    " a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü."
    " a.m. p.m. e.g. E.g. E.G. i.e. I.e. I.E. vs. v.s. co. Co. Corp. Inc. Ltd. Bros. Messrs."
    " Adm. Dr. Gen. Gov. Jr. Mr. Mrs. Ms. Mt. Ph.D. Prof. Rep. Rev. Sen. St."
    " Jan. Feb. Mar. Apr. Jun. Jul. Aug. Sep. Sept. Oct. Nov. Dec."
    " Ak. Ala. Ariz. Ark. Calif. Colo. Conn. D.C. Del. Fla. Ga. Ia. Id. Ill. Ind. Kan. Kans. Ky. La. Mass. Md. Mich."
    " Minn. Miss. Mo. Mont. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Okla. Ore. Pa. S.C. Tenn. Va. Wash. Wis."
    " =3 =D 8D xD XD xDD XDD >.< >.> <.< v.v V.V o.O O.o O.O o.o 0.0 o.0 0.o <3 <33 <333 >:o :1 :P :p :O :o :0 :3 :>"
    " :X :x :D ಠ︵ಠ"
)


def _with_contractions() -> Iterator[tuple[str, ...]]:
    for stems, endings in _CONTRACTIONS:
        for stem in stems.split():
            for ending in endings.split():
                words = (stem, *ending.split("|"))
                yield words
                yield tuple(word.replace("'", "") for word in words)


def _exceptions() -> dict[str, tuple[str, ...]]:
    """Chunk -> the words that it always splits into."""
    lower = [*_with_contractions(), *(tuple(chunk.split("|")) for chunk in _SPLIT.split())]
    found = {"".join(words): words for first, *rest in lower for words in ((first, *rest), (first.capitalize(), *rest))}
    found |= {"y'all": ("y'", "all"), "yall": ("y", "all")}
    found |= {f"{hour}{half}": (str(hour), half) for hour in range(1, 13) for half in ("am", "pm", "a.m.", "p.m.")}
    found |= {f"°{unit}.": ("°", unit, ".") for unit in "cfkCFK"}
    found |= {chunk: (chunk,) for chunk in _WHOLE.split()}
    return {chunk: words for chunk, words in found.items() if chunk not in _WORDS_AFTER_ALL.split()}


_EXCEPTIONS = _exceptions()
_LONGEST_EXCEPTION = max(map(len, _EXCEPTIONS))


def split_words(chunk: str) -> tuple[str, ...]:
    """The words of a chunk of standardised text. Joined they give the chunk again.

    chunk: text without spaces, or a line break alone.

    >>> split_words("They're"), split_words("U.S."), split_words("Mr.Smith's")
    (('They', "'re"), ('U.S.',), ('Mr.', 'Smith', "'s"))
    """
    return _regroup(_split(chunk, _EXCEPTIONS))


def _split(chunk: str, exceptions: dict[str, tuple[str, ...]]) -> list[str]:
    """Take prefixes from the left and suffixes from the right until neither is found, then split what is left."""

    def is_exception(start: int, end: int) -> bool:
        return end - start <= _LONGEST_EXCEPTION and chunk[start:end] in exceptions

    start, end = 0, len(chunk)
    prefixes: list[str] = []
    suffixes: list[str] = []
    while start < end and not is_exception(start, end):
        found = _PREFIX.match(chunk, start, end)
        after = found.end() if found else start
        if found and is_exception(after, end):
            prefixes.append(chunk[start:after])
            start = after
            break
        before = _suffix_start(chunk, after, end)
        if before < end and is_exception(start, before):
            suffixes.append(chunk[before:end])
            end = before
            break
        if after == start and before == end:
            break
        if after > start:
            prefixes.append(chunk[start:after])
        if before < end:
            suffixes.append(chunk[before:end])
        start, end = after, before
    return [*prefixes, *_split_middle(chunk[start:end], exceptions), *reversed(suffixes)]


def _suffix_start(chunk: str, start: int, end: int) -> int:
    """Where the suffix of chunk[start:end] begins; `end` when there is none. What stands before `start` is not seen."""
    tail = chunk[max(start, end - _SUFFIX_WINDOW) : end]
    if tail.endswith(".."):
        return start + len(chunk[start:end].rstrip("."))
    found = _SUFFIX.search(tail)
    return end - len(tail) + found.start() if found else end


def _split_middle(middle: str, exceptions: dict[str, tuple[str, ...]]) -> Iterable[str]:
    if not middle:
        return ()
    if middle in exceptions:
        return exceptions[middle]
    if len(middle) <= _LONGEST_ADDRESS and "." in middle and _ADDRESS.match(middle):
        return (middle,)
    words, start = [], 0
    for found in _INFIX.finditer(middle):
        if found.start() == 0:
            continue
        words += [middle[start : found.start()], found.group()]
        start = found.end()
    return [word for word in (*words, middle[start:]) if word]


# Exceptions that the rules would have taken apart: the words they would give -> the words of the exception.
_SCATTERED = {
    apart: whole
    for apart, whole in ((tuple(_split(chunk, {})), words) for chunk, words in _EXCEPTIONS.items())
    if len(apart) > 1
}
_MOST_SCATTERED = max(map(len, _SCATTERED))


def _regroup(words: list[str]) -> tuple[str, ...]:
    """Make exceptions whole again inside longer chunks ("Mr.Smith" -> "Mr." "Smith"): longest first, then leftmost."""
    taken: set[int] = set()
    changes: dict[int, tuple[int, tuple[str, ...]]] = {}
    for length in range(min(len(words), _MOST_SCATTERED), 1, -1):
        for start in range(len(words) - length + 1):
            whole = _SCATTERED.get(tuple(words[start : start + length]))
            if whole is None:
                continue
            if start not in taken and start + length - 1 not in taken:
                changes[start] = (length, whole)
            taken.update(range(start, start + length))
    regrouped: list[str] = []
    position = 0
    while position < len(words):
        length, whole = changes.get(position, (1, (words[position],)))
        regrouped += whole
        position += length
    return tuple(regrouped)
