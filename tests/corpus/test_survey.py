"""What a survey says of a corpus: the truth, however the text was cut, and a warning only where there is reason."""

from __future__ import annotations

import itertools
import json
import pickle
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.config import from_dict
from plm.corpus.survey import BlockFacts, CorpusFacts, Survey
from plm.errors import DataError
from plm.tokenizers import Tokenizer, load_tokenizer
from tests.shared_data import shared_data

Documents = Sequence[Sequence[str]]
Encode = Callable[[str], list[int]]

UNKNOWN = 1
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def words(sentence: str) -> list[int]:
    """An id for each word between spaces, always the same."""
    return [
        UNKNOWN if word == "[UNK]" else 2 + zlib.crc32(word.encode("utf-8", "surrogatepass")) % 30000
        for word in sentence.split(" ")
    ]


def block(sentences: Sequence[str], ends: Sequence[int], encode: Encode = words) -> BlockFacts:
    ids = [encode(sentence) for sentence in sentences]
    return BlockFacts.of(
        sentences,
        ends=ends,
        lengths=np.array([len(row) for row in ids], dtype=np.uint32),
        ids=np.array([id_ for row in ids for id_ in row], dtype=np.uint16),
        unknown_id=UNKNOWN,
    )


def survey_of(
    documents: Documents, tokenizer: Tokenizer | None = None, encode: Encode = words, **options: Any
) -> Survey:
    survey = Survey(tokenizer, **options)
    ends = np.cumsum([len(document) for document in documents])
    survey.add(block([sentence for document in documents for sentence in document], ends.tolist(), encode))
    return survey


def clean(documents: int = 12, sentences: int = 9, *, about: str = "Item") -> list[list[str]]:
    """Documents without anything to complain about."""
    return [
        [f"{about} {row} of part {part} was seen by the sea." for row in range(sentences)] for part in range(documents)
    ]


def with_sentence(sentence: str, *, documents: int = 12) -> list[list[str]]:
    """Clean documents, some of which have a sentence of another kind."""
    return [[*rows, f"Part {part}: {sentence}"] if part < documents else rows for part, rows in enumerate(clean())]


# ------------------------------------------------------------------------------------------------------------ figures


def test_figures_are_those_of_the_text() -> None:
    facts = survey_of([["One two", "three"], ["One two", "Ünï [UNK] six seven"]]).told()
    assert (facts.documents, facts.sentences, facts.tokens) == (2, 4, 9)
    assert (facts.characters, facts.bytes) == (7 + 5 + 7 + 19, 7 + 5 + 7 + 21)
    assert (facts.unknown_tokens, facts.unknown_rate) == (1, 1 / 9)
    assert (facts.distinct_sentences, facts.duplicate_rate, facts.duplicate_error) == (3, 0.25, 0)
    assert facts.frequent == (("One two", 2),)
    assert (facts.sentence_tokens.mean, facts.sentence_tokens.median, facts.sentence_tokens.maximum) == (2.25, 2, 4)
    assert facts.sentence_tokens.ranges == ((1, 1, 1), (2, 3, 2), (4, 7, 1))
    assert (facts.document_tokens.mean, facts.document_sentences.mean) == (4.5, 2)
    assert [(long.tokens, long.number) for long in facts.longest] == [(4, 4), (2, 1), (2, 3)]
    assert (facts.letters, facts.capitals, facts.small_starts) == ({"Latin": 31}, 5, 1)


def test_facts_are_json_that_reads_back_as_the_same() -> None:
    survey = survey_of(clean())
    told = json.loads(json.dumps(survey.facts()))
    assert from_dict(CorpusFacts, told) == survey.told()


def test_a_document_that_has_not_ended_counts_but_can_go_on() -> None:
    survey = Survey()
    survey.add(block(["a b", "c"], [1]))
    assert (survey.told().documents, survey.told().documents_of_one_sentence) == (2, 2)
    survey.add(block(["d"], [1]))
    assert (survey.told().documents, survey.told().documents_of_one_sentence) == (2, 1)


