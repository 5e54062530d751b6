"""TFRecord files as batches: what was written is what a model gets."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plm.corpus import record_examples
from plm.corpus.batches import CorpusBatches
from plm.corpus.google import google_instances
from plm.corpus.google_records import pretraining_records, write_pretraining_records
from plm.corpus.record_examples import RecordExamples
from plm.corpus.tfrecord import read_examples, write_examples
from plm.data import Batching
from plm.errors import DataError
from tests.shared_data import shared_data
from tests.tiny_models import tiny_model

TOY = ("nezha_tfrecord", "tf_examples_00.tfrecord")  # written by TensorFlow
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##d", "##e"]
DOCUMENTS = [[[5, 8, 6], [7], [6, 9, 8, 5]], [[5, 5, 6, 7], [7, 9]], [[6]]]
INSTANCES = google_instances(DOCUMENTS, words=WORDS, max_seq_length=12, dupe_factor=3)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "0.tfrecord", tmp_path / "empty.tfrecord", tmp_path / "1.tfrecord"]
    half = len(INSTANCES) // 2
    for path, part in zip(paths, (INSTANCES[:half], [], INSTANCES[half:]), strict=True):
        write_pretraining_records([path], part, max_seq_length=12, max_predictions_per_seq=4)
    return paths


def test_batches_hold_the_instances_that_were_written(files: list[Path]) -> None:
    examples = RecordExamples(files, vocab_size=len(WORDS))
    assert examples.lengths.tolist() == [len(instance.tokens) for instance in INSTANCES]
    rows = np.random.default_rng(0).permutation(len(INSTANCES))
    batch = examples.epoch(0).batch(rows)
    assert {name: values.dtype for name, values in batch.items()} == dict.fromkeys(batch, torch.int64)
    assert batch["index"].tolist() == rows.tolist()
    for place, row in enumerate(rows):
        instance = INSTANCES[row]
        length = len(instance.tokens)
        assert batch["input_ids"][place, :length].tolist() == instance.tokens
        assert batch["token_type_ids"][place, :length].tolist() == instance.segment_ids
        assert batch["attention_mask"][place].tolist() == [1] * length + [0] * (batch["labels"].shape[1] - length)
        labelled = batch["labels"][place].ne(-100).nonzero()[:, 0]
        assert labelled.tolist() == instance.masked_lm_positions
        assert batch["labels"][place, labelled].tolist() == instance.masked_lm_labels
        assert batch["next_sentence_label"][place] == instance.is_random_next


def test_rows_of_tensorflows_file_are_those_of_its_features() -> None:
    features = list(read_examples(shared_data(*TOY)))
    examples = RecordExamples([shared_data(*TOY)], vocab_size=30522)
    assert examples.lengths.tolist() == [int(feature["input_mask"].sum()) for feature in features]
    row = int(examples.lengths.argmin())
    batch = examples.epoch(0).batch(np.array([row]))
    assert batch["input_ids"].shape == (1, examples.lengths[row])
    assert batch["input_ids"][0].tolist() == features[row]["input_ids"][: examples.lengths[row]].tolist()
    assert batch["labels"].ne(-100).sum() == features[row]["masked_lm_weights"].sum()


def test_every_epoch_is_the_same_and_another_process_reads_the_same(files: list[Path]) -> None:
    examples = RecordExamples(files)
    rows = np.arange(3)
    first = examples.epoch(0).batch(rows)
    for other in (examples.epoch(5), pickle.loads(pickle.dumps(examples)).epoch(0)):
        for name, values in other.batch(rows).items():
            assert torch.equal(values, first[name]), name


def test_a_trainer_gets_every_record_once_in_an_order_of_its_own_for_each_epoch(files: list[Path]) -> None:
    batches = CorpusBatches(RecordExamples(files), batching=Batching(batch_size=4), seed=1)
    orders = [[int(row) for batch in batches.epoch(number) for row in batch["index"]] for number in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(len(INSTANCES)))
    assert orders[0] != orders[1]
    assert batches.fingerprint()["examples"] == len(INSTANCES)


def test_a_model_learns_from_its_batches(files: list[Path]) -> None:
    model = tiny_model("bert", "pretraining", vocab_size=len(WORDS))
    batch = RecordExamples(files, vocab_size=len(WORDS)).epoch(0).batch(np.arange(4))
    output: Any = model(**{name: values for name, values in batch.items() if name != "index"})
    assert output.loss.isfinite()
    assert torch.allclose(output.loss, output.masked_lm_loss + output.next_sentence_loss)


def test_the_fingerprint_tells_other_records_from_these(files: list[Path], tmp_path: Path) -> None:
    before = RecordExamples(files).fingerprint()
    assert RecordExamples(files).fingerprint() == before
    assert RecordExamples(files[::-1]).fingerprint() != before
    (record,) = pretraining_records(INSTANCES[:1], max_seq_length=12, max_predictions_per_seq=4)
    write_examples(tmp_path / "a", [record])
    write_examples(tmp_path / "b", [{**record, "next_sentence_labels": 1 - record["next_sentence_labels"]}])
    assert RecordExamples([tmp_path / "a"]).fingerprint() != RecordExamples([tmp_path / "b"]).fingerprint()


def test_files_that_have_not_changed_are_not_read_through_again(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    expected = RecordExamples(files, index_folder=kept)
    with monkeypatch.context() as patch:
        patch.setattr(record_examples, "read_records", None)
        again = RecordExamples(files, index_folder=kept)
    assert again.fingerprint() == expected.fingerprint()
    rows = np.random.default_rng(0).permutation(len(INSTANCES))
    for name, values in expected.epoch(0).batch(rows).items():
        assert torch.equal(again.epoch(0).batch(rows)[name], values), name
    write_pretraining_records([files[0]], INSTANCES[:1], max_seq_length=12, max_predictions_per_seq=4)
    assert len(RecordExamples(files[:1], index_folder=kept).lengths) == 1


RECORD = {
    "input_ids": np.array([2, 4, 3, 6, 3, 0]),
    "input_mask": np.array([1, 1, 1, 1, 1, 0]),
    "segment_ids": np.array([0, 0, 0, 1, 1, 0]),
    "masked_lm_positions": np.array([1, 0]),
    "masked_lm_ids": np.array([5, 0]),
    "masked_lm_weights": np.array([1.0, 0.0], dtype=np.float32),
    "next_sentence_labels": np.array([0]),
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"input_mask": np.array([1, 0, 1, 0, 0, 0])}, "input_mask: expected ones and behind them zeros"),
        ({"input_mask": np.zeros(6, dtype=np.int64)}, "input_mask: expected ones"),
        ({"input_mask": np.ones(6, dtype=np.float32)}, "input_mask: expected integers, got floats"),
        ({"masked_lm_weights": np.array([1, 0])}, "masked_lm_weights: expected floats, got integers"),
        ({"input_ids": np.array([2, 4])}, "input_ids: expected 5 values or more, got 2"),
        ({"input_ids": np.array([2, 4, 10, 6, 3, 0])}, "input_ids: expected values from 0 to 9, got 10"),
        ({"input_ids": np.array([2, 4, -1, 6, 3, 0])}, "input_ids: expected values from 0 to 9, got -1"),
        ({"segment_ids": np.array([0, 0, 0, 2, 2, 0])}, "segment_ids: expected values from 0 to 1, got 2"),
        ({"masked_lm_positions": np.array([5, 0])}, "masked_lm_positions: expected values from 0 to 4, got 5"),
        ({"masked_lm_positions": np.array([1])}, "masked_lm_positions: expected 2 values or more, got 1"),
        ({"masked_lm_ids": np.array([10, 0])}, "masked_lm_ids: expected values from 0 to 9, got 10"),
        ({"masked_lm_weights": np.array([0.5, 0.0], dtype=np.float32)}, r"only 0 and 1, got \[0.5, 0.0\]"),
        ({"next_sentence_labels": np.array([2])}, "next_sentence_labels: expected values from 0 to 1, got 2"),
        ({"next_sentence_labels": np.array([], dtype=np.int64)}, "next_sentence_labels: expected 1 values or more"),
    ],
)
def test_records_that_cannot_be_meant_are_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = tmp_path / "a.tfrecord"
    write_examples(path, [RECORD, {**RECORD, **changes}])
    with pytest.raises(DataError, match=rf"a\.tfrecord, record 1 \(from byte \d+\): .*{reason}"):
        RecordExamples([path], vocab_size=10).epoch(0).batch(np.array([1]))


def test_records_of_another_layout_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_examples(path, [{name.replace("masked_lm_ids", "masked_lm_id"): values for name, values in RECORD.items()}])
    with pytest.raises(DataError, match=r"record 0 .*no feature 'masked_lm_ids'; did you mean 'masked_lm_id'"):
        RecordExamples([path])


def test_damaged_packed_missing_and_empty_files_are_refused_at_once(files: list[Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(shared_data(*TOY).read_bytes()[:-1])
    with pytest.raises(DataError, match=r"damaged, record 59"):
        RecordExamples([*files, damaged])
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(shared_data(*TOY).read_bytes()))
    with pytest.raises(DataError, match=r"packed: packed with gzip.*gunzip"):
        RecordExamples([packed])
    with pytest.raises(DataError, match="nowhere: cannot be read"):
        RecordExamples([tmp_path / "nowhere"])
    for nothing in ([], [files[1]]):
        with pytest.raises(DataError, match="one record or more"):
            RecordExamples(nothing)
