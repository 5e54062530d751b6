"""GLUE's files are read as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from plm.data.glue import GLUE_DIAGNOSTIC, GLUE_TASKS, write_submission
from plm.data.readers import Example, read_examples
from plm.errors import DataError
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
    assert {*GLUE_TASKS, "ax"} == set(GLUE_METRICS)


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


def test_the_diagnostic_set_is_read_with_the_labels_of_mnli(tmp_path: Path) -> None:
    names = ["Lexical Semantics", "Predicate-Argument Structure", "Logic", "Knowledge", "Domain"]
    path = tmp_path / "diagnostic-full.tsv"
    header = "\t".join([*names, "Premise", "Hypothesis", "Label"])
    path.write_text(f"{header}\n\t\tNegation\t\tNews\ta\tb\tneutral\n", encoding="utf-8")
    assert GLUE_DIAGNOSTIC.labels == GLUE_TASKS["mnli"].labels
    assert GLUE_DIAGNOSTIC.labels.encode(read_examples(path, GLUE_DIAGNOSTIC.columns)) == [2]


TEST_HEADERS = {
    "cola": "index\tsentence",
    "sst-2": "index\tsentence",
    "mrpc": "index\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "sts-b": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
    "qqp": "id\tquestion1\tquestion2",
    "mnli": "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2",
    "qnli": "index\tquestion\tsentence",
    "rte": "index\tsentence1\tsentence2",
    "wnli": "index\tsentence1\tsentence2",
}


@pytest.mark.parametrize("name", GLUE_TASKS)
def test_every_test_file_becomes_its_submission(tmp_path: Path, name: str) -> None:
    task, header = GLUE_TASKS[name], TEST_HEADERS[name]
    rows = ["\t".join([str(row), *["x y"] * header.count("\t")]) for row in range(3)]
    for test_file, submission in task.submissions.items():
        (tmp_path / test_file).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        examples = read_examples(tmp_path / test_file, task.test_columns)
        predictions = [task.labels.names[-1]] * 3 if task.labels.names else [5.5, -0.25, 2.71828]
        path = write_submission(tmp_path / "out", task, test_file, examples, predictions)
        assert path == tmp_path / "out" / submission
        written = predictions if task.labels.names else ["5.000", "0.000", "2.718"]
        expected = ["index\tprediction", *(f"{row}\t{written[row]}" for row in range(3)), ""]
        assert path.read_bytes().decode() == "\n".join(expected)


def test_a_submission_is_whole_and_names_known_labels(tmp_path: Path) -> None:
    examples = [Example(id="0", text="a", pair="b", label=None, line=2)]

    def write(name: str, test_file: str, *predictions: str | float) -> None:
        write_submission(tmp_path, GLUE_TASKS[name], test_file, examples, predictions)

    with pytest.raises(DataError, match=r"test_match.tsv'; did you mean 'test_matched.tsv'"):
        write("mnli", "test_match.tsv", "neutral")
    with pytest.raises(DataError, match="one prediction for each of 1 examples, got 2"):
        write("rte", "test.tsv", "entailment", "entailment")
    with pytest.raises(DataError, match=r"test.tsv, line 2: expected one of entailment, not_entailment, got '1'"):
        write("rte", "test.tsv", "1")
    with pytest.raises(DataError, match="line 2: expected a score, got nan"):
        write("sts-b", "test.tsv", float("nan"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not GLUE.is_dir(), reason="the GLUE files are not here")
def test_real_test_files_are_read_with_their_index() -> None:
    rte = read_examples(GLUE / "RTE" / "test_first300.tsv", GLUE_TASKS["rte"].test_columns)
    diagnostic = read_examples(GLUE / "diagnostic" / "diagnostic.tsv", GLUE_DIAGNOSTIC.test_columns)
    assert [example.id for example in rte] == [str(row) for row in range(300)]
    assert [example.id for example in diagnostic] == [str(row) for row in range(1104)]
