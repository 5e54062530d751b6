"""One decision for a whole text, and one choice among several texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plm.blocks.activations import ACTIVATIONS
from plm.blocks.layout import Padded
from plm.blocks.linear import Linear
from plm.errors import ShapeError
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, when_pooled
from plm.heads.output import LogitsOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig, ProblemType


class TextClassifier(nn.Module):
    """Dropout, an optional activation and a linear layer on one vector a text.

    pooling: "pooled" or "last_token". activation: a name in ACTIVATIONS, or "none".
    """

    def __init__(
        self, *, hidden_size: int, outputs: int, dropout: float, pooling: str, activation: str, bias: bool
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.activation = None if activation == "none" else ACTIVATIONS.get(activation)
        self.dropout = nn.Dropout(dropout)
        self.linear = Linear(hidden_size, outputs, bias=bias)

    def forward(self, encoding: Encoding) -> Tensor:
        """(batch, outputs)."""
        vector = encoding.pooled if self.pooling == "pooled" else encoding.last_tokens
        assert vector is not None
        logits: Tensor = self.linear(self.dropout(vector if self.activation is None else self.activation(vector)))
        return logits


class SequenceClassification(nn.Module):
    """labels: (batch,), int64, for one class a text; (batch, classes), floating, for several; floating, for numbers.

    Logits: (batch, classes). problem_type None: told from the labels as transformers does, one class = regression.
    Loss: mean cross-entropy, binary cross-entropy or squared error.
    """

    targets = ("labels",)

    def __init__(self, classifier: TextClassifier, problem_type: ProblemType | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.problem_type = problem_type

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """See the class."""
        logits = encoding.by_text(self.classifier(encoding))
        loss = classification_loss(logits, targets["labels"], self.problem_type) if "labels" in targets else None
        return LogitsOutput(logits=logits, loss=loss)


class MultipleChoice(nn.Module):
    """input_ids: (batch, choices, length). labels: (batch,), int64, the right choice.

    Texts may have fewer choices than others: an attention_mask of zeros says that one is not there.
    Logits: (batch, choices), the lowest finite value for those; loss: mean cross-entropy over the choices.
    """

    targets = ("labels",)

    def __init__(self, classifier: TextClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """See the class. Raises ShapeError when input_ids have no dimension for choices."""
        if len(encoding.leading) < 2:
            raise ShapeError("multiple choice needs input_ids of shape (batch, choices, length)")
        logits = without_absent(encoding, encoding.by_text(self.classifier(encoding)).squeeze(-1))
        loss = mean_cross_entropy(logits, targets["labels"]) if "labels" in targets else None
        return LogitsOutput(logits=logits, loss=loss)


def classification_loss(logits: Tensor, labels: Tensor, problem_type: ProblemType | None) -> Tensor:
    """See SequenceClassification. Raises ShapeError for labels of another shape than the problem asks for."""
    problem = problem_type or infer_problem(logits, labels)
    if problem == "single_label_classification":
        return mean_cross_entropy(logits, labels)
    if labels.numel() != logits.numel():
        raise ShapeError(f"{problem}: labels must be {tuple(logits.shape)} like logits, got {tuple(labels.shape)}")
    loss = F.mse_loss if problem == "regression" else F.binary_cross_entropy_with_logits
    return loss(logits.float(), labels.reshape(logits.shape).float())


def without_absent(encoding: Encoding, logits: Tensor) -> Tensor:
    """Logits, one for each text, (*leading,), with the lowest finite value for texts without any live token.

    Their share of a softmax is 0, in value and in gradient.
    """
    live = encoding.layout.live if isinstance(encoding.layout, Padded) else None  # packed texts always have tokens
    if live is None:
        return logits
    return logits.masked_fill(~encoding.by_text(live.any(-1)), torch.finfo(logits.dtype).min)


def infer_problem(logits: Tensor, labels: Tensor) -> ProblemType:
    """What labels of this kind mean when the config does not say."""
    if logits.shape[-1] == 1:
        return "regression"
    if labels.is_floating_point() or (labels.dtype == torch.bool) or labels.shape == logits.shape:
        return "multi_label_classification"
    return "single_label_classification"


def text_classifier(config: ModelConfig, *, outputs: int) -> TextClassifier:
    """The classifier that a config describes."""
    dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return TextClassifier(
        hidden_size=config.hidden_size,
        outputs=outputs,
        dropout=dropout,
        pooling=config.classifier_pooling,
        activation=config.classifier_activation,
        bias=config.classifier_bias,
    )


def build_sequence_classification(config: ModelConfig) -> SequenceClassification:
    """See SequenceClassification."""
    return SequenceClassification(text_classifier(config, outputs=config.num_labels), config.problem_type)


def build_multiple_choice(config: ModelConfig) -> MultipleChoice:
    """See MultipleChoice."""
    return MultipleChoice(text_classifier(config, outputs=1))


HEADS.add(
    "sequence_classification",
    HeadSpec(
        build=build_sequence_classification,
        needs_pooler=when_pooled,
        parts=(("classifier.linear", "classifier"),),
        architecture="ForSequenceClassification",
    ),
)
HEADS.add(
    "multiple_choice",
    HeadSpec(
        build=build_multiple_choice,
        needs_pooler=when_pooled,
        parts=(("classifier.linear", "classifier"),),
        architecture="ForMultipleChoice",
    ),
)
