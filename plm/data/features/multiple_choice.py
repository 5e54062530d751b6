"""Questions with options to token ids: one pair of texts for each option.

The first text is the context, the second the question and the option with a space between; without question the
option alone (see the table in plm.data.choices). BERT's models read `[CLS] context [SEP] question option [SEP]`, and
without context `[CLS] question option [SEP]`. What is too long is cut at the end of the context, never elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from plm.data.choices import Choice
from plm.data.features.rows import RowsFeature
from plm.errors import DataError
from plm.tokenizers import Tokenizer

Ids = list[int]


def encode_choices(
    choices: Sequence[Choice],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    source: str = "choices",
    has_labels: bool = True,
    chunk_size: int = 250,
) -> list[RowsFeature]:
    """One feature for each question, in the same order; its label is the right option.

    max_length: tokens of a text at most, special ones included. has_labels: False = leave labels out.
    source: the file of the questions, for messages. chunk_size: questions that the tokenizer gets at a time.
    Shows a progress bar on a terminal. Raises DataError when question and option alone are too long.
    """
    features: list[RowsFeature] = []
    with tqdm(total=len(choices), desc="encoding", unit="question", disable=None, delay=2, leave=False) as bar:
        for start in range(0, len(choices), chunk_size):
            chunk = choices[start : start + chunk_size]
            endings = [ending(choice, option) for choice in chunk for option in choice.options]
            contexts = plain_ids(tokenizer, [choice.context for choice in chunk])
            seconds = iter(plain_ids(tokenizer, endings))
            for choice, context in zip(chunk, contexts, strict=True):
                pairs = [
                    _framed(tokenizer, context, next(seconds), max_length, f"{source}, {choice.place}")
                    for _ in choice.options
                ]
                types = [row for _, row in pairs] if tokenizer.is_wordpiece else None
                label = choice.answer if has_labels else None
                features.append(RowsFeature([ids for ids, _ in pairs], types, label, len(features)))
            bar.update(len(chunk))
    return features


def ending(choice: Choice, option: str) -> str:
    """What stands behind the context."""
    return f"{choice.question} {option}" if choice.question else option


def plain_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Ids]:
    """The ids of texts without special tokens, uncut."""
    return tokenizer.encode_batch_ids(texts, add_special_tokens=False)[0]


def cut_context(context: Ids, *, room: int, where: str, max_length: int) -> Ids:
    """The start of a context that fits into `room` tokens; DataError when there is less than none."""
    if room < 0:
        raise DataError(
            f"{where}: question and option alone have {max_length - room} tokens with special ones, max_length is "
            f"{max_length}. Only contexts are cut: raise max_length, or shorten the option"
        )
    return context[:room]


def _framed(tokenizer: Tokenizer, context: Ids, second: Ids, max_length: int, where: str) -> tuple[Ids, Ids]:
    """Token ids and token types of a context and what follows."""
    cls: Ids = [] if tokenizer.cls_token_id is None or not tokenizer.is_wordpiece else [tokenizer.cls_token_id]
    sep: Ids = [] if tokenizer.sep_token_id is None or not tokenizer.is_wordpiece else [tokenizer.sep_token_id]
    specials = len(cls) + len(sep) * (2 if context else 1)
    context = cut_context(context, room=max_length - specials - len(second), where=where, max_length=max_length)
    first = [*cls, *context, *sep] if context else cls
    types = [0] * len(first) + [1 if context else 0] * (len(second) + len(sep))
    return [*first, *second, *sep], types
