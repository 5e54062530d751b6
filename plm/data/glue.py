"""The nine GLUE tasks: which column holds what in their files, and what the labels mean.

    task = GLUE_TASKS["mrpc"]
    train = read_examples("MRPC/train.tsv", task.columns)
    targets = task.labels.encode(train)

The columns are those of train.tsv and dev.tsv (dev_matched.tsv, dev_mismatched.tsv); names, where the files have them,
because the official MNLI files differ in their number of columns. Metrics: plm.metrics.GLUE_METRICS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plm.data.labels import LabelSet
from plm.data.readers import Columns


@dataclass(frozen=True)
class GlueTask:
    """columns: of the task's tsv files. labels: in the order of Google's BERT and Huawei's TinyBERT."""

    columns: Columns
    labels: LabelSet


_BINARY = LabelSet(("0", "1"))
_ENTAILMENT = LabelSet(("entailment", "not_entailment"))
_SENTENCE_PAIR = Columns(text="sentence1", pair="sentence2", label="label")

GLUE_TASKS: Mapping[str, GlueTask] = {
    "cola": GlueTask(Columns(text=3, label=1), _BINARY),
    "sst-2": GlueTask(Columns(text="sentence", label="label"), _BINARY),
    "mrpc": GlueTask(Columns(text="#1 String", pair="#2 String", label="Quality"), _BINARY),
    "sts-b": GlueTask(Columns(text="sentence1", pair="sentence2", label="score"), LabelSet((), "regression")),
    "qqp": GlueTask(Columns(text="question1", pair="question2", label="is_duplicate"), _BINARY),
    "mnli": GlueTask(
        Columns(text="sentence1", pair="sentence2", label="gold_label"),
        LabelSet(("contradiction", "entailment", "neutral")),
    ),
    "qnli": GlueTask(Columns(text="question", pair="sentence", label="label"), _ENTAILMENT),
    "rte": GlueTask(_SENTENCE_PAIR, _ENTAILMENT),
    "wnli": GlueTask(_SENTENCE_PAIR, _BINARY),
}