def test_documents_without_sentences_count_for_nothing() -> None:
    survey = Survey()
    survey.add(block([], [0, 0]))
    survey.add(block(["a", "b"], [0, 2, 2]))
    survey.add(block([], [0]))
    assert (survey.told().documents, survey.told().document_sentences.maximum) == (1, 2)


def test_odd_characters_in_a_sentence_move_nothing() -> None:
    facts = survey_of([["a\nb c d", "half \ud800 pair", "nul s\0"], ["line\u2028separator"]]).told()
    assert (facts.sentences, facts.documents, facts.marks) == (4, 2, {"control characters": 1})
    assert [long.text for long in facts.longest] == ["a b c d", "half  pair", "nul s"]


# --------------------------------------------------------------------------------------------- however the text is cut

SENTENCES = st.lists(
    st.tuples(st.sampled_from(["a", "b b", "[UNK] c", "d [UNK] é", "<p>", "e " * 7 + "e", "zz\0"]), st.booleans()),
    max_size=60,
)


@settings(deadline=None, max_examples=60)
@given(rows=SENTENCES, cuts=st.lists(st.integers(0, 60), max_size=8), kept=st.integers(0, 8), data=st.data())
def test_a_survey_is_the_same_however_the_text_was_cut(
    rows: list[tuple[str, bool]], cuts: list[int], kept: int, data: st.DataObject
) -> None:
    numbers = data.draw(st.lists(st.integers(0, 40), min_size=len(rows), max_size=len(rows)))
    sentences = [f"{sentence} {number}" for (sentence, _), number in zip(rows, numbers, strict=True)]
    closed = [place + 1 for place, (_, ends) in enumerate(rows) if ends]
    whole = Survey(memory=32)
    whole.add(block(sentences, closed))

    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = Survey(memory=32)
    for place, (first, last) in enumerate(itertools.pairwise(edges)):
        inside = [end - first for end in closed if first < end <= last]
        parts.add(pickle.loads(pickle.dumps(block(sentences[first:last], inside))))
        if place == kept:  # killed, and begun again
            state, parts = json.loads(json.dumps(parts.state_dict())), Survey(memory=32)
            parts.load_state_dict(state)
    assert parts.facts() == whole.facts()
    assert parts.state_dict() == whole.state_dict()


def test_asking_changes_nothing() -> None:
    asked, silent = Survey(memory=64), Survey(memory=64)
    for part in range(9):
        facts = block([f"{part} {row % 7}" for row in range(11)], [5])
        asked.add(facts)
        silent.add(facts)
        asked.markdown("", {})
    assert asked.state_dict() == silent.state_dict()


@pytest.mark.parametrize("damage", [{"repeats": {}}, {"byte_counts": "AAAA"}, {"open": [1]}, {"marks": 5}])
def test_a_damaged_state_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="state of a survey"):
        Survey().load_state_dict(survey_of(clean()).state_dict() | damage)


def test_memory_is_bounded() -> None:
    survey, facts = Survey(memory=1 << 10), block([f"{row} {row % 300}" for row in range(3000)], [])
    sizes = []
    for part in range(30):
        survey.add(
            pickle.loads(pickle.dumps(facts)) if part % 2 else block([f"{part} {row}" for row in range(3000)], [2])
        )
        sizes.append(len(pickle.dumps(survey)))
    assert max(sizes[15:]) < 1.2 * max(sizes[:15]) < 200_000


# ------------------------------------------------------------------------------------------------------------ warnings


