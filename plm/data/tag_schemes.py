"""Tags of words to entities and back, in all common ways of writing.

    scheme   George Bush flew to Texas       Asia Asia (two entities side by side)
    iob1     I-PER  I-PER O   O  I-LOC       I-LOC B-LOC
    bio      B-PER  I-PER O   O  B-LOC       B-LOC B-LOC      (also called IOB2)
    bioes    B-PER  E-PER O   O  S-LOC       S-LOC S-LOC      (also called IOBES)
    bilou    B-PER  L-PER O   O  U-LOC       U-LOC U-LOC
    bmes     B-PER  E-PER O   O  S-LOC       S-LOC S-LOC      (bioes with M for I)
    plain    PER    PER   O   O  LOC         LOC   LOC        (cannot tell them from one)

A prefix and a type are divided by the first hyphen; a prefix alone ("B") belongs to an entity of type "".

Models predict, and people write, sequences that no entities explain. One rule reads all of them, that of conlleval and
of seqeval's default mode: a word continues the entity of the word before if both have the same type, its own prefix is
I, M, E or L, and that of the word before B, I or M. Any other word with a prefix begins an entity, and an entity lasts
as long as words continue it. So a stray I-PER is an entity, and so is B-PER O without its E-PER.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plm.errors import DataError, did_you_mean
from plm.metrics.entities import Entity
from plm.registry import Registry

OUTSIDE = "O"

SchemeName = Literal["iob1", "bio", "bioes", "bilou", "bmes", "plain"]

_CONTINUED = frozenset("BIM")  # prefixes after which an entity may go on
_CONTINUING = frozenset("IMEL")  # prefixes with which it does
_ORDER = "BIMELSU"


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One row of SCHEMES: the prefixes of an entity's words; "" = tags have no prefix.

    begin, inside, end: of the first word, those between, the last. single: of an entity of one word.
    divide: of a first word right behind an entity of the same type, where that is not `begin` or `single`.
    """

    begin: str
    inside: str
    end: str
    single: str
    divide: str | None = None

    @property
    def prefixes(self) -> tuple[str, ...]:
        """All of them, each once."""
        listed = (self.begin, self.inside, self.end, self.single, self.divide)
        return tuple(dict.fromkeys(prefix for prefix in listed if prefix is not None))

    @property
    def has_prefixes(self) -> bool:
        """False = a tag is the type alone."""
        return self.begin != ""


SCHEMES: Registry[Scheme] = Registry("tag scheme")
SCHEMES.add("iob1", Scheme(begin="I", inside="I", end="I", single="I", divide="B"))
SCHEMES.add("bio", Scheme(begin="B", inside="I", end="I", single="B"))
SCHEMES.add("bioes", Scheme(begin="B", inside="I", end="E", single="S"))
SCHEMES.add("bilou", Scheme(begin="B", inside="I", end="L", single="U"))
SCHEMES.add("bmes", Scheme(begin="B", inside="M", end="E", single="S"))
SCHEMES.add("plain", Scheme(begin="", inside="", end="", single=""))


def tags_to_entities(tags: Sequence[str], scheme: str = "bio") -> tuple[Entity, ...]:
    """The entities of a sentence, from left to right, by the rule above.

    scheme: a name in SCHEMES; all but "plain" are read alike. Raises DataError for a tag that has no known prefix.
    """
    has_prefixes = SCHEMES.get(scheme).has_prefixes
    entities: list[Entity] = []
    last_prefix = last_type = ""
    for place, tag in enumerate(tags):
        prefix, type_ = split_tag(tag) if has_prefixes else ("" if tag == OUTSIDE else "I", tag)
        if prefix in _CONTINUING and last_prefix in _CONTINUED and type_ == last_type:
            entities[-1] = entities[-1]._replace(last=place)
        elif prefix:
            entities.append(Entity(type_, place, place))
        last_prefix, last_type = prefix, type_
    return tuple(entities)


def entities_to_tags(entities: Collection[Entity], *, length: int, scheme: str = "bio") -> tuple[str, ...]:
    """The tags of a sentence of `length` words. Raises DataError for entities that overlap or leave the sentence.

    Under "plain", neighbours of one type become one entity.
    """
    row, tags = SCHEMES.get(scheme), [OUTSIDE] * length
    before = Entity("", -1, -1)
    for entity in sorted(entities, key=lambda entity: entity.first):
        type_, first, last = entity
        if not before.last < first <= last < length:
            raise DataError(f"{entity} must lie behind {before} and in a sentence of {length} words")
        tags[first : last + 1] = [_tag(row.inside, type_)] * (last - first + 1)
        tags[last] = _tag(row.end, type_)
        tags[first] = _tag(row.single if first == last else row.begin, type_)
        if row.divide is not None and before.last == first - 1 and before.type == type_:
            tags[first] = _tag(row.divide, type_)
        before = entity
    return tuple(tags)


