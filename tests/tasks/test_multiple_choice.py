"""Multiple choice: any number of options, answers as options, and recipes that can say all of it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from plm.config import from_dict
from plm.data.choices import Choice
from plm.data.features.rows import RowsFeature
from plm.errors import ConfigError, DataError, UnknownNameError
from plm.runs import TaskData, read_run
from plm.tasks import TASKS, MultipleChoice
from plm.tasks.multiple_choice import Pick
from tests.shared_data import shared_data
from tests.tasks.learning import learn

RECIPES = Path(str(resources.files("plm.configs"))) / "runs" / "choices"


def question(*options: str, answer: int | None = 0) -> Choice:
    return Choice(id="1", context="c", question="q", options=options, answer=answer, place="line 3")


def answers(task: MultipleChoice, examples: list[Choice], logits: list[list[float]]) -> list[Any]:
    """As a model gives them, in a batch that is in another order than the file."""
    features = [RowsFeature([[1]] * len(example.options), None, None, n) for n, example in enumerate(examples)]
    batch = {"index": torch.arange(len(logits)).flip(0)}
    return task.answers(examples, features, task.results(batch, SimpleNamespace(logits=torch.tensor(logits).flip(0))))


def test_answers_are_options_and_padding_is_none_of_them() -> None:
    lowest = torch.finfo(torch.float32).min
    examples = [question("a", "b"), question("c", "d", "e", answer=2)]
    said = answers(MultipleChoice(), examples, [[0.0, 1.0, lowest], [1.0, 0.0, 2.0]])
    assert [(pick.option, pick.text) for pick in said] == [(1, "b"), (2, "e")]
    assert [len(pick.probabilities) for pick in said] == [2, 3]
    assert said[0].probabilities == pytest.approx((0.268941, 0.731059), abs=1e-6)
    scores = MultipleChoice().score(examples, said)
    assert next(iter(scores)) == "accuracy"
    assert scores["accuracy"] == 0.5
    assert scores["loss"] == pytest.approx((1.3132617 + 0.4076059) / 2, abs=1e-6)
    assert MultipleChoice().record(examples[1], said[1])["predicted"] == 2


def test_an_option_with_the_text_of_the_right_one_is_right() -> None:
    examples = [question("a", "b", "a", answer=2)]
    assert MultipleChoice().score(examples, answers(MultipleChoice(), examples, [[3.0, 0.0, 0.0]]))["accuracy"] == 1.0


def test_questions_without_answer_are_for_prediction_only() -> None:
    task = MultipleChoice(answer="key")
    with pytest.raises(
        DataError, match=r"a.csv, line 3: the question has no answer \(expected in a column 'key'\); only prediction"
    ):
        task.check([question("a", "b"), question("a", "b", answer=None)], source="a.csv")
    with pytest.raises(DataError, match="has no answer; only prediction"):
        MultipleChoice(format="piqa").check([question("a", "b", answer=None)])


def test_it_is_built_from_a_recipe_that_can_say_all_of_it() -> None:
    values = {"kind": "multiple_choice", "train": "a", "dev": "b", "context": [], "options": ["x", 2], "answer": -1}
    data = TaskData.from_dict(values)
    assert data.task == MultipleChoice(context=(), options=("x", 2), answer=-1)
    assert TaskData.from_dict(data.to_dict()) == data
    assert from_dict(TASKS.get("multiple_choice"), {"format": "c3"}) == MultipleChoice(format="c3")  # type: ignore[type-var]


def test_formats_are_checked_and_know_their_columns() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'dream'"):
        MultipleChoice(format="dreem")
    with pytest.raises(ConfigError, match="format: 'dream' knows its columns"):
        MultipleChoice(format="dream", question="asked")


def dialogues(path: Path, count: int, *, seed: int) -> str:
    """The right option is the word that the context holds."""
    generator = torch.Generator().manual_seed(seed)
    words = ["good", "bad", "sun", "rain"]
    documents = []
    for number in range(count):
        order = torch.randperm(4, generator=generator).tolist()
        options = [words[place] for place in order[: 2 + number % 2]]
        asked = {"question": "was the", "choice": sorted(options), "answer": options[0]}
        documents.append([[f"the {options[0]}", "day"], [asked], str(number)])
    path.write_text(json.dumps(documents), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("family", ["bert", "openai-gpt"])
def test_a_model_learns_to_pick_among_two_or_three(family: str, tmp_path: Path) -> None:
    files = {"train": dialogues(tmp_path / "a.json", 64, seed=1), "dev": dialogues(tmp_path / "b.json", 32, seed=2)}
    report = learn(tmp_path, MultipleChoice(format="dream"), family=family, files=files, epochs=8)
    assert report.metrics["accuracy"] >= 0.9
    assert len((tmp_path / "out" / "dev_predictions.tsv").read_text(encoding="utf-8").splitlines()) == 33


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("dream", "multiple_choice/dream_dev.json"),
        ("c3", "c3/c3-d-dev.json"),
        ("piqa", "multiple_choice/piqa_dev.jsonl"),
        ("swag", "multiple_choice/swag_format_sample.json"),
    ],
)
def test_the_recipes_read_the_files_that_they_are_for(name: str, file: str) -> None:
    task = read_run(RECIPES / f"{name}.toml").all_tasks["task"].task
    examples = task.read(shared_data(*file.split("/")))
    task.check(examples)
    picks = [Pick(0, example.options[0], (1.0,) + (0.0,) * (len(example.options) - 1)) for example in examples]
    assert 0.15 < task.score(examples, picks)["accuracy"] < 0.6  # about what the first option is right
