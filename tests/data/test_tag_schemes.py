"""Tags and entities are two ways to say one thing, in every scheme; what no scheme allows is read as conlleval does."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.data.tag_schemes import (
    SCHEMES,
    allowed_transitions,
    check_tag,
    convert_tags,
    entities_to_tags,
    guess_scheme,
    sort_tags,
    tags_to_entities,
)
from plm.errors import DataError, UnknownNameError
from plm.metrics.entities import Entity

WITH_PREFIXES = [name for name, scheme in SCHEMES.items() if scheme.has_prefixes]
TYPES = ("PER", "LOC", "toloc.city-name")  # the first hyphen divides, others belong to the type

# "George Bush flew to Texas Asia Asia Minor", as the documentation has it.
WRITTEN = {
    "iob1": "I-PER I-PER O O I-LOC B-LOC B-LOC I-LOC",
    "bio": "B-PER I-PER O O B-LOC B-LOC B-LOC I-LOC",
    "bioes": "B-PER E-PER O O S-LOC S-LOC B-LOC E-LOC",
    "bilou": "B-PER L-PER O O U-LOC U-LOC B-LOC L-LOC",
    "bmes": "B-PER E-PER O O S-LOC S-LOC B-LOC E-LOC",
}
MEANT = (Entity("PER", 0, 1), Entity("LOC", 4, 4), Entity("LOC", 5, 5), Entity("LOC", 6, 7))


@st.composite
def sentences(draw: st.DrawFn) -> tuple[tuple[Entity, ...], int]:
    """Entities in order, without overlap, and the number of words."""
    found, place = [], 0
    for gap, length, type_ in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(TYPES)))):
        found.append(Entity(type_, place + gap, place + gap + length - 1))
        place += gap + length
    return tuple(found), place + draw(st.integers(0, 2))


@pytest.mark.parametrize("scheme", WRITTEN)
def test_one_sentence_in_every_scheme(scheme: str) -> None:
    tags = tuple(WRITTEN[scheme].split())
    assert tags_to_entities(tags, scheme) == MEANT
    assert entities_to_tags(MEANT, length=8, scheme=scheme) == tags


@settings(deadline=None, max_examples=60)
@given(sentence=sentences(), source=st.sampled_from(WITH_PREFIXES), target=st.sampled_from(WITH_PREFIXES))
def test_entities_survive_any_way_of_writing(
    sentence: tuple[tuple[Entity, ...], int], source: str, target: str
) -> None:
    entities, length = sentence
    tags = entities_to_tags(entities, length=length, scheme=source)
    assert len(tags) == length
    assert tags_to_entities(tags, source) == entities
    there = convert_tags(tags, source, target)
    assert tags_to_entities(there, target) == entities
    assert convert_tags(there, target, source) == tags
    assert all(check_tag(tag, target) is None for tag in there)


@settings(deadline=None, max_examples=60)
@given(sentences())
def test_plain_tags_merge_neighbours_of_one_type_and_nothing_else(sentence: tuple[tuple[Entity, ...], int]) -> None:
    entities, length = sentence
    tags = entities_to_tags(entities, length=length, scheme="plain")
    assert [tag == "O" for tag in tags] == [tag == "O" for tag in entities_to_tags(entities, length=length)]
    again = tags_to_entities(tags, "plain")
    assert entities_to_tags(again, length=length, scheme="plain") == tags
    apart = all(a.type != b.type or a.last + 1 < b.first for a, b in itertools.pairwise(entities))
    assert (again == entities) is apart


@pytest.mark.parametrize(
    ("tags", "meant"),
    [
        # conlleval's and seqeval's answers, worked out by their rules for chunk starts and ends.
        ("I-A I-A O I-B", [("A", 0, 1), ("B", 3, 3)]),  # inside without begin
        ("B-A I-B I-B", [("A", 0, 0), ("B", 1, 2)]),  # another type inside
        ("O I-A B-A I-A", [("A", 1, 1), ("A", 2, 3)]),
        ("B-A I-A O O", [("A", 0, 1)]),
        ("B-A B-A", [("A", 0, 0), ("A", 1, 1)]),
        ("B-A E-A I-A", [("A", 0, 1), ("A", 2, 2)]),  # behind an end
        ("S-A I-A", [("A", 0, 0), ("A", 1, 1)]),
        ("E-A E-A", [("A", 0, 0), ("A", 1, 1)]),
        ("B-A S-A", [("A", 0, 0), ("A", 1, 1)]),  # begun and never ended
        ("I-A-b I-A-b", [("A-b", 0, 1)]),
        ("B I O B", [("", 0, 1), ("", 3, 3)]),
        ("O O", []),
        ("", []),
    ],
)
def test_sequences_that_no_entities_explain(tags: str, meant: list[tuple[str, int, int]]) -> None:
    assert tags_to_entities(tags.split(), "bioes") == tuple(Entity(*entity) for entity in meant)


@pytest.mark.parametrize("scheme", WITH_PREFIXES)
def test_allowed_transitions_are_those_of_well_formed_sentences(scheme: str) -> None:
    """Every sequence of up to four tags: it may be passed through exactly if its entities are written so."""
    tags = sort_tags(
        tag
        for type_ in ("A", "B")
        for length in (1, 2, 3)
        for tag in entities_to_tags([Entity(type_, 0, length - 1)], length=4, scheme=scheme)
    )
    if scheme == "iob1":
        tags = sort_tags((*tags, "B-A", "B-B"))
    allowed, places = allowed_transitions(tags, scheme), range(len(tags))
    for length in (1, 2, 3, 4 if len(tags) < 8 else 3):
        for path in itertools.product(places, repeat=length):
            written = tuple(tags[place] for place in path)
            passes = allowed.starts[path[0]] and allowed.ends[path[-1]]
            passes = passes and all(allowed.pairs[pair] for pair in itertools.pairwise(path))
            assert bool(passes) == (convert_tags(written, scheme, scheme) == written), written


def test_plain_tags_may_follow_each_other_in_any_order() -> None:
    assert all(part.all() for part in allowed_transitions(("O", "PER"), "plain"))


@pytest.mark.parametrize("scheme", [name for name in WITH_PREFIXES if name != "bmes"])
def test_schemes_are_told_by_the_tags(scheme: str) -> None:
    texts = [(Entity("A", 0, 0), Entity("A", 1, 3)), (Entity("B", 1, 3),)]
    assert guess_scheme([entities_to_tags(text, length=5, scheme=scheme) for text in texts]) == scheme


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["B-A M-A E-A S-A"], "bmes"),
        (["B M E S S"], "bmes"),  # segmented words
        (["O O"], "bio"),
        (["B-A I-A", "O B-A", "I-A O"], "bio"),  # one mistake among two
        (["I-A I-A", "O I-A", "B-A O"], "iob1"),
        (["DT NN VBZ"], None),
        (["PER O"], None),
        (["B-A E-A", "U-A"], None),
    ],
)
def test_doubtful_cases_of_telling_a_scheme(sentences: list[str], scheme: str | None) -> None:
    assert guess_scheme(sentence.split() for sentence in sentences) == scheme


def test_classes_have_an_order_that_does_not_depend_on_the_file() -> None:
    assert sort_tags(["I-LOC", "O", "B-PER", "B-LOC", "O"]) == ("O", "B-LOC", "I-LOC", "B-PER")
    assert sort_tags(["VB", "NN", "O"]) == ("O", "NN", "VB")


def test_entities_that_cannot_be_written_are_refused() -> None:
    with pytest.raises(DataError, match="must lie behind"):
        entities_to_tags([Entity("A", 0, 2), Entity("B", 2, 3)], length=5)
    with pytest.raises(DataError, match="in a sentence of 2 words"):
        entities_to_tags([Entity("A", 1, 2)], length=2)


def test_tags_that_cannot_be_read_are_refused_and_a_wrong_scheme_is_explained() -> None:
    with pytest.raises(DataError, match="'NN' is neither O nor has it a prefix"):
        tags_to_entities(["O", "NN"])
    assert check_tag("S-PER", "bio") == "the tag 'S-PER' is neither O nor one of B-..., I-... (bio)"
    with pytest.raises(UnknownNameError, match="unknown tag scheme 'bios'; did you mean 'bio"):
        tags_to_entities([], "bios")
