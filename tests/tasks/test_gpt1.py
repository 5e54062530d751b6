"""GPT-1's own fine-tuning: its tokens get into vocabulary and model, and half a language model is learned besides."""

from __future__ import annotations

import random
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import plm
from plm.data.choices import Choice
from plm.data.readers import Example
from plm.errors import ConfigError
from plm.runs import TaskData, read_run
from plm.tasks import Gpt1Classification, Gpt1MultipleChoice
from plm.tokenizers import Tokenizer
from plm.training import SupervisedStep
from tests.shared_data import shared_data
from tests.tasks.learning import learn
from tests.tiny_folders import tiny_folder, write_rows
from tests.tiny_models import tiny_model
from tests.tolerances import assert_close

RECIPES = Path(str(resources.files("plm.configs"))) / "runs" / "gpt1"
SENTENCES = ("the good film", "bad", "the very slow old day", "not the book", "sun")


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    made: Tokenizer = plm.AutoTokenizer.from_pretrained(tiny_folder(tmp_path / "start", "openai-gpt"))
    made.add_special_tokens({"pad_token": "<pad>", **Gpt1Classification().special_tokens})
    return made


def texts(*, paired: bool = False) -> list[Example]:
    return [
        Example(id=str(n), text=text, pair=SENTENCES[-n] if paired else None, label="ab"[n % 2], line=n)
        for n, text in enumerate(SENTENCES, 1)
    ]


def batch_of(task: Any, examples: Any, tokenizer: Tokenizer, **options: Any) -> dict[str, Tensor]:
    features = task.encode(examples, tokenizer, max_length=20, **options)
    batch: dict[str, Tensor] = task.collate(features, pad_token_id=tokenizer.pad_token_id)
    return batch


