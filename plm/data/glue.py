"""The nine GLUE tasks: which column holds what in their files, what the labels mean, and what is sent in for the tests.

    task = GLUE_TASKS["mrpc"]
    train = read_examples("MRPC/train.tsv", task.columns)
    targets = task.labels.encode(train)
    test = read_examples("MRPC/test.tsv", task.test_columns)
    write_submission("submission", task, "test.tsv", test, predictions)     # submission/MRPC.tsv

Columns are given by name, where the files have names, because the official MNLI files differ in their number of
columns. Metrics: plm.metrics.GLUE_METRICS. Source: Wang et al. 2019, and the files and rules of gluebenchmark.com.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plm.config import write_text
from plm.data.labels import LabelSet
from plm.data.readers import Columns, Example
from plm.data.tsv import tsv_row
from plm.errors import DataError, did_you_mean


@dataclass(frozen=True)
class GlueTask:
    """One task.

    columns: of the files with labels. labels: in the order of Google's BERT and Huawei's TinyBERT.
    test_columns: of the files without. dev: the files to evaluate on.
    submissions: test file -> the file that is sent in for it.
    """

    columns: Columns
    labels: LabelSet
    test_columns: Columns
    submissions: Mapping[str, str]
    dev: tuple[str, ...] = ("dev.tsv",)


_BINARY = LabelSet(("0", "1"))
_ENTAILMENT = LabelSet(("entailment", "not_entailment"))
_INFERENCE = LabelSet(("contradiction", "entailment", "neutral"))
_PAIR = Columns(text="sentence1", pair="sentence2", label="label")
_TEST_TEXT = Columns(text="sentence", id="index")
_TEST_PAIR = Columns(text="sentence1", pair="sentence2", id="index")

GLUE_TASKS: Mapping[str, GlueTask] = {
    "cola": GlueTask(Columns(text=3, label=1), _BINARY, _TEST_TEXT, {"test.tsv": "CoLA.tsv"}),
    "sst-2": GlueTask(Columns(text="sentence", label="label"), _BINARY, _TEST_TEXT, {"test.tsv": "SST-2.tsv"}),
    "mrpc": GlueTask(
        Columns(text="#1 String", pair="#2 String", label="Quality"),
        _BINARY,
        Columns(text="#1 String", pair="#2 String", id="index"),
        {"test.tsv": "MRPC.tsv"},
    ),
    "sts-b": GlueTask(
        Columns(text="sentence1", pair="sentence2", label="score"),
        LabelSet((), "regression"),
        _TEST_PAIR,
        {"test.tsv": "STS-B.tsv"},
    ),
    "qqp": GlueTask(
        Columns(text="question1", pair="question2", label="is_duplicate"),
        _BINARY,
        Columns(text="question1", pair="question2", id="id"),
        {"test.tsv": "QQP.tsv"},
    ),
    "mnli": GlueTask(
        Columns(text="sentence1", pair="sentence2", label="gold_label"),
        _INFERENCE,
        _TEST_PAIR,
        {"test_matched.tsv": "MNLI-m.tsv", "test_mismatched.tsv": "MNLI-mm.tsv"},
        dev=("dev_matched.tsv", "dev_mismatched.tsv"),
    ),
    "qnli": GlueTask(
        Columns(text="question", pair="sentence", label="label"),
        _ENTAILMENT,
        Columns(text="question", pair="sentence", id="index"),
        {"test.tsv": "QNLI.tsv"},
    ),
    "rte": GlueTask(_PAIR, _ENTAILMENT, _TEST_PAIR, {"test.tsv": "RTE.tsv"}),
    "wnli": GlueTask(_PAIR, _BINARY, _TEST_PAIR, {"test.tsv": "WNLI.tsv"}),
}

GLUE_DIAGNOSTIC = GlueTask(
    Columns(text="Premise", pair="Hypothesis", label="Label"),
    _INFERENCE,
    _TEST_PAIR,
    {"diagnostic.tsv": "AX.tsv"},
    dev=("diagnostic-full.tsv",),
)
"""The diagnostic set, "ax" in GLUE_METRICS: nothing to train on, it asks a model of MNLI."""

# What STS-B's annotators could say; the correlation with a prediction outside can only fall.
_LOWEST_SCORE, _HIGHEST_SCORE = 0.0, 5.0


def write_submission(
    folder: Path | str,
    task: GlueTask,
    test_file: str,
    examples: Sequence[Example],
    predictions: Sequence[str | float],
) -> Path:
    """Write what is sent in for a test file: a tsv of "index" and "prediction", named as GLUE wants it. Returns it.

    test_file: a key of task.submissions. examples: all of that file, in its order.
    predictions: one for each: a name in task.labels, or a score, which is cut to 0 .. 5 and rounded to three places.
    Raises DataError for another test file, numbers that differ, an unknown label or a score that is no number.
    """
    if test_file not in task.submissions:
        listed = ", ".join(task.submissions)
        raise DataError(
            f"nothing is sent in for {test_file!r}{did_you_mean(test_file, task.submissions)} (test files: {listed})"
        )
    if len(examples) != len(predictions):
        raise DataError(
            f"{test_file}: expected one prediction for each of {len(examples)} examples, got {len(predictions)}"
        )
    rows = [
        tsv_row((example.id, _prediction(task, prediction, f"{test_file}, line {example.line}")))
        for example, prediction in zip(examples, predictions, strict=True)
    ]
    path = Path(folder) / task.submissions[test_file]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join([tsv_row(("index", "prediction")), *rows]) + "\n")
    return path


def _prediction(task: GlueTask, prediction: str | float, where: str) -> str:
    if task.labels.problem_type == "regression":
        if isinstance(prediction, str) or not math.isfinite(prediction):
            raise DataError(f"{where}: expected a score, got {prediction!r}")
        return f"{min(max(float(prediction), _LOWEST_SCORE), _HIGHEST_SCORE):.3f}"
    if prediction not in task.labels.names:
        raise DataError(f"{where}: expected one of {', '.join(task.labels.names)}, got {prediction!r}")
    return str(prediction)
