"""Questions and long texts to windows that a model can read, each knowing which characters its tokens are.

A window is [CLS] question [SEP] part of the context [SEP], or whatever frame the tokenizer has (GPT-1 has none).
Windows of a context overlap; each of its tokens counts only in the window that shows most around it. Ids, windows, and
which window counts are those of Google's `run_squad.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from plm.data.features.windows import Frame, Stretch, stretches
from plm.data.google_words import GoogleWords, GoogleWriter
from plm.data.squad import Question
from plm.errors import ConfigError
from plm.tokenizers import Tokenizer

NOT_COUNTED = -1
"""Position of an answer that nobody can learn from; outside of every window, so that a head passes over it."""

NO_ANSWER = 0
"""Position that stands for "the answer is not in this window": the first token, a special one or the question's."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where the tokens of a context stand in it.

    spans: (tokens, 2), int32, their first character and the one after the last, both never falling.
    google: what Google's way of writing answers needs; None where it is not asked for.
    """

    spans: NDArray[np.int32]
    google: GoogleWords | None = None

    def covering(self, start: int, end: int) -> tuple[int, int] | None:
        """The first and last token that share characters with [start, end) of the text; None when none does."""
        first = int(np.searchsorted(self.spans[:, 1], start, side="right"))
        last = int(np.searchsorted(self.spans[:, 0], end, side="left")) - 1
        return (first, last) if first <= last else None

    @classmethod
    def of(cls, windows: Sequence[Window]) -> Places:
        """Those of a whole context. windows: all of a question."""
        spans = np.zeros((max(window.first_token + window.stretch for window in windows), 2), dtype=np.int32)
        for window in windows:
            spans[window.first_token : window.first_token + window.stretch] = window.spans
        return cls(spans, windows[0].google)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A question with a stretch of its context, as a model sees it, unpadded.

    input_ids, token_type_ids: the latter None for models without. index: number among all windows.
    example: number of the question.
    first_token: number, in the context, of the first token of the stretch. first_position: where that is in input_ids.
    spans: (stretch, 2), int32, the characters of the tokens of the stretch, see Places. google: of the whole context.
    counted: positions [from, to) of input_ids for which no other window of the question shows more around them.
    answer: positions of the first and last token of the answer; both NO_ANSWER when it is not, or not wholly, in this
        window, both NOT_COUNTED when it stands nowhere; None = unlabelled.
    """

    input_ids: list[int]
    token_type_ids: list[int] | None
    index: int
    example: int
    first_token: int
    first_position: int
    spans: NDArray[np.int32]
    counted: tuple[int, int]
    answer: tuple[int, int] | None
    google: GoogleWords | None = None

    @property
    def stretch(self) -> int:
        """Tokens of the context in this window."""
        return len(self.spans)

    def token(self, position: int) -> int:
        """The number in the context of the token at a position of input_ids."""
        return position - self.first_position + self.first_token


def encode_questions(
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    doc_stride: int,
    max_query_length: int,
    has_labels: bool = True,
    google: bool = False,
    chunk_size: int = 1000,
) -> list[Window]:
    """The windows of every question, in order.

    max_length: tokens of a window, special ones included. doc_stride: tokens from the start of a window to that of the
        next (what transformers calls stride is the overlap instead). max_query_length: tokens of a question that count.
    has_labels: False = for prediction. Labels are taken from the first answer that stands in the context.
    google: True = learn answers from the words that Google's code takes, which differs where they begin or end within a
        token, and keep what its way of writing them needs; WordPiece only.
    chunk_size: texts that the tokenizer gets at a time.
    Raises ConfigError where a question leaves no room for its context.
    """
    for name, value in (("max_length", max_length), ("doc_stride", doc_stride), ("max_query_length", max_query_length)):
        if value < 1:
            raise ConfigError(f"{name}: expected a positive number of tokens, got {value}")
    frame = Frame.of(tokenizer)
    ids = _question_ids([question.question for question in questions], tokenizer, chunk_size)
    contexts = _contexts([question.context for question in questions], tokenizer, google, chunk_size)
    windows: list[Window] = []
    for number, question in enumerate(questions):
        kept, context = ids[question.question][:max_query_length], contexts[question.context]
        places = context.places
        room = _room(question, max_length - frame.size, len(kept))
        answer = _answer_tokens(question, places, tokenizer) if has_labels else None
        for stretch in stretches(len(context.ids), room, doc_stride):
            windows.append(_window(frame, kept, context, stretch, answer, question=number, index=len(windows)))
    return windows