def test_a_clean_corpus_has_no_warnings() -> None:
    assert survey_of(clean()).warnings() == []


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([], "no sentences"),
        ([[sentence] for document in clean() for sentence in document], "108 of 108 documents (100%) have a single"),
        (clean(documents=1), "one single document"),
        (clean(sentences=3), "Half of the documents have at most 3 sentences"),
        ([[f"{row} [UNK] seen there." for row in document] for document in clean()], "of the tokens are unknown"),
        ([["Nothing [UNK] [UNK] known"] * 9 for _ in range(12)], "50.0% of the tokens are unknown"),
        ([*clean(), *clean()[:4]], "25.0% of the sentences are copies"),
        (
            [[*rows, "Read more here."] for rows in clean(30, 40)],
            "2.4% of the sentences are copies of earlier ones; mo",
        ),
        (
            with_sentence("of words " * 300),
            "One sentence in twenty has 603 tokens or more, and 12 sentences (10.0%) are",
        ),
        (
            with_sentence("of words " * 300, documents=1),
            "1 sentences (0.9%) are longer than the 512 tokens of the model",
        ),
        (with_sentence("of words " * 70), "One sentence in twenty has 143 tokens or more: these are paragraphs"),
        (with_sentence("of words " * 70, documents=1), None),
        ([["so it went, said Tom of " + row for row in rows] for rows in clean()], "100% of the sentences begin with"),
        ([["so it went, said tom of " + row.lower() for row in rows] for rows in clean()], None),
        ([[row.upper() for row in rows] for rows in clean()], "100% of the letters are capitals"),
        (with_sentence("A <br /> there, and</p>."), "HTML tags, 24 times"),
        (with_sentence("You &amp; me."), "HTML entities"),
        (with_sentence("The <unk> sea."), "replaced by <unk>, 12 times"),
        (with_sentence("A well @-@ known sea."), "@-@"),
        (with_sentence("See [[Sea|the sea]]."), "wiki markup"),
        (with_sentence('<doc id="12" url="">'), "turn each </doc> into a blank line"),
        (with_sentence("Itâ€™s broken."), "convert it to UTF-8"),
        (with_sentence("No \x07 text."), "control characters, 12 times"),
        (with_sentence("A tab\tis no control character, 3 < 4 & 5 > 4 [1] {a}, nor is café."), None),
    ],
)
def test_a_warning_comes_where_there_is_reason_and_alone(documents: Documents, said: str | None) -> None:
    warnings = survey_of(documents).warnings()
    assert len(warnings) == (said is not None), warnings
    assert said is None or said in warnings[0]


WORDS = ("the", "sea", "item", "part", "of", "was", "seen", "by", "a", "and", ".", ":")
VOCABULARY = (*SPECIALS, *WORDS, *map(str, range(13)))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Tokenizer]:
    """Of an uncased vocabulary: lower-casing the text, as it has to, or not."""
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY), encoding="utf-8")
    made = {is_right: load_tokenizer(folder / "vocab.txt", do_lower_case=is_right) for is_right in (True, False)}
    return made.__getitem__


def with_tokenizer(tokenizer: Tokenizer, documents: Documents) -> Survey:
    return survey_of(documents, tokenizer, lambda sentence: tokenizer.encode(sentence, add_special_tokens=False))


def test_unknown_words_are_named(tokenizers: Callable[[bool], Tokenizer]) -> None:
    survey = with_tokenizer(tokenizers(True), with_sentence("The blue Sea was blue."))
    (warning,) = survey.warnings()
    assert "unknown, most often of 'blue'. Is this the vocabulary" in warning
    assert survey.told().unknown_words[0].times == survey.told().unknown_tokens == 24


def test_a_vocabulary_that_is_uncased_is_told_from_a_wrong_one(tokenizers: Callable[[bool], Tokenizer]) -> None:
    assert with_tokenizer(tokenizers(True), clean()).warnings() == []
    (warning,) = with_tokenizer(tokenizers(False), clean()).warnings()
    assert "'Item'. In lower case they are known" in warning


def test_unknown_quotes_are_told_from_unknown_words(tokenizers: Callable[[bool], Tokenizer]) -> None:
    (warning,) = with_tokenizer(tokenizers(True), with_sentence("“The sea”.")).warnings()
    assert "'“', '”'. These are no words" in warning


def test_capitals_do_not_matter_to_an_uncased_tokenizer(tokenizers: Callable[[bool], Tokenizer]) -> None:
    documents = [[sentence.upper() for sentence in document] for document in clean()]
    assert with_tokenizer(tokenizers(True), documents).warnings() == []


