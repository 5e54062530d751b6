"""The examples that fine-tune run on small data, say how good the model is, and ask it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.running import FOLDER, run_example
from tests.tiny_folders import tiny_folder, write_rows

TAGGED = "the O\nold B-FILM\nbook I-FILM\n\nsun B-SKY\nwas O\n\nred B-FILM\nday I-FILM\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_folder(tmp_path / "start", "bert", max_position_embeddings=128)


def squad_file(path: Path, *, questions: int = 4) -> Path:
    context = "the old book was red"
    rows = [
        {"id": str(n), "question": "the book", "answers": [{"text": "red", "answer_start": 17}]}
        for n in range(questions)
    ]
    data = [{"title": "t", "paragraphs": [{"context": context, "qas": rows}]}]
    path.write_text(json.dumps({"version": "1.1", "data": data}))
    return path


def test_classify_runs_on_the_requests_beside_it(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (FOLDER / "data" / "snips" / "dev.tsv").read_text(encoding="utf-8").splitlines()[:120]
    small = tmp_path / "small.tsv"
    small.write_text("\n".join(rows) + "\n", encoding="utf-8")
    run_example("classify", small, small, "--model", model, "--epochs", "1", "--output", tmp_path / "out")
    printed = capsys.readouterr().out
    assert "dev accuracy: " in printed
    assert rows[1].split("\t")[1] in printed


def test_ner_finds_entities_with_their_places(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tagged.txt"
    file.write_text(TAGGED * 10)
    options = ["--model", model, "--epochs", "20", "--learning-rate", "1e-2", "--decoder", "crf"]
    run_example("ner", file, file, *options, "--output", tmp_path / "out")
    printed = capsys.readouterr().out
    assert "dev entity_f1: " in printed
    assert "dev token_accuracy: " in printed
    assert "SKY: 'sun', characters 0 to 3" in printed


@pytest.mark.parametrize("name", ["squad", "cmrc"])
def test_readers_answer_with_words_of_the_text(
    name: str, tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = squad_file(tmp_path / "questions.json")
    options = ["--model", model, "--epochs", "30", "--learning-rate", "1e-2", "--max-length", "24"]
    run_example(name, file, file, *options, "--output", tmp_path / "out")
    printed = capsys.readouterr().out
    assert "dev f1: " in printed
    assert "'red', characters 17 to 20" in printed


def test_multi_task_asks_both_heads_in_one_pass(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "dev"):
        folder = tmp_path / "atis" / split
        folder.mkdir(parents=True)
        (folder / "seq.in").write_text("the old book\nsun was\n" * 8)
        (folder / "seq.out").write_text("O B-f I-f\nB-s O\n" * 8)
        (folder / "label").write_text("film\nsky\n" * 8)
    run_example("multi_task", tmp_path / "atis", "--model", model, "--epochs", "1", "--output", tmp_path / "out")
    printed = capsys.readouterr().out
    assert "dev intent/accuracy: " in printed
    assert "dev slots/entity_f1: " in printed


def test_glue_prints_a_row_for_each_task(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rte, cola = tmp_path / "glue" / "RTE", tmp_path / "glue" / "CoLA"
    pairs = [("0", "the film", "the book", "entailment"), ("1", "the sun", "not the sun", "not_entailment")] * 4
    lines = [("gj04", "1", "", "the good film"), ("gj04", "0", "*", "film good the")] * 4
    for split in ("train", "dev"):
        rte.mkdir(parents=True, exist_ok=True)
        cola.mkdir(exist_ok=True)
        write_rows(rte / f"{split}.tsv", [("index", "sentence1", "sentence2", "label"), *pairs])
        write_rows(cola / f"{split}.tsv", lines)
    options = ["--tasks", "rte,cola", "--seeds", "1,2", "--max-steps", "1", "--model", model]
    run_example("glue", tmp_path / "glue", *options, "--output", tmp_path / "out")
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0].startswith("rte    accuracy ")
    assert last[1].startswith("cola   matthews_correlation ")


def test_torchrun_ddp_trains_a_recipe_and_goes_on_with_it(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one process; tests/training/test_distributed.py starts several."""
    file = write_rows(tmp_path / "t.tsv", [("label", "text"), *[("good", "the good"), ("bad", "the bad")] * 8])
    recipe = tmp_path / "run.toml"
    recipe.write_text(
        f'model = "{model}"\noutput_dir = "{tmp_path / "out"}"\n'
        f'[task]\nkind = "classification"\ntrain = "{file}"\ndev = "{file}"\nbatch_size = 4\n'
        '[training]\nnum_train_epochs = 2\nsave_strategy = "steps"\nsave_steps = 1\n'
    )
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            run_example("torchrun_ddp", recipe)
        assert ended.value.code == 0
    assert capsys.readouterr().out.count("after 8 updates") == 2
