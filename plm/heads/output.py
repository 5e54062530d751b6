"""Named outputs, readable as attributes, by key and by position."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor


class Output:
    """Base of all outputs. As users of transformers expect, fields that are None count as absent, and loss is first."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def keys(self) -> list[str]:
        """Names of the fields that are present."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name) is not None]

    def to_tuple(self) -> tuple[Any, ...]:
        """Values of the fields that are present, in order."""
        return tuple(getattr(self, name) for name in self.keys())

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(f"{key!r} is not among the outputs {self.keys()}")
            return getattr(self, key)
        return self.to_tuple()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


@dataclass(kw_only=True)
class EncoderOutput(Output):
    """last_hidden_state: (batch, length, hidden); pooler_output: (batch, hidden), for families with a pooler."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None


@dataclass(kw_only=True)
class LogitsOutput(Output):
    """loss: scalar, when labels were given. logits: (batch, ..., classes or vocabulary); see each head."""

    loss: Tensor | None = None
    logits: Tensor


@dataclass(kw_only=True)
class PretrainingOutput(Output):
    """Both predictions of BERT's pretraining; loss is the sum of the two losses."""

    loss: Tensor | None = None
    prediction_logits: Tensor
    seq_relationship_logits: Tensor
    masked_lm_loss: Tensor | None = None
    next_sentence_loss: Tensor | None = None


@dataclass(kw_only=True)
class SpanOutput(Output):
    """start_logits, end_logits: (batch, length); the lowest finite value at padding."""

    loss: Tensor | None = None
    start_logits: Tensor
    end_logits: Tensor


@dataclass(kw_only=True)
class DoubleHeadsOutput(Output):
    """logits: (batch, choices, length, vocabulary); mc_logits: (batch, choices); loss: mc_loss + 0.5 * lm_loss."""

    loss: Tensor | None = None
    logits: Tensor
    mc_logits: Tensor
    lm_loss: Tensor | None = None
    mc_loss: Tensor | None = None


@dataclass(kw_only=True)
class DecisionOutput(Output):
    """logits: (batch, classes) or (batch, choices). loss: decision_loss + 0.5 * text_lm_loss, as OpenAI trained GPT-1.

    decision_loss: of the classes or choices. lm_loss: mean over all next tokens. text_lm_loss: mean over the texts of
    the mean over each text's next tokens.
    """

    loss: Tensor | None = None
    logits: Tensor
    decision_loss: Tensor | None = None
    lm_loss: Tensor | None = None
    text_lm_loss: Tensor | None = None