def test_text_of_another_alphabet_than_the_vocabulary_is_noticed(tokenizers: Callable[[bool], Tokenizer]) -> None:
    documents = [[sentence.replace("sea", "море видел человек") for sentence in document] for document in clean()]
    warnings = with_tokenizer(tokenizers(True), documents).warnings()
    assert any("of the letters are Cyrillic, but only 0 of 10 tokens" in warning for warning in warnings)


# ----------------------------------------------------------------------------------------------------- account, picture


def test_the_account_tells_warnings_figures_and_settings() -> None:
    told = survey_of(with_sentence("A <br> | there.")).markdown("Sea", {"layout": "sentences"})
    assert told.startswith("# Sea\n\n## Warnings\n\n- The text holds HTML tags, 12 times")
    assert "| documents | 12 |" in told
    assert "| layout | sentences |" in told
    assert " 4 to 7   12  #####\n8 to 15  108  ########################################\n" in told
    assert survey_of(clean()).markdown("Sea", {}).startswith("# Sea\n\n## Warnings\n\nNone.\n")


def test_the_account_of_nothing_is_an_account() -> None:
    assert "| sentences | 0 |" in Survey().markdown("Nothing", {})


@pytest.mark.parametrize("documents", [clean(), [], [["one"]]])
def test_a_picture_is_drawn(tmp_path: Path, documents: Documents) -> None:
    pytest.importorskip("matplotlib", reason='needs the extra "plot"')
    survey_of(documents).draw(tmp_path / "new" / "lengths.png")
    assert (tmp_path / "new" / "lengths.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_a_survey_costs_no_torch() -> None:
    code = "import sys, plm.corpus.survey; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ----------------------------------------------------------------------------------------------------------- real text


def real(vocabulary: str, *file: str, characters: int = 400_000) -> Survey:
    """Of the first lines of a file, a sentence a line, a blank line between documents."""
    tokenizer = load_tokenizer(shared_data("vocabs", vocabulary))
    with shared_data(*file).open(encoding="utf-8") as lines:
        rows = [line.strip() for line in lines.readlines(characters)]
    ids, _ = tokenizer.encode_batch_ids([row for row in rows if row], add_special_tokens=False)
    ends = [place - number for number, place in enumerate(place for place, row in enumerate(rows) if not row)]
    lengths = np.array([len(row) for row in ids])
    flat = np.array([id_ for row in ids for id_ in row])
    survey, sentences = Survey(tokenizer), [row for row in rows if row]
    survey.add(BlockFacts.of(sentences, ends=ends, lengths=lengths, ids=flat, unknown_id=tokenizer.unk_token_id))
    return survey


UNCASED, CHINESE = "bert-base-uncased-vocab.txt", "bert-base-chinese-vocab.txt"


@pytest.mark.parametrize(
    ("vocabulary", "file", "said"),
    [
        (UNCASED, "text_en/sample_text.txt", []),
        (UNCASED, "text_en/books.txt", ["these are paragraphs"]),
        (UNCASED, "text_en/wikitext2_valid.txt", ["these are paragraphs", "@-@", "replaced by <unk>"]),
        (CHINESE, "text_zh/cmrc_wiki_sentences.txt", ["HTML tags"]),
        (CHINESE, "text_zh/wiki_sample.txt", ["HTML tags"]),
        (CHINESE, "text_zh/essays.txt", ["these are paragraphs", "'“', '”'", "HTML entities"]),
        (UNCASED, "text_zh/wiki_sample.txt", ["tokens are unknown", "letters are Chinese", "HTML tags"]),
    ],
)
def test_warnings_of_real_text(vocabulary: str, file: str, said: list[str]) -> None:
    warnings = real(vocabulary, *file.split("/")).warnings()
    assert len(warnings) == len(said), warnings
    assert all(any(part in warning for warning in warnings) for part in said), warnings