def convert_tags(tags: Sequence[str], source: str, target: str) -> tuple[str, ...]:
    """The same entities written in another scheme; sequences that no entities explain come out well-formed."""
    return entities_to_tags(tags_to_entities(tags, source), length=len(tags), scheme=target)


def guess_scheme(sentences: Iterable[Sequence[str]]) -> SchemeName | None:
    """The scheme that tags are written in; None = they have no prefixes: parts of speech, or "plain".

    Prefixes tell. Of B and I alone, those words decide that begin an entity not right behind one of its type: "iob1" if
    more of them have I, "bio" if more have B, or there are none. Real files have both, by mistake.
    """
    pairs = Counter(pair for tags in sentences for pair in zip((OUTSIDE, *tags), tags, strict=False))
    split = {tag: _split(tag) for pair in pairs for tag in pair}
    if None in split.values():
        return None
    prefixes = {split_tag(tag)[0] for tag in split} - {""}
    if prefixes <= {"B", "I"}:
        begins = Counter[str]()
        for (before, tag), count in pairs.items():
            begins[split_tag(tag)[0]] += count * (split_tag(before)[1] != split_tag(tag)[1] or before == OUTSIDE)
        return "iob1" if begins["I"] > begins["B"] else "bio"
    named: tuple[SchemeName, ...] = ("bioes", "bilou", "bmes")
    return next((name for name in named if prefixes <= set(SCHEMES.get(name).prefixes)), None)


def check_tag(tag: str, scheme: str) -> str | None:
    """What is wrong with a tag in a scheme, for messages; None = nothing."""
    row = SCHEMES.get(scheme)
    split = _split(tag)
    if tag == OUTSIDE or not row.has_prefixes or (split is not None and split[0] in row.prefixes):
        return None
    return f"the tag {tag!r} is neither O nor one of {', '.join(f'{p}-...' for p in row.prefixes)} ({scheme})"


def sort_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Distinct tags in the order that models here have them: O, then by type, and B, I, E, S of one type together."""
    return tuple(sorted(set(tags), key=_place))


class Allowed(NamedTuple):
    """Which tags may follow each other. starts, ends: (tags,), bool, of a sentence; pairs: (tags, tags), from, to."""

    starts: NDArray[np.bool_]
    pairs: NDArray[np.bool_]
    ends: NDArray[np.bool_]


def allowed_transitions(tags: Sequence[str], scheme: str) -> Allowed:
    """What sequences of these tags are well-formed in a scheme. Raises DataError for tags without its prefixes."""
    row = SCHEMES.get(scheme)
    if not row.has_prefixes:
        everything = np.ones((len(tags), len(tags)), dtype=bool)
        return Allowed(everything[0], everything, everything[0])
    split = [split_tag(tag) for tag in tags]
    starts = np.array([prefix in ("", row.begin, row.single) for prefix, _ in split])
    ends = np.array([prefix in ("", row.end, row.single, row.divide) for prefix, _ in split])
    pairs = np.outer(ends, starts)
    for place, before in enumerate(split):
        for other, after in enumerate(split):
            goes_on = before[0] in (row.begin, row.inside, row.divide) and after[0] in (row.inside, row.end)
            if before[0] and before[1] == after[1] and (goes_on or after[0] == row.divide):
                pairs[place, other] = True
    return Allowed(starts, pairs, ends)


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag; both empty for O. Raises DataError for a tag that has no known prefix."""
    split = _split(tag)
    if split is None:
        hint = did_you_mean(tag, [OUTSIDE]) or '; the scheme of tags without prefix is "plain"'
        raise DataError(f"the tag {tag!r} is neither O nor has it a prefix among {', '.join(_ORDER)}{hint}")
    return split


def has_prefix(tag: str) -> bool:
    """True for tags such as B-PER or S, which say where in an entity a word stands; False for O and classes alone."""
    return tag != OUTSIDE and _split(tag) is not None


@lru_cache(maxsize=4096)
def _split(tag: str) -> tuple[str, str] | None:
    """Prefix and type, None for a tag without known prefix."""
    prefix, _, type_ = tag.partition("-")
    if tag == OUTSIDE:
        return "", ""
    return (prefix, type_) if len(prefix) == 1 and prefix in _ORDER else None


def _tag(prefix: str, type_: str) -> str:
    return f"{prefix}-{type_}" if prefix and type_ else prefix or type_


def _place(tag: str) -> tuple[bool, str, int, str]:
    split = _split(tag)
    return (tag != OUTSIDE, tag, 0, "") if split is None else (tag != OUTSIDE, split[1], _ORDER.find(split[0]), tag)
