"""Records of pretraining: the layout of Google's script."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.corpus.google import GoogleInstance
from plm.corpus.google_records import LAYOUT, pretraining_records, write_pretraining_records
from plm.corpus.tfrecord import read_examples
from plm.errors import ConfigError, DataError

INSTANCE = GoogleInstance([2, 7, 4, 3, 9, 3], [0, 0, 0, 0, 1, 1], True, [2, 4], [8, 9])


def test_a_record_has_what_googles_script_writes() -> None:
    (record,) = pretraining_records([INSTANCE], max_seq_length=8, max_predictions_per_seq=3)
    assert {name: values.tolist() for name, values in record.items()} == {
        "input_ids": [2, 7, 4, 3, 9, 3, 0, 0],
        "input_mask": [1, 1, 1, 1, 1, 1, 0, 0],
        "segment_ids": [0, 0, 0, 0, 1, 1, 0, 0],
        "masked_lm_positions": [2, 4, 0],
        "masked_lm_ids": [8, 9, 0],
        "masked_lm_weights": [1.0, 1.0, 0.0],
        "next_sentence_labels": [1],
    }
    assert list(record) == list(LAYOUT)
    assert {name for name, values in record.items() if values.dtype == "float32"} == {"masked_lm_weights"}


def test_instances_are_dealt_out_to_the_files_one_by_one(tmp_path: Path) -> None:
    instances = [GoogleInstance([2, number, 3, 9, 3], [0, 0, 0, 1, 1], False, [1], [5]) for number in range(5)]
    paths = [tmp_path / "0", tmp_path / "1"]
    write_pretraining_records(paths, instances, max_seq_length=8, max_predictions_per_seq=2)
    found = [[int(example["input_ids"][1]) for example in read_examples(path)] for path in paths]
    assert found == [[0, 2, 4], [1, 3]]


def test_instances_that_do_not_fit_are_refused() -> None:
    for limits in (
        {"max_seq_length": 5, "max_predictions_per_seq": 3},
        {"max_seq_length": 8, "max_predictions_per_seq": 1},
    ):
        with pytest.raises(DataError, match="instance 0: 6 tokens and 2 predictions do not fit"):
            list(pretraining_records([INSTANCE], **limits))
    words = GoogleInstance(["[CLS]"], [0], True, [], [])
    with pytest.raises(DataError, match="instance 0: expected ids, got words"):
        list(pretraining_records([words], max_seq_length=8, max_predictions_per_seq=3))
    with pytest.raises(ConfigError, match="at least one file"):
        write_pretraining_records([], [], max_seq_length=8, max_predictions_per_seq=3)
