"""What about a corpus is likely not meant, in plain words, with the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from plm.corpus.survey.facts import CorpusFacts, UnknownWord
from plm.corpus.survey.text import CONTROL, MARKS

# Half of the documents: a few stubs are normal, a blank line after every sentence leaves nothing else.
SINGLES = 0.5

# Sentences of the middle document. Both halves of a pair need one at least, and five or so fill a row of 128 tokens.
FEW_SENTENCES = 3

# Unknown tokens. English with a fitting vocabulary has 0.01 % or less, Chinese 0.1 to 0.5 %.
UNKNOWN = 0.01

# Repeated sentences. Wikipedia and books have some percent ("Yes."), a corpus that holds files twice has more.
DUPLICATES = 0.1

# Unknown tokens beyond which nothing is said of copies: sentences look alike because so little of them is known.
BLIND = 0.1

# One single sentence: what makes a percent of a corpus is no language but a stamp on every page; but in a handful of
# sentences, every one makes a percent.
STAMP, STAMP_TIMES = 0.01, 20

# Sentences that the model cannot read whole: one in a thousand is a list or a formula, more are no sentences.
OVERLONG = 0.001

# Tokens that one sentence in twenty exceeds: 50 to 95 in books and encyclopedias, 190 and more in their paragraphs.
PARAGRAPH = 128

# Sentences that begin with a small letter: below 5 % in edited text, 80 % where lines are cut at a fixed width.
CUT_LINES = 0.3

# Capitals of all letters from A to Z: 3 to 5 % in English; nearly none where the text was put into lower case.
UPPER_CASE, HAS_CASE = 0.5, 0.005

# Letters of an alphabet that the vocabulary is expected to know, and tokens that it takes to know it, or a share of all
# tokens where those are few: BERT's English vocabularies have 700 tokens that are Chinese and 90 that are Cyrillic.
FOREIGN, FOREIGN_TOKENS, FOREIGN_SHARE = 0.3, 1000, 0.1

# Leftovers of markup for each sentence: one in a thousand can be a text about markup.
MARKED = 0.001


def warnings(facts: CorpusFacts) -> list[str]:
    """Nothing for a corpus without surprises."""
    if not facts.sentences:
        return ["There are no sentences: is the text empty, or in another layout or field than was named?"]
    return [warning for check in _CHECKS for warning in check(facts)]


def _documents(facts: CorpusFacts) -> Iterator[str]:
    singles = facts.documents_of_one_sentence / facts.documents
    if facts.documents == 1 and facts.sentences > 1:
        yield (
            "The corpus is one single document, so there is no other to draw a random next sentence from: put a blank "
            "line between documents, give each a file of its own, or train without next-sentence prediction."
        )
    elif singles >= SINGLES:
        yield (
            f"{facts.documents_of_one_sentence:,} of {facts.documents:,} documents ({singles:.0%}) have a single "
            "sentence, which has no next one: the second halves of their pairs would all be random, and next-sentence "
            "prediction learns nothing. A blank line ends a document, so there should be none between sentences; "
            "paragraphs have to be split into sentences; or train without next-sentence prediction."
        )
    elif facts.document_sentences.median <= FEW_SENTENCES:
        yield (
            f"Half of the documents have at most {facts.document_sentences.median} sentences: examples will be short, "
            "and most pairs random. If documents were cut too often, leave out blank lines inside them; otherwise "
            "train on short rows or without next-sentence prediction."
        )


def _unknown(facts: CorpusFacts) -> Iterator[str]:
    if facts.unknown_rate < UNKNOWN:
        return
    often = ", ".join(repr(word.text) for word in facts.unknown_words)
    words = f", most often of {often}" if often else ""
    yield f"{facts.unknown_rate:.1%} of the tokens are unknown{words}. {_way_to_know(facts.unknown_words)}"


def _way_to_know(words: Sequence[UnknownWord]) -> str:
    """What would help with most of some unknown words."""
    half = sum(word.times for word in words) / 2
    if sum(word.times for word in words if word.is_known_in_lower_case) > half:
        return "In lower case they are known: the vocabulary is uncased, and the tokenizer has to lower-case the text."
    if sum(word.times for word in words if not any(map(str.isalnum, word.text))) > half:
        return "These are no words: put in their place what the vocabulary has, straight quotes for example."
    return "Is this the vocabulary for the language and the casing of this text?"


def _foreign(facts: CorpusFacts) -> Iterator[str]:
    known, letters = sum(facts.vocabulary_letters.values()), sum(facts.letters.values())
    for alphabet, number in facts.letters.items():
        tokens = facts.vocabulary_letters.get(alphabet, 0)
        if known and number / letters >= FOREIGN and tokens < min(FOREIGN_TOKENS, FOREIGN_SHARE * known):
            yield (
                f"{number / letters:.0%} of the letters are {alphabet}, but only {tokens:,} of {known:,} tokens of the "
                "vocabulary: most words fall to letters or become unknown. Take a vocabulary of the language."
            )


def _case(facts: CorpusFacts) -> Iterator[str]:
    share = facts.capitals / max(facts.capitals + facts.small_letters, 1)
    latin = facts.letters.get("Latin", 0) / max(sum(facts.letters.values()), 1)
    if share >= UPPER_CASE and latin >= FOREIGN and not facts.folds_case:
        yield (
            f"{share:.0%} of the letters are capitals, which a cased vocabulary spells letter by letter: take the text "
            "in its usual spelling, or an uncased vocabulary."
        )


def _duplicates(facts: CorpusFacts) -> Iterator[str]:
    is_stamp = max((times for _, times in facts.frequent), default=0) >= max(STAMP * facts.sentences, STAMP_TIMES)
    if facts.unknown_rate >= BLIND or (facts.duplicate_rate < DUPLICATES and not is_stamp):
        return
    share = f"{'about ' if facts.distinct_error else ''}{facts.duplicate_rate:.1%}"
    quotes = ", ".join(f"{text!r} ({times:,} times)" for text, times in facts.frequent)
    often = f"; most often {quotes}" if quotes else ""
    yield (
        f"{share} of the sentences are copies of earlier ones{often}. A model learns copies by heart: take out files "
        "that are there twice, and lines that stand on every page."
    )


def _lengths(facts: CorpusFacts) -> Iterator[str]:
    long, number = facts.longest[0], facts.sentences_over_model_length
    overlong = (
        f"{number:,} sentences ({number / facts.sentences:.1%}) are longer than the {facts.model_length} tokens of the "
        f"model, the longest has {long.tokens:,} (sentence {long.number:,}: {long.text!r})"
    )
    if facts.sentence_tokens.percentile_95 >= PARAGRAPH:
        yield (
            f"One sentence in twenty has {facts.sentence_tokens.percentile_95} tokens or more"
            f"{f', and {overlong}' if number else ''}: these are paragraphs. Have them split into sentences if pairs "
            "are to be made of them."
        )
    elif number / facts.sentences >= OVERLONG:
        yield f"{overlong}. Are these lists, or paragraphs that were not split? Rows cannot hold them whole."


def _cut_lines(facts: CorpusFacts) -> Iterator[str]:
    capitals = facts.capitals / max(facts.capitals + facts.small_letters, 1)
    share = facts.small_starts / facts.sentences
    if share >= CUT_LINES and capitals >= HAS_CASE:
        yield (
            f"{share:.0%} of the sentences begin with a small letter: are these lines of a fixed width? Join the lines "
            "of a paragraph, then split it into sentences."
        )


def _marks(facts: CorpusFacts) -> Iterator[str]:
    for name, times in facts.marks.items():
        if times / facts.sentences >= MARKED:
            yield f"The text holds {name}, {times:,} times: {_ADVICE[name]}."


_ADVICE = {name: mark.advice for name, mark in MARKS.items()} | {CONTROL: "is a file among the others no text?"}

_CHECKS: tuple[Callable[[CorpusFacts], Iterator[str]], ...] = (
    _documents,
    _lengths,
    _cut_lines,
    _duplicates,
    _unknown,
    _foreign,
    _case,
    _marks,
)
