"""Data: files to examples, examples to features, features to batches."""

from __future__ import annotations

from plm.data.batches import Batches, Epoch
from plm.data.choices import Choice, ChoiceColumns, read_choices
from plm.data.collate import pad_batch, pad_sequences
from plm.data.conll import TaggedText, WordColumns, read_conll, read_parallel_tags, read_tagged_json
from plm.data.features.classification import Feature, TextEncoder, encode_examples
from plm.data.folders import read_folder, stratified
from plm.data.glue import GLUE_TASKS, GlueTask
from plm.data.labels import LabelSet, Target, check_labels, collect_labels
from plm.data.masking import Masking
from plm.data.mixture import Mixing, Mixture
from plm.data.plan import Batching, BatchPlan, batches_by_count, batches_by_tokens, permutation
from plm.data.predictions import score_predictions
from plm.data.readers import Columns, Example, read_examples, read_parallel
from plm.data.squad import Question, read_questions
from plm.data.tables import FORMATS, TableFormat, read_lines, read_rows
from plm.data.tag_schemes import SCHEMES, convert_tags, entities_to_tags, tags_to_entities

__all__ = [
    "FORMATS",
    "GLUE_TASKS",
    "SCHEMES",
    "BatchPlan",
    "Batches",
    "Batching",
    "Choice",
    "ChoiceColumns",
    "Columns",
    "Epoch",
    "Example",
    "Feature",
    "GlueTask",
    "LabelSet",
    "Masking",
    "Mixing",
    "Mixture",
    "Question",
    "TableFormat",
    "TaggedText",
    "Target",
    "TextEncoder",
    "WordColumns",
    "batches_by_count",
    "batches_by_tokens",
    "check_labels",
    "collect_labels",
    "convert_tags",
    "encode_examples",
    "entities_to_tags",
    "pad_batch",
    "pad_sequences",
    "permutation",
    "read_choices",
    "read_conll",
    "read_examples",
    "read_folder",
    "read_lines",
    "read_parallel",
    "read_parallel_tags",
    "read_questions",
    "read_rows",
    "read_tagged_json",
    "score_predictions",
    "stratified",
    "tags_to_entities",
]
