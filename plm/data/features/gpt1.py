"""GPT-1's own task inputs: texts between tokens that say where a text starts, what follows, and where to decide.

| task | rows |
|---|---|
| classification | start text extract |
| entailment | start premise delimiter hypothesis extract |
| similarity | start a delimiter b extract; start b delimiter a extract |
| multiple choice | start context question delimiter option extract, for each option |

The three tokens survive every truncation, and the extract token is always the last, the one that heads look at. Of two
texts the longer is cut first, at its end; of a question with options only the context is.
Source: Radford et al. 2018, 3.3 and figure 1; openai/finetune-transformer-lm, train.py, transform_roc.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tqdm import tqdm

from plm.data.choices import Choice
from plm.data.features.classification import Feature
from plm.data.features.multiple_choice import cut_context, plain_ids
from plm.data.features.rows import RowsFeature
from plm.data.labels import LabelSet
from plm.data.readers import Example
from plm.errors import DataError, TokenizerError
from plm.tokenizers import Tokenizer

Ids = list[int]

PairOrder = Literal["one", "both"]


@dataclass(frozen=True, kw_only=True)
class Gpt1Marks:
    """The ids of the three tokens of task inputs."""

    start: int
    delimiter: int
    extract: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Gpt1Marks:
        """Those with the roles bos_token, sep_token and cls_token. Raises TokenizerError naming a role without."""
        roles = {"start": "bos_token", "delimiter": "sep_token", "extract": "cls_token"}
        ids = {name: getattr(tokenizer, f"{role}_id") for name, role in roles.items()}
        missing = [roles[name] for name, id_ in ids.items() if id_ is None]
        if missing:
            raise TokenizerError(
                f"GPT-1's task inputs need a {missing[0]}, and this tokenizer has none: "
                f"tokenizer.add_special_tokens(task.special_tokens), then model.resize_token_embeddings(len(tokenizer))"
            )
        return cls(**ids)

    def text(self, ids: Ids, *, max_length: int) -> Ids:
        """start text extract."""
        return [self.start, *ids[: _room(max_length, 2)], self.extract]

    def pair(self, first: Ids, second: Ids) -> Ids:
        """start first delimiter second extract."""
        return [self.start, *first, self.delimiter, *second, self.extract]


def cut_pair(first: Ids, second: Ids, *, max_length: int) -> tuple[Ids, Ids]:
    """The starts of two texts that fit into a row of `max_length` tokens; the longer is cut first.

    Two long ones get equally many, so that their order does not matter: 254 each of 512, as in train.py.
    """
    room = _room(max_length, 3)
    return first[: max(room - len(second), room // 2)], second[: max(room - len(first), room // 2)]


def encode_gpt1_texts(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    labels: LabelSet | None,
    max_length: int,
    order: PairOrder = "one",
    source: str = "examples",
    chunk_size: int = 500,
) -> list[Feature]:
    """One feature for each text or pair, in the same order.

    labels: None = leave labels out. max_length: tokens of a row, special ones included.
    order: "both" = input_ids hold a pair twice, in one order and in the other, both equally long (see `both_orders`).
    source: the file of the examples, for messages. Shows a progress bar on a terminal.
    Raises DataError for labels that do not fit, a pair among single texts, or a single text where pairs are needed.
    """
    targets = [None] * len(examples) if labels is None else labels.encode(examples, source=source)
    _check_pairs(examples, order, source)
    marks = Gpt1Marks.of(tokenizer)
    features: list[Feature] = []
    with tqdm(total=len(examples), desc="encoding", unit="text", disable=None, delay=2, leave=False) as bar:
        for start in range(0, len(examples), chunk_size):
            chunk = examples[start : start + chunk_size]
            texts = plain_ids(tokenizer, [example.text for example in chunk])
            pairs = plain_ids(tokenizer, [example.pair or "" for example in chunk])
            for example, text, pair in zip(chunk, texts, pairs, strict=True):
                if example.pair is None:
                    ids = marks.text(text, max_length=max_length)
                else:
                    first, second = cut_pair(text, pair, max_length=max_length)
                    ids = marks.pair(first, second) + (marks.pair(second, first) if order == "both" else [])
                features.append(Feature(ids, None, targets[len(features)], len(features)))
            bar.update(len(chunk))
    return features


def encode_gpt1_choices(
    choices: Sequence[Choice],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    source: str = "choices",
    has_labels: bool = True,
    chunk_size: int = 250,
) -> list[RowsFeature]:
    """One feature for each question, as plm.data.features.multiple_choice.encode_choices."""
    marks = Gpt1Marks.of(tokenizer)
    features: list[RowsFeature] = []
    with tqdm(total=len(choices), desc="encoding", unit="question", disable=None, delay=2, leave=False) as bar:
        for start in range(0, len(choices), chunk_size):
            chunk = choices[start : start + chunk_size]
            contexts = plain_ids(tokenizer, [choice.context for choice in chunk])
            questions = plain_ids(tokenizer, [choice.question for choice in chunk])
            options = iter(plain_ids(tokenizer, [option for choice in chunk for option in choice.options]))
            for choice, context, question in zip(chunk, contexts, questions, strict=True):
                rows = []
                for option in (next(options) for _ in choice.options):
                    room = max_length - 3 - len(question) - len(option)
                    where = f"{source}, {choice.place}"
                    read = cut_context(context, room=room, where=where, max_length=max_length) + question
                    rows.append([marks.start, *read, marks.delimiter, *option, marks.extract])
                label = choice.answer if has_labels else None
                features.append(RowsFeature(rows, None, label, len(features)))
            bar.update(len(chunk))
    return features


def both_orders(feature: Feature) -> RowsFeature:
    """The two rows of a feature made with order="both"."""
    half = len(feature.input_ids) // 2
    return RowsFeature([feature.input_ids[:half], feature.input_ids[half:]], None, None, feature.index)


def _room(max_length: int, specials: int) -> int:
    if max_length <= specials:
        raise DataError(f"max_length: {max_length} has no room for text beside {specials} special tokens")
    return max_length - specials


def _check_pairs(examples: Sequence[Example], order: PairOrder, source: str) -> None:
    is_pair = order == "both" or any(example.pair is not None for example in examples)
    for example in examples:
        if (example.pair is not None) != is_pair:
            raise DataError(f"{source}, line {example.line}: expected a second text, as the task and other lines have")
