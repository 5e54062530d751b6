"""Which candidate fits a query best? Scores learned from comparisons (pairwise) or from single pairs (pointwise)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plm.config import require_positive
from plm.data.candidates import Candidate, PairColumns, TripleColumns, group_candidates, read_candidates
from plm.data.features.matching import ComparedFeature, encode_candidates
from plm.data.features.rows import pad_rows
from plm.errors import ConfigError, DataError
from plm.heads.matching import MARGIN, comparable
from plm.metrics.classification import compute_metrics
from plm.metrics.ranking import rank_metrics
from plm.tasks.task import TASKS, Batch, Task
from plm.tokenizers import Tokenizer

Scores = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Matching(Task[Candidate, ComparedFeature, Scores, float]):
    """A score in (0, 1) for a query with a candidate.

    query, text, label, group: columns of labelled pairs; see plm.data.candidates.PairColumns.
    positive, negative: columns of triples, in place of text, label and group.
    format, header: as plm.data.read_rows.
    strategy: "pairwise" = a better candidate is to be ahead of a worse one of the same query by `margin`, as in
        PaddlePALM; "pointwise" = each pair is classified alone, 1 = it fits, and the score is the probability of that.
    margin: between scores. side_by_side: candidates of a query that are compared at once, at most.
    """

    query: str | int = "query"
    text: str | int = "text"
    label: str | int | None = "label"
    group: str | int | None = None
    positive: str | int | None = None
    negative: str | int | None = None
    format: str | None = None
    header: bool | None = None
    strategy: Literal["pairwise", "pointwise"] = "pairwise"
    margin: float = MARGIN
    side_by_side: int = 8

    def __post_init__(self) -> None:
        require_positive(self, "side_by_side")
        if self.side_by_side < 2 and self.strategy == "pairwise":
            raise ConfigError("side_by_side: a comparison needs 2 candidates or more, got 1")
        if (self.positive is None) != (self.negative is None):
            raise ConfigError("positive, negative: triples need both columns, pairs none of them")
        if not (math.isfinite(self.margin) and 0.0 < self.margin <= 1.0):
            raise ConfigError(f"margin: expected a number in (0, 1], as scores differ by 1 at most, got {self.margin}")

    @property
    def head(self) -> str:
        """One score a pair, or two classes."""
        return "matching" if self.strategy == "pairwise" else "sequence_classification"

    @property
    def decision(self) -> Literal["single", "multi", "choice"] | None:
        """See Task; None for pairs that are compared."""
        return "single" if self.strategy == "pointwise" else None

    def read(self, path: Path | str) -> list[Candidate]:
        """See Task and plm.data.candidates.read_candidates."""
        columns: PairColumns | TripleColumns = PairColumns(
            query=self.query, text=self.text, label=self.label, group=self.group
        )
        if self.positive is not None and self.negative is not None:
            columns = TripleColumns(query=self.query, positive=self.positive, negative=self.negative)
        return read_candidates(path, columns, format=self.format, header=self.header)

    def unlabelled(self) -> Matching:
        """See Task; a file to predict has pairs, also where triples are learned from."""
        return dataclasses.replace(self, label=None, positive=None, negative=None)

    def check(self, examples: Sequence[Candidate], *, source: str = "examples") -> None:
        """See Task. Raises DataError also where no query has anything to compare, or a class is neither 0 nor 1."""
        for example in examples:
            if example.label is None:
                raise DataError(f"{source}, line {example.line}: the pair has no label; only prediction works without")
            if example.label > 1 and self.strategy == "pointwise":
                raise DataError(f"{source}, line {example.line}: pointwise knows labels 0 and 1, got {example.label}")
        if self.strategy == "pairwise" and not _has_comparisons(examples):
            raise DataError(
                f"{source}: no query has candidates with different labels to compare; strategy pointwise learns from "
                f"single pairs"
            )

    def class_counts(self, examples: Sequence[Candidate]) -> Sequence[int] | None:
        """Pairs that do not fit, and that do; None where pairs are compared."""
        if self.strategy == "pairwise":
            return None
        fitting = sum(bool(example.label) for example in examples)
        return [len(examples) - fitting, fitting]

    def model_options(self) -> dict[str, Any]:
        """One score, or the classes 0 and 1."""
        if self.strategy == "pairwise":
            return {"id2label": {0: "score"}, "problem_type": "regression"}
        return {"id2label": {0: "0", 1: "1"}, "problem_type": "single_label_classification"}

    @property
    def feature_type(self) -> type[ComparedFeature]:
        """See Task."""
        return ComparedFeature

    @property
    def encodes_apart(self) -> bool:
        """See Task; candidates stand beside others of their query, wherever these are in the file."""
        return False

    def encode(
        self,
        examples: Sequence[Candidate],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[ComparedFeature]:
        """See Task; a feature holds candidates of one query, or for pointwise a single one."""
        if has_labels:
            self.check(examples, source=source)
        side_by_side = self.side_by_side if self.strategy == "pairwise" else 1
        return encode_candidates(
            examples, tokenizer, max_length=max_length, side_by_side=side_by_side, has_labels=has_labels
        )

    def length(self, feature: ComparedFeature) -> int:
        """Positions of all candidates, each as long as the longest."""
        return feature.tokens

    def collate(self, features: Sequence[ComparedFeature], *, pad_token_id: int) -> dict[str, Tensor]:
        """See plm.data.features.rows.pad_rows; besides, for comparisons, "margins", (batch,), float32."""
        batch = pad_rows(features, pad_token_id=pad_token_id)
        if self.strategy == "pairwise" and "labels" in batch:
            batch["margins"] = torch.full((len(features),), self.margin)
        return batch

    def weigh(self, batch: Batch) -> Mapping[str, float | Tensor]:
        """Comparisons, or classified pairs."""
        return {"loss": comparable(batch["labels"]).sum()} if self.strategy == "pairwise" else super().weigh(batch)

    def results(self, batch: Batch, output: Any) -> dict[int, Scores]:
        """The scores of the candidates of each feature."""
        logits = output.logits.to("cpu", torch.float32)
        scores = logits.sigmoid() if self.strategy == "pairwise" else logits.softmax(-1)[..., 1]
        return dict(zip(batch["index"].tolist(), scores.numpy(), strict=True))

    def answers(
        self, examples: Sequence[Candidate], features: Sequence[ComparedFeature], results: Mapping[int, Scores]
    ) -> list[float]:
        """The score of each pair."""
        scores: dict[int, float] = {}
        for feature in features:
            scores |= zip(feature.members, results[feature.index].tolist(), strict=False)  # padding has no members
        return [scores[place] for place in range(len(examples))]

    def score(self, examples: Sequence[Candidate], answers: Sequence[float]) -> dict[str, float]:
        """See plm.metrics.ranking; for triples ordering_accuracy alone.

        For pointwise, these come first. accuracy: share of the pairs whose score is above one half just
        when their label is 1. binary_f1: of label 1.
        """
        self.check(examples)
        labels = [example.label or 0 for example in examples]
        metrics: dict[str, float] = {}
        if _has_comparisons(examples):
            ranks = rank_metrics([example.group for example in examples], labels, answers)
            names = ("ordering_accuracy",) if self.positive is not None else ("ordering_accuracy", "mrr", "map")
            metrics = {name: ranks[name] for name in names if name in ranks}
        if self.strategy == "pointwise":
            said = np.array([answer > 0.5 for answer in answers], dtype=np.int64)
            metrics = compute_metrics(("accuracy", "binary_f1"), said, np.array(labels)) | metrics
        return metrics

    def record(self, example: Candidate, answer: float) -> dict[str, Any]:
        """See Task."""
        return {
            "id": example.id,
            "line": example.line,
            "query": example.query,
            "text": example.text,
            "label": example.label,
            "score": answer,
        }


def _has_comparisons(examples: Sequence[Candidate]) -> bool:
    groups = group_candidates(examples).values()
    return any(len({examples[place].label for place in places}) > 1 for places in groups)


TASKS.add("matching", Matching)
