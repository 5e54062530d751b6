"""The records of pretraining that the scripts of Google's BERT and NEZHA write and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plm.corpus.google import GoogleInstance
from plm.corpus.tf_example import FLOATS, INTEGERS
from plm.corpus.tfrecord import write_examples
from plm.errors import ConfigError, DataError

LAYOUT = {
    "input_ids": INTEGERS,
    "input_mask": INTEGERS,
    "segment_ids": INTEGERS,
    "masked_lm_positions": INTEGERS,
    "masked_lm_ids": INTEGERS,
    "masked_lm_weights": FLOATS,
    "next_sentence_labels": INTEGERS,
}
"""The features of a record, and of what kind they are."""


def pretraining_records(
    instances: Iterable[GoogleInstance[Any]], *, max_seq_length: int, max_predictions_per_seq: int
) -> Iterator[dict[str, NDArray[Any]]]:
    """A record for each instance of ids: its features as arrays, as write_examples takes them.

    input_ids, input_mask (1 = token), segment_ids: (max_seq_length,), int64. masked_lm_positions, masked_lm_ids: int64,
    and masked_lm_weights (1 = to be predicted): float32, all (max_predictions_per_seq,). next_sentence_labels: (1,),
    int64, 1 = random. The rest of each is filled up with 0.
    Raises DataError for an instance of words in place of ids, or one that is too long.
    """
    for number, instance in enumerate(instances):
        if isinstance(instance.tokens[0], str):
            raise DataError(f"instance {number}: expected ids, got words; make the instances of documents of ids")
        tokens, predictions = len(instance.tokens), len(instance.masked_lm_positions)
        if tokens > max_seq_length or predictions > max_predictions_per_seq:
            raise DataError(
                f"instance {number}: {tokens} tokens and {predictions} predictions do not fit into max_seq_length "
                f"{max_seq_length} and max_predictions_per_seq {max_predictions_per_seq}; give what it was made with"
            )
        yield {
            "input_ids": _filled(instance.tokens, max_seq_length),
            "input_mask": _filled([1] * tokens, max_seq_length),
            "segment_ids": _filled(instance.segment_ids, max_seq_length),
            "masked_lm_positions": _filled(instance.masked_lm_positions, max_predictions_per_seq),
            "masked_lm_ids": _filled(instance.masked_lm_labels, max_predictions_per_seq),
            "masked_lm_weights": _filled([1] * predictions, max_predictions_per_seq).astype(np.float32),
            "next_sentence_labels": np.array([int(instance.is_random_next)]),
        }


def write_pretraining_records(
    paths: Sequence[Path | str],
    instances: Sequence[GoogleInstance[Any]],
    *,
    max_seq_length: int,
    max_predictions_per_seq: int,
) -> None:
    """Write the records of the instances, dealt out to the files one by one, as Google's script does."""
    if not paths:
        raise ConfigError("expected at least one file to write, got none")
    for number, path in enumerate(paths):
        mine = instances[number :: len(paths)]
        records = pretraining_records(
            mine, max_seq_length=max_seq_length, max_predictions_per_seq=max_predictions_per_seq
        )
        write_examples(path, records)


def _filled(values: Sequence[int], size: int) -> NDArray[np.int64]:
    filled = np.zeros(size, dtype=np.int64)
    filled[: len(values)] = values
    return filled
