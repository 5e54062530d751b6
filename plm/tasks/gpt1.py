"""GPT-1's own fine-tuning: texts between start, delimiter and extract tokens, and half a language model's loss.

    task = Gpt1Classification(text="text", label="label")
    tokenizer.add_special_tokens(task.special_tokens)            # three tokens; <pad> makes four
    model.resize_token_embeddings(len(tokenizer))                # new rows drawn from N(0, 0.02), as OpenAI's were

loss = decision + lm_factor * language model, as in openai/finetune-transformer-lm, train.py:
- decision: mean cross-entropy over the examples, of dropout (clf_pdrop, 0.1) and a linear layer with bias on the state
  of the extract token, which is the last of its row; one dropout mask for all rows of an example.
- language model: over every token from the second on, marks included; mean of each row first, then over the rows.
What differs from train.py: the next word is one of the words (there, the 512 positions are classes as well); a row is
cut to max_length as a whole, for choices in the context alone (there, story and ending to 254 tokens each). train.py
has ROCStories only; the other inputs follow the paper, a question standing before the delimiter as it does for RACE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from plm.blocks.labels import IGNORED_LABEL
from plm.config import require_probability
from plm.data.choices import Choice
from plm.data.collate import pad_batch
from plm.data.features.classification import Feature
from plm.data.features.gpt1 import PairOrder, both_orders, encode_gpt1_choices, encode_gpt1_texts
from plm.data.features.rows import RowsFeature, pad_rows
from plm.data.readers import Example
from plm.errors import ConfigError
from plm.tasks.classification import Classification
from plm.tasks.multiple_choice import MultipleChoice
from plm.tasks.task import TASKS, Batch
from plm.tokenizers import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Gpt1Objective:
    """What GPT-1's tasks have in common; the fields are options of each of them.

    start, delimiter, extract: the tokens, which the vocabulary gets if it has not.
    lm_factor: how much the loss of the language model counts; 0 = nothing is computed of it.
    lm_mean: "text" = each row counts as much as any other, as in OpenAI's code; "token" = each token does.
    dropout: before the linear layer.
    """

    start: str = "_start_"
    delimiter: str = "_delimiter_"
    extract: str = "_classify_"
    lm_factor: float = 0.5
    lm_mean: Literal["text", "token"] = "text"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require_probability(self, "dropout")
        if not 0.0 <= self.lm_factor < float("inf"):
            raise ConfigError(f"lm_factor: expected 0 or a positive number, got {self.lm_factor}")
        if len({self.start, self.delimiter, self.extract}) < 3:
            raise ConfigError("start, delimiter, extract: expected three different tokens")

    @property
    def special_tokens(self) -> dict[str, str]:
        """What the tokenizer must have, by role."""
        return {"bos_token": self.start, "sep_token": self.delimiter, "cls_token": self.extract}

    @property
    def loss_factors(self) -> Mapping[str, float]:
        """See Task."""
        return {"text_lm_loss": self.lm_factor, "lm_loss": self.lm_factor}

    def with_words(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch with lm_labels, if it is to learn and words count: the input ids, -100 at padding."""
        if "labels" in batch and self.lm_factor > 0:
            batch["lm_labels"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED_LABEL)
        return batch

    def weights(self, batch: Batch, decisions: float | Tensor) -> dict[str, float | Tensor]:
        """What each loss is a mean over. decisions: labels of the batch."""
        weights: dict[str, float | Tensor] = {"decision_loss": decisions}
        if "lm_labels" in batch:
            learned = batch["lm_labels"][..., 1:] != IGNORED_LABEL
            by_text = self.lm_mean == "text"
            weights["text_lm_loss" if by_text else "lm_loss"] = learned.any(-1).sum() if by_text else learned.sum()
        return weights


@dataclass(frozen=True, kw_only=True)
class Gpt1Classification(Gpt1Objective, Classification):
    """Classification of texts, entailment and similarity of pairs: the files of Classification, read as GPT-1 reads.

    pair_order: "one" = as in the file, for entailment; "both" = in either order too, and the sum of both states
        decides, for similarity, which has no order.
    bias: False = the classifier is a matrix alone, as in transformers' OpenAIGPTForSequenceClassification.
    """

    pair_order: PairOrder = "one"
    bias: bool = True

    def __post_init__(self) -> None:
        Gpt1Objective.__post_init__(self)
        Classification.__post_init__(self)
        if self.pair_order == "both" and self.pair is None:
            raise ConfigError('pair_order: "both" is for pairs; name the column of the second text as pair')

    @property
    def head(self) -> str:
        """A classifier beside the language model."""
        return "classification_with_lm"

    def model_options(self) -> dict[str, Any]:
        """Classes, dropout and bias."""
        return super().model_options() | {"classifier_dropout": self.dropout, "classifier_bias": self.bias}

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[Feature]:
        """See Task and plm.data.features.gpt1.encode_gpt1_texts."""
        return encode_gpt1_texts(
            examples,
            tokenizer,
            labels=self._label_set if has_labels else None,
            max_length=max_length,
            order=self.pair_order,
            source=source,
        )

    def collate(self, features: Sequence[Feature], *, pad_token_id: int) -> dict[str, Tensor]:
        """input_ids: (batch, length), or (batch, 2, length) for both orders; lm_labels like it, beside labels."""
        batch = pad_batch(features, pad_token_id=pad_token_id)
        if self.pair_order == "both":
            batch |= pad_rows([both_orders(feature) for feature in features], pad_token_id=pad_token_id)
        return self.with_words(batch)

    def weigh(self, batch: Batch) -> Mapping[str, float | Tensor]:
        """Labels; rows or tokens."""
        return self.weights(batch, Classification.weigh(self, batch)["loss"])


@dataclass(frozen=True, kw_only=True)
class Gpt1MultipleChoice(Gpt1Objective, MultipleChoice):
    """Multiple choice, such as ROCStories and RACE: the files of MultipleChoice, read as GPT-1 reads."""

    def __post_init__(self) -> None:
        Gpt1Objective.__post_init__(self)
        MultipleChoice.__post_init__(self)

    @property
    def head(self) -> str:
        """One score an option, beside the language model."""
        return "multiple_choice_with_lm"

    def model_options(self) -> dict[str, Any]:
        """Dropout."""
        return {"summary_dropout": self.dropout}

    def encode(
        self,
        examples: Sequence[Choice],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[RowsFeature]:
        """See MultipleChoice.encode and plm.data.features.gpt1.encode_gpt1_choices."""
        if has_labels:
            self.check(examples, source=source)
        return encode_gpt1_choices(examples, tokenizer, max_length=max_length, source=source, has_labels=has_labels)

    def collate(self, features: Sequence[RowsFeature], *, pad_token_id: int) -> dict[str, Tensor]:
        """input_ids: (batch, choices, length); beside labels, lm_labels like input_ids."""
        return self.with_words(pad_rows(features, pad_token_id=pad_token_id))

    def weigh(self, batch: Batch) -> Mapping[str, float | Tensor]:
        """Questions; rows or tokens."""
        return self.weights(batch, torch.as_tensor(len(batch["labels"])))


TASKS.add("gpt1_classification", Gpt1Classification)
TASKS.add("gpt1_multiple_choice", Gpt1MultipleChoice)
