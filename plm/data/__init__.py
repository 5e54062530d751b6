"""Data: files to examples, examples to features, features to batches."""

from __future__ import annotations

from plm.data.batches import Batches, Epoch
from plm.data.collate import pad_batch, pad_sequences
from plm.data.features.classification import Feature, TextEncoder, encode_examples
from plm.data.glue import GLUE_TASKS, GlueTask
from plm.data.labels import LabelSet, Target, check_labels, collect_labels
from plm.data.plan import BatchPlan, batches_by_count, batches_by_tokens, permutation
from plm.data.readers import Columns, Example, read_examples, read_parallel
from plm.data.tables import FORMATS, TableFormat, read_lines, read_rows

__all__ = [
    "FORMATS",
    "GLUE_TASKS",
    "BatchPlan",
    "Batches",
    "Columns",
    "Epoch",
    "Example",
    "Feature",
    "GlueTask",
    "LabelSet",
    "TableFormat",
    "Target",
    "TextEncoder",
    "batches_by_count",
    "batches_by_tokens",
    "check_labels",
    "collect_labels",
    "encode_examples",
    "pad_batch",
    "pad_sequences",
    "permutation",
    "read_examples",
    "read_lines",
    "read_parallel",
    "read_rows",
]
