"""Masked language model: which word stood here?"""

from __future__ import annotations

from torch import Tensor, nn

from plm.blocks.labels import IGNORED_LABEL
from plm.heads.head import HEADS, HeadSpec, Targets, mean_cross_entropy, never, token_labels
from plm.heads.language_model import LanguageModel, build_language_model
from plm.heads.output import LogitsOutput
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig


class MaskedLanguageModel(nn.Module):
    """labels: (batch, length), int64; the word that was masked, -100 elsewhere.

    Without labels, logits are (batch, length, vocab_size). With labels they are (masked tokens, vocab_size), in the
    order of `labels[labels != -100]` of the batch: the other rows are not needed and cost more than a third of the
    encoder. The loss is the mean cross-entropy in nats; 0 when nothing is masked. Source: Devlin et al. 2019, 3.1.
    """

    targets = ("labels",)

    def __init__(self, language_model: LanguageModel) -> None:
        super().__init__()
        self.language_model = language_model

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """See the class."""
        if "labels" not in targets:
            return LogitsOutput(logits=encoding.restore(self.language_model(encoding.hidden, encoding.word_embeddings)))
        logits, loss = masked_lm_loss(self.language_model, encoding, targets["labels"])
        return LogitsOutput(logits=logits, loss=loss)


def masked_lm_loss(language_model: LanguageModel, encoding: Encoding, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, (masked tokens, vocab_size), in the caller's order, and their mean loss."""
    labels = token_labels(encoding, labels)
    place = encoding.positions_of(labels != IGNORED_LABEL)
    logits = language_model(encoding.hidden.flatten(0, -2)[place], encoding.word_embeddings)
    return logits, mean_cross_entropy(logits, labels.flatten()[place])


def build_masked_lm(config: ModelConfig) -> MaskedLanguageModel:
    """See MaskedLanguageModel."""
    return MaskedLanguageModel(build_language_model(config))


HEADS.add(
    "masked_lm",
    HeadSpec(
        build=build_masked_lm,
        needs_pooler=never,
        parts=(("language_model", "language_model"),),
        architecture="ForMaskedLM",
    ),
)
