"""Questions come back with words of their context, by any model, or with no answer where that may be said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from plm.checkpoints.saving import save_model
from plm.errors import ConfigError, DataError
from plm.pipelines import pipeline
from plm.tasks import QuestionAnswering, Tagging
from plm.tasks.saving import SavedTask, save_tasks
from tests.tiny_folders import VOCABULARY, tiny_folder
from tests.tiny_models import FAMILY_NAMES, tiny_model

CONTEXT = "The old red book was very slow, not the film. " * 6
QUESTIONS: list[Any] = [
    {"question": "was the film bad", "context": "The old book; not the red film."},
    ("the sun", CONTEXT),
    ("sun", "rain"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("readers")
    return {
        family: tiny_folder(root / family, family, "question_answering", max_position_embeddings=40)
        for family in FAMILY_NAMES
    }


def vocal(folder: Path, *, start: str, end: str) -> Path:
    """Write a BERT whose answer starts with one word and ends with another, wherever they stand."""
    tiny_folder(folder, "bert", "question_answering", hidden_act="relu")
    model = tiny_model("bert", "question_answering", vocab_size=len(VOCABULARY))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        for place, word in enumerate((start, end)):
            model.backbone.embeddings.word.weight[VOCABULARY.index(word), place] = 10.0
            model.heads["question_answering"].outputs.weight[place, place] = 1.0
    save_model(model.eval(), folder)
    return folder


def test_answers_have_their_places_in_the_context(tmp_path: Path) -> None:
    ask = pipeline("question-answering", vocal(tmp_path, start="red", end="day"), max_length=16)
    context = "The sun was " * 8 + "very RED rain DAY. the film"
    (answer,) = ask({"question": "red day", "context": context})
    assert (answer["answer"], context[answer["start"] : answer["end"]]) == ("RED rain DAY", "RED rain DAY")
    assert 0.0 < answer["score"] <= 1.0
    assert set(answer) == {"answer", "start", "end", "score"}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_batching_changes_no_answer(family: str, folders: dict[str, Path]) -> None:
    ask = pipeline("question-answering", folders[family])
    together = ask(QUESTIONS)
    alone = [ask([one])[0] for one in QUESTIONS]
    small = pipeline("question-answering", folders[family], tokens_per_batch=50)(QUESTIONS)
    for one, other, third in zip(together, alone, small, strict=True):
        assert one["answer"] == other["answer"] == third["answer"]
        assert (one["start"], one["end"]) == (other["start"], other["end"]) == (third["start"], third["end"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-5) == pytest.approx(third["score"], abs=1e-5)
    contexts = [one["context"] if isinstance(one, dict) else one[1] for one in QUESTIONS]
    for answer, context in zip(together, contexts, strict=True):
        assert context[answer["start"] : answer["end"]] == answer["answer"] != ""
    assert ask(QUESTIONS[0]) == [ask([QUESTIONS[0]])[0]]


def test_a_model_that_may_say_so_says_that_there_is_no_answer(tmp_path: Path) -> None:
    folder = vocal(tmp_path, start="[CLS]", end="[CLS]")
    question = ("red", "the old red book")
    assert pipeline("question-answering", folder)(question)[0]["answer"] != ""
    save_tasks(folder, {"task": SavedTask(QuestionAnswering(version_2=True), 20)})
    ask: Any = pipeline("question-answering", folder)
    (answer,) = ask(question)
    assert (answer["answer"], answer["start"], answer["end"]) == ("", None, None)
    assert answer["null_score"] > 0
    assert ask.max_length == 20
    strict = QuestionAnswering(version_2=True, null_threshold=1000.0)
    (answer,) = pipeline("question-answering", folder, settings=strict)(question)
    assert answer["answer"] != ""


def test_an_empty_context_has_no_answer(folders: dict[str, Path]) -> None:
    (answer,) = pipeline("question-answering", folders["bert"])(("sun", ""))
    assert (answer["answer"], answer["start"], answer["end"]) == ("", None, None)


@pytest.mark.parametrize(
    "question", ["sun", 3, {"question": "sun"}, {"context": "sun"}, ("a", "b", "c"), ("a", None), ["a", "b"]]
)
def test_an_entry_that_is_no_question_is_named(question: Any, folders: dict[str, Path]) -> None:
    with pytest.raises(DataError, match=r'question 1: expected \{"question": "...", "context": "..."\} or a tuple'):
        pipeline("question-answering", folders["bert"])([QUESTIONS[0], question])


def test_settings_of_another_task_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="question-answering needs a QuestionAnswering, got a Tagging"):
        pipeline("question-answering", folders["bert"], settings=Tagging())