def test_the_tokens_of_a_task_are_its_own_choice() -> None:
    assert Gpt1Classification().special_tokens == {
        "bos_token": "_start_",
        "sep_token": "_delimiter_",
        "cls_token": "_classify_",
    }
    assert Gpt1MultipleChoice(extract="<extract>").special_tokens["cls_token"] == "<extract>"


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"start": "_x_", "extract": "_x_"}, "expected three different tokens"),
        ({"lm_factor": -0.1}, "lm_factor: expected 0 or a positive number"),
        ({"dropout": 1.5}, "dropout"),
        ({"pair_order": "both"}, "name the column of the second text as pair"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Gpt1Classification(**options)


def test_every_word_from_the_second_on_is_learned_marks_included(tokenizer: Tokenizer) -> None:
    task = Gpt1Classification(labels=("a", "b"))
    batch = batch_of(task, texts(), tokenizer)
    live = batch["attention_mask"] == 1
    assert torch.equal(batch["lm_labels"][live], batch["input_ids"][live])
    assert (batch["lm_labels"][~live] == -100).all()
    assert {name: float(weight) for name, weight in task.weigh(batch).items()} == {
        "decision_loss": 5,
        "text_lm_loss": 5,
    }
    by_token = Gpt1Classification(labels=("a", "b"), lm_mean="token").weigh(batch)
    assert float(by_token["lm_loss"]) == int(live.sum()) - 5


def test_nothing_is_asked_of_the_words_where_they_do_not_count(tokenizer: Tokenizer) -> None:
    task = Gpt1Classification(labels=("a", "b"), lm_factor=0.0)
    batch = batch_of(task, texts(), tokenizer)
    assert "lm_labels" not in batch
    assert list(task.weigh(batch)) == ["decision_loss"]
    assert "lm_labels" not in batch_of(Gpt1Classification(), texts(), tokenizer, has_labels=False)


def tasks() -> list[tuple[Any, Any]]:
    """Each kind of task with examples."""
    choices = [
        Choice(id="1", context="the film", question="was", options=("good", "very bad"), answer=1, place="line 1"),
        Choice(
            id="2", context="old", question="", options=("book", "day", "the slow red sun"), answer=0, place="line 2"
        ),
        Choice(id="3", context="the day", question="not", options=("red", "slow"), answer=0, place="line 3"),
    ]
    labels = ("a", "b")
    return [
        (Gpt1Classification(labels=labels), texts()),
        (Gpt1Classification(labels=labels, pair="p"), texts(paired=True)),
        (Gpt1Classification(labels=labels, pair="p", pair_order="both", lm_mean="token"), texts(paired=True)),
        (Gpt1MultipleChoice(lm_factor=0.25), choices),
    ]


@pytest.mark.parametrize(("task", "examples"), tasks())
def test_the_losses_of_parts_add_up_to_that_of_the_whole(task: Any, examples: Any, tokenizer: Tokenizer) -> None:
    """What accumulation and several processes rely on."""
    changes = {name: value for name, value in task.model_options().items() if name != "problem_type"}
    model = tiny_model("openai-gpt", task.head, **{**changes, "vocab_size": len(tokenizer)}).eval()
    features = task.encode(examples, tokenizer, max_length=20)
    step = SupervisedStep(weigh=task.weigh, factors=task.loss_factors)

    def loss(*parts: Any) -> Tensor:
        batches = [task.collate(part, pad_token_id=tokenizer.pad_token_id) for part in parts]
        weights = [{name: float(weight) for name, weight in step.weigh(batch).items()} for batch in batches]
        losses = [step(model, batch).losses for batch in batches]
        return sum(
            each[name] * own[name] / sum(weight[name] for weight in weights)
            for each, own in zip(losses, weights, strict=True)
            for name in own
        )  # type: ignore[return-value]

    whole = loss(features)
    assert_close(loss(features[:1], features[1:]), whole)
    batch = task.collate(features, pad_token_id=tokenizer.pad_token_id)
    output = model(**{name: value for name, value in batch.items() if name != "index"})
    words = output.text_lm_loss if task.lm_mean == "text" else output.lm_loss
    assert_close(whole, output.decision_loss + task.lm_factor * words)


def test_similarity_does_not_depend_on_which_text_comes_first(tokenizer: Tokenizer) -> None:
    task = Gpt1Classification(labels=("a", "b"), pair="p", pair_order="both")
    model = tiny_model("openai-gpt", task.head, vocab_size=len(tokenizer), **task.model_options()).eval()
    logits = []
    for first, second in (
        ("the good film was very slow", "bad old day"),
        ("bad old day", "the good film was very slow"),
    ):
        examples = [Example(id="1", text=first, pair=second, label="a", line=1)]
        features = task.encode(examples, tokenizer, max_length=8)  # too short for both
        batch = task.collate(features, pad_token_id=tokenizer.pad_token_id)
        assert batch["input_ids"].shape[:2] == (1, 2)
        logits.append(model(batch["input_ids"], batch["attention_mask"]).logits)
    assert_close(*logits)


def test_it_is_built_from_a_recipe_that_can_say_all_of_it() -> None:
    values = {
        "kind": "gpt1_classification",
        "train": "a",
        "dev": "b",
        "pair": "q",
        "pair_order": "both",
        "lm_factor": 0,
    }
    data = TaskData.from_dict(values)
    assert data.task == Gpt1Classification(pair="q", pair_order="both", lm_factor=0.0)
    assert TaskData.from_dict(data.to_dict()) == data
    story = TaskData.from_dict({"kind": "gpt1_multiple_choice", "train": "a", "dev": "b", "format": "rocstories"})
    assert story.task == Gpt1MultipleChoice(format="rocstories")


def test_a_run_adds_the_tokens_and_saves_them(tmp_path: Path) -> None:
    source = random.Random(1)
    rows = [
        (word, f"the {word} {source.choice(['film', 'book'])} {source.choice(['day', 'sun'])}")
        for word in ["good", "bad"] * 32
    ]
    path = str(write_rows(tmp_path / "a.tsv", [("label", "text"), *rows]))
    task = Gpt1Classification()
    report = learn(tmp_path, task, family="openai-gpt", files={"train": path, "dev": path}, epochs=5)
    assert report.metrics["accuracy"] >= 0.95
    out = tmp_path / "out"
    tokenizer, config = plm.AutoTokenizer.from_pretrained(out), plm.AutoConfig.from_pretrained(out)
    added = (tokenizer.bos_token, tokenizer.sep_token, tokenizer.cls_token, tokenizer.pad_token)
    assert added == ("_start_", "_delimiter_", "_classify_", "<pad>")
    assert config.vocab_size == len(tokenizer)


@pytest.mark.parametrize(("name", "file"), [("rte", "RTE/dev.tsv"), ("mrpc", "MRPC/dev.tsv")])
def test_the_recipes_read_the_files_of_glue(name: str, file: str, tokenizer: Tokenizer) -> None:
    task = read_run(RECIPES / f"{name}.toml").all_tasks["task"].task
    examples = task.read(shared_data("glue", *file.split("/")))
    task.check(examples)
    batch = batch_of(task, examples[:8], tokenizer)
    marks = [token for token in batch["input_ids"].flatten().tolist() if token == tokenizer.sep_token_id]
    assert len(marks) == (16 if name == "mrpc" else 8)
