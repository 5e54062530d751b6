"""How well does a candidate fit a query? A score that is learned from comparisons."""

from __future__ import annotations

from torch import Tensor, nn

from plm.blocks.labels import IGNORED_LABEL
from plm.errors import ShapeError
from plm.heads.head import HEADS, HeadSpec, Targets, when_pooled
from plm.heads.output import LogitsOutput
from plm.heads.sequence_classification import TextClassifier, text_classifier
from plm.models.backbone import Encoding
from plm.models.config import ModelConfig

MARGIN = 0.5


class Matching(nn.Module):
    """input_ids: (batch, candidates, length), the query with each of its candidates; (batch, length) to score pairs.

    labels: (batch, candidates), int64, how well they fit: only which is greater counts; -100 = not to be compared.
    margins: (batch,), floating, by how much the better one should be ahead; 0.5 where not given.
    Logits: (batch, candidates) or (batch,); their sigmoid is the score. Loss: the mean of max(0, margin - better +
    worse) over all comparable pairs of scores; 0 where there are none. Source: the pairwise matching of PaddlePALM.
    """

    targets = ("labels", "margins")

    def __init__(self, classifier: TextClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, encoding: Encoding, targets: Targets) -> LogitsOutput:
        """See the class. Raises ShapeError for labels where input_ids have no dimension for candidates."""
        logits = encoding.by_text(self.classifier(encoding)).squeeze(-1)
        if "labels" not in targets:
            return LogitsOutput(logits=logits)
        labels = targets["labels"]
        if labels.shape != logits.shape or logits.dim() != 2:
            raise ShapeError(
                f"matching learns from input_ids of shape (batch, candidates, length) and labels of shape (batch, "
                f"candidates); these give {tuple(logits.shape)} scores and {tuple(labels.shape)} labels"
            )
        margins = targets.get("margins", logits.new_full((len(logits),), MARGIN))
        return LogitsOutput(logits=logits, loss=_margin_loss(logits.float().sigmoid(), labels, margins))


def comparable(labels: Tensor) -> Tensor:
    """(batch, candidates) -> (batch, candidates, candidates), bool, True where the first is better than the second."""
    known = labels != IGNORED_LABEL
    return (labels[:, :, None] > labels[:, None, :]) & known[:, :, None] & known[:, None, :]


def _margin_loss(scores: Tensor, labels: Tensor, margins: Tensor) -> Tensor:
    pairs = comparable(labels)
    short = (margins.to(scores)[:, None, None] - scores[:, :, None] + scores[:, None, :]).clamp(min=0)
    return (short * pairs).sum() / pairs.sum().clamp(min=1)


def build_matching(config: ModelConfig) -> Matching:
    """See Matching."""
    return Matching(text_classifier(config, outputs=1))


HEADS.add(
    "matching",
    HeadSpec(
        build=build_matching,
        needs_pooler=when_pooled,
        parts=(("classifier.linear", "classifier"),),
        architecture="ForMatching",  # the tensors are those of a ForSequenceClassification with one class
    ),
)
