"""GLUE's files are read as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.data.glue import GLUE_TASKS
from plm.data.readers import read_examples
from plm.metrics.classification import GLUE_METRICS

GLUE = Path(__file__).parents[3] / "shared" / "data" / "glue"
FOLDERS = {name: "CoLA" if name == "cola" else name.upper() for name in GLUE_TASKS}
ROWS = {
    "cola": (8551, 1043),
    "sst-2": (67349, 872),
    "mrpc": (3668, 408),
    "sts-b": (5749, 1500),
    "qqp": (8999, 518),
    "mnli": (8999, 506),
    "qnli": (9999, 2738),
    "rte": (2490, 136),
    "wnli": (635, 71),
}


def test_every_task_has_its_metrics() -> None:
    assert set(GLUE_TASKS) == set(GLUE_METRICS)


def test_mnli_reads_the_gold_label_wherever_it_stands(tmp_path: Path) -> None:
    names = ["index", "sentence1", "sentence2", "label1", "label2", "gold_label"]
    path = tmp_path / "dev_matched.tsv"
    path.write_text("\t".join(names) + "\n" + "0\ta\tb\tneutral\tneutral\tentailment\n", encoding="utf-8")
    example = read_examples(path, GLUE_TASKS["mnli"].columns)[0]
    assert (example.text, example.pair) == ("a", "b")
    assert GLUE_TASKS["mnli"].labels.encode([example]) == [1]


@pytest.mark.skipif(not GLUE.is_dir(), reason="the GLUE files are not here")
@pytest.mark.parametrize("name", GLUE_TASKS)
def test_real_files_are_read_whole(name: str) -> None:
    task = GLUE_TASKS[name]
    for split, rows in zip(("train", "dev"), ROWS[name], strict=True):
        path = GLUE / FOLDERS[name] / f"{split}.tsv"
        path = path if path.exists() else path.with_name(f"{split}_matched.tsv")
        examples = read_examples(path, task.columns)
        assert len(examples) == len(task.labels.encode(examples)) == rows
