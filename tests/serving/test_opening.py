"""What a folder is opened for: by what it was trained for, else by the heads that it stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plm
from plm.backends.exporting import export
from plm.checkpoints.saving import save_model
from plm.errors import BackendUnavailable, ConfigError, DataError, PoemError
from plm.generation import GenerationConfig
from plm.generation.poet import Poet
from plm.heads.several import HeadPlan
from plm.poetry import RhymeBook
from plm.poetry.prompt import TYPES
from plm.poetry.request import PoemRequest
from plm.serving.batcher import NobodyWaits
from plm.serving.opening import count_passages, count_texts, open_folder
from plm.tasks import Classification, QuestionAnswering, Tagging
from plm.tasks.poems import Poems
from plm.tasks.saving import SavedTask, save_tasks
from tests.tiny_folders import tiny_folder
from tests.tiny_models import tiny_model


def common_characters() -> str:
    """Enough of them that each tone and many rhymes have some."""
    book = RhymeBook.named("pingshui")
    block = [chr(code) for code in range(0x4E00, 0x6400)]
    return "".join([one for one in block if book.readings(one)][:4000])


def several(folder: Path, plans: dict[str, HeadPlan], tasks: dict[str, Any]) -> Path:
    """A folder that knows several tasks."""
    start = tiny_folder(folder / "start", "bert")
    plm.AutoModelForTasks.from_pretrained(start, heads=plans).save_pretrained(folder / "several")
    plm.AutoTokenizer.from_pretrained(start).save_pretrained(folder / "several")
    save_tasks(folder / "several", {name: SavedTask(task, 16) for name, task in tasks.items()})
    return folder / "several"


@pytest.mark.parametrize("head", ["masked_lm", "pretraining"])
def test_masked_language_models_fill_in_words_whatever_else_they_learned(head: str, tmp_path: Path) -> None:
    opened = open_folder(tiny_folder(tmp_path, "bert", head, max_position_embeddings=16))
    assert opened.abilities == ("embed", "fill-mask")
    door = opened.doors["fill-mask"]
    assert door.count(["the [MASK]", "[MASK]"]) == [4, 3]
    assert [len(masks) for masks in door.work(["the [MASK] was [MASK]", "[MASK]"])] == [2, 1]
    with pytest.raises(DataError, match="has 17 tokens, more than the 16 of the model"):
        door.count(["[MASK]" + " good" * 14])
    assert door.count(["[MASK]" + " good" * 13]) == [16]
    with pytest.raises(DataError, match=r"text 1: has no \[MASK\]"):
        door.work(["[MASK]", "[SEP]"])


def test_a_folder_of_several_tasks_is_served_for_all_of_them(tmp_path: Path) -> None:
    moods, tags = ("good", "bad"), ("O", "B-a", "I-a")
    plans = {
        "mood": HeadPlan("sequence_classification", {"labels": moods}),
        "slots": HeadPlan("token_classification", {"labels": tags}),
    }
    tasks = {"mood": Classification(labels=moods), "slots": Tagging(labels=tags, scheme="bio", joiner=" ")}
    opened = open_folder(several(tmp_path, plans, tasks))
    assert opened.abilities == ("classify", "tag", "embed")
    assert opened.doors["classify"].work(["good"])[0]["label"] in moods
    assert opened.doors["tag"].work([["good", "day"]])[0]["tags"]


def test_two_tasks_for_one_endpoint_are_refused(tmp_path: Path) -> None:
    plans = {name: HeadPlan("question_answering") for name in ("one", "two")}
    folder = several(tmp_path, plans, {name: QuestionAnswering() for name in plans})
    with pytest.raises(ConfigError, match="several tasks that answer /v1/answer"):
        open_folder(folder)


def test_tokens_are_counted_before_anything_is_cut(folders: dict[str, Path]) -> None:
    tokenizer = plm.AutoTokenizer.from_pretrained(folders["reviews"])
    values = ["good day", ("good", "bad bad"), "good " * 100]
    assert count_passages(tokenizer, values) == [4, 6, 102]
    assert count_texts(tokenizer, [["good", "day"], "bad", ("good", "bad")]) == [4, 3, 5]
    assert count_passages(plm.AutoTokenizer.from_pretrained(folders["stories"]), ["good day"]) == [2]


def test_a_model_of_poems_is_served_as_a_poet_and_nothing_else_writes(tmp_path: Path) -> None:
    tokenizer = Poems(characters=common_characters()).own_tokenizer(None)
    changes = {"vocab_size": len(tokenizer), "type_vocab_size": TYPES, "max_position_embeddings": 160}
    folder = tmp_path / "poet"
    save_model(tiny_model("bert", "causal_lm", attention_pattern="causal", **changes).eval(), folder)
    tokenizer.save_pretrained(folder)
    opened = open_folder(folder)
    assert opened.abilities == ("embed", "poem")
    assert opened.poet is not None
    wish = PoemRequest(form="free", n=2, candidates=2)
    expected = [poem.to_dict() for poem in Poet.from_pretrained(folder).write(wish)]
    assert opened.poet.write_all([wish, wish]) == [expected, expected]
    with pytest.raises(PoemError):
        opened.poet.write_all([PoemRequest(mode="acrostic", form="七绝", text="春夏秋冬花")])


@pytest.mark.parametrize("backend", ["int8", "numpy", "onnx"])
def test_other_backends_answer_everything_that_they_can(backend: str, tmp_path: Path) -> None:
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    moods, tags = ("good", "bad"), ("O", "B-a", "I-a")
    plans = {
        "mood": HeadPlan("sequence_classification", {"labels": moods}),
        "slots": HeadPlan("token_classification", {"labels": tags}),
    }
    tasks = {"mood": Classification(labels=moods), "slots": Tagging(labels=tags, scheme="bio", joiner=" ")}
    folder = several(tmp_path, plans, tasks)
    expected, opened = open_folder(folder), open_folder(folder, backend=backend)
    assert opened.abilities == expected.abilities == ("classify", "tag", "embed")
    assert (opened.parameters, opened.max_tokens) == (expected.parameters, expected.max_tokens)
    asked = {"classify": ["good", ("good", "bad")], "tag": [["good", "day"]], "embed": ["good day"]}
    for ability, values in asked.items():
        answers, wanted = opened.doors[ability].work(values), expected.doors[ability].work(values)
        assert len(answers) == len(wanted)
        assert_near(answers, wanted, most=0.3 if backend == "int8" else 1e-4)


def assert_near(answers: Any, wanted: Any, *, most: float) -> None:
    """The same numbers, about; words may differ where numbers are rounded."""
    if isinstance(wanted, dict):
        answers, wanted = list(answers.values()), list(wanted.values())
    if isinstance(wanted, list):
        for one, other in zip(answers, wanted, strict=True):
            assert_near(one, other, most=most)
    elif not isinstance(wanted, str):
        assert np.linalg.norm(np.asarray(answers) - wanted) <= most * (1 + np.linalg.norm(wanted))


def test_masks_are_filled_alike_by_other_backends(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path, "bert", "pretraining")
    texts = ["the [MASK] was [MASK]", "[MASK]", "a bad [MASK] day"]
    expected, answers = (open_folder(folder, backend=one).doors["fill-mask"].work(texts) for one in ("torch", "numpy"))
    assert [len(masks) for masks in answers] == [2, 1, 1]
    for one, other in zip(answers, expected, strict=True):
        assert [mask[0]["token"] for mask in one] == [mask[0]["token"] for mask in other]


@pytest.mark.parametrize("backend", ["int8", "onnx"])
def test_texts_are_written_by_backends_that_can(backend: str, tmp_path: Path) -> None:
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnx")
    opened = open_folder(tiny_folder(tmp_path, "openai-gpt", "causal_lm"), backend=backend)
    assert opened.writer is not None
    config = GenerationConfig(max_new_tokens=5)
    text = opened.writer.write(["the good"], config)[0][0]["text"]
    assert "".join(opened.writer.stream("the good", config)) == text


def test_a_backend_that_writes_no_texts_is_refused_when_the_folder_is_opened(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="backend 'numpy' does not write texts"):
        open_folder(tiny_folder(tmp_path, "openai-gpt", "causal_lm"), backend="numpy")


def test_an_exported_program_answers_what_it_was_exported_for(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "folder", "bert", "sequence_classification")
    export(folder, tmp_path / "small", to="int8", verify=False)
    opened, expected = open_folder(tmp_path / "small", backend="int8"), open_folder(folder, dtype="int8")
    assert opened.abilities == expected.abilities == ("classify", "embed")
    assert opened.doors["classify"].work(["good day"]) == expected.doors["classify"].work(["good day"])


def test_nothing_is_computed_that_nobody_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> None:
        raise NobodyWaits

    writes = open_folder(tiny_folder(tmp_path / "stories", "openai-gpt", "causal_lm"), backend="int8").writer
    reads = open_folder(tiny_folder(tmp_path / "reviews", "bert", "sequence_classification"), backend="numpy")
    monkeypatch.setattr("plm.serving.stopping.stop_where_nobody_waits", nobody)
    assert writes is not None
    with pytest.raises(NobodyWaits):
        writes.write(["the good"], GenerationConfig(max_new_tokens=5))
    with pytest.raises(NobodyWaits):
        reads.doors["classify"].work(["good"])
