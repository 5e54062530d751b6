"""BERT's pretraining: masked words and next sentence together."""

from __future__ import annotations

from torch import nn

from plm.heads.head import HEADS, HeadSpec, Targets, always, mean_cross_entropy
from plm.heads.language_model import LanguageModel, build_language_model
from plm.heads.masked_lm import masked_lm_loss
from plm.heads.next_sentence import NextSentence, build_next_sentence
from plm.heads.output import PretrainingOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig


class Pretraining(nn.Module):
    """labels as in MaskedLanguageModel, next_sentence_label as NextSentence's labels; loss: the sum of those given."""

    targets = ("labels", "next_sentence_label")

    def __init__(self, language_model: LanguageModel, next_sentence: NextSentence) -> None:
        super().__init__()
        self.language_model = language_model
        self.next_sentence = next_sentence

    def forward(self, encoding: Encoding, targets: Targets) -> PretrainingOutput:
        """See the class."""
        relationship = self.next_sentence.logits(encoding)
        masked_loss = sentence_loss = None
        if "labels" in targets:
            logits, masked_loss = masked_lm_loss(self.language_model, encoding, targets["labels"])
        else:
            logits = encoding.restore(self.language_model(encoding.hidden, encoding.word_embeddings))
        if "next_sentence_label" in targets:
            sentence_loss = mean_cross_entropy(relationship, targets["next_sentence_label"])
        losses = [loss for loss in (masked_loss, sentence_loss) if loss is not None]
        return PretrainingOutput(
            prediction_logits=logits,
            seq_relationship_logits=encoding.by_text(relationship),
            loss=sum(losses[1:], losses[0]) if losses else None,
            masked_lm_loss=masked_loss,
            next_sentence_loss=sentence_loss,
        )


def build_pretraining(config: ModelConfig) -> Pretraining:
    """See Pretraining."""
    return Pretraining(build_language_model(config), build_next_sentence(config))


HEADS.add(
    "pretraining",
    HeadSpec(
        build=build_pretraining,
        needs_pooler=always,
        parts=(("language_model", "language_model"), ("next_sentence.classifier", "next_sentence")),
        architecture="ForPreTraining",
    ),
)