class _Context(NamedTuple):
    """A context as tokens: their ids, and where they stand."""

    ids: list[int]
    places: Places


def _room(question: Question, available: int, taken: int) -> int:
    """Tokens left for the context in a window that has so many besides special ones."""
    if available <= taken:
        raise ConfigError(
            f"max_length leaves {max(0, available)} tokens for question {question.id!r} and its context, and the "
            f"question takes {taken}; take a larger max_length"
            + (f", or max_query_length below {available}" if available > 1 else "")
        )
    return available - taken


def _window(
    frame: Frame,
    question_ids: list[int],
    context: _Context,
    stretch: Stretch,
    answer: tuple[int, int] | None,
    *,
    question: int,
    index: int,
) -> Window:
    """A question with one stretch of its context. answer: of `_answer_tokens`; None = unlabelled."""
    first_position = len(frame.before) + len(question_ids) + len(frame.between)
    shift, shown = first_position - stretch.first, slice(stretch.first, stretch.first + stretch.length)
    return Window(
        input_ids=frame.ids(question_ids, context.ids[shown]),
        token_type_ids=frame.type_ids(len(question_ids), stretch.length),
        index=index,
        example=question,
        first_token=stretch.first,
        first_position=first_position,
        spans=context.places.spans[shown],
        counted=(stretch.counted_from + shift, stretch.counted_to + shift),
        answer=None if answer is None else _answer_positions(answer, stretch, shift),
        google=context.places.google,
    )


_IMPOSSIBLE = (-1, -1)
_UNKNOWN = (-2, -2)


def _answer_tokens(question: Question, places: Places, tokenizer: Tokenizer) -> tuple[int, int]:
    """First and last token of the first answer that has some, or one of the two words above."""
    if question.is_impossible:
        return _IMPOSSIBLE
    for text, start, _ in question.answers:
        if start is None:
            continue
        end = start + len(text)
        if places.google is not None:
            found = places.google.covering(start, end, tokenizer.tokenize(text))
        else:
            found = places.covering(start, end)
        if found:
            return found
    return _UNKNOWN


def _answer_positions(answer: tuple[int, int], stretch: Stretch, shift: int) -> tuple[int, int]:
    """See Window.answer. shift: from the number of a token to its position in input_ids."""
    first, last = answer
    if answer == _UNKNOWN:
        return (NOT_COUNTED, NOT_COUNTED)
    if stretch.first <= first and last < stretch.first + stretch.length:
        return (first + shift, last + shift)
    return (NO_ANSWER, NO_ANSWER)


def _question_ids(texts: Sequence[str], tokenizer: Tokenizer, chunk_size: int) -> dict[str, list[int]]:
    """The ids of every different question."""
    ids: dict[str, list[int]] = {}
    for chunk in _chunks(list(dict.fromkeys(texts)), chunk_size, "encoding questions"):
        ids.update(zip(chunk, tokenizer.encode_batch_ids(chunk, add_special_tokens=False)[0], strict=True))
    return ids


def _contexts(texts: Sequence[str], tokenizer: Tokenizer, google: bool, chunk_size: int) -> dict[str, _Context]:
    """The tokens of every different context."""
    words = GoogleWriter(tokenizer) if google else None
    contexts: dict[str, _Context] = {}
    for chunk in _chunks(list(dict.fromkeys(texts)), chunk_size, "encoding contexts"):
        batch = tokenizer(chunk, add_special_tokens=False, truncation=False, return_offsets_mapping=True)
        for row, text in enumerate(chunk):
            spans = np.array(batch["offset_mapping"][row], dtype=np.int32).reshape(-1, 2)
            spans = np.maximum.accumulate(spans)  # a token that comes from no character stands where the last one does
            google_words = words.words(text, batch.tokens(row), spans) if words else None
            contexts[text] = _Context(batch["input_ids"][row], Places(spans, google_words))
    return contexts


def _chunks(texts: Sequence[str], size: int, what: str) -> Iterator[list[str]]:
    """The texts, so many at a time, with a progress bar on a terminal after two seconds."""
    with tqdm(total=len(texts), desc=what, unit="text", disable=None, delay=2, leave=False) as bar:
        for start in range(0, len(texts), size):
            chunk = list(texts[start : start + size])
            yield chunk
            bar.update(len(chunk))
