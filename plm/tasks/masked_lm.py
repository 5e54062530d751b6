"""Hidden words of plain text: pretraining, further pretraining on the texts of a field, an auxiliary task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from plm.blocks.labels import IGNORED_LABEL
from plm.data.collate import pad_sequences
from plm.data.masking import Masking, Pieces, mask_tokens
from plm.data.tables import read_lines
from plm.errors import ConfigError, DataError, TokenizerError
from plm.tasks.task import TASKS, Batch, Task
from plm.tokenizers import Tokenizer

# Texts that the tokenizer gets at a time.
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class TextLine:
    """A text. line: where it stands in its file, from 1."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class MaskedFeature:
    """A text, or a part of a long one, whose words are masked when a batch is made of it: anew in every epoch.

    input_ids: with the special tokens around it. token_type_ids: None for models without. index: position among the
    features. example: number of its text. masking, pieces: how, the same for all.
    """

    input_ids: list[int]
    token_type_ids: list[int] | None
    index: int
    example: int
    masking: Masking
    pieces: Pieces
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Guesses:
    """How a model did on the masked tokens of a text: how many there were, how many it had right.

    nats: the sum of their cross-entropies.
    """

    masked: int
    right: int
    nats: float


@dataclass(frozen=True, kw_only=True)
class MaskedLm(Task[TextLine, MaskedFeature, Guesses, Guesses]):
    """Masked language modelling of text files, one text a line; blank lines are passed over.

    probability, mask_share, random_share, whole_words, seed: see plm.data.masking.Masking.
    A text longer than max_length becomes several features of about equal length. `collate` masks as the epoch of the
    features says: give `vary` to plm.data.Batches, so that each epoch masks other words. Evaluations are of epoch 0.
    """

    probability: float = 0.15
    mask_share: float = 0.8
    random_share: float = 0.1
    whole_words: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        if self.masking().probability == 0.0:
            raise ConfigError("probability: expected a share of the tokens above 0 and up to 1, got 0.0")

    def masking(self) -> Masking:
        """How words are masked. Raises ConfigError for shares that cannot be."""
        return Masking(
            probability=self.probability,
            mask_share=self.mask_share,
            random_share=self.random_share,
            whole_words=self.whole_words,
            seed=self.seed,
        )

    @property
    def head(self) -> str:
        """BERT's language model."""
        return "masked_lm"

    def read(self, path: Path | str) -> list[TextLine]:
        """See Task. Raises DataError for a file without text."""
        lines = [TextLine(text, number) for number, text in read_lines(path) if text.strip()]
        if not lines:
            raise DataError(f"{path}: holds no text")
        return lines

    def model_options(self) -> dict[str, Any]:
        """None: the vocabulary is the model's."""
        return {}

    def encode(
        self,
        examples: Sequence[TextLine],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[MaskedFeature]:
        """See Task; the labels are the words themselves.

        Raises TokenizerError for a vocabulary without mask token, DataError for texts of which none can be masked.
        """
        pieces, masking = Pieces(tokenizer), self.masking()
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
        if first is None or last is None:
            raise TokenizerError("masked texts stand between cls_token and sep_token; the vocabulary lacks one of them")
        if max_length < 3:
            raise ConfigError(f"max_length: expected at least 3 tokens, two of them special, got {max_length}")
        features: list[MaskedFeature] = []
        for example, ids in enumerate(_ids(examples, tokenizer)):
            for part in _parts(ids, max_length - 2):
                row = [first, *part, last]
                types = [0] * len(row) if tokenizer.is_wordpiece else None
                features.append(MaskedFeature(row, types, len(features), example, masking, pieces))
        if features and all(pieces.is_special[feature.input_ids].all() for feature in features):
            raise DataError(f"{source}: the vocabulary knows none of its words: there is nothing to mask")
        return features

    def vary(self, features: Sequence[MaskedFeature], epoch: int) -> list[MaskedFeature]:
        """The same features as an epoch masks them."""
        return [dataclasses.replace(feature, epoch=epoch) for feature in features]

    def collate(self, features: Sequence[MaskedFeature], *, pad_token_id: int) -> dict[str, Tensor]:
        """Each (features, length), int64: input_ids, some masked, attention_mask, token_type_ids, labels; and index.

        Raises DataError for an empty batch, or features of several epochs.
        """
        if len({feature.epoch for feature in features}) != 1:
            raise DataError("a batch needs at least one feature, and all of the same epoch")
        one = features[0]
        ids = pad_sequences([feature.input_ids for feature in features], value=pad_token_id)
        lengths = torch.tensor([len(feature.input_ids) for feature in features])
        live = torch.arange(ids.shape[1]) < lengths[:, None]
        index = np.array([feature.index for feature in features])
        masked, labels = mask_tokens(
            ids.numpy(), live.numpy(), index=index, epoch=one.epoch, masking=one.masking, pieces=one.pieces
        )
        batch = {"input_ids": torch.from_numpy(masked), "attention_mask": live.long()}
        if one.token_type_ids is not None:
            batch["token_type_ids"] = torch.zeros_like(ids)
        return batch | {"labels": torch.from_numpy(labels), "index": torch.from_numpy(index)}

    def results(self, batch: Batch, output: Any) -> dict[int, Guesses]:
        """How many masked tokens of each text were guessed. Takes logits of all tokens, or of the masked ones alone."""
        labels = batch["labels"].to(output.logits.device)
        chosen = labels != IGNORED_LABEL
        logits = (output.logits if output.logits.dim() == 2 else output.logits[chosen]).float()
        nats = F.cross_entropy(logits, labels[chosen], reduction="none").double()
        right = (logits.argmax(-1) == labels[chosen]).double()
        sums = torch.zeros(len(labels), 2, dtype=torch.float64, device=labels.device)
        sums.index_add_(0, chosen.nonzero()[:, 0], torch.stack([right, nats], dim=1))
        rows = zip(batch["index"].tolist(), chosen.sum(1).tolist(), sums.tolist(), strict=True)
        return {index: Guesses(masked, int(right), nats) for index, masked, (right, nats) in rows}

    def answers(
        self, examples: Sequence[TextLine], features: Sequence[MaskedFeature], results: Mapping[int, Guesses]
    ) -> list[Guesses]:
        """The sums over the features of each text."""
        found: list[list[Guesses]] = [[] for _ in examples]
        for feature in features:
            found[feature.example].append(results[feature.index])
        return [_sum(parts) for parts in found]

    def score(self, examples: Sequence[TextLine], answers: Sequence[Guesses]) -> dict[str, float]:
        """masked_accuracy, the share of masked tokens guessed; loss, nats a masked token; perplexity, e to the loss.

        Raises DataError when no token was masked.
        """
        total = _sum(answers)
        if not total.masked:
            raise DataError("no token could be masked: the texts hold none but special ones")
        loss = total.nats / total.masked
        perplexity = math.exp(loss) if loss < 700 else math.inf
        return {"masked_accuracy": total.right / total.masked, "loss": loss, "perplexity": perplexity}

    def record(self, example: TextLine, answer: Guesses) -> dict[str, Any]:
        """See Task."""
        return {"line": example.line, "text": example.text, **dataclasses.asdict(answer)}


def _ids(examples: Sequence[TextLine], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The ids of each text, without special tokens."""
    for start in range(0, len(examples), _CHUNK):
        texts = [example.text for example in examples[start : start + _CHUNK]]
        yield from tokenizer.encode_batch_ids(texts, add_special_tokens=False)[0]


def _parts(ids: list[int], most: int) -> Iterator[list[int]]:
    """As few parts as hold at most `most` tokens each, of lengths that differ by one at most; none of no tokens."""
    count = -(-len(ids) // most)
    return (ids[len(ids) * n // count : len(ids) * (n + 1) // count] for n in range(count))


def _sum(parts: Sequence[Guesses]) -> Guesses:
    return Guesses(
        sum(part.masked for part in parts), sum(part.right for part in parts), math.fsum(part.nats for part in parts)
    )


TASKS.add("masked_lm", MaskedLm)
